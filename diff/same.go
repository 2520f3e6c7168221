package diff

// reportStay reports a token that has one state for its whole life.
func (c *comparison) reportStay(t *token, n *Agent) {
	if t.is != t.a.State {
		c.correct(t, n, t.a.State, t.is, t.now)
	}
	c.reportUpdates(t, n, t.now.single())
}

// correct says that an agent believed to be in state s is, or was, in state x;
// c0 are the states that it may be in truth.
func (c *comparison) correct(t *token, n *Agent, s, x State, c0 set) {
	alt := arrivals(c0 &^ only(s) &^ only(x))
	if x > s && !t.broken && (t.a.Memory.Loose || t.a.candidates().single()) {
		// What was said was right when it was made: a forward move noticed late.
		e := c.event(kindOfArrival(x), n, s, x)
		w := entered(n.BeginAt, min(t.seen, n.BeginAt-1), c.at)
		if c0.has(s) { // then he may have moved on only now
			w.before = c.at
		}
		e.window(w)
		c.emit(n, e, false, alt|altNone)
		return
	}
	switch {
	case !c0.has(s):
	case t.link == ahead && !t.now.has(s): // then he has moved on since
		alt |= arrivals(t.now)
	default:
		alt |= altNone
	}
	c.emit(n, c.correction(t, n, s, x), c0.single() && !c.doubt && !t.broken, alt)
}

// reportAhead reports a token that may have moved on under the same begin time.
func (c *comparison) reportAhead(t *token, n *Agent) {
	s := t.a.State
	if t.broken {
		if t.is != s {
			c.correct(t, n, s, t.is, t.now)
		}
		c.reportUpdates(t, n, false)
		return
	}
	if !t.past.has(s) || t.is < s || t.was != s && t.was == t.is {
		c.correct(t, n, s, t.was, t.past)
		s = t.was
	}
	if t.is == s {
		c.reportUpdates(t, n, t.now == t.past && t.now.single())
		return
	}
	e := c.arrival(t, n, s)
	if c.solved {
		e.OccurredAfter = min(e.OccurredAfter, c.prev.Memory.SureAt)
	}
	alt := arrivals(t.now & s.later() &^ only(t.is))
	late := t.past&t.now != 0
	if late {
		// He may have been there already when last listed.
		e.OccurredAt = 0
		e.OccurredAfter = min(e.OccurredAfter, n.BeginAt-1)
		alt |= altNone
	}
	c.emit(n, e, t.now.single() && !late && !c.doubt, alt)
}

// later is the set of states after s.
func (s State) later() set { return only(s).onward() &^ only(s) }

// reportUpdates reports changes within a stage.
func (c *comparison) reportUpdates(t *token, n *Agent, certain bool) {
	a := t.a
	if a.RequestedSeconds != n.RequestedSeconds {
		c.update(t, n, "duration", certain)
	}
	if a.State == Waiting && t.is == Waiting && a.reason() != n.reason() {
		c.update(t, n, "reason", certain)
	}
}

func (c *comparison) update(t *token, n *Agent, what string, certain bool) {
	e := c.event(KindUpdated, n, t.is, t.is)
	e.What = what
	e.window(window{t.seen, c.at})
	c.emit(n, e, certain && !c.doubt, c.otherThanUpdate(t))
}

// otherThanUpdate is what a token that is still listed may have done instead of
// staying in its state.
func (c *comparison) otherThanUpdate(t *token) kinds {
	var k kinds
	for s := Waiting; s <= Resting; s++ {
		for x := Waiting; x <= Resting; x++ {
			switch {
			case !t.past.has(s) || !t.now.has(x) || !t.can(s, x):
			case s < x:
				k |= arrivals(only(x))
			case t.link != moved && t.link != blurred:
			case s == Resting && x == Resting:
				k |= altEndedStarted
			default:
				k |= c.departures(t, s) | arrivals(only(x))
			}
		}
	}
	return k
}
