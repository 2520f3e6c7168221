package reliability

import (
	"fmt"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// lives are what the agents of one VDN really did, by this machine's clock.
type lives struct {
	vdn     diff.VDN
	started diff.Time
	of      map[int][]stage // by workNo
}

// stage is from when on an agent is in a state, and what is listed of it.
type stage struct {
	from      diff.Time
	state     diff.State
	since     diff.Time // the begin time, by this machine's clock
	begin     diff.Time // the same as it is listed
	requested int
}

// begun notes who is in which stage now, before anybody watches.
func begun(u *upstream, v diff.VDN) *lives {
	h := &lives{vdn: v, of: map[int][]stage{}}
	u.View(v, func(w *cmssim.World) {
		h.started = diff.TimeOf(w.Now())
		states := w.AppendStates(nil)
		for i, r := range w.Rows() {
			h.of[r.WorkNo] = []stage{{u.mine(h.started), states[i], u.mine(r.Begin), u.listed(r.Begin), r.Requested}}
		}
	})
	return h
}

// learn adds, once, what has happened since.
func (h *lives) learn(u *upstream) {
	u.View(h.vdn, func(w *cmssim.World) {
		for _, c := range w.History() {
			if at := diff.TimeOf(c.At); at > h.started {
				h.of[c.WorkNo] = append(h.of[c.WorkNo], stage{u.mine(at), c.To, u.mine(c.Begin), u.listed(c.Begin), c.Requested})
			}
		}
	})
}

// premature is by how many milliseconds a rest was told to be overdue before it
// was, if a subscriber heard so at that instant; 0 if it was not.
func (h *lives) premature(e *diff.Event, heard diff.Time) diff.Time {
	if e.Kind != diff.KindOverdue || heard == 0 {
		return 0
	}
	for _, s := range h.of[e.WorkNo] {
		if s.state == diff.Resting && s.begin == e.BeginAt && s.requested == e.RequestedSeconds {
			return max(0, s.since.Add(time.Duration(s.requested)*time.Second)-heard)
		}
	}
	return 0
}

// contradicts says why an event is not true, if its window may be off by age;
// "" if it is true.
func (h *lives) contradicts(e *diff.Event, age diff.Time) string {
	life := h.of[e.WorkNo]
	inside := func(t diff.Time) bool { return t > e.OccurredAfter-age && t <= e.OccurredBefore+age }
	during := func(i int) bool { // the stage is there at some instant within the window
		return life[i].from <= e.ObservedAt+age && (i+1 == len(life) || life[i+1].from > e.OccurredAfter-age)
	}
	found := func(fits func(i int, s, previous stage) bool) string {
		var previous stage
		for i, s := range life {
			if fits(i, s, previous) {
				return ""
			}
			previous = s
		}
		return fmt.Sprintf("%s %s %s of %d (%s > %s, begin %v, occurred at %v, after %v, before %v, observed at %v by %s) is not in %v",
			e.Certainty, e.Kind, e.ID(), e.WorkNo, e.From, e.To, e.BeginAt, e.OccurredAt, e.OccurredAfter, e.OccurredBefore, e.ObservedAt, e.DetectedBy, life)
	}
	switch e.Kind {
	case diff.KindRequested, diff.KindApproved, diff.KindStarted:
		return found(func(_ int, s, previous stage) bool {
			return s.state == e.To && previous.state != e.To && inside(s.from) && (e.OccurredAt == 0 || e.OccurredAt == s.begin)
		})
	case diff.KindEnded:
		return found(func(_ int, s, previous stage) bool {
			return s.state == diff.None && previous.state == diff.Resting && inside(s.from)
		})
	case diff.KindCancelled:
		return found(func(_ int, s, previous stage) bool {
			return s.state == diff.None && (previous.state == diff.Waiting || previous.state == diff.Approved) && inside(s.from)
		})
	case diff.KindUpdated:
		return found(func(i int, s, _ stage) bool {
			return s.state == e.To && s.begin == e.BeginAt && s.requested == e.RequestedSeconds && during(i)
		})
	case diff.KindOverdue:
		return found(func(i int, s, _ stage) bool {
			return s.state == diff.Resting && s.begin == e.BeginAt && s.requested == e.RequestedSeconds && during(i) &&
				s.begin.Add(time.Duration(s.requested)*time.Second) <= e.ObservedAt+age
		})
	case diff.KindCorrected:
		if e.To == diff.None {
			return "" // speaks of a rest that is over
		}
		return found(func(_ int, s, _ stage) bool { return s.state == e.To && s.begin == e.BeginAt })
	}
	return "no such kind: " + string(e.Kind)
}
