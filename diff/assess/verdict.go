package assess

import (
	"fmt"

	"restwatch/diff"
)

// reasons is the finding on A1.
func (j *judge) reasons() Finding {
	f := Finding{
		Assumption: "A1", Claim: "rows are true, and a reason other than 0 means waiting", Tested: j.facts.Reasoned,
		Why:      "if others had reasons too, lists that add up would now and then show more reasons than agents wait",
		untested: "no list of the right length showed a reason",
	}
	f.note(fmt.Sprintf("%d of %d lists of the right length show reasons, %d of them one for everybody who waits: there a single false one would have shown",
		j.facts.Reasoned, j.adding(), j.facts.Tight))
	if j.facts.Excess > 0 {
		f.note(fmt.Sprintf("%d lists have more reasons than agents wait", j.facts.Excess))
	}
	f.note("that a waiting agent's row is not out of date cannot be seen")
	return f.decide(j.oddReasons, j.excess)
}

// adding is how many lists have the length that their totals promise.
func (j *judge) adding() int {
	f := &j.facts
	return f.Lists - f.WrongLength - f.Twice - f.Pages
}

// totals is the finding on A2. Contradictions that nothing else explains count
// against it.
func (j *judge) totals() Finding {
	f := Finding{
		Assumption: "A2", Claim: "totals that add up to the list describe the same instant as the list", Tested: j.facts.Compared,
		Why:      "the totals changed only as the agents who came, went or got another beginTime allow",
		untested: "no two lists that add up differ",
	}
	n := &j.facts
	f.note(fmt.Sprintf("%d of %d lists are no single instant (%s): %d of another length than their totals promise, %d with an agent twice, %d of several pages that never agreed",
		n.Lists-j.adding(), n.Lists, percent(n.Lists-j.adding(), n.Lists), n.WrongLength, n.Twice, n.Pages))
	switch {
	case j.unequal > 0:
		f.note(fmt.Sprintf("up to %d in a row, too many for chance: the totals count something else", n.LongestMismatch))
	case n.LongestMismatch > 0:
		f.note(fmt.Sprintf("at most %d in a row, as chance makes it", n.LongestMismatch))
	}
	against, _ := j.against()
	if against > 0 {
		f.note(fmt.Sprintf("%d times the totals changed in another reading than the list", against))
	}
	if j.returned.n > 0 {
		f.note(fmt.Sprintf("%d agents were missed in a list that adds up", j.returned.n))
	}
	if j.contradicted.n > 0 {
		f.note(fmt.Sprintf("%d readings contradict what those before had told together", j.contradicted.n))
	}
	against += j.unequal + j.returned.n
	m := &j.mismatches
	examples := []evidence{j.disagree, j.returned, m.othersLate, m.approvalsLate}
	if against == 0 && !j.otherCause() {
		against, examples = j.contradicted.n, []evidence{j.contradicted}
	}
	if against > 0 {
		f.Why = "totals and list disagree"
	}
	return f.decide(against, examples...)
}

// otherCause says that another broken assumption explains contradictions.
func (j *judge) otherCause() bool {
	_, begins := j.against()
	return j.oddReasons+begins > 0 || j.reused.n > 0 || j.facts.tooCoarse()
}

// begins is the finding on A3.
func (j *judge) begins() Finding {
	n, m := &j.facts, &j.mismatches
	f := Finding{
		Assumption: "A3", Claim: "every change of state moves beginTime, an approval too", Tested: n.ApprovalsMoved + n.TellingApprovals,
		Why: "approvals came with another beginTime", untested: "no approval was seen for certain",
	}
	f.note(fmt.Sprintf("of the only agent who changed between two lists, so that the totals tell his move: %d approvals with another beginTime, %d starts",
		n.ApprovalsMoved, n.StartsMoved))
	f.note(fmt.Sprintf("from all lists together: %d certain approvals with another beginTime", n.TellingApprovals))
	_, against := j.against()
	switch j.cause() {
	case causeApprovals:
		f.Why = "waiting fell and approved rose while nobody's beginTime moved that could account for it, and neither the list before nor the next one tells"
		f.note(fmt.Sprintf("%d approvals kept beginTime; restwatch has learned it in %d of %d VDNs", against, n.Learned, n.VDNs))
		return f.decide(against, m.approvals, j.found)
	case causeStates:
		f.Why = "totals changed while nobody's beginTime moved that could account for it, and neither the list before nor the next one tells"
	case causeTotals:
		f.note("the totals and the list are not of one instant (A2), which hides whether beginTime moves")
		f.Tested, f.untested = 0, "see A2"
	}
	return f.decide(against, m.others, m.approvals)
}

// grain is the finding on A4.
func (j *judge) grain() Finding {
	n := &j.facts
	f := Finding{Assumption: "A4", Claim: "no list falls into the millisecond of a double change; with whole seconds, nobody leaves and asks again within one"}
	switch {
	case n.Distinct < enoughBegins:
		f.untested = fmt.Sprintf("only %d different begin times were seen", n.Distinct)
	case n.tooCoarse():
		f.Tested = n.BeginTimes
		f.Why = fmt.Sprintf("beginTime moves in steps of %v; restwatch can deal with a second at most", Seconds(n.Grain))
		return f.decide(n.BeginTimes, j.coarse)
	case n.inSeconds():
		f.Tested = n.OpenPairs
		f.Why = "beginTime is whole seconds; only lists that fall into the second of a beginTime can show it"
		f.untested = f.Why + ", and none did"
		f.note(fmt.Sprintf("%d pairs of lists where only an agent within his second may have changed, %d of them moved on", n.OpenPairs, n.SameSecond))
	default:
		f.Verdict = Untestable
		f.Why = "beginTime has milliseconds: two changes in one leave a single beginTime, as one change does"
		f.note(fmt.Sprintf("begin times are multiples of %v; %d of %d are whole seconds", Seconds(n.Grain), n.WholeSeconds, n.BeginTimes))
	}
	if j.reused.n > 0 {
		f.Why = "agents went back to an earlier state under the same beginTime"
	}
	return f.decide(j.reused.n, j.reused)
}

// lengths is the finding on A5.
func (j *judge) lengths() Finding {
	n := &j.facts
	f := Finding{
		Assumption: "A5", Claim: "a prolongation of a running rest always changes restDuration", Tested: n.ProlongedInPlace + n.ProlongedMoved,
		Why: "every prolongation seen changed restDuration", untested: "no prolongation was seen for certain",
	}
	f.note(fmt.Sprintf("prolonged: %d with the same beginTime, %d with another", n.ProlongedInPlace, n.ProlongedMoved))
	if rest := n.RestsAgainLonger - n.ProlongedMoved; rest > 0 {
		f.note(fmt.Sprintf("%d more rest on with another beginTime and another length: prolonged or resting anew, the list does not tell", rest))
	}
	if rest := n.RestsAgainAlike - j.again.n; rest > 0 {
		f.note(fmt.Sprintf("%d rest on with another beginTime and the same length, with time for a new rest in between", rest))
	}
	if j.again.n > 0 {
		f.Why = fmt.Sprintf("agents rest on with another beginTime and the same length, and had %v at most for ending a rest and beginning another",
			Seconds(atOnce))
	}
	return f.decide(j.again.n, j.again)
}

// rests is the finding on A6.
func (j *judge) rests() Finding {
	n := &j.facts
	limit := Seconds(diff.TimeOfDuration(j.opt.GapLimit))
	f := Finding{
		Assumption: "A6", Claim: fmt.Sprintf("no whole rest fits into a gap between polls shorter than %v", limit), Tested: n.Rests,
		Why:      fmt.Sprintf("no rest seen to its end was shorter than %v", limit),
		untested: "no rest was seen to its end after enough begin times to compare the clocks",
	}
	if n.Rests > 0 {
		f.note(fmt.Sprintf("the shortest of %d rests lasted %v at most; below 10 s: %d, below 20 s: %d",
			n.Rests, n.Shortest, n.RestsBelow10, n.RestsBelow20))
		f.note(fmt.Sprintf("rests shorter than the time between polls (%v) are mostly not seen at all", n.Interval))
	}
	if j.short.n > 0 {
		f.Why = "shorter rests were seen"
	}
	if n.Interval >= limit {
		f.note(fmt.Sprintf("polls are %v apart: cancelled is never certain, so nothing relies on this", n.Interval))
	}
	return f.decide(j.short.n, j.short)
}

// clocks is the finding on A7.
func (j *judge) clocks() Finding {
	n := &j.facts
	slack := Seconds(diff.TimeOfDuration(j.opt.Slack))
	f := Finding{
		Assumption: "A7", Claim: fmt.Sprintf("our clock's rate is right, and replies vary in age by less than %v", slack), Tested: n.Arrivals,
		Why:      fmt.Sprintf("no new beginTime was more than %v older than a list that did not show it", slack),
		untested: "no agent came or moved on between two lists that add up",
	}
	f.note(fmt.Sprintf("the oldest was at least %v older; whether our clock's rate is right cannot be seen", n.LatestArrival))
	if n.ClockAhead != nil {
		f.note(fmt.Sprintf("newest beginTime against our clock: %+.3f s, which is what the upstream's clock is ahead, less the age of a reply", float64(*n.ClockAhead)/1000))
	}
	if j.late.n > 0 {
		f.Why = "changes showed up later than in the first list after them"
	}
	return f.decide(j.late.n, j.late)
}

func percent(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}
