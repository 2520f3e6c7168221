package main

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher"
)

// busMessage is a message as a subscriber got it. One of event, snapshot and
// feed is set.
type busMessage struct {
	subject  string
	header   nats.Header
	data     []byte
	event    *diff.Event
	snapshot *diff.Snapshot
	feed     *diff.Feed
}

// vdn that the message is about.
func (m *busMessage) vdn() diff.VDN {
	switch {
	case m.event != nil:
		return diff.VDN{CC: m.event.CC, ID: m.event.VDN}
	case m.snapshot != nil:
		return diff.VDN{CC: m.snapshot.CC, ID: m.snapshot.VDN}
	}
	return diff.VDN{CC: m.feed.CC, ID: m.feed.VDN}
}

// listener is somebody with a plain NATS client and no right but to read.
type listener struct {
	nc *nats.Conn

	mu       sync.Mutex
	messages []busMessage
	came     chan struct{} // closed at the next message
	faults   []string      // what could not be decoded

	// knows is the snapshot that the first events are to follow; none of a VDN
	// never watched before.
	knows map[diff.VDN]*diff.Snapshot
}

// listen gets everything from now on: by the time it returns the server knows of
// the subscription.
func listen(t *testing.T, url string) *listener {
	t.Helper()
	s := connectListener(t, url)
	if _, err := s.nc.Subscribe("rest.v1.>", func(m *nats.Msg) { s.add(m.Subject, m.Header, m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := s.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

// listenStored gets everything stored from the first message on, by a JetStream
// consumer of a plain client.
func listenStored(t *testing.T, url string) *listener {
	t.Helper()
	s := connectListener(t, url)
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := js.OrderedConsumer(ctx, "REST", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running, err := c.Consume(func(m jetstream.Msg) { s.add(m.Subject(), m.Headers(), m.Data()) },
		jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {})) // the end of the server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		running.Stop()
		<-running.Closed()
	})
	return s
}

func connectListener(t *testing.T, url string) *listener {
	t.Helper()
	s := &listener{came: make(chan struct{})}
	closed := make(chan struct{})
	// A client that gives up with the server would drop what it has not yet
	// worked through, as no real subscriber does.
	nc, err := nats.Connect(url, nats.Timeout(patience), nats.MaxReconnects(-1), nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	s.nc = nc
	t.Cleanup(func() {
		nc.Close()
		<-closed
	})
	return s
}

func (s *listener) add(subject string, header nats.Header, data []byte) {
	m := busMessage{subject: subject, header: header, data: data}
	var err error
	switch {
	case strings.HasPrefix(subject, "rest.v1.event."):
		m.event = new(diff.Event)
		*m.event, err = publisher.DecodeEvent(data)
	case strings.HasPrefix(subject, "rest.v1.snapshot."):
		m.snapshot = new(diff.Snapshot)
		*m.snapshot, err = publisher.DecodeSnapshot(data)
	default:
		m.feed = new(diff.Feed)
		*m.feed, err = publisher.DecodeFeed(data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.faults = append(s.faults, err.Error())
		return
	}
	s.messages = append(s.messages, m)
	close(s.came)
	s.came = make(chan struct{})
}

// all that came so far.
func (s *listener) all() []busMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.messages)
}

// mark is a place in the flow of messages: now.
func (s *listener) mark() int { return len(s.all()) }

// await waits for the first message after a mark that is wanted, and returns
// it and the mark behind it.
func (s *listener) await(t *testing.T, mark int, what string, wanted func(*busMessage) bool) (*busMessage, int) {
	t.Helper()
	return s.awaitFor(t, patience, mark, what, wanted)
}

func (s *listener) awaitFor(t *testing.T, patience time.Duration, mark int, what string, wanted func(*busMessage) bool) (*busMessage, int) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for i := mark; ; {
		s.mu.Lock()
		list, came := s.messages, s.came
		s.mu.Unlock()
		for ; i < len(list); i++ {
			if wanted(&list[i]) {
				return &list[i], i + 1
			}
		}
		select {
		case <-came:
		case <-late.C:
			t.Fatalf("never came: %s; but after the mark:\n%s", what, briefly(list[mark:]))
		}
	}
}

// briefly lists messages for a failed test.
func briefly(list []busMessage) string {
	var b strings.Builder
	for _, m := range list {
		if m.snapshot != nil {
			b.WriteString(m.subject + "\n")
			continue
		}
		b.WriteString(m.subject + " " + string(m.data) + "\n")
	}
	return tailOf(b.String(), 4_000)
}

// eventsOf are the events of one VDN among messages; zero: of all.
func eventsOf(list []busMessage, v diff.VDN) []diff.Event {
	var events []diff.Event
	for i := range list {
		if list[i].event != nil && (v == diff.VDN{} || list[i].vdn() == v) {
			events = append(events, *list[i].event)
		}
	}
	return events
}

// isFeed wants a feed status of a VDN.
func isFeed(v diff.VDN, status diff.Status) func(*busMessage) bool {
	return func(m *busMessage) bool { return m.feed != nil && m.feed.Status == status && m.vdn() == v }
}

// isFailing wants a feed that tells of a poll of the VDN that failed: degraded at
// first, or down at once where the machine is so busy that three of the tests'
// short intervals are over by then.
func isFailing(v diff.VDN) func(*busMessage) bool {
	return func(m *busMessage) bool {
		return m.feed != nil && m.vdn() == v && (m.feed.Status == diff.Degraded || m.feed.Status == diff.Down && !isSlow(m))
	}
}

// isSnapshot wants a snapshot of a VDN of which something holds.
func isSnapshot(v diff.VDN, holds func(*diff.Snapshot) bool) func(*busMessage) bool {
	return func(m *busMessage) bool { return m.snapshot != nil && m.vdn() == v && holds(m.snapshot) }
}

// check makes sure of the promises to subscribers in all that came: readable,
// sequences and revisions without a gap, no id twice, and each snapshot the
// one before with the events in between. It returns the number of events.
func (s *listener) check(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	list, faults := s.messages, s.faults
	s.mu.Unlock()
	for _, f := range faults {
		t.Error(f)
	}
	failed := t.Failed() // before
	trails := map[diff.VDN]*vdnTrail{}
	events := 0
	for i := range list {
		m := &list[i]
		checkEnvelope(t, m)
		v := m.vdn()
		if trails[v] == nil {
			trails[v] = &vdnTrail{last: s.knows[v], ids: map[string]diff.Certainty{}}
		}
		switch {
		case m.event != nil:
			events++
			trails[v].event(t, m.event)
		case m.snapshot != nil:
			trails[v].snapshot(t, m.snapshot)
		}
		if t.Failed() && !failed {
			t.Fatalf("at message %d of VDN %v: %s", i, v, m.data)
		}
	}
	for v, tr := range trails {
		if len(tr.pending) > 0 {
			t.Errorf("VDN %v: %d events after the last snapshot: a torn batch", v, len(tr.pending))
		}
	}
	return events
}

func checkEnvelope(t *testing.T, m *busMessage) {
	t.Helper()
	if got := m.header.Get("Content-Type"); got != publisher.ContentType {
		t.Errorf("%s: content type %q", m.subject, got)
	}
	for k := range m.header {
		if strings.HasPrefix(strings.ToLower(k), "ce-") {
			t.Errorf("%s: has a header %q", m.subject, k)
		}
	}
	if strings.Contains(m.subject, "ingest") || bytes.Contains(m.data, []byte(secretKey)) {
		t.Errorf("%s: %s", m.subject, m.data)
	}
}

// vdnTrail follows the messages of one VDN as a subscriber does.
type vdnTrail struct {
	last    *diff.Snapshot
	pending []diff.Event              // since the last snapshot
	ids     map[string]diff.Certainty // of the events so far
}

func (tr *vdnTrail) event(t *testing.T, e *diff.Event) {
	t.Helper()
	if tr.ids[e.ID()] != 0 {
		t.Errorf("event %s came twice", e.ID())
	}
	tr.ids[e.ID()] = e.Certainty
	if e.Kind == diff.KindCorrected && e.Corrects != nil && tr.ids[*e.Corrects] != diff.Inferred {
		t.Errorf("event %s, which was %q, is corrected", *e.Corrects, tr.ids[*e.Corrects])
	}
	want := int64(1)
	switch {
	case len(tr.pending) > 0:
		want = tr.pending[len(tr.pending)-1].Sequence + 1
	case tr.last != nil:
		want = tr.last.LastSequence + 1
	default:
		t.Errorf("an event before the first snapshot")
	}
	if e.Sequence != want {
		t.Errorf("sequence %d, want %d", e.Sequence, want)
	}
	if tr.last != nil && e.Revision != tr.last.Revision+1 {
		t.Errorf("event of revision %d after snapshot %d", e.Revision, tr.last.Revision)
	}
	tr.pending = append(tr.pending, *e)
}

func (tr *vdnTrail) snapshot(t *testing.T, s *diff.Snapshot) {
	t.Helper()
	if tr.last == nil {
		if s.Baseline && (s.Revision != 1 || s.LastSequence != 0) {
			t.Errorf("baseline has revision %d and sequence %d", s.Revision, s.LastSequence)
		}
	} else {
		if s.Revision != tr.last.Revision+1 || s.LastSequence != tr.last.LastSequence+int64(len(tr.pending)) {
			t.Errorf("snapshot %d of sequence %d after %d of %d and %d events",
				s.Revision, s.LastSequence, tr.last.Revision, tr.last.LastSequence, len(tr.pending))
		}
		checkFold(t, tr.last.Agents, tr.pending, s.Agents)
	}
	tr.last, tr.pending = s, nil
}

// checkFold makes sure that events lead from one list of agents to another.
func checkFold(t *testing.T, from []diff.Agent, events []diff.Event, to []diff.Agent) {
	t.Helper()
	got, err := diff.Fold(from, events)
	if err != nil {
		t.Error(err)
		return
	}
	if !reflect.DeepEqual(told(got), told(to)) {
		t.Errorf("the events lead to\n%+v\nand the snapshot says\n%+v", told(got), told(to))
	}
}

// told is what events tell of agents.
func told(agents []diff.Agent) []diff.Agent {
	list := slices.Clone(agents)
	for i := range list {
		a := &list[i]
		a.Memory, a.Candidates, a.Certainty = diff.AgentMemory{}, 0, 0
		a.AgentName = "" // a new name alone is no event
	}
	return list
}
