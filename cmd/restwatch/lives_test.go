package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// lives are what the agents of one VDN really did, from its start on.
type lives struct {
	vdn   diff.VDN
	start diff.Time
	of    map[int][]lifeStage // by workNo
}

// lifeStage is from when on an agent is in a state, and what is listed of it.
// State None: he is not listed.
type lifeStage struct {
	from      diff.Time
	state     diff.State
	begin     diff.Time
	requested int
}

// begun notes who is in which stage now, before anybody watches.
func begun(u *upstream, v diff.VDN) *lives {
	h := &lives{vdn: v, of: map[int][]lifeStage{}}
	u.View(v, func(w *cmssim.World) {
		h.start = diff.TimeOf(w.Now())
		states := w.AppendStates(nil)
		for i, r := range w.Rows() {
			h.of[r.WorkNo] = []lifeStage{{h.start, states[i], r.Begin, r.Requested}}
		}
	})
	return h
}

// learn adds what has happened since.
func (h *lives) learn(u *upstream) {
	u.View(h.vdn, func(w *cmssim.World) {
		for _, c := range w.History() {
			if at := diff.TimeOf(c.At); at > h.start {
				h.of[c.WorkNo] = append(h.of[c.WorkNo], lifeStage{at, c.To, c.Begin, c.Requested})
			}
		}
	})
}

// at is an agent's stage at a time.
func (h *lives) at(workNo int, t diff.Time) lifeStage {
	var now lifeStage
	for _, s := range h.of[workNo] {
		if s.from > t {
			break
		}
		now = s
	}
	return now
}

// listed is what of an agent stands in a list.
type listed struct {
	begin     diff.Time
	requested int
}

// list is the whole list at a time.
func (h *lives) list(t diff.Time) map[int]listed {
	all := map[int]listed{}
	for no := range h.of {
		if s := h.at(no, t); s.state != diff.None {
			all[no] = listed{s.begin, s.requested}
		}
	}
	return all
}

// listOf is the list that a snapshot was made from.
func listOf(s *diff.Snapshot) map[int]listed {
	all := make(map[int]listed, len(s.Agents))
	for _, a := range s.Agents {
		all[a.WorkNo] = listed{a.BeginAt, a.RequestedSeconds}
	}
	return all
}

// nearest tells how the replies around a snapshot differ from it.
func (h *lives) nearest(calls []cmssim.Call, s *diff.Snapshot) string {
	var b strings.Builder
	for _, c := range calls {
		at := diff.TimeOf(c.At)
		if len(calls) > 1 && (at < s.ObservedAt-1000 || at > s.ObservedAt+100) {
			continue
		}
		fmt.Fprintf(&b, "\n  reply at %v, offset %d, for the snapshot observed at %v:", at, c.Offset, s.ObservedAt)
		truth, told := h.list(at), listOf(s)
		for no, l := range truth {
			if told[no] != l {
				fmt.Fprintf(&b, " %d is %v, told %v;", no, l, told[no])
			}
		}
		for no, l := range told {
			if truth[no] == (listed{}) {
				fmt.Fprintf(&b, " %d is not there, told %v;", no, l)
			}
		}
	}
	return b.String()
}

// contradicts says why an event is not true; "" if it is. Instants may be off
// by the age of a reply.
func (h *lives) contradicts(e *diff.Event, age diff.Time) string {
	life := h.of[e.WorkNo]
	inside := func(t diff.Time) bool { return t > e.OccurredAfter-age && t <= e.OccurredBefore+age }
	during := func(i int) bool { // the stage is there at some instant within the window
		return life[i].from <= e.ObservedAt+age && (i+1 == len(life) || life[i+1].from > e.OccurredAfter-age)
	}
	found := func(fits func(i int, s, previous lifeStage) bool) string {
		var previous lifeStage
		for i, s := range life {
			if fits(i, s, previous) {
				return ""
			}
			previous = s
		}
		return fmt.Sprintf("%s %s of %d (%s > %s, begin %v, occurred at %v, after %v, before %v, observed at %v) is not in %v",
			e.Certainty, e.Kind, e.WorkNo, e.From, e.To, e.BeginAt, e.OccurredAt, e.OccurredAfter, e.OccurredBefore, e.ObservedAt, life)
	}
	switch e.Kind {
	case diff.KindRequested, diff.KindApproved, diff.KindStarted:
		return found(func(_ int, s, previous lifeStage) bool {
			return s.state == e.To && previous.state != e.To && inside(s.from) && (e.OccurredAt == 0 || e.OccurredAt == s.begin)
		})
	case diff.KindEnded:
		return found(func(_ int, s, previous lifeStage) bool {
			return s.state == diff.None && previous.state == diff.Resting && inside(s.from)
		})
	case diff.KindCancelled:
		return found(func(_ int, s, previous lifeStage) bool {
			return s.state == diff.None && (previous.state == diff.Waiting || previous.state == diff.Approved) && inside(s.from)
		})
	case diff.KindUpdated:
		return found(func(i int, s, _ lifeStage) bool {
			return s.state == e.To && s.begin == e.BeginAt && s.requested == e.RequestedSeconds && during(i)
		})
	case diff.KindOverdue:
		return found(func(i int, s, _ lifeStage) bool {
			return s.state == diff.Resting && s.begin == e.BeginAt && s.requested == e.RequestedSeconds && during(i) &&
				s.begin.Add(time.Duration(s.requested)*time.Second) <= e.ObservedAt+age
		})
	case diff.KindCorrected:
		if e.To == diff.None {
			return "" // speaks of a rest that is over
		}
		return found(func(_ int, s, _ lifeStage) bool { return s.state == e.To && s.begin == e.BeginAt })
	}
	return "no such kind: " + string(e.Kind)
}

// verdict counts what was found about events.
type verdict struct {
	certain, inferred, guessedRight int
}

func (v verdict) String() string {
	n := v.certain + v.inferred
	if n == 0 {
		return "no events"
	}
	return fmt.Sprintf("%d events, %.1f %% certain, %.1f %% right at first sight",
		n, 100*float64(v.certain)/float64(n), 100*float64(v.certain+v.guessedRight)/float64(n))
}

// judge holds all events of the VDN against the truth: nothing certain may be
// wrong.
func (h *lives) judge(t *testing.T, events []diff.Event, age diff.Time) (v verdict) {
	t.Helper()
	for i := range events {
		wrong := h.contradicts(&events[i], age)
		switch {
		case events[i].Certainty == diff.Certain:
			v.certain++
			if wrong != "" {
				t.Errorf("VDN %v: %s", h.vdn, wrong)
			}
		default:
			v.inferred++
			if wrong == "" {
				v.guessedRight++
			}
		}
	}
	return v
}

// states makes sure that each agent of a snapshot may be in his true state, by
// what the snapshot says of him.
func (h *lives) states(t *testing.T, s *diff.Snapshot, at diff.Time) {
	t.Helper()
	for _, a := range s.Agents {
		truth := h.at(a.WorkNo, at).state
		if a.State != truth && !a.Candidates.Has(truth) {
			t.Errorf("VDN %v, revision %d: agent %d is %s (%s, or else %v), in truth %s",
				h.vdn, s.Revision, a.WorkNo, a.State, a.Certainty, a.Candidates, truth)
		}
	}
}
