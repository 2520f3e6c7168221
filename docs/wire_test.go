package docs_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"restwatch/diff"
	"restwatch/publisher"
	"restwatch/publisher/embedded"
)

// TestOnTheWire has a bus publish to a real server, and holds what a subscriber
// gets there against the channels: subject, headers and schema. Messages are
// kept small, so that a snapshot is split.
func TestOnTheWire(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Options{MaxPayload: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	nc, err := publisher.Connect(t.Context(), publisher.ConnectOptions{InProcess: server.InProcess()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	bus, err := publisher.Open(t.Context(), nc, publisher.Options{Instance: "host-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	service, err := bus.Serve("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	live, err := nc.SubscribeSync("rest.v1.>")
	if err != nil {
		t.Fatal(err)
	}

	commit(t, bus, 1)
	commit(t, bus, 100)
	feed := diff.Feed{CC: 1, VDN: 170, Status: diff.OK, Since: day}
	if err := bus.PublishFeed(t.Context(), feed, true); err != nil {
		t.Fatal(err)
	}

	w := wire{t: t, doc: document(t), seen: map[string]int{}}
	w.schemas = schemas(t, w.doc, jsonschema.Draft2020)
	for w.seen["feeds"] == 0 {
		m, err := live.NextMsgWithContext(timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		w.check(m.Subject, m)
		for _, h := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence"} {
			if m.Header.Get(h) == "" {
				t.Errorf("%s: no header %s", m.Subject, h)
			}
		}
	}
	for _, subject := range []string{"svc.rest.v1.snapshot.1.170", "svc.rest.v1.snapshot.1.170.1"} {
		m, err := nc.RequestWithContext(timeout(t), subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.check(subject, m)
	}
	for subject, code := range map[string]string{"svc.rest.v1.snapshot.1.171": "404", "svc.rest.v1.snapshot.0.0": "400"} {
		m, err := nc.RequestWithContext(timeout(t), subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get("Nats-Service-Error-Code"); got != code || len(m.Data) > 0 || m.Header.Get("Nats-Service-Error") == "" {
			t.Errorf("%s: got %s with %q, want %s with nothing", subject, got, m.Data, code)
		}
	}
	want := []string{"agentEvents", "feeds", "snapshotParts", "snapshotPartService", "snapshotService", "snapshots"}
	if got := slices.Sorted(maps.Keys(w.seen)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("got messages of the channels %q, want %q", got, want)
	}
	if w.seen["agentEvents"] != 99 || w.seen["snapshotParts"] < 2 {
		t.Errorf("got %v, want 99 events and some parts", w.seen)
	}
}

// commit stores a poll that finds that many agents resting.
func commit(t *testing.T, bus *publisher.Bus, agents int) {
	t.Helper()
	head, seq, err := bus.Head(t.Context(), diff.VDN{CC: 1, ID: 170})
	if err != nil {
		t.Fatal(err)
	}
	obs := diff.Observation{
		VDN: diff.VDN{CC: 1, ID: 170}, At: max(day, head.ObservedAt+5*second), DetectedBy: diff.Poll, Counts: diff.Counts{Resting: agents},
	}
	for i := range agents {
		obs.Rows = append(obs.Rows, row(1000+i, "Agent", 0, day-3_210, 600))
	}
	r := diff.Compare(&head, &obs, diff.Options{})
	if _, err := bus.Commit(t.Context(), seq, &head, r); err != nil {
		t.Fatal(err)
	}
}

type wire struct {
	t       *testing.T
	doc     object
	schemas map[string]*jsonschema.Schema
	seen    map[string]int // messages by channel
}

// check finds the channel of a subject, and holds the message against it. Of an
// answer, the subject is that of the request.
func (w *wire) check(subject string, m *nats.Msg) {
	w.t.Helper()
	for name, c := range w.doc["channels"].(object) {
		address, ok := c.(object)["address"].(string)
		if !ok || !addressed(address, subject) {
			continue
		}
		w.seen[name]++
		schema := map[string]string{"agentEvents": "agentEventMessage", "feeds": "feedMessage"}[name]
		if schema == "" {
			schema = "snapshotMessage"
		}
		if err := w.schemas[schema].Validate(decode(w.t, m.Data)); err != nil {
			w.t.Errorf("%s: %v", subject, err)
		}
		if got := m.Header.Get("Content-Type"); got != publisher.ContentType {
			w.t.Errorf("%s: got content type %q", subject, got)
		}
		for h := range m.Header {
			if strings.HasPrefix(strings.ToLower(h), "ce-") {
				w.t.Errorf("%s: has the header %q", subject, h)
			}
		}
		return
	}
	w.t.Errorf("%s is the address of no channel", subject)
}

// addressed says that a subject is one that the address stands for.
func addressed(address, subject string) bool {
	tokens, got := strings.Split(address, "."), strings.Split(subject, ".")
	return slices.EqualFunc(tokens, got, func(want, got string) bool { return placeholder.MatchString(want) || want == got })
}

// timeout bounds what should take no time at all.
func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
