package assess

import (
	"fmt"
	"slices"

	"restwatch/diff"
)

// Telling is how the events of a kind were told.
type Telling struct {
	Kind     diff.Kind `json:"kind"`
	Certain  int       `json:"certain"`
	Inferred int       `json:"inferred"`
}

// kinds are those that a change of an agent has; a corrected one only revises
// another, and is counted by itself.
var kinds = [...]diff.Kind{
	diff.KindRequested, diff.KindApproved, diff.KindStarted, diff.KindEnded, diff.KindCancelled,
	diff.KindUpdated, diff.KindOverdue, diff.KindCorrected,
}

type tellings [len(kinds)]Telling

func (t *tellings) add(e *diff.Event) {
	for i, k := range kinds {
		switch {
		case k != e.Kind:
		case e.Certainty == diff.Certain:
			t[i].Certain++
		default:
			t[i].Inferred++
		}
	}
}

// certain counts events and the certain ones, without corrections.
func (t *tellings) certain() (certain, all int) {
	for i, k := range kinds {
		if k != diff.KindCorrected {
			certain += t[i].Certain
			all += t[i].Certain + t[i].Inferred
		}
	}
	return certain, all
}

// takeEvents counts what Compare told, and measures rests (A6).
func (a *Assessment) takeEvents(s *site, events []diff.Event) {
	for i := range events {
		e := &events[i]
		a.tellings.add(e)
		if e.Certainty != diff.Certain {
			continue
		}
		switch e.Kind {
		case diff.KindApproved:
			if e.From == diff.Waiting && s.beginBefore(e.WorkNo) != e.BeginAt {
				a.facts.TellingApprovals++
			}
		case diff.KindEnded:
			a.measure(s, e)
		}
	}
}

// beginBefore is the begin time of an agent in the last consistent list, 0 if
// he was not there.
func (s *site) beginBefore(workNo int) diff.Time {
	if s.last == nil {
		return 0
	}
	i, found := slices.BinarySearchFunc(s.last.Agents, workNo, func(a diff.Agent, no int) int { return a.WorkNo - no })
	if !found {
		return 0
	}
	return s.last.Agents[i].BeginAt
}

// measure takes in the length of a rest: the most that it can have been, as its
// begin is by the upstream's clock and its end by ours. That is known only once
// the clocks have been compared.
func (a *Assessment) measure(s *site, e *diff.Event) {
	if e.ElapsedSeconds == nil || s.clock.tokens < enoughTokens {
		return
	}
	f := &a.facts
	most := Seconds(*e.ElapsedSeconds)*1000 + 999 + Seconds(s.clock.leastAhead(e.ObservedAt))
	if f.Rests == 0 || most < f.Shortest {
		f.Shortest = most
	}
	f.Rests++
	if most <= 10_000 {
		f.RestsBelow10++
	}
	if most <= 20_000 {
		f.RestsBelow20++
	}
	if diff.Time(most) >= diff.TimeOfDuration(a.opt.GapLimit) {
		return
	}
	x := Example{CC: e.CC, VDN: e.VDN, ObservedAt: e.ObservedAt, WorkNo: e.WorkNo, What: fmt.Sprintf("rested for %v at most", most)}
	x.Rows = []Row{{e.PreviousObservedAt, e.WorkNo, 0, e.BeginAt, e.RequestedSeconds}}
	a.short.add(x)
}
