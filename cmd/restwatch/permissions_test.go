package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"restwatch/diff"
)

// Two replicas on a server with the permissions of deployments/nats-server.conf
// do all they do without being refused anything: begin, poll, tell each other,
// lose the connection, leave. So do the commands that read, as the reader, who
// is refused what would write.
func TestLeastPrivilege(t *testing.T) {
	for _, user := range []string{"SERVICE", "ADMIN", "READER"} {
		t.Setenv("NATS_"+user+"_PASSWORD", natsPassword+user)
	}
	t.Setenv("NATS_NAME", "n")
	opts, err := server.ProcessConfigFile(filepath.Join("..", "..", "deployments", "nats-server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.StoreDir, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, t.TempDir(), true, true
	bus, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	bus.Start()
	t.Cleanup(func() { stopNATS(bus) })
	if !bus.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	env := u.settings(t, "NATS_URL="+bus.ClientURL(), "NATS_USER=service", "NATS_PASSWORD="+natsPassword+"SERVICE")
	reader := strings.Replace(bus.ClientURL(), "://", "://reader:"+natsPassword+"READER@", 1)
	var heard *listener
	a := launch(t, env, func(*service) { heard = listen(t, reader) })
	b := launch(t, env, nil)
	_, mark := heard.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	conns, err := bus.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns.Conns {
		if strings.HasPrefix(c.Name, "restwatch-") {
			if err := bus.DisconnectClientByID(c.Cid); err != nil {
				t.Fatal(err)
			}
		}
	}
	u.show(vdn170, nextRoster(first))
	heard.await(t, mark, "the changes", isSnapshot(vdn170, func(s *diff.Snapshot) bool { return s.LastSequence == 3 }))
	for _, args := range [][]string{{"verify"}, {"snapshot", "1", "170"}} {
		env := environOf("NATS_URL="+bus.ClientURL(), "NATS_USER=reader", "NATS_PASSWORD="+natsPassword+"READER")
		if code, out, errOut := execute(t, t.Context(), env, "", args...); code != exitOK {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
		}
	}
	refused := make(chan error, 10)
	nc, err := nats.Connect(reader, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{"ingest.rest.v1.feed.1.170", "rest.v1.feed.1.170", "tick.rest.v1.x", "peer.rest.v1.x", "$JS.API.STREAM.PURGE.REST"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; !strings.Contains(err.Error(), subject) {
			t.Errorf("%s: got %v", subject, err)
		}
	}
	a.stop()
	b.stop()
	for _, s := range []*service{a, b} {
		if strings.Contains(strings.ToLower(s.log.String()), "permissions violation") {
			t.Errorf("the service was refused something:\n%s", s.log)
		}
	}
}
