package main

import (
	"cmp"
	"slices"
	"time"

	"restwatch/diff"
)

// tally adds up, from events in their order, what agents did on each day. A
// rest counts once it has ended, on the day on which it began.
type tally struct {
	zone     *time.Location
	from, to time.Time // of the begins of rests, and of cancellations; zero: all

	left []departure
	// doubtful holds the rests that were inferred to have begun, or to have been
	// prolonged, which may have been an end and a new rest; guessed, by event id,
	// where in left an inferred departure is.
	doubtful map[restKey]bool
	guessed  map[eventKey]int
}

type restKey struct {
	vdn  diff.VDN
	rest diff.RestID
}

type eventKey struct {
	vdn diff.VDN
	id  string
}

// departure is the end of a rest, or of a request.
type departure struct {
	vdn              diff.VDN
	workNo           int
	name             string
	rest             bool      // false: a request was cancelled
	at, before       diff.Time // when it was seen, and had happened
	begin            diff.Time // of the rest; of one that is unknown, when its end was seen
	seconds, overdue int       // at most
	inferred         bool      // this event, or what the rest is known by
	undone           bool      // by a corrected
}

func newTally(zone *time.Location, from, to time.Time) *tally {
	return &tally{zone: zone, from: from, to: to, doubtful: map[restKey]bool{}, guessed: map[eventKey]int{}}
}

func (t *tally) add(e *diff.Event) {
	vdn := diff.VDN{CC: e.CC, ID: e.VDN}
	rest := restKey{vdn, e.RestID}
	inferred := e.Certainty == diff.Inferred
	switch e.Kind {
	case diff.KindStarted, diff.KindUpdated:
		if inferred && e.To == diff.Resting {
			t.doubtful[rest] = true
		}
	case diff.KindEnded, diff.KindCancelled:
		if inferred {
			t.guessed[eventKey{vdn, e.ID()}] = len(t.left)
		}
		t.left = append(t.left, departure{
			vdn: vdn, workNo: e.WorkNo, name: e.AgentName, rest: e.Kind == diff.KindEnded,
			at: e.ObservedAt, before: e.OccurredBefore, begin: beginOf(e), seconds: orZero(e.ElapsedSeconds), overdue: orZero(e.OverdueSeconds),
			inferred: inferred || t.doubtful[rest],
		})
		delete(t.doubtful, rest)
	case diff.KindCorrected:
		t.correct(vdn, e)
	}
}

// correct takes back what was inferred. A departure that was no end of a rest
// may have been that of a request, and the reverse.
func (t *tally) correct(vdn diff.VDN, e *diff.Event) {
	if e.Correction == nil {
		return
	}
	rest := restKey{vdn, e.RestID}
	delete(t.doubtful, rest)
	if e.Now == diff.KindStarted && e.Certainty == diff.Inferred {
		t.doubtful[rest] = true
	}
	if e.Corrects == nil {
		return
	}
	i, ok := t.guessed[eventKey{vdn, *e.Corrects}]
	if !ok {
		return
	}
	d := &t.left[i]
	switch e.Now {
	case diff.KindCancelled:
		d.rest, d.seconds, d.overdue = false, 0, 0
	case diff.KindEnded:
		d.rest = true
		if e.BeginAt != 0 {
			d.begin = e.BeginAt
			d.seconds = max(0, int(d.before.Sub(e.BeginAt)/time.Second))
			d.overdue = max(0, d.seconds-e.RequestedSeconds)
		}
	default:
		d.undone = true
	}
	d.inferred = e.Certainty == diff.Inferred
}

// beginOf is when the rest that e ends began: the first begin of it, which
// differs from the stage's own where it was prolonged.
func beginOf(e *diff.Event) diff.Time {
	if e.ElapsedSeconds == nil {
		return e.ObservedAt
	}
	begin := e.OccurredBefore.Add(-time.Duration(*e.ElapsedSeconds) * time.Second)
	if late := begin.Sub(e.BeginAt); e.BeginAt != 0 && late >= 0 && late < time.Second {
		return e.BeginAt // the whole seconds left something over
	}
	return begin
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// workday is what an agent did on one day.
type workday struct {
	Day               string `json:"day"`
	CC                int    `json:"ccId"`
	VDN               int    `json:"vdn"`
	WorkNo            int    `json:"workNo"`
	AgentName         string `json:"agentName"` // the newest
	Rests             int    `json:"rests"`
	RestingSeconds    int    `json:"restingSeconds"`
	LongestSeconds    int    `json:"longestSeconds"`
	OverdueSeconds    int    `json:"overdueSeconds"`
	RequestsCancelled int    `json:"requestsCancelled"`
	// Inferred is how many of the rests and cancellations rest on inferred events.
	Inferred int `json:"inferred"`
}

// days returns what was added up, by day, VDN and agent.
func (t *tally) days() []workday {
	type key struct {
		day    string
		vdn    diff.VDN
		workNo int
	}
	byKey := map[key]*workday{}
	for _, d := range t.left {
		at := d.at
		if d.rest {
			at = d.begin
		}
		when := at.Time()
		if d.undone || when.Before(t.from) || !t.to.IsZero() && !when.Before(t.to) {
			continue
		}
		k := key{when.In(t.zone).Format(time.DateOnly), d.vdn, d.workNo}
		w := byKey[k]
		if w == nil {
			w = &workday{Day: k.day, CC: d.vdn.CC, VDN: d.vdn.ID, WorkNo: d.workNo}
			byKey[k] = w
		}
		w.AgentName = d.name
		if d.inferred {
			w.Inferred++
		}
		if !d.rest {
			w.RequestsCancelled++
			continue
		}
		w.Rests++
		w.RestingSeconds += d.seconds
		w.LongestSeconds = max(w.LongestSeconds, d.seconds)
		w.OverdueSeconds += d.overdue
	}
	list := make([]workday, 0, len(byKey))
	for _, w := range byKey {
		list = append(list, *w)
	}
	slices.SortFunc(list, func(a, b workday) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.CC, b.CC), cmp.Compare(a.VDN, b.VDN), cmp.Compare(a.WorkNo, b.WorkNo))
	})
	return list
}
