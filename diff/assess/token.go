package assess

import (
	"fmt"
	"slices"
	"time"

	"restwatch/diff"
)

// clock is what begin times tell of the upstream's clock. An agent's begin time
// cannot be later, by that clock, than the reading that shows it: so the latest
// begin times, against the times of their readings, bound how far the
// upstream's clock is ahead of ours (less the age of the reply).
type clock struct {
	known  bool
	ahead  int64 // ms, at least
	at     diff.Time
	tokens int // new begin times seen after the first reading
}

// driftPer is in how many milliseconds clocks may drift apart by one; a bound
// is trusted that much less as it gets older.
const driftPer = 10_000

// enoughTokens is how many begin times bring the bound near to the truth.
const enoughTokens = 32

// leastAhead at the time t, in milliseconds.
func (c *clock) leastAhead(t diff.Time) int64 { return c.ahead - int64(t-c.at)/driftPer }

func (c *clock) saw(b, t diff.Time) {
	if lead := int64(b - t); !c.known || lead > c.leastAhead(t) {
		c.known, c.ahead, c.at = true, lead, t
	}
}

// lastInstant is the last millisecond that a begin time may stand for.
func lastInstant(b diff.Time) diff.Time {
	if b%1000 == 0 {
		return b + 999
	}
	return b
}

// since is by how much at most a begin time of reading now is later than the
// time t of ours; negative: by how much at least it is earlier.
func (c *clock) since(t, b, now diff.Time) diff.Time {
	return lastInstant(b) - diff.Time(c.leastAhead(now)) - t
}

// future is how much later than the reading a begin time is that is not
// believed.
const future = diff.Time(time.Hour / time.Millisecond)

// newToken looks at a begin time that is new in a list; before is the list that
// did not show it, nil for the first list.
func (a *Assessment) newToken(s *site, before, now *diff.Snapshot, is *diff.Agent) {
	f, b := &a.facts, is.BeginAt
	if !usualNumber(is.WorkNo) {
		f.UnusualNumbers++
	}
	if is.RequestedSeconds < 1 || is.RequestedSeconds > longestRest {
		f.UnusualLengths++
	}
	if b == 0 {
		return
	}
	f.BeginTimes++
	f.Grain = divisor(f.Grain, int64(b))
	if f.Distinct < enoughBegins && !slices.Contains(a.begins[:f.Distinct], b) {
		a.begins[f.Distinct] = b
		f.Distinct++
	}
	if f.BeginTimes <= maxExamples {
		a.coarse.add(example(s, now, "every beginTime is such a multiple").of(nil, now, nil, is))
	}
	if b%1000 == 0 {
		f.WholeSeconds++
	}
	if b > now.ObservedAt+future {
		f.Future++
		return
	}
	if before != nil {
		a.arrived(s, before, now, is)
		s.clock.tokens++
	}
	s.clock.saw(b, now.ObservedAt)
	if s.clock.tokens >= enoughTokens {
		lead := Seconds(s.clock.leastAhead(now.ObservedAt))
		if f.ClockAhead == nil || lead > *f.ClockAhead {
			f.ClockAhead = &lead
		}
	}
	if s.left[is.WorkNo] == b {
		delete(s.left, is.WorkNo)
	}
}

// arrived compares a new begin time with the list that did not show it: it must
// not be older (A7), nor one that was shown before (A2).
func (a *Assessment) arrived(s *site, before, now *diff.Snapshot, is *diff.Agent) {
	if s.left[is.WorkNo] == is.BeginAt {
		a.returned.add(example(s, now, "was listed, missed in a list that adds up, and is listed again with the same beginTime").
			of(before, now, nil, is))
		return
	}
	a.facts.Arrivals++
	missed := -s.clock.since(before.ShownAt(), is.BeginAt, now.ObservedAt)
	a.facts.LatestArrival = max(a.facts.LatestArrival, Seconds(missed))
	if missed <= diff.TimeOfDuration(a.opt.Slack) {
		return
	}
	what := fmt.Sprintf("beginTime is at least %v older than the list before, which did not show it", Seconds(missed))
	a.late.add(example(s, now, what).of(before, now, nil, is))
}

// certainly says that a's state is known.
func certainly(a *diff.Agent, s diff.State) bool { return a.State == s && a.Certainty == diff.Certain }

// sameBegin looks at an agent whose begin time is as before (A5).
func (a *Assessment) sameBegin(was, is *diff.Agent) {
	if certainly(is, diff.Resting) && was.BeginAt != 0 && was.RequestedSeconds != is.RequestedSeconds {
		a.facts.ProlongedInPlace++
	}
}

// atOnce is too short a time to end a rest, to ask for another, to be allowed
// to and to begin it.
const atOnce diff.Time = 700

// otherBegin looks at an agent who got another begin time. If he rests as
// before, his rest was prolonged, or he has ended it and begun another; only if
// there was no time for that it is known which (A5).
func (a *Assessment) otherBegin(s *site, before, now *diff.Snapshot, was, is *diff.Agent) {
	if !certainly(was, diff.Resting) || !certainly(is, diff.Resting) || was.BeginAt == 0 || is.BeginAt == 0 {
		return
	}
	away := s.clock.since(before.ShownAt(), is.BeginAt, now.ObservedAt)
	// One that is too old tells of clocks, not of agents.
	noTime := away <= atOnce && -away <= diff.TimeOfDuration(a.opt.Slack)
	switch {
	case was.RequestedSeconds != is.RequestedSeconds:
		a.facts.RestsAgainLonger++
		if noTime {
			a.facts.ProlongedMoved++
		}
	case noTime:
		a.facts.RestsAgainAlike++
		what := fmt.Sprintf("rests as before with the same restDuration and another beginTime, %v after the last list at most",
			Seconds(max(0, away)))
		a.again.add(example(s, now, what).of(before, now, was, is))
	default:
		a.facts.RestsAgainAlike++
	}
}

// divisor is the greatest common divisor.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
