package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cejs "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

// listening is a bus on a server that strangers can reach, and one of them.
func listening(t testing.TB) (*Bus, *nats.Conn) {
	t.Helper()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	return openBus(t, dial(t, s), Options{Storage: jetstream.MemoryStorage}), stranger(t, s)
}

func subscribe(t testing.TB, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// TestCoreSeesWhatIsStored compares what a plain subscriber hears with what the
// stream has, among commits that win and commits that lose.
func TestCoreSeesWhatIsStored(t *testing.T) {
	b, nc := listening(t)
	heard := subscribe(t, nc, "rest.v1.>")
	raw := subscribe(t, b.nc, "rest.v1.>") // on the very connection that publishes
	ids := func(e, s int) (list []string) {
		for i := range e {
			list = append(list, fmt.Sprintf("event %d of revision %d", i, s))
		}
		return append(list, fmt.Sprintf("snapshot %d", s))
	}
	var want []string
	prev, seq := commit(t, b, vdn, 0, 5)
	want = append(want, ids(0, 1)...)
	next, nextSeq := commit(t, b, vdn, 3, 5)
	want = append(want, ids(3, 2)...)
	// Refused: the head has moved.
	if _, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 4, 5)); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	b.heads.put(vdn, head{snapshot: next, seq: nextSeq, session: b.wire.session()})
	commit(t, b, vdn, 2, 5)
	want = append(want, ids(2, 3)...)
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 170, Status: diff.OK}, false); err != nil {
		t.Fatal(err)
	}
	want = append(want, "feed")

	var a Audit
	for who, sub := range map[string]*nats.Subscription{"stranger": heard, "service": raw} {
		var got []string
		for len(got) < len(want) {
			m, err := sub.NextMsgWithContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			msg := Message{Subject: m.Subject, Data: m.Data}
			if _, err := msg.decode(b.prefix, nil); err != nil {
				t.Fatal(err)
			}
			switch {
			case msg.Event != nil:
				got = append(got, fmt.Sprintf("event %d of revision %d", msg.Event.WorkNo-101, msg.Event.Revision))
			case msg.Snapshot != nil:
				got = append(got, fmt.Sprintf("snapshot %d", msg.Snapshot.Revision))
			default:
				got = append(got, "feed")
			}
			if who == "stranger" {
				if err := a.Add(msg); err != nil {
					t.Error(err)
				}
			}
			// What is still stored is the same message.
			st, err := b.js.Stream(t.Context(), "REST")
			if err != nil {
				t.Fatal(err)
			}
			var n uint64
			if err := json.Unmarshal([]byte(m.Header.Get(nats.JSSequence)), &n); err != nil {
				t.Fatal(err)
			}
			if kept, err := st.GetMsg(t.Context(), n); err == nil && (kept.Subject != m.Subject || !bytes.Equal(kept.Data, m.Data)) {
				t.Errorf("heard %s %s, stored is %s %s", m.Subject, m.Data, kept.Subject, kept.Data)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", who, got, want)
		}
		if m, err := sub.NextMsg(20 * time.Millisecond); err == nil {
			t.Errorf("%s: got %s besides", who, m.Subject)
		}
	}
}

// TestCloudEventsSDK has the SDK's own receiver take every message.
func TestCloudEventsSDK(t *testing.T) {
	b, nc := listening(t)
	commit(t, b, vdn, 0, 3)
	commit(t, b, vdn, 2, 3)
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 170, Status: diff.OK, ObservedAt: begin}, false); err != nil {
		t.Fatal(err)
	}
	c, err := cejs.NewConsumerFromConn(nc, "REST", "rest.v1.>", nil, []nats.SubOpt{nats.BindStream("REST"), nats.OrderedConsumer()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.OpenInbound(ctx) }()
	want := []string{"restwatch.rest.updated.v1", "restwatch.rest.updated.v1", "restwatch.snapshot.v1", "restwatch.feed.v1"}
	for i, typ := range want {
		m, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e, err := binding.ToEvent(t.Context(), m)
		if err == nil {
			err = e.Validate()
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Type() != typ || e.Source() != "/restwatch/cc/1/vdn/170" || e.SpecVersion() != "1.0" || e.DataContentType() != "application/json" || e.ID() == "" {
			t.Errorf("message %d: got %s", i, e)
		}
		if i < 2 && (e.Extensions()["sequence"] != fmt.Sprintf("%020d", i+1) || e.Subject() != fmt.Sprint(101+i) || e.DataSchema() != SchemaEvent) {
			t.Errorf("message %d: got %s", i, e)
		}
		var data map[string]any
		if err := e.DataAs(&data); err != nil || data["vdn"] != 170.0 {
			t.Errorf("message %d: got data %v, %v", i, data, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReader(t *testing.T) {
	b, nc := listening(t)
	r, err := NewReader(nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.VDNs(t.Context()); err != nil || got != nil {
		t.Errorf("got %v, %v of an empty stream, want none", got, err)
	}
	if _, _, err := r.LastSnapshot(t.Context(), vdn); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("got %v, want %v", err, ErrNoSnapshot)
	}
	for range r.Messages(t.Context(), Query{}) {
		t.Error("got a message of an empty stream")
	}
	other := diff.VDN{CC: 2, ID: 7}
	commit(t, b, vdn, 0, 3)
	commit(t, b, other, 0, 3)
	want, seq := commit(t, b, vdn, 3, 3)
	between := time.Now()
	commit(t, b, other, 1, 3)
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 170, Status: diff.OK, ObservedAt: begin}, false); err != nil {
		t.Fatal(err)
	}
	if got, err := r.VDNs(t.Context()); err != nil || !slices.Equal(got, []diff.VDN{vdn, other}) {
		t.Errorf("got %v, %v, want both VDNs", got, err)
	}
	if got, gotSeq, err := r.LastSnapshot(t.Context(), vdn); err != nil || gotSeq != seq || got.Revision != want.Revision {
		t.Errorf("got %v, %d, %v", got, gotSeq, err)
	}
	tests := map[string]struct {
		q    Query
		want []string
	}{
		"all events":      {Query{}, []string{"1:170 101", "1:170 102", "1:170 103", "2:7 101"}},
		"one VDN":         {Query{CC: 1, VDN: 170}, []string{"1:170 101", "1:170 102", "1:170 103"}},
		"one call centre": {Query{CC: 2}, []string{"2:7 101"}},
		"one agent":       {Query{WorkNo: 101}, []string{"1:170 101", "2:7 101"}},
		"kinds":           {Query{Kinds: []diff.Kind{diff.KindUpdated, diff.KindEnded, diff.KindUpdated}, WorkNo: 102}, []string{"1:170 102"}},
		"no such kind":    {Query{Kinds: []diff.Kind{diff.KindEnded}}, nil},
		"after":           {Query{After: seq}, []string{"2:7 101"}},
		"since":           {Query{Since: between}, []string{"2:7 101"}},
		"since tomorrow":  {Query{Since: between.Add(24 * time.Hour)}, nil},
		"new":             {Query{New: true}, nil},
		"everything":      {Query{CC: 1, VDN: 170, Snapshots: true, Feeds: true}, []string{"1:170 101", "1:170 102", "1:170 103", "snapshot 2", "feed ok"}},
	}
	describe := func(m Message) string {
		switch {
		case m.Event != nil:
			return fmt.Sprintf("%d:%d %d", m.Event.CC, m.Event.VDN, m.Event.WorkNo)
		case m.Snapshot != nil:
			return fmt.Sprintf("snapshot %d", m.Snapshot.Revision)
		}
		return "feed " + string(m.Feed.Status)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for m, err := range r.Messages(t.Context(), tt.q) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, describe(m))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}

	// Live, until the context ends; what is no event comes with an error.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := b.js.Publish(ctx, "ingest.rest.v1.event.3.3.ended.101", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var live []string
	for m, err := range r.Messages(ctx, Query{After: seq, Follow: true}) {
		var foreign *MessageError
		switch {
		case errors.As(err, &foreign):
			live = append(live, "foreign on "+foreign.Subject)
			commit(t, b, other, 1, 3)
		case err != nil:
			t.Fatal(err)
		default:
			live = append(live, describe(m))
		}
		if len(live) == 3 {
			cancel()
		}
	}
	if want := []string{"2:7 101", "foreign on rest.v1.event.3.3.ended.101", "2:7 101"}; !slices.Equal(live, want) {
		t.Errorf("got %q, want %q", live, want)
	}
	// Behind an end that is still to come, as if the stream had been made anew.
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	beyond := r.Messages(ctx, Query{After: 1_000_000, Follow: true})
	commit(t, b, other, 1, 3)
	live = nil
	for m, err := range beyond {
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, describe(m))
		cancel()
	}
	if want := []string{"2:7 101"}; !slices.Equal(live, want) {
		t.Errorf("behind an end that is still to come: got %q, want %q", live, want)
	}
	consumers := func() int {
		st, err := b.js.Stream(t.Context(), "REST")
		if err != nil {
			t.Fatal(err)
		}
		return st.CachedInfo().State.Consumers
	}
	eventually(t, "the end of all consumers", func() bool { return consumers() == 0 })
}

func TestReaderErrors(t *testing.T) {
	nc := dial(t, start(t, embedded.Options{}))
	r, err := NewReader(nc, "NONE", "")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Messages(t.Context(), Query{}) {
		n++
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("got %v, want that there is no such stream", err)
		}
	}
	if n != 1 {
		t.Errorf("got %d errors, want one", n)
	}
	if _, err := r.VDNs(t.Context()); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("got %v, want that there is no such stream", err)
	}
	if _, err := NewReader(nc, "", "a..b"); err == nil {
		t.Error("got no error for an odd prefix")
	}
}

func TestFeeds(t *testing.T) {
	b, nc := listening(t)
	r, err := NewReader(nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id int, s diff.Status, heartbeat bool) {
		t.Helper()
		if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: id, Status: s}, heartbeat); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, diff.OK, false)
	publish(2, diff.OK, false)
	publish(1, diff.Down, false)
	publish(1, diff.Down, true)
	var got []string
	ids := make(map[string]bool)
	for m, err := range r.Feeds(t.Context(), true) {
		if err != nil {
			t.Fatal(err)
		}
		var e envelope
		if err := json.Unmarshal(m.Data, &e); err != nil || ids[e.ID] || m.Feed.ObservedAt == 0 {
			t.Errorf("got %s, %v, want an id of its own and a time", m.Data, err)
		}
		ids[e.ID] = true
		got = append(got, fmt.Sprintf("%d %s", m.Feed.VDN, m.Feed.Status))
		if len(got) == 2 && m.Pending == 0 {
			publish(2, diff.Stopping, false)
		}
		if len(got) == 3 {
			break
		}
	}
	if want := []string{"2 ok", "1 down", "2 stopping"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := b.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 0}, false); err == nil {
		t.Error("got no error for a VDN that cannot be")
	}
	many := make([]diff.Feed, 1234)
	for i := range many {
		many[i] = diff.Feed{CC: 5, VDN: i + 1, Status: diff.OK}
	}
	if err := b.PublishFeeds(t.Context(), many, true); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range all(t, b) {
		if strings.HasPrefix(m.Subject(), "rest.v1.feed.5.") {
			n++
		}
	}
	if n != len(many) {
		t.Errorf("got %d heartbeats, want %d", n, len(many))
	}
}

func TestService(t *testing.T) {
	b, nc := listening(t)
	b.partBytes = 4 << 10
	svc, err := b.Serve("v1 dirty")
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Stop()
	second, err := b.Serve("1.2.3-rc.1+x")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	split := diff.VDN{CC: 3, ID: 4}
	commit(t, b, vdn, 0, 3)
	commit(t, b, vdn, 1, 3)
	commit(t, b, split, 0, 40)
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	stored := make(map[string][]byte)
	for _, m := range all(t, b) {
		stored[strings.TrimPrefix(m.Subject(), "rest.v1.snapshot.")] = m.Data()
	}
	tests := map[string]struct{ code, why string }{
		"1.170":     {},
		"3.4":       {},
		"3.4.1":     {},
		"3.4.3":     {},
		"3.4.99":    {"404", "no snapshot of VDN 3:4 yet"},
		"1.171":     {"404", "no snapshot of VDN 1:171 yet"},
		"1.0":       {"400", "want svc.rest.v1.snapshot.<ccId>.<vdn>"},
		"1.x":       {"400", "want svc"},
		"1.170.0":   {"400", "want svc"},
		"01.170":    {"400", "want svc"},
		"1.9999999": {"400", "want svc"},
	}
	for tokens, want := range tests {
		t.Run(tokens, func(t *testing.T) {
			m, err := nc.Request("svc.rest.v1.snapshot."+tokens, nil, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Header.Get(micro.ErrorCodeHeader); got != want.code || !strings.HasPrefix(m.Header.Get(micro.ErrorHeader), want.why) {
				t.Errorf("got error %q %q, want %q %q", got, m.Header.Get(micro.ErrorHeader), want.code, want.why)
			}
			if want.code == "" && (!bytes.Equal(m.Data, stored[tokens]) || m.Header.Get("Content-Type") != ContentType) {
				t.Errorf("got %q %s, want %s", m.Header, m.Data, stored[tokens])
			}
		})
	}
	// Both answer to discovery.
	var versions []string
	inbox := subscribe(t, nc, nc.NewInbox())
	if err := nc.PublishRequest("$SRV.INFO.restwatch", inbox.Subject, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := inbox.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var info micro.Info
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		if info.Name != "restwatch" || len(info.Endpoints) != 2 || info.Endpoints[0].QueueGroup != "restwatch" {
			t.Errorf("got %s", m.Data)
		}
		versions = append(versions, info.Version)
	}
	slices.Sort(versions)
	if want := []string{"0.0.0", "1.2.3-rc.1+x"}; !slices.Equal(versions, want) {
		t.Errorf("got versions %q, want %q", versions, want)
	}
	inject(b, &faults{before: func(*nats.Msg) error { return nats.ErrTimeout }})
	if m, err := nc.Request("svc.rest.v1.snapshot.1.170", nil, 10*time.Second); err != nil || m.Header.Get(micro.ErrorCodeHeader) != "503" {
		t.Errorf("got %v, %v from a stream that does not answer, want 503", m, err)
	}
}
