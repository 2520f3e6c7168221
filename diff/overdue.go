package diff

// reportOverdue says whether n rests longer than asked for, and reports it
// when it begins.
func (c *comparison) reportOverdue(t *token, n *Agent) {
	n.Overdue = t.is == Resting && c.at > n.deadline()
	if !n.Overdue || c.baseline {
		return
	}
	same := t.a != nil && t.a.RestID == n.RestID
	if same && t.a.Overdue {
		return
	}
	if same && t.a.State != Resting && t.a.BeginAt == n.BeginAt && t.a.deadline() < c.prev.Memory.Since {
		return // he was overdue in the first snapshot, which took him for another state
	}
	e := c.event(KindOverdue, n, Resting, Resting)
	if same && t.a.RequestedSeconds != n.RequestedSeconds {
		e.window(window{t.seen, c.at})
	} else {
		e.window(overdueWindow(n.deadline(), n.BeginAt, t.seen, c.at))
	}
	// He was seen resting at c.shown or later; if that is not late enough, he
	// may have ended in time while the reply was on its way.
	late := c.shown > n.deadline()
	rested := max(c.shown, n.deadline()+1)
	elapsed, over := wholeSeconds(n.restingSince(), rested), n.secondsOver(rested)
	e.ElapsedSeconds, e.OverdueSeconds = &elapsed, &over
	// The begin time is by the upstream's clock: if that is behind, the time is
	// not over yet.
	sure := late && t.now.single() && !c.doubt && c.out.clock.passed(n.deadline(), n.BeginAt, c.shown+c.slack())
	c.emit(n, e, sure, altNone)
}

// restingSince is when the rest of a, who is resting, began.
func (a *Agent) restingSince() Time {
	if a.Memory.RestingSince != 0 {
		return a.Memory.RestingSince
	}
	return a.BeginAt
}

// secondsOver is by how much a, resting until t, rests longer than asked for.
// The length asked for counts from the begin time, also of a prolonged rest
// that had begun before it.
func (a *Agent) secondsOver(t Time) int {
	if a.RequestedSeconds <= 0 || a.BeginAt == 0 {
		return 0
	}
	return max(0, wholeSeconds(a.BeginAt, t)-a.RequestedSeconds)
}

// longest is the longest rest that is reckoned with, in seconds; the interface
// document ends at 86399.
const longest = 1_000_000_000

// deadline is the last instant at which a, resting, is not overdue.
func (a *Agent) deadline() Time {
	if a.BeginAt == 0 || a.RequestedSeconds <= 0 {
		return Never - 1
	}
	return a.BeginAt + Time(min(a.RequestedSeconds, longest))*1000
}
