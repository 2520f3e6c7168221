package assess

import (
	"fmt"
	"strings"
)

// oddities are what the interface document does not foresee.
func (j *judge) oddities() []string {
	n, list := &j.facts, []string{}
	say := func(count int, format string, args ...any) {
		if count > 0 {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	say(n.UnknownTimes, "%d of %d rows have no usable beginTime: set RESTWATCH_CMS_BEGIN_TIME if the unit was not recognised", n.UnknownTimes, n.Rows)
	say(n.Future, "%d begin times are more than an hour ahead", n.Future)
	say(n.Reasons[unlisted], "%d rows have a reason beyond 0 to 4, told as unknown", n.Reasons[unlisted])
	say(n.UnusualNumbers, "%d new rows have a workNo outside 101..59999 and 70000..999999", n.UnusualNumbers)
	say(n.UnusualLengths, "%d new rows have a restDuration outside 1..%d", n.UnusualLengths, longestRest)
	if n.Distinct == enoughBegins && !n.inSeconds() {
		say(n.WholeSeconds*20/n.BeginTimes, "%d of %d begin times are whole seconds, the others are not: the platform mixes units", n.WholeSeconds, n.BeginTimes)
	}
	return list
}

// mendable is the greatest slack that still makes sense.
const mendable Seconds = 3000

// little is how many events a recording needs to tell anything of a platform.
const little = 100

// meaning says what follows from the findings.
func (j *judge) meaning(all []Finding) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	n := &j.facts
	certain, events := j.tellings.certain()
	if events < little {
		say("Only %d events: record for longer, at a busy time, before relying on the verdicts.", events)
	}
	if broken(all, "A1") {
		say("A1: agents who do not wait have reasons here. Their states are wrong, certain ones included: do not rely on the events.")
	}
	if j.unequal > 0 {
		say("A2: totals and list differ for up to %d lists running. Such lists end nobody's rest at the first miss and only as inferred at the second: "+
			"few events can be certain here, by what single rows tell. Ask the platform's administrator what the totals count.", n.LongestMismatch)
	} else if broken(all, "A2") {
		say("A2: some lists add up and yet are no single instant. Such a list can make an event wrong that is told as certain.")
	}
	j.sayBegins(say)
	if broken(all, "A4") {
		say("A4: an agent may leave and ask again, or move on, and keep his beginTime: events can be missed and states be wrong, certain ones included.")
	}
	if broken(all, "A5") {
		say("A5: prolongations without another restDuration are told as ended and started. Join rests of an agent that follow each other within one poll.")
	}
	if alike := n.RestsAgainAlike; !broken(all, "A5") && alike >= 3 && alike > n.RestsAgainLonger {
		say("A5: %d times an agent rested on with another beginTime and the same length. That looks like prolongations, but none is proven.", alike)
	}
	if broken(all, "A6") {
		say("A6: a certain cancelled may have been a short rest. Set RESTWATCH_DIFF_GAP_LIMIT to %v or less, and poll more often than that.",
			max(1000, n.Shortest-n.Shortest%1000))
	}
	switch {
	case !broken(all, "A7"):
	case n.LatestArrival > mendable:
		say("A7: changes show up to %v late, or the upstream's clock was set back: no slack mends that. Arrivals are told as inferred.", n.LatestArrival)
	default:
		say("A7: set RESTWATCH_DIFF_SLACK to %v or more. Until then occurredAfter and occurredBefore can miss the truth, and with whole seconds certain events can be wrong.",
			(n.LatestArrival/100+1)*100)
	}
	j.sayClock(say)
	if list := verdicts(all, NotTested); len(list) > 0 {
		say("Not tested: %s. What relies on it is as the interface document suggests, no more.", strings.Join(list, ", "))
	}
	if len(verdicts(all, Held)) > 0 && len(verdicts(all, Broken)) == 0 {
		say("Nothing in this recording speaks against an event that is told as certain.")
	}
	if events > 0 {
		say("%s of %d events were certain, with a poll every %v.", percent(certain, events), events, n.Interval)
	}
	return list
}

func (j *judge) sayBegins(say func(string, ...any)) {
	n := &j.facts
	switch c := j.cause(); {
	case c == causeStates:
		say("A3: agents change their state and keep their beginTime. restwatch cannot see it: states can be wrong, certain ones included.")
	case c == causeApprovals && n.Learned == n.VDNs:
		say("A3: approvals do not move beginTime here. restwatch has learned it by itself (last at %v); what was certain before that may have been wrong, "+
			"what was certain since then hardly ever is. Approvals show in the totals alone: more of them stay inferred, and their occurredAt is null.", n.LearnedAt)
	case c == causeApprovals:
		say("A3: approvals do not move beginTime here, and restwatch has learned it in %d of %d VDNs. In the others a certain event may be wrong until it has: "+
			"record for longer, until each has seen some approvals.", n.Learned, n.VDNs)
	case n.Learned > 0:
		say("In %d of %d VDNs restwatch came to believe that approvals do not move beginTime, which this recording does not bear out.", n.Learned, n.VDNs)
	}
}

// notableClock is by how much clocks differ that should be put right.
const notableClock Seconds = 1500

func (j *judge) sayClock(say func(string, ...any)) {
	c := j.facts.ClockAhead
	switch {
	case c == nil:
	case *c > notableClock:
		say("The upstream's clock is at least %v ahead of ours: lengths of rests are too short by that. Synchronise both.", *c)
	case *c < -notableClock:
		say("The upstream's clock is about %v behind ours, or its replies are that old: arrivals look late. Synchronise both.", -*c)
	}
}
