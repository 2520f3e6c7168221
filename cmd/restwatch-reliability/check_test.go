package reliability

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"restwatch/diff"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
)

// clockError is by how much the bus's clock may be behind this machine's.
const clockError = 20

// findings are what a check found. All but the first block should be 0.
type findings struct {
	vdns, events, certain, revisions, feeds, heard int

	wrong   int // certain events that are not true, or whose window misses the truth by more than 300 ms
	guesses int // inferred ones that are not true: allowed, and counted
	gone    int // of those, rests ended or cancelled that were not
	repeats int // stored once more under the same id
	gaps    int // feeds that tell of a gap
	twice   int // heard once more, which the change of a stream's leader can bring
	// certain ones that told a subscriber of an overdue rest before its time was
	// over, by this machine's clock
	premature int
	followed  int // polls whose lists were found in the truth, if they were looked for
}

func (f findings) String() string {
	return fmt.Sprintf("%d VDNs, %d revisions, %d events stored (%d certain, %d heard live), %d feeds (%d of a gap); certain wrong %d, overdue too early %d, inferred wrong %d (departures %d), stored twice %d, heard twice %d, lists of polls found in the truth %d",
		f.vdns, f.revisions, f.events, f.certain, f.heard, f.feeds, f.gaps, f.wrong, f.premature, f.guesses, f.gone, f.repeats, f.twice, f.followed)
}

// check lets the agents rest, waits until the service knows their last state,
// and then reads the whole stream. At least one restwatch must be running.
func (s *site) check(t *testing.T) findings {
	t.Helper()
	s.freeze()
	nc, err := nats.Connect(s.bus)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r, err := publisher.NewReader(nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for v, h := range s.truths {
		h.learn(s.upstream)
		want := map[int]listed{}
		s.View(v, func(w *cmssim.World) {
			for _, row := range w.Rows() {
				want[row.WorkNo] = listed{s.listed(row.Begin), row.Requested}
			}
		})
		var last diff.Snapshot
		var seen error
		late := time.Now().Add(patience)
		for last.Revision = -1; ; let(20 * time.Millisecond) {
			last, _, seen = r.LastSnapshot(t.Context(), v)
			if seen == nil && maps.Equal(listOf(&last), want) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("VDN %v: the last snapshot never became the truth (%v):\n%v\n%v", v, seen, listOf(&last), want)
			}
		}
		now := diff.TimeOf(s.now())
		for _, a := range last.Agents {
			if is := h.of[a.WorkNo][len(h.of[a.WorkNo])-1].state; a.State != is && !a.Candidates.Has(is) {
				t.Errorf("VDN %v at %v: agent %d is %s (%s, or else %v), in truth %s", v, now, a.WorkNo, a.State, a.Certainty, a.Candidates, is)
			}
		}
	}
	return s.read(t, r)
}

// listed is what of an agent stands in a list.
type listed struct {
	begin     diff.Time
	requested int
}

func listOf(s *diff.Snapshot) map[int]listed {
	all := make(map[int]listed, len(s.Agents))
	for _, a := range s.Agents {
		all[a.WorkNo] = listed{a.BeginAt, a.RequestedSeconds}
	}
	return all
}

// read checks every stored message.
func (s *site) read(t *testing.T, r *publisher.Reader) (f findings) {
	t.Helper()
	f.vdns = len(s.truths)
	// Overdue rests are told of while this reads: what was heard is looked at
	// first, so that all of it must be stored.
	heard := s.heardSoFar(t)
	var audit publisher.Audit
	events := map[diff.VDN][]diff.Event{}
	data := map[string][]byte{}
	last := map[diff.VDN]*diff.Snapshot{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	// What is stored meanwhile replaces snapshots, so this goes on until each VDN's
	// is there.
	whole := func() bool {
		for v := range s.truths {
			if last[v] == nil || last[v].LastSequence != int64(len(events[v])) {
				return false
			}
		}
		return true
	}
	broken := false
	for after := uint64(0); !whole() && !broken && ctx.Err() == nil; let(20 * time.Millisecond) {
		for m, err := range r.Messages(ctx, publisher.Query{Everything: true, After: after}) {
			after = m.Sequence
			if err == nil {
				err = audit.Add(m)
			}
			if err != nil {
				t.Error(err)
				broken = true
				var one *publisher.MessageError
				if !errors.As(err, &one) {
					break
				}
				continue
			}
			switch {
			case m.Event != nil:
				e := *m.Event
				v := diff.VDN{CC: e.CC, ID: e.VDN}
				key := v.String() + " " + e.ID()
				if data[key] != nil {
					broken = true
					f.repeats++
					t.Errorf("VDN %v: event %s is stored twice", v, e.ID())
					continue
				}
				data[key] = m.Data
				events[v] = append(events[v], e)
				if n := int64(len(events[v])); e.Sequence != n {
					t.Errorf("VDN %v: sequence %d is the event %d", v, e.Sequence, n)
				}
			case m.Feed != nil && m.Feed.Gap != nil:
				f.gaps++
			case m.Snapshot != nil:
				v := diff.VDN{CC: m.Snapshot.CC, ID: m.Snapshot.VDN}
				last[v] = m.Snapshot
			}
		}
	}
	if err := ctx.Err(); err != nil {
		t.Fatalf("the stream was not read to its end: %v", err)
	}
	if torn, err := r.Torn(ctx, &audit); err != nil || len(torn) > 0 {
		t.Errorf("torn batches of %v, %v", torn, err)
	}
	f.feeds = audit.Feeds
	f.twice = s.heardTwice()
	for v, h := range s.truths {
		if last[v] == nil {
			t.Errorf("VDN %v has no snapshot", v)
			continue
		}
		f.revisions += int(last[v].Revision)
		s.compare(t, &f, heard[v], h, events[v], data, last[v])
		s.judge(t, &f, h, heard[v], events[v])
		switch first := heard[v].first; {
		case !s.truthful:
		case first == nil:
			t.Errorf("VDN %v: nobody heard of it", v)
		default:
			n, err := h.follow(first, events[v])
			if f.followed += n; err != nil {
				t.Error(err)
			}
		}
	}
	return f
}

// heardSoFar is what a core subscriber heard, and complains of what was odd.
func (s *site) heardSoFar(t *testing.T) map[diff.VDN]trail {
	t.Helper()
	if err := s.nc.Flush(); err != nil {
		t.Error(err)
	}
	s.heard.Lock()
	defer s.heard.Unlock()
	for _, o := range s.odd {
		t.Error(o)
	}
	all := map[diff.VDN]trail{}
	for v, tr := range s.trail {
		c := *tr
		c.events = maps.Clone(tr.events)
		all[v] = c
	}
	return all
}

func (s *site) heardTwice() int {
	s.heard.Lock()
	defer s.heard.Unlock()
	return s.twice
}

// compare holds what was stored against what was heard.
func (s *site) compare(t *testing.T, f *findings, tr trail, h *lives, events []diff.Event, data map[string][]byte, last *diff.Snapshot) {
	t.Helper()
	if int64(len(events)) != last.LastSequence {
		t.Errorf("VDN %v: %d events stored, the snapshot says %d", h.vdn, len(events), last.LastSequence)
	}
	if cuts := s.nc.Stats().Reconnects + s.splits; max(tr.eventGaps, tr.snapshotGaps) > cuts {
		t.Errorf("VDN %v: %d gaps in the events heard, %d in the snapshots, but the connection was lost %d times", h.vdn, tr.eventGaps, tr.snapshotGaps, cuts)
	}
	f.heard += len(tr.events)
	if s.nc.Stats().Reconnects+s.splits == 0 {
		// Who was never cut off hears all that is stored.
		eventually(t, "the last event for subscribers", func() bool {
			s.heard.Lock()
			defer s.heard.Unlock()
			now := s.trailOf(h.vdn)
			return !slices.ContainsFunc(events, func(e diff.Event) bool { return now.events[e.ID()].at == 0 })
		})
		f.heard += len(events) - len(tr.events)
	}
	for id, heard := range tr.events {
		if stored := data[h.vdn.String()+" "+id]; string(stored) != heard.data {
			t.Errorf("VDN %v: heard\n%s\nstored\n%s", h.vdn, heard.data, stored)
		}
	}
	if tr.first == nil {
		return
	}
	since := events[min(int(tr.first.LastSequence), len(events)):]
	got, err := diff.Fold(tr.first.Agents, since)
	if err != nil {
		t.Errorf("VDN %v: %v", h.vdn, err)
	} else if !reflect.DeepEqual(told(got), told(last.Agents)) {
		t.Errorf("VDN %v: the events lead to\n%+v\nand the snapshot says\n%+v", h.vdn, told(got), told(last.Agents))
	}
}

// told is what events tell of agents.
func told(agents []diff.Agent) []diff.Agent {
	list := slices.Clone(agents)
	for i := range list {
		a := &list[i]
		a.Memory, a.Candidates, a.Certainty, a.AgentName = diff.AgentMemory{}, 0, 0, ""
	}
	return list
}

// judge holds events against what really happened.
func (s *site) judge(t *testing.T, f *findings, h *lives, tr trail, events []diff.Event) {
	t.Helper()
	const allowance = 300
	for i := range events {
		e := &events[i]
		f.events++
		off := s.ahead.Abs()
		at := tr.events[e.ID()].at
		excused := s.apart != 0 && (s.settled.IsZero() || at <= diff.TimeOf(s.settled))
		if excused {
			off += s.apart
		}
		wrong := h.contradicts(e, allowance+clockError+diff.TimeOfDuration(off))
		certain := e.Certainty == diff.Certain
		if certain {
			f.certain++
		}
		if by := h.premature(e, at); certain && by > 2*allowance {
			if f.premature++; !excused {
				t.Errorf("VDN %v: told to be overdue %v too early: %s of %d", h.vdn, by.Sub(0), e.ID(), e.WorkNo)
			}
		}
		switch {
		case wrong != "" && certain:
			f.wrong++
			t.Errorf("VDN %v: %s", h.vdn, wrong)
			for _, other := range events[max(0, i-200):min(len(events), i+5)] {
				if other.WorkNo == e.WorkNo {
					t.Logf("told of him: %+v", other)
				}
			}
		case wrong != "":
			f.guesses++
			if e.Kind == diff.KindEnded || e.Kind == diff.KindCancelled {
				f.gone++
			}
		}
	}
}

// result prints one line of the table of docs/reliability.md.
func result(t *testing.T, format string, a ...any) {
	t.Helper()
	t.Logf("RESULT | %s", fmt.Sprintf(format, a...))
}
