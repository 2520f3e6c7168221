package diff

// reportMoved reports an agent who was known and has another begin time, or
// one that is not known. t.was and t.is are the guessed states.
func (c *comparison) reportMoved(t *token, n *Agent) {
	old := *t.a
	same := t.link == blurred && t.was == t.is
	if s := old.State; t.was != s {
		old.State = t.was
		stage := &old
		if same && n.BeginAt == old.BeginAt {
			stage = n
		}
		c.correct(t, stage, s, t.was, t.past)
	}
	switch {
	case same:
		c.reportBlurred(t, n, &old)
	case t.was < t.is:
		n.Memory.RestingSince = 0
		c.newToken(t, n)
		c.dies(t, "", 0)
		c.emitArrival(t, n, t.was)
	case t.was == Resting && t.is == Resting && c.runsOn(t):
		c.reportProlonged(t, n, &old)
	default:
		n.Memory = AgentMemory{Anchor: n.Memory.Anchor}
		c.reportDeparture(t, &old, n.BeginAt, c.outcomes(t))
		c.begin(t, n)
		c.emitArrival(t, n, None)
	}
}

// reportBlurred reports an agent in the same state as before, as far as one can
// tell without a begin time.
func (c *comparison) reportBlurred(t *token, n *Agent, old *Agent) {
	c.dies(t, "", 0)
	if n.BeginAt == old.BeginAt {
		c.reportUpdates(t, n, false)
		return
	}
	c.newToken(t, n)
	c.reportProlonged(t, n, old)
}

// reportProlonged reports another begin time in the same state.
func (c *comparison) reportProlonged(t *token, n *Agent, old *Agent) {
	if t.link == moved {
		c.newToken(t, n)
		c.dies(t, "", 0)
	}
	if n.State == Resting && n.Memory.RestingSince == 0 {
		n.Memory.RestingSince = old.BeginAt
	}
	e := c.event(KindUpdated, n, t.was, t.is)
	e.What = "prolong"
	e.window(window{t.seen, c.at})
	alt := c.otherThanUpdate(t)
	if t.link == blurred {
		alt |= altNone
	}
	c.emit(n, e, false, alt)
}

// emitArrival reports the stage that an agent listed before is in now.
func (c *comparison) emitArrival(t *token, n *Agent, from State) {
	e := c.arrival(t, n, from)
	sure := t.now.single() && !c.doubt && c.isNew(t, n.BeginAt)
	alt := arrivals(t.now &^ only(t.is))
	if t.past.has(Resting) && t.now.has(Resting) {
		if t.lengthChanged() {
			sure, alt = false, alt|altUpdated
		}
		if from != None && from != Resting {
			alt |= altEndedStarted
		}
	}
	if t.link == blurred && t.past&t.now != 0 {
		sure, alt = false, alt|altNone
	}
	c.emit(n, e, sure, alt)
}
