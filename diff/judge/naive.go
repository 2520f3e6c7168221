package judge

import (
	"slices"

	"restwatch/diff"
)

// Naive is the reading that suggests itself: an agent with a reason waits, one
// without rests. It is what the reasoning of package diff is measured against.
type Naive struct {
	agents map[int]diff.Row
	at     diff.Time
}

// Read returns the events that a naive reader tells, sorted by agent. Lists
// whose length differs from the counts are skipped, as a careful one would.
func (n *Naive) Read(o *diff.Observation) []diff.Event {
	if o.Counts.Sum() != len(o.Rows) {
		return nil
	}
	now := map[int]diff.Row{}
	for _, r := range o.Rows {
		now[r.WorkNo] = r
	}
	var events []diff.Event
	tell := func(no int, k diff.Kind) {
		events = append(events, diff.Event{WorkNo: no, Kind: k, Certainty: diff.Inferred, OccurredAfter: n.at, OccurredBefore: o.At})
	}
	for no, r := range n.agents {
		if x, ok := now[no]; !ok {
			tell(no, leaves(r))
		} else if reads(r) != reads(x) {
			if reads(r) == diff.Resting {
				tell(no, diff.KindEnded)
			}
			tell(no, kindOf(reads(x)))
		}
	}
	for no, r := range now {
		if _, ok := n.agents[no]; !ok && n.agents != nil {
			tell(no, kindOf(reads(r)))
		}
	}
	slices.SortStableFunc(events, func(a, b diff.Event) int { return a.WorkNo - b.WorkNo })
	n.agents, n.at = now, o.At
	return events
}

func reads(r diff.Row) diff.State {
	if r.Reason != 0 {
		return diff.Waiting
	}
	return diff.Resting
}

func leaves(r diff.Row) diff.Kind {
	if r.Reason != 0 {
		return diff.KindCancelled
	}
	return diff.KindEnded
}
