package main

import (
	"slices"
	"testing"
	"time"

	"restwatch/diff"
)

// roster is what an upstream lists by hand.
type roster struct {
	rows   []diff.Row
	counts diff.Counts
}

func (u *upstream) show(v diff.VDN, l roster) { u.SetList(v, l.rows, l.counts) }

func ago(d time.Duration) diff.Time { return diff.TimeOf(time.Now().Add(-d)) }

// firstRoster and nextRoster are the lists before a fault strikes and while it
// does: 101 goes, 103 goes from waiting to resting, 106 comes. The totals leave
// no doubt about anybody.
func firstRoster() roster {
	return roster{
		counts: diff.Counts{Waiting: 1, Resting: 4},
		rows: []diff.Row{
			{WorkNo: 101, Name: "Agent 101", Begin: ago(60 * time.Second), Requested: 3600},
			{WorkNo: 102, Name: "Agent 102", Begin: ago(50 * time.Second), Requested: 3600},
			{WorkNo: 103, Name: "Agent 103", Begin: ago(40 * time.Second), Requested: 1800, Reason: 2},
			{WorkNo: 104, Name: "Agent 104", Begin: ago(30 * time.Second), Requested: 3600},
			{WorkNo: 105, Name: "Agent 105", Begin: ago(20 * time.Second), Requested: 3600},
		},
	}
}

func nextRoster(b roster) roster {
	rows := slices.Clone(b.rows[1:])
	rows[1].Begin, rows[1].Reason = ago(0), 0
	rows = append(rows, diff.Row{WorkNo: 106, Name: "Agent 106", Begin: ago(0), Requested: 600, Reason: 1})
	return roster{rows, b.counts}
}

// changes are the events between the two, by agent.
var changes = []rosterChange{{101, diff.KindEnded}, {103, diff.KindStarted}, {106, diff.KindRequested}}

type rosterChange struct {
	workNo int
	kind   diff.Kind
}

// checkChanges makes sure that events are the changes and nothing else.
func checkChanges(t *testing.T, events []diff.Event, certainty diff.Certainty, detectedBy ...string) {
	t.Helper()
	if len(events) != len(changes) {
		t.Fatalf("got %d events, want %d: %+v", len(events), len(changes), events)
	}
	for i, c := range changes {
		e := events[i]
		if e.WorkNo != c.workNo || e.Kind != c.kind || e.Certainty != certainty || !slices.Contains(detectedBy, e.DetectedBy) {
			t.Errorf("got %s %s %d, detected by %s; want %s %s %d by %v",
				e.Certainty, e.Kind, e.WorkNo, e.DetectedBy, certainty, c.kind, c.workNo, detectedBy)
		}
	}
}
