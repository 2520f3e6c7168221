package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
	"restwatch/poller/cmssim"
	"restwatch/publisher/freeport"
)

// startNATS runs a nats-server of its own with JetStream, as an installation
// with several replicas has it. With a password, only the user service may
// connect. The folder outlives the server; "" is a temporary one.
func startNATS(t *testing.T, dir, password string, port int) *server.Server {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	opts := &server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}
	if password != "" {
		opts.Users = []*server.User{{Username: "service", Password: password}}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	t.Cleanup(func() { stopNATS(s) })
	return s
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// While NATS is away nobody polls, and the service says so. When it is back the
// service goes on by itself, tells the gap and what happened in it.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := freeport.Hold(t)
	nats := startNATS(t, dir, natsPassword, port)
	url := strings.Replace(nats.ClientURL(), "://", "://service:"+natsPassword+"@", 1)
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	var bus *listener
	s := launch(t, u.settings(t, "NATS_URL="+nats.ClientURL(), "NATS_USER=service", "NATS_PASSWORD="+natsPassword),
		func(*service) { bus = listen(t, url) })
	baseline, _ := bus.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))

	stopNATS(nats)
	eventually(t, "unreadiness", func() bool {
		status, page := s.fetch("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(page, "NATS")
	})
	if status, _ := s.fetch("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	eventually(t, "a wallboard that says why it is empty", func() bool {
		status, page := s.fetch("/wallboard.json")
		return status == http.StatusServiceUnavailable && strings.Contains(page, "there is no connection to NATS")
	})
	lost := func() float64 {
		n, _ := s.metric("restwatch_slots_lost_total")
		return n
	}
	eventually(t, "lost slots", func() bool { return lost() > 1 })
	u.show(vdn170, nextRoster(first))
	calls, slots := u.Calls(), lost()
	eventually(t, "more lost slots", func() bool { return lost() > slots+3 })
	if n := u.Calls(); n != calls {
		t.Errorf("%d calls while NATS is away", n-calls)
	}

	startNATS(t, dir, natsPassword, port)
	again := listenStored(t, url)
	ok, mark := again.await(t, 0, "feed ok with the gap", func(m *busMessage) bool {
		return m.feed != nil && m.feed.Status == diff.OK && m.feed.Gap != nil
	})
	if ok.feed.Gap.From < baseline.snapshot.ObservedAt {
		t.Errorf("the gap %+v begins before the outage", *ok.feed.Gap)
	}
	_, end := again.await(t, mark, "the snapshot after the outage", isSnapshot(vdn170, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	checkChanges(t, eventsOf(again.all()[:end], vdn170), diff.Certain, diff.Resync)
	eventually(t, "readiness", func() bool {
		status, _ := s.fetch("/readyz")
		return status == http.StatusOK
	})
	s.stop()
	again.await(t, end, "feed stopping", isFeed(vdn170, diff.Stopping))
	if code, out, errOut := execute(t, t.Context(), nil, "", "verify", "--nats", url); code != exitOK {
		t.Errorf("verify: exit %d\n%s%s", code, out, errOut)
	}
}

// Two replicas share the polls, publish each change once, and only the last one
// to leave says that nobody watches any more.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, "", "", server.RANDOM_PORT)
	world := func(id int) cmssim.Tenant {
		return cmssim.Tenant{World: cmssim.Config{VDN: diff.VDN{CC: 1, ID: id}, Agents: 150, Seed: 11, Speed: worldSpeed}}
	}
	u := startUpstream(t, world(170), world(171))
	truths := []*lives{begun(u, vdn170), begun(u, vdn171)}
	env := u.settings(t, "NATS_URL="+nats.ClientURL(), "SCHEDULE=@every 100ms")
	var bus *listener
	first := launch(t, env, func(*service) { bus = listen(t, nats.ClientURL()) })
	second := launch(t, env, nil)
	polls := func(s *service) float64 {
		n, _ := s.metric("restwatch_poll_duration_seconds_count")
		return n
	}
	eventually(t, "polls by both", func() bool { return polls(first) > 5 && polls(second) > 5 })
	first.stop()
	mark := bus.mark()
	for _, v := range []diff.VDN{vdn170, vdn171} {
		bus.await(t, mark, "an event found by the other", func(m *busMessage) bool { return m.event != nil && m.vdn() == v })
		// Where the machine is so busy that the other does not answer in time,
		// the first takes itself for the last. The other then puts it right.
		bus.await(t, mark, "feed ok by the other", isFeed(v, diff.OK))
	}
	for _, m := range bus.all() {
		if m.feed != nil && m.feed.Status == diff.Stopping {
			t.Logf("the first replica took itself for the last: %s", m.data)
		}
	}
	mark = bus.mark()
	second.stop()
	for _, v := range []diff.VDN{vdn170, vdn171} {
		bus.await(t, mark, "feed stopping", isFeed(v, diff.Stopping))
	}
	if bus.check(t) == 0 {
		t.Error("no events")
	}
	for _, h := range truths {
		h.learn(u)
		events := eventsOf(bus.all(), h.vdn)
		t.Logf("VDN %v: %v", h.vdn, h.judge(t, events, u.age(h.vdn, events)))
	}
	for i, s := range []*service{first, second} {
		if log := s.log.String(); strings.Contains(log, "not committed") {
			t.Errorf("replica %d could not commit:\n%s", i, log)
		}
	}
}
