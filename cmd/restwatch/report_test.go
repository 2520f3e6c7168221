package main

import (
	"encoding/csv"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// story170 are events of VDN 1:170, made as the service would have.
type story170 struct {
	events []diff.Event
}

func (s *story170) tell(kind diff.Kind, workNo int, began, at time.Time, change func(*diff.Event)) *diff.Event {
	e := diff.Event{
		CC: 1, VDN: 170, WorkNo: workNo, AgentName: "Agent", Kind: kind, RestID: diff.RestID{WorkNo: workNo, First: diff.TimeOf(began)},
		BeginAt: diff.TimeOf(began), RequestedSeconds: 600, ObservedAt: diff.TimeOf(at), OccurredBefore: diff.TimeOf(at),
		Sequence: int64(len(s.events) + 1),
	}
	switch kind {
	case diff.KindStarted:
		e.To = diff.Resting
	case diff.KindEnded:
		most := int(at.Sub(began) / time.Second)
		over := max(0, most-600)
		e.ElapsedSeconds, e.OverdueSeconds = &most, &over
	}
	if change != nil {
		change(&e)
	}
	s.events = append(s.events, e)
	return &s.events[len(s.events)-1]
}

func inferred(e *diff.Event) { e.Certainty = diff.Inferred }

func takesBack(wrong *diff.Event, now diff.Kind) func(*diff.Event) {
	id, was := wrong.ID(), wrong.Kind
	return func(e *diff.Event) { e.Correction = &diff.Correction{Corrects: &id, Was: was, Now: now} }
}

func TestTally(t *testing.T) {
	t.Parallel()
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute, second, ms int) time.Time {
		return time.Date(2026, 3, day, hour, minute, second, ms*1e6, shanghai)
	}
	var s story170
	// Two rests, one of them too long; a request that was withdrawn.
	s.tell(diff.KindStarted, 101, at(2, 9, 0, 0, 0), at(2, 9, 0, 2, 0), nil)
	s.tell(diff.KindEnded, 101, at(2, 9, 0, 0, 0), at(2, 9, 5, 0, 0), nil)
	s.tell(diff.KindEnded, 101, at(2, 10, 0, 0, 0), at(2, 10, 12, 0, 0), nil)
	s.tell(diff.KindCancelled, 101, at(2, 11, 0, 0, 0), at(2, 11, 1, 0, 0), nil)
	// Over midnight, and begun in the day's last second.
	s.tell(diff.KindEnded, 102, at(2, 23, 59, 59, 500), at(3, 0, 4, 0, 0), nil)
	// Begin inferred; end inferred; both; and a begin that proved wrong.
	s.tell(diff.KindStarted, 103, at(2, 9, 0, 0, 0), at(2, 9, 0, 2, 0), inferred)
	s.tell(diff.KindEnded, 103, at(2, 9, 0, 0, 0), at(2, 9, 1, 0, 0), nil)
	s.tell(diff.KindEnded, 103, at(2, 10, 0, 0, 0), at(2, 10, 1, 0, 0), inferred)
	guess := s.tell(diff.KindStarted, 103, at(2, 11, 0, 0, 0), at(2, 11, 0, 2, 0), inferred)
	s.tell(diff.KindCorrected, 103, at(2, 11, 0, 0, 0), at(2, 11, 0, 5, 0), takesBack(guess, diff.KindApproved))
	s.tell(diff.KindCancelled, 103, at(2, 11, 0, 0, 0), at(2, 11, 2, 0, 0), nil)
	// Departures that were none, or of another kind.
	guess = s.tell(diff.KindEnded, 104, at(2, 9, 0, 0, 0), at(2, 9, 1, 0, 0), inferred)
	s.tell(diff.KindCorrected, 104, at(2, 9, 0, 0, 0), at(2, 9, 1, 5, 0), takesBack(guess, diff.KindNone))
	s.tell(diff.KindEnded, 104, at(2, 9, 0, 0, 0), at(2, 9, 3, 0, 0), nil)
	guess = s.tell(diff.KindEnded, 105, at(2, 9, 0, 0, 0), at(2, 9, 1, 0, 0), inferred)
	s.tell(diff.KindCorrected, 105, at(2, 9, 0, 0, 0), at(2, 9, 2, 0, 0), takesBack(guess, diff.KindCancelled))
	guess = s.tell(diff.KindCancelled, 106, at(2, 9, 0, 0, 0), at(2, 9, 11, 2, 0), func(e *diff.Event) {
		e.Certainty, e.OccurredBefore = diff.Inferred, diff.TimeOf(at(2, 9, 11, 0, 0)) // the next one had begun by then
	})
	s.tell(diff.KindCorrected, 106, at(2, 9, 0, 0, 0), at(2, 9, 12, 0, 0), takesBack(guess, diff.KindEnded))
	// Of an unknown begin; and one that still runs.
	s.tell(diff.KindEnded, 107, at(2, 9, 0, 0, 0), at(2, 9, 1, 0, 0), func(e *diff.Event) { e.BeginAt, e.ElapsedSeconds, e.OverdueSeconds = 0, nil, nil })
	s.tell(diff.KindStarted, 107, at(2, 12, 0, 0, 0), at(2, 12, 0, 2, 0), nil)
	// Prolonged, or so it seems: the stage's begin has moved, the rest's has not.
	s.tell(diff.KindUpdated, 108, at(2, 9, 0, 0, 0), at(3, 8, 0, 2, 0), inferred).To = diff.Resting
	s.tell(diff.KindEnded, 108, at(2, 9, 0, 0, 0), at(3, 9, 0, 0, 0), func(e *diff.Event) { e.BeginAt = diff.TimeOf(at(3, 8, 0, 0, 0)) })
	// Before and after the stretch.
	s.tell(diff.KindEnded, 109, at(1, 23, 59, 0, 0), at(2, 0, 1, 0, 0), nil)
	s.tell(diff.KindEnded, 109, at(4, 0, 0, 0, 0), at(4, 0, 1, 0, 0), nil)

	tally := newTally(shanghai, at(2, 0, 0, 0, 0), at(4, 0, 0, 0, 0))
	for i := range s.events {
		tally.add(&s.events[i])
	}
	day := func(workNo, rests, resting, longest, overdue, cancelled, inferred int) workday {
		return workday{"2026-03-02", 1, 170, workNo, "Agent", rests, resting, longest, overdue, cancelled, inferred}
	}
	want := []workday{
		day(101, 2, 300+720, 720, 120, 1, 0),
		day(102, 1, 240, 240, 0, 0, 0),
		day(103, 2, 120, 60, 0, 1, 2),
		day(104, 1, 180, 180, 0, 0, 0),
		day(105, 0, 0, 0, 0, 1, 0),
		day(106, 1, 660, 660, 60, 0, 0),
		day(107, 1, 0, 0, 0, 0, 0),
		day(108, 1, 86400, 86400, 85800, 0, 1),
	}
	got := tally.days()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing %+v", want[i])
		case i >= len(want):
			t.Errorf("too much: %+v", got[i])
		case got[i] != want[i]:
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	s, _, _, history := serviceWithHistory(t)
	report := func(args ...string) string {
		code, out, errOut := execute(t, t.Context(), nil, "", append([]string{"report", "--nats", s.nats, "--tz", "Asia/Shanghai"}, args...)...)
		if code != exitOK || errOut != "" {
			t.Fatalf("report %q: exit %d, said %q", args, code, errOut)
		}
		return out
	}
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	var want []workday // in the order of VDNs
	for _, v := range []diff.VDN{vdn170, vdn171} {
		for _, e := range eventsOf(history, v) {
			if e.Kind == diff.KindEnded {
				want = append(want, workday{
					Day: e.BeginAt.Time().In(shanghai).Format(time.DateOnly), CC: v.CC, VDN: v.ID, WorkNo: 101, AgentName: "Agent 101",
					Rests: 1, RestingSeconds: *e.ElapsedSeconds, LongestSeconds: *e.ElapsedSeconds,
				})
			}
		}
	}
	var got []workday
	if err := json.Unmarshal([]byte(report("--format", "json")), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("json: got %+v, %v, want %+v", got, err, want)
	}
	rows, err := csv.NewReader(strings.NewReader(report("--format", "csv", "--vdn", "171"))).ReadAll()
	if err != nil || len(rows) != 2 || !reflect.DeepEqual(rows[1][:6], []string{want[1].Day, "1", "171", "101", "Agent 101", "1"}) || len(rows[0]) != len(rows[1]) {
		t.Errorf("csv: got %q, %v", rows, err)
	}
	if table := report("--from", want[0].Day); !containsAll(table, []string{"DAY", want[0].Day, "1:170", "1:171", "Agent 101", seconds(want[0].RestingSeconds)}) || strings.Contains(table, "~") {
		t.Errorf("table:\n%s", table)
	}
	if table := report("--to", "2026-01-01"); table != "No rest ended, and no request was cancelled.\n" {
		t.Errorf("empty table: %q", table)
	}
	if got := report("--to", "2026-01-01", "--format", "json"); got != "[]\n" {
		t.Errorf("empty json: %q", got)
	}
}

func TestReportMarksWhatIsInferred(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := reportTable(&b, []workday{{Day: "2026-03-02", CC: 1, VDN: 170, WorkNo: 101, Rests: 3, Inferred: 2}}); err != nil || !containsAll(b.String(), []string{"~ 2 inferred", "\n~ so many"}) {
		t.Errorf("got %v:\n%s", err, &b)
	}
}
