package assess

import (
	"maps"
	"math"
	"slices"

	"restwatch/diff"
)

// maxExamples is how many counter-examples of a kind are kept.
const maxExamples = 3

// evidence counts counter-examples and keeps the first.
type evidence struct {
	n        int
	examples []Example
}

func (e *evidence) add(x Example) {
	e.n++
	if len(e.examples) < maxExamples {
		e.examples = append(e.examples, x)
	}
}

// Example is a counter-example, with the rows that show it.
type Example struct {
	CC         int       `json:"ccId"`
	VDN        int       `json:"vdn"`
	ObservedAt diff.Time `json:"observedAt"`
	WorkNo     int       `json:"workNo,omitzero"`
	What       string    `json:"what"`
	// Counts of the reading, and of the one that it is compared with; nil where
	// they do not matter.
	Counts   *diff.Counts `json:"counts,omitempty"`
	Previous *diff.Counts `json:"previousCounts,omitempty"`
	Rows     []Row        `json:"rows,omitempty"`
}

// Row is one agent of a list, in the upstream's field names.
type Row struct {
	ObservedAt diff.Time `json:"observedAt"`
	WorkNo     int       `json:"workNo"`
	Reason     int       `json:"cantRestReason"`
	Begin      diff.Time `json:"beginTime"`
	Requested  int       `json:"restDuration"`
}

func example(s *site, now *diff.Snapshot, what string) Example {
	return Example{CC: s.vdn.CC, VDN: s.vdn.ID, ObservedAt: now.ObservedAt, What: what, Counts: &now.Counts}
}

// of adds the rows of one agent: was in the list before, is in now. Either may be
// nil, and so may a list that does not matter.
func (x Example) of(before, now *diff.Snapshot, was, is *diff.Agent) Example {
	if before != nil {
		x.Previous = &before.Counts
	}
	if was != nil {
		x.WorkNo = was.WorkNo
		x.Rows = append(x.Rows, rowOf(before, was))
	}
	if is != nil {
		x.WorkNo = is.WorkNo
		x.Rows = append(x.Rows, rowOf(now, is))
	}
	return x
}

func rowOf(s *diff.Snapshot, a *diff.Agent) Row {
	return Row{s.ObservedAt, a.WorkNo, reason(a), a.BeginAt, a.RequestedSeconds}
}

func reason(a *diff.Agent) int {
	if a.WaitReason == nil {
		return 0
	}
	return a.WaitReason.Code
}

// runs tells chance from persistence: a torn list is an accident of the moment
// and says nothing of the next one, a platform that counts differently does so
// poll after poll.
type runs struct {
	n, bad       int
	run, longest int
}

// shortestRun is how many bad lists in a row are not taken for chance, if bad
// lists are otherwise rare enough.
const shortestRun = 3

// saw takes in one list and says how long the run of bad lists is that it ends.
func (r *runs) saw(bad bool) int {
	r.n++
	if !bad {
		r.run = 0
		return 0
	}
	r.bad++
	r.run++
	r.longest = max(r.longest, r.run)
	return r.run
}

// persistent says that the longest run is longer than chance makes it: that of
// all lists one such run would be expected less than once in a million
// recordings, if lists were bad independently, as often as outside of it.
func (r *runs) persistent() bool {
	if r.longest < shortestRun {
		return false
	}
	share := float64(r.bad-r.longest) / float64(max(1, r.n-r.longest))
	return float64(r.n)*math.Pow(share, float64(r.longest)) < 1e-6
}

// spread is a distribution of durations, each to three digits: so there are no
// more than 900 different ones per power of ten.
type spread struct {
	n    int
	bins map[diff.Time]int
}

func (s *spread) add(d diff.Time) {
	if s.bins == nil {
		s.bins = map[diff.Time]int{}
	}
	unit := diff.Time(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	s.n++
	s.bins[(d+unit/2)/unit*unit]++
}

// quantile is the duration that a share q is not longer than; 0 if there is none.
func (s *spread) quantile(q float64) Seconds {
	rest := int(math.Ceil(q * float64(s.n)))
	for _, d := range slices.Sorted(maps.Keys(s.bins)) {
		if rest -= s.bins[d]; rest <= 0 {
			return Seconds(d)
		}
	}
	return 0
}
