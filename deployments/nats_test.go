package deployments_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/poller/peers"
	"restwatch/poller/tick"
	"restwatch/publisher"
)

var passwords = map[string]string{"service": "s-word", "reader": "r-word", "admin": "a-word"}

// start runs a server with nats-server.conf, but for where it listens and
// stores.
func start(t *testing.T) *server.Server {
	t.Helper()
	t.Setenv("NATS_NAME", "restwatch-test")
	for user, word := range passwords {
		t.Setenv("NATS_"+strings.ToUpper(user)+"_PASSWORD", word)
	}
	opts, err := server.ProcessConfigFile("nats-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways {
		t.Error("commits are acknowledged before they are on disk: want sync_interval always")
	}
	opts.Host, opts.Port, opts.StoreDir = "127.0.0.1", server.RANDOM_PORT, t.TempDir()
	opts.NoSigs, opts.NoLog = true, true
	opts.MaxPayload = 32 << 10 // so that a large snapshot is split
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not come up")
	}
	return s
}

// journal keeps a log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func connect(t *testing.T, s *server.Server, user string) (*nats.Conn, *journal) {
	t.Helper()
	j := &journal{}
	nc, err := publisher.Connect(t.Context(), publisher.ConnectOptions{
		URLs: s.ClientURL(), Instance: user, User: user, Password: passwords[user],
		Log: slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, j
}

// allowed fails the test if the server has refused anything to the connection.
func allowed(t *testing.T, nc *nats.Conn, j *journal) {
	t.Helper()
	if err := nc.Flush(); err != nil { // refusals come before the answer
		t.Error(err)
	}
	if log := j.String(); log != "" {
		t.Errorf("got refusals or warnings:\n%s", log)
	}
}

// service is what the server is used for by restwatch serve.
type service struct {
	bus   *publisher.Bus
	queue *tick.Queue
	nc    *nats.Conn
	log   *journal
}

func serve(t *testing.T, s *server.Server) service {
	t.Helper()
	nc, j := connect(t, s, "service")
	bus, err := publisher.Open(t.Context(), nc, publisher.Options{Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	queue, err := tick.Open(t.Context(), js, tick.Options{Prefix: "rest.v1", Ensure: func(ctx context.Context) error {
		return publisher.EnsureStream(ctx, js, tick.StreamConfig("", "rest.v1", 1), nil)
	}})
	if err != nil {
		t.Fatal(err)
	}
	micro, err := bus.Serve("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = micro.Stop() })
	return service{bus, queue, nc, j}
}

var vdn = diff.VDN{CC: 1, ID: 170}

const day = diff.Time(1772413200000)

// poll commits a reading with that many resting agents.
func (s service) poll(t *testing.T, agents int, at diff.Time) {
	t.Helper()
	head, seq, err := s.bus.Head(t.Context(), vdn)
	if err != nil {
		t.Fatal(err)
	}
	obs := diff.Observation{VDN: vdn, At: at, DetectedBy: diff.Poll, Counts: diff.Counts{Resting: agents}}
	for i := range agents {
		obs.Rows = append(obs.Rows, diff.Row{WorkNo: 1000 + i, Name: "agent", Begin: day - 1234, Requested: 600})
	}
	r := diff.Compare(&head, &obs, diff.Options{})
	if _, err := s.bus.Commit(t.Context(), seq, &head, r); err != nil {
		t.Fatal(err)
	}
}

// TestServiceMayDoItsWork goes through all that the service asks of NATS.
func TestServiceMayDoItsWork(t *testing.T) {
	s := serve(t, start(t))
	if err := s.bus.Load(t.Context(), []diff.VDN{vdn}); err != nil {
		t.Fatal(err)
	}
	s.poll(t, 1, day)
	s.poll(t, 300, day+5000) // split
	s.poll(t, 2, day+10000)  // removes the parts
	if err := s.bus.Load(t.Context(), []diff.VDN{vdn}); err != nil {
		t.Error(err)
	}
	if err := s.bus.Recheck(t.Context(), []diff.VDN{vdn}); err != nil {
		t.Error(err)
	}
	feed := diff.Feed{CC: 1, VDN: 170, Status: diff.OK, Since: day}
	for _, heartbeat := range []bool{false, true} {
		if err := s.bus.PublishFeed(t.Context(), feed, heartbeat); err != nil {
			t.Error(err)
		}
	}
	for m, err := range s.bus.Reader().Messages(t.Context(), publisher.Query{Feeds: true, Snapshots: true}) {
		if err != nil {
			t.Errorf("%s: %v", m.Subject, err)
		}
	}
	s.work(t)
	s.greet(t)
	allowed(t, s.nc, s.log)
}

// work has a tick offered, worked, paused and resumed.
func (s service) work(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	worked, done := make(chan tick.Tick, 1), make(chan error, 1)
	go func() {
		done <- s.queue.Run(ctx, func(_ context.Context, k tick.Tick) error {
			worked <- k
			return nil
		})
	}()
	if err := s.queue.Offer(t.Context(), "s1.0", time.Unix(1772413200, 0)); err != nil {
		t.Error(err)
	}
	select {
	case <-worked:
	case <-time.After(20 * time.Second):
		t.Error("the tick was not given out")
	}
	for name, step := range map[string]error{
		"pause":  s.queue.Pause(t.Context(), time.Now().Add(time.Hour)),
		"resume": s.queue.Resume(t.Context()),
		"sync":   s.queue.Sync(t.Context()),
	} {
		if step != nil {
			t.Errorf("%s: %v", name, step)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// As for a tick stream that has lost its sequences.
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), tick.DefaultStream); err != nil {
		t.Error(err)
	}
}

// greet has two replicas meet.
func (s service) greet(t *testing.T) {
	t.Helper()
	join := func(instance string, others int) {
		p, err := peers.Join(s.nc, peers.Options{
			Prefix: "rest.v1", Instance: instance, Log: slog.New(slog.DiscardHandler),
			Hear: func(peers.Note) {}, Last: func() (n peers.Note) { return n },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Leave)
		n, err := p.Meet(t.Context(), time.Minute, func(peers.Note) {}, func(n int) bool { return n > 0 })
		if n != others || err != nil {
			t.Errorf("got %d replicas, %v, want %d", n, err, others)
		}
	}
	join("a", 0)
	join("b", 1)
}

// TestReaderMayRead goes through all ways to read.
func TestReaderMayRead(t *testing.T) {
	ns := start(t)
	s := serve(t, ns)
	s.poll(t, 1, day)
	nc, j := connect(t, ns, "reader")
	live, err := nc.SubscribeSync("rest.v1.event.1.170.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s.poll(t, 300, day+5000) // split
	if m, err := live.NextMsgWithContext(timeout(t)); err != nil {
		t.Errorf("live: %v", err)
	} else if _, err := publisher.DecodeEvent(m.Data); err != nil {
		t.Errorf("live: %v", err)
	}

	r, err := publisher.NewReader(nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if vdns, err := r.VDNs(timeout(t)); err != nil || len(vdns) != 1 {
		t.Errorf("VDNs: got %v, %v, want one", vdns, err)
	}
	if s, _, err := r.LastSnapshot(timeout(t), vdn); err != nil || len(s.Agents) != 300 {
		t.Errorf("last snapshot: got %d agents, %v, want 300", len(s.Agents), err)
	}
	count := 0
	for m, err := range r.Messages(timeout(t), publisher.Query{}) {
		if err != nil {
			t.Errorf("stored: %s: %v", m.Subject, err)
		}
		count++
	}
	if count != 299 {
		t.Errorf("stored: got %d events, want 299", count)
	}
	m, err := nc.RequestWithContext(timeout(t), "svc.rest.v1.snapshot.1.170", nil)
	if err != nil {
		t.Fatal(err)
	}
	head, err := publisher.DecodeSnapshot(m.Data)
	if err != nil || head.Parts == 0 {
		t.Errorf("snapshot service: got %d parts, %v, want some", head.Parts, err)
	}
	if _, err := nc.RequestWithContext(timeout(t), fmt.Sprintf("svc.rest.v1.snapshot.1.170.%d", head.Parts), nil); err != nil {
		t.Errorf("snapshot service, part: %v", err)
	}
	if m, err := nc.RequestWithContext(timeout(t), "$SRV.INFO.restwatch", nil); err != nil || !json.Valid(m.Data) {
		t.Errorf("service info: %v", err)
	}
	readWithAcks(t, nc)
	readPushed(t, nc)
	allowed(t, nc, j)
	allowed(t, s.nc, s.log)
}

// readWithAcks reads through a durable consumer, as a subscriber does who must
// not miss anything while he is away.
func readWithAcks(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(timeout(t), "REST", jetstream.ConsumerConfig{
		Durable: "wallboard", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "rest.v1.event.>",
	})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(10, jetstream.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(timeout(t)); err != nil {
			t.Fatalf("acknowledge: %v", err)
		}
	}
	if info, err := c.Info(timeout(t)); err != nil || info.AckFloor.Consumer != 10 {
		t.Errorf("got %+v, %v, want 10 acknowledged", info, err)
	}
	if err := js.DeleteConsumer(timeout(t), "REST", "wallboard"); err != nil {
		t.Error(err)
	}
}

// readPushed reads through a push consumer, as older clients and the receiver of
// CloudEvents' Go SDK do.
func readPushed(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := js.SubscribeSync("rest.v1.event.>", nats.BindStream("REST"), nats.DeliverSubject("deliver.wallboard"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsgWithContext(timeout(t)); err != nil {
		t.Errorf("pushed: %v", err)
	} else if err := m.AckSync(nats.Context(timeout(t))); err != nil {
		t.Errorf("acknowledge pushed: %v", err)
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Error(err)
	}
}

// TestForbidden tries what would forge, destroy or look where it must not.
func TestForbidden(t *testing.T) {
	ns := start(t)
	s := serve(t, ns)
	s.poll(t, 1, day)
	publish := map[string][]string{
		"service": {"rest.v1.event.1.170.started.1042", "rest.v1.snapshot.1.170", "svc.rest.v1.snapshot.1.170", "other",
			"$JS.API.STREAM.DELETE.REST", "$JS.API.STREAM.MSG.DELETE.REST", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.PURGE.TICK"},
		"reader": {"rest.v1.event.1.170.started.1042", "ingest.rest.v1.event.1.170.started.1042", "tick.rest.v1.s1.0", "peer.rest.v1.polled",
			"_INBOX.x", "_R_.x", "other", "$JS.API.STREAM.CREATE.REST", "$JS.API.STREAM.UPDATE.REST", "$JS.API.STREAM.DELETE.REST",
			"$JS.API.STREAM.PURGE.REST", "$JS.API.STREAM.MSG.DELETE.REST", "$JS.API.STREAM.CREATE.OTHER",
			"$JS.API.CONSUMER.CREATE.TICK", "$JS.API.CONSUMER.MSG.NEXT.TICK.pollers", "$JS.API.CONSUMER.PAUSE.TICK.pollers", "$JS.ACK.TICK.x"},
	}
	subscribe := map[string][]string{
		"service": {">", "ingest.>"},
		"reader":  {">", "ingest.>", "tick.>", "peer.>", "svc.>", "$JS.>", "$SRV.>", "$SYS.>"},
	}
	for user := range publish {
		nc, j := connect(t, ns, user)
		for _, subject := range publish[user] {
			if err := nc.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
			refused(t, nc, j, user, fmt.Sprintf("Publish to \\\"%s\\\"", subject))
		}
		for _, subject := range subscribe[user] {
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			refused(t, nc, j, user, fmt.Sprintf("Subscription to \\\"%s\\\"", subject))
		}
	}
	if nc, err := nats.Connect(ns.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		if err == nil {
			nc.Close()
		}
		t.Errorf("got %v for somebody without a password, want that he is refused", err)
	}
}

// refused waits for the server's refusal in the connection's log.
func refused(t *testing.T, nc *nats.Conn, j *journal, user, what string) {
	t.Helper()
	if err := nc.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	// The refusal has arrived, but is logged by another goroutine.
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for ctx := timeout(t); !strings.Contains(strings.ToLower(j.String()), strings.ToLower(what)); {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Errorf("%s: %s was not refused", user, what)
			return
		}
	}
}

// TestAnswersDoNotGoAstray tries what permissions on subjects do not cover: a
// reader names, as the place for an answer or for a consumer's messages, a
// subject that he may not publish to.
func TestAnswersDoNotGoAstray(t *testing.T) {
	ns := start(t)
	s := serve(t, ns)
	s.poll(t, 1, day)
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	admin, _ := connect(t, ns, "admin")
	spy, err := admin.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Flush(); err != nil {
		t.Fatal(err)
	}
	before := state(t, js, "REST")

	reader, _ := connect(t, ns, "reader")
	places := []string{
		"ingest.rest.v1.snapshot.1.171", "rest.v1.feed.1.170", "tick.rest.v1.s1.0", "peer.rest.v1.polled",
		"$JS.API.STREAM.PURGE.REST", "$JS.API.STREAM.DELETE.REST", "$JS.API.STREAM.DELETE.TICK",
	}
	for _, place := range places {
		for _, ask := range []string{"$JS.API.STREAM.INFO.REST", "svc.rest.v1.snapshot.1.170", "$SRV.PING"} {
			if err := reader.PublishRequest(ask, place, nil); err != nil {
				t.Fatal(err)
			}
		}
		// A push consumer delivers to subscriptions; nobody has one on these.
		push := fmt.Sprintf(`{"stream_name":"REST","config":{"deliver_subject":%q,"ack_policy":"none","deliver_policy":"all"}}`, place)
		if _, err := reader.RequestWithContext(timeout(t), "$JS.API.CONSUMER.CREATE.REST", []byte(push)); err != nil {
			t.Fatal(err)
		}
	}
	// Each of these came after what the reader asked for.
	for _, subject := range []string{"svc.rest.v1.snapshot.1.170", "$SRV.INFO", "$JS.API.STREAM.INFO.REST"} {
		if _, err := reader.RequestWithContext(timeout(t), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.poll(t, 2, day+5000)
	after := state(t, js, "REST")
	if got, want := after.LastSeq-before.LastSeq, uint64(2); got != want {
		t.Errorf("got %d messages stored beside the service's own, want none", got-want)
	}
	if after.FirstSeq > before.LastSeq+1 || after.Msgs < 2 {
		t.Errorf("got state %+v, it was %+v: something was purged", after, before)
	}
	if got := state(t, js, "TICK"); got.LastSeq != 0 {
		t.Errorf("got %d ticks, want none", got.LastSeq)
	}
	// What the spy gets last is told apart from what a reader caused before.
	if err := admin.Publish("end", nil); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := spy.NextMsgWithContext(timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "end" {
			break
		}
		if slices.Contains(places, m.Subject) {
			t.Errorf("a reader had %q sent %q", m.Subject, m.Data)
		}
	}
}

func state(t *testing.T, js jetstream.JetStream, stream string) jetstream.StreamState {
	t.Helper()
	s, err := js.Stream(timeout(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State
}

// timeout bounds what should take no time at all.
func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
