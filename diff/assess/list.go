package assess

import (
	"fmt"

	"restwatch/diff"
)

// readList looks at one reading by itself (A1, A2) and at what is odd in it.
func (a *Assessment) readList(s *site, o *diff.Observation) {
	f, n := &a.facts, len(o.Rows)
	f.Lists++
	f.Rows += n
	reasons, twice := 0, 0
	for i := range o.Rows {
		r := &o.Rows[i]
		f.Reasons[reasonColumn(r.Reason)]++
		if r.Reason != 0 {
			reasons++
		}
		if r.Begin == 0 {
			f.UnknownTimes++
		}
		if i > 0 && o.Rows[i-1].WorkNo == r.WorkNo {
			twice++
		}
	}
	sum := o.Counts.Sum()
	var what string
	switch {
	case o.Torn:
		f.Pages++
		what = "pages never agreed"
	case twice > 0:
		f.Twice++
		what = fmt.Sprintf("%d agents listed twice", twice)
	case sum != n:
		f.WrongLength++
		what = fmt.Sprintf("totals promise %d agents, %d are listed", sum, n)
	case min(o.Counts.Waiting, o.Counts.Approved, o.Counts.Resting) < 0:
		f.WrongLength++
		what = "a total is negative"
	}
	if s.totals.saw(what != "") == shortestRun {
		a.disagree.add(readExample(s, o, fmt.Sprintf("%s, as in the %d readings before", what, shortestRun-1), 0))
	}
	if what != "" {
		return
	}
	excess := reasons > o.Counts.Waiting
	if reasons > 0 {
		f.Reasoned++
	}
	if reasons > 0 && reasons == o.Counts.Waiting {
		f.Tight++
	}
	if excess {
		f.Excess++
	}
	if s.reasons.saw(excess) == shortestRun {
		what := fmt.Sprintf("%d agents have a reason, %d wait; more than wait also in the %d readings before",
			reasons, o.Counts.Waiting, shortestRun-1)
		a.excess.add(readExample(s, o, what, maxExamples))
	}
}

// readExample shows up to so many rows with a reason.
func readExample(s *site, o *diff.Observation, what string, rows int) Example {
	counts := o.Counts
	x := Example{CC: s.vdn.CC, VDN: s.vdn.ID, ObservedAt: o.At, What: what, Counts: &counts}
	for i := range o.Rows {
		if r := &o.Rows[i]; r.Reason != 0 && len(x.Rows) < rows {
			x.Rows = append(x.Rows, Row{o.At, r.WorkNo, r.Reason, r.Begin, r.Requested})
		}
	}
	return x
}

// unlisted is the column of reason codes that the interface document lacks.
const unlisted = 5

func reasonColumn(code int) int {
	if code < 0 || code >= unlisted {
		return unlisted
	}
	return code
}

// The numbers of agents that real platforms were seen to use, and the longest
// rest that can be asked for.
func usualNumber(no int) bool { return no >= 101 && no <= 59_999 || no >= 70_000 && no <= 999_999 }

const longestRest = 86_399 // seconds
