package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"restwatch/publisher/embedded"
)

// ownerDir makes the test binary hold a store folder until it is killed.
const ownerDir = "RESTWATCH_TEST_OWNER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDir); dir != "" {
		if _, err := embedded.Start(context.Background(), embedded.Options{Dir: dir}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestKeepsStreamsAcrossRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := embedded.Options{Dir: dir, SyncAlways: true}
	for i := range 3 {
		s, err := embedded.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("", s.InProcess())
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
			t.Fatal(err)
		}
		ack, err := js.Publish(t.Context(), "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ack.Sequence, uint64(i+1); got != want {
			t.Errorf("start %d: got sequence %d, want %d", i, got, want)
		}
		nc.Close()
		s.Shutdown()
		s.Shutdown() // once more does nothing
	}
}

func TestListens(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	if !strings.HasPrefix(s.URL(), "nats://127.0.0.1:") || strings.HasSuffix(s.URL(), ":0") {
		t.Errorf("got URL %q, want the bound port", s.URL())
	}
	connect(t, s.URL())
	if got := start(t, embedded.Options{}).URL(); got != "" {
		t.Errorf("got URL %q of a server without a listener, want none", got)
	}
}

func TestTemporaryFolderIsRemoved(t *testing.T) {
	s := start(t, embedded.Options{})
	if _, err := os.Stat(s.Dir()); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("got %v for the folder after shutdown, want that it does not exist", err)
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := start(t, embedded.Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx  context.Context
		o    embedded.Options
		want string
	}{
		"port taken":   {t.Context(), embedded.Options{Listen: addr}, fmt.Sprintf("listen for NATS clients on %q: bind: address already in use", addr)},
		"no port":      {t.Context(), embedded.Options{Listen: "localhost"}, `listen address "localhost": want host:port`},
		"odd port":     {t.Context(), embedded.Options{Listen: "localhost:x"}, `port: want 0..65535`},
		"dir is file":  {t.Context(), embedded.Options{Dir: file}, "make store folder"},
		"dir in use":   {t.Context(), embedded.Options{Dir: held.Dir()}, fmt.Sprintf("is in use by this process (pid %d)", os.Getpid())},
		"start ended":  {cancelled, embedded.Options{}, "context canceled"},
		"unknown host": {t.Context(), embedded.Options{Listen: "host.invalid:0"}, "host.invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := embedded.Start(tt.ctx, tt.o)
			if err == nil {
				s.Shutdown()
				t.Fatal("got no error")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestCrashedOwnerDoesNotBlock(t *testing.T) {
	dir := t.TempDir()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerDir+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "ready\n" {
		t.Fatalf("got %q, %v from the owner, want ready", said, err)
	}
	_, err = embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if want := "in use by another process (pid " + strconv.Itoa(owner.Process.Pid) + ")"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // says that it was killed
	start(t, embedded.Options{Dir: dir})
}

// TestReader tries what a stranger may and may not do.
func TestReader(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0", Stream: "R", Prefix: "p"})
	service := connect(t, "", s.InProcess())
	js, err := jetstream.New(service)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "R", Subjects: []string{"ingest.p.>"}, AllowDirect: true,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "ingest.p.>", Destination: "p.>"},
		RePublish:        &jetstream.RePublish{Source: "p.>", Destination: "p.>"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}

	denied := make(chan error, 16)
	nc := connect(t, s.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	sub, err := nc.SubscribeSync("p.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "ingest.p.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsgWithContext(t.Context()); err != nil || m.Subject != "p.a" {
		t.Errorf("got %v, %v, want the message on p.a", m, err)
	}
	rjs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cons, err := rjs.OrderedConsumer(t.Context(), "R", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := cons.Next(); err != nil || m.Subject() != "p.a" {
		t.Errorf("got %v, %v from an ordered consumer, want the message on p.a", m, err)
	}
	st, err := rjs.Stream(t.Context(), "R")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.GetLastMsgForSubject(t.Context(), "p.a"); err != nil {
		t.Errorf("get last message: %v", err)
	}

	for _, subject := range []string{
		"ingest.p.a", "p.a", "other", "$JS.API.STREAM.DELETE.R", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.PURGE.R",
		"$JS.API.STREAM.UPDATE.R", "$JS.API.STREAM.MSG.DELETE.R", "$JS.API.CONSUMER.CREATE.OTHER", "_INBOX.x",
	} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-denied:
			if want := fmt.Sprintf("Permissions Violation for Publish to %q", subject); !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("publish to %q was not refused", subject)
		}
	}
	for _, subject := range []string{">", "ingest.>", "$JS.>"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-denied:
			if want := fmt.Sprintf("Permissions Violation for Subscription to %q", subject); !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("subscription to %q was not refused", subject)
		}
	}
}

// A reader chooses where answers to his requests go, and where a consumer of
// his delivers. Neither may reach the service's subjects.
func TestReadersAnswersStayAmongReaders(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	service := connect(t, "", s.InProcess())
	js, err := jetstream.New(service)
	if err != nil {
		t.Fatal(err)
	}
	for name, subjects := range map[string]string{"REST": "ingest.rest.v1.>", "TICK": "tick.rest.v1.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}, AllowDirect: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "ingest.rest.v1.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 16)
	for _, subject := range []string{"svc.rest.v1.>", "$SRV.>"} {
		if _, err := service.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("answer")); asked <- m.Subject }); err != nil {
			t.Fatal(err)
		}
	}
	if err := service.Flush(); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, s.URL())
	for _, reply := range []string{"ingest.rest.v1.b", "tick.rest.v1.b", "$JS.API.STREAM.PURGE.REST", "$JS.API.STREAM.DELETE.REST"} {
		for _, request := range []string{"$JS.API.STREAM.INFO.REST", "svc.rest.v1.snapshot.1.5", "$SRV.PING"} {
			if err := nc.PublishRequest(request, reply, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, headersOnly := range []bool{true, false} {
			config := fmt.Sprintf(`{"stream_name":"REST","config":{"deliver_subject":%q,"ack_policy":"none","headers_only":%v}}`, reply, headersOnly)
			if err := nc.PublishRequest("$JS.API.CONSUMER.CREATE.REST", nc.NewInbox(), []byte(config)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What was sent before this is handled before it is answered.
	for range 8 {
		<-asked
	}
	if _, err := nc.Request("$JS.API.CONSUMER.NAMES.REST", nil, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{"REST": 1, "TICK": 0} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatalf("stream %s: %v", name, err)
		}
		if got := stream.CachedInfo().State.Msgs; got != want {
			t.Errorf("stream %s: got %d messages, want %d", name, got, want)
		}
	}
}

func TestPushConsumerDeliversToReader(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	js, err := jetstream.New(connect(t, "", s.InProcess()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "REST", Subjects: []string{"rest.v1.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "rest.v1.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	old, err := connect(t, s.URL()).JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]nats.SubOpt{
		"ordered": {nats.OrderedConsumer()},
		"acked":   {nats.DeliverAll(), nats.AckExplicit()},
	} {
		sub, err := old.SubscribeSync("rest.v1.>", opts...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil || string(m.Data) != "x" {
			t.Fatalf("%s: got %v, %v", name, m, err)
		}
		if name == "acked" {
			if err := m.AckSync(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}
}

func TestServiceUserIsInProcessOnly(t *testing.T) {
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	for _, password := range []string{"", "service", embedded.Password(s)} {
		if nc, err := nats.Connect(s.URL(), nats.UserInfo("service", password)); err == nil {
			nc.Close()
			t.Error("the service's user connected over TCP")
		}
	}
}
