package tick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "rest.v1"

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// start runs a NATS server and stops it when the test ends.
func start(t testing.TB, opt server.Options) *server.Server {
	t.Helper()
	opt.JetStream, opt.NoSigs, opt.NoLog = true, true, true
	if opt.StoreDir == "" {
		opt.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(&opt)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not come up")
	}
	t.Cleanup(func() { halt(s) })
	return s
}

func halt(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// inProcess is a server without a listener.
func inProcess(t testing.TB) *server.Server { return start(t, server.Options{DontListen: true}) }

// connect opens a replica's own connection.
func connect(t testing.TB, s *server.Server, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append([]nats.Option{nats.InProcessServer(s)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// dial opens a connection over TCP that outlives its server.
func dial(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// ensure makes the tick stream.
func ensure(js jetstream.JetStream) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, StreamConfig("", prefix, 1))
		return err
	}
}

func open(t testing.TB, js jetstream.JetStream, change func(*Options)) *Queue {
	t.Helper()
	opt := Options{Prefix: prefix, Ensure: ensure(js), Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Metrics: prometheus.NewRegistry()}
	if change != nil {
		change(&opt)
	}
	q, err := Open(t.Context(), js, opt)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// testWriter sends the log to the test's output while it runs.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Logf("%s", b[:len(b)-1])
	}
	return len(b), nil
}

// running is a queue whose Run runs.
type running struct {
	*Queue
	stop context.CancelFunc
	done chan error
}

// run runs a queue until stopped or the test's end.
func run(t testing.TB, q *Queue, handle Handler) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Queue: q, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- q.Run(ctx, handle) }()
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// end stops the queue and waits for it: not for ever, as a test that has failed
// may not let go of its ticks.
func (r *running) end() error {
	r.stop()
	select {
	case err := <-r.done:
		r.done <- nil
		return err
	case <-time.After(patience):
		return errors.New("it does not end")
	}
}

// book notes what was worked.
type book struct {
	mu    sync.Mutex
	ticks []Tick
}

func (b *book) note(_ context.Context, t Tick) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ticks = append(b.ticks, t)
	return nil
}

func (b *book) all() []Tick {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Tick(nil), b.ticks...)
}

func (b *book) len() int { return len(b.all()) }

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("never happened: %s", what)
		case <-poll.C:
		}
	}
}

// offer insists until the queue takes the tick.
func (q *Queue) mustOffer(t testing.TB, group string, slot time.Time) {
	t.Helper()
	eventually(t, "offer of "+group, func() bool { return q.Offer(t.Context(), group, slot) == nil })
}

func (q *Queue) counted(result string) int { return int(testutil.ToFloat64(q.metrics.offers[result])) }

// answered is how many offers have their answer.
func (q *Queue) answeredOffers() int {
	return q.counted(resultOffered) + q.counted(resultDuplicate) + q.counted(resultOccupied)
}

// stored is how many ticks wait or are being worked.
func stored(t testing.TB, js jetstream.JetStream) int {
	t.Helper()
	s, err := js.Stream(t.Context(), DefaultStream)
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

func slotAt(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 0) }

func group(i int) string { return fmt.Sprintf("s1.%d", i) }

// ordered fails if orders do not rise, but for a tick that came twice.
func ordered(t testing.TB, ticks []Tick) {
	t.Helper()
	last := map[string]Tick{}
	for _, k := range ticks {
		if c := last[k.Group].Order.Compare(k.Order); c > 0 || c == 0 && !k.Slot.Equal(last[k.Group].Slot) {
			t.Errorf("group %q: order %v after %v: %+v after %+v", k.Group, k.Order, last[k.Group].Order, k, last[k.Group])
		}
		last[k.Group] = k
	}
}
