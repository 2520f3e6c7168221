package publisher

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

func TestAudit(t *testing.T) {
	one := made(vdn, &diff.Snapshot{}, 0, 3)
	two := made(vdn, &one.Snapshot, 2, 3)
	three := made(vdn, &two.Snapshot, 1, 3)
	// messages of the results, in stream order.
	messages := func(list ...diff.Result) (ms []Message) {
		for _, r := range list {
			for i := range r.Events {
				e := r.Events[i]
				ms = append(ms, Message{Subject: prefix("p").event(&e), Event: &e})
			}
			s := r.Snapshot
			s.Agents = slices.Clone(s.Agents)
			ms = append(ms, Message{Subject: prefix("p").snapshot(vdn), Snapshot: &s})
		}
		for i := range ms {
			ms[i].Sequence = uint64(i + 1)
		}
		return ms
	}
	all := func() []Message { return messages(one, two, three) } // base, e1, e2, snap, e3, snap
	without := func(ms []Message, n int) []Message { return append(ms[:n:n], ms[n+1:]...) }
	edit := func(n int, change func(*Message)) []Message {
		ms := all()
		change(&ms[n])
		return ms
	}
	tests := map[string]struct {
		ms         []Message
		want       string
		unfinished int
		repeats    int
	}{
		"whole":           {ms: all()},
		"rolled up":       {ms: without(without(all(), 3), 0)},
		"retention":       {ms: all()[2:]},
		"only a snapshot": {ms: all()[5:]},
		"torn":            {ms: all()[:5], unfinished: 1},
		"torn and healed": {ms: append(append(all()[:3:3], all()[1:3]...), all()[3:]...), repeats: 2},
		"event missing":   {ms: without(all(), 2), want: "last sequence is 2, but the last event is 1"},
		"events missing":  {ms: without(without(without(all(), 3), 2), 0), want: "sequence 3 comes after 1"},
		"event twice":     {ms: append(all(), all()[4]), want: "sequence 3 comes after 3"},
		"snapshot twice":  {ms: append(all(), all()[5]), want: "revision 3 comes after 3"},
		"older snapshot":  {ms: append(without(all(), 3)[1:4:4], all()[3]), want: "comes after an event of revision 3"},
		"baseline again":  {ms: edit(3, func(m *Message) { m.Snapshot.Baseline = true }), want: "revision 2 has baseline true"},
		"agent lost":      {ms: edit(5, func(m *Message) { m.Snapshot.Agents = m.Snapshot.Agents[1:] }), want: "agent 101 is none, his events say resting"},
		"another rest":    {ms: edit(5, func(m *Message) { m.Snapshot.Agents[0].RestID.First++ }), want: "agent 101 is resting"},
		"another begin":   {ms: edit(5, func(m *Message) { m.Snapshot.Agents[0].BeginAt++ }), want: "agent 101 is resting"},
		"another length":  {ms: edit(5, func(m *Message) { m.Snapshot.Agents[0].RequestedSeconds++ }), want: "agent 101 is resting"},
		"illegal":         {ms: edit(1, func(m *Message) { m.Event.Kind = diff.KindEnded }), want: "ended leads from resting to resting"},
		"never waited":    {ms: edit(1, func(m *Message) { m.Event.Kind, m.Event.From, m.Event.To = diff.KindEnded, diff.Waiting, diff.None }), want: "ended leads from waiting to none"},
		"back again": {ms: edit(1, func(m *Message) {
			m.Event.Kind, m.Event.From, m.Event.To = diff.KindApproved, diff.Resting, diff.Approved
		}), want: "approved leads from resting to approved"},
		"no alternatives": {ms: edit(1, func(m *Message) { m.Event.Certainty = diff.Inferred }), want: "certainty"},
		"back in time":    {ms: edit(1, func(m *Message) { m.Event.PreviousObservedAt = m.Event.ObservedAt + 1 }), want: "before the previous poll"},
		"foreign":         {ms: []Message{{Subject: "p.event.x"}}, want: ErrForeign.Error()},
		"revision again":  {ms: edit(4, func(m *Message) { m.Event.Revision = 2 }), want: "revision 2 comes after 2"},
		"while written":   {ms: without(messages(one, two, three, made(vdn, &three.Snapshot, 1, 3)), 5)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var a Audit
			var err error
			for _, m := range tt.ms {
				if err = a.Add(m); err != nil {
					break
				}
			}
			var broken *MessageError
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (!errors.As(err, &broken) || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("got %v, want %q", err, tt.want)
			case err != nil:
				return
			}
			if got := len(a.Unfinished()); got != tt.unfinished || a.Repeats != tt.repeats {
				t.Errorf("got %d unfinished, %d repeats, want %d, %d", got, a.Repeats, tt.unfinished, tt.repeats)
			}
		})
	}
}

// TestRetention waits until events are too old: snapshots stay.
func TestRetention(t *testing.T) {
	t.Parallel()
	b := openBus(t, dial(t, start(t, embedded.Options{})), Options{Storage: jetstream.MemoryStorage, Retention: 300 * time.Millisecond})
	b.partBytes = 4 << 10
	commit(t, b, vdn, 0, 40)
	commit(t, b, vdn, 5, 40)
	eventually(t, "the end of the events", func() bool {
		return !slices.ContainsFunc(all(t, b), func(m jetstream.Msg) bool { return strings.HasPrefix(m.Subject(), "rest.v1.event.") })
	})
	b.heads.drop(vdn)
	if got, _, err := b.Head(t.Context(), vdn); err != nil || got.Revision != 2 || len(got.Agents) != 40 {
		t.Errorf("got revision %d with %d agents, %v, want 2 with 40", got.Revision, len(got.Agents), err)
	}
	commit(t, b, vdn, 1, 40)
	audited(t, b)
}
