package diff

// reportArrival reports an agent who was not known, or only as departed.
func (c *comparison) reportArrival(t *token, n *Agent) {
	c.begin(t, n)
	if c.baseline {
		return
	}
	e := c.arrival(t, n, None)
	sure := t.now.single() && !c.doubt
	var alt kinds
	if !c.isNew(t, n.BeginAt) {
		sure, alt = false, altNone
	}
	if t.now.has(Resting) && c.mayBeUnseen(t) {
		sure, alt = false, alt|altUpdated
		if t.is == Resting {
			e.OccurredAt, e.OccurredAfter = 0, t.seen
		}
	}
	c.emit(n, e, sure, alt|arrivals(t.now&^only(t.is)))
}

// mayBeUnseen says that an agent whom the last list did not show may have
// rested all the time, so that his begin time may be that of a prolongation.
func (c *comparison) mayBeUnseen(t *token) bool {
	if t.grave != nil {
		g := &t.grave.Agent
		return g.candidates().has(Resting) && (g.RequestedSeconds != t.row.Requested || g.BeginAt == 0)
	}
	return c.prev.Quality != Consistent
}

// isNew says that begin time b is not older than the last poll that did not
// show it.
func (c *comparison) isNew(t *token, b Time) bool {
	if b == 0 {
		return t.a != nil || c.prev.Quality == Consistent
	}
	last := c.lastWithout(t)
	if last <= longAgo {
		return false
	}
	return b.bucketEnd()+c.slack() >= last+c.prev.Memory.Clock.behind(c.at)
}

// lastWithout is the last poll that did not show the row of t.
func (c *comparison) lastWithout(t *token) Time {
	if t.a == nil {
		return c.prev.ShownAt()
	}
	return t.seen
}

func (c *comparison) slack() Time { return TimeOfDuration(c.opt.Slack) }

// begin starts a rest with its first sighting.
func (c *comparison) begin(t *token, n *Agent) {
	first := n.BeginAt
	if first == 0 {
		first = c.at
	}
	n.RestID = RestID{n.WorkNo, first}
	c.newToken(t, n)
}

// newToken notes the first sighting of a begin time.
func (c *comparison) newToken(t *token, n *Agent) {
	if n.BeginAt != 0 && n.BeginAt.wholeSecond() {
		n.Memory.FirstSeen = c.at
	}
	c.out.clock.saw(n.BeginAt, c.notYet(t), c.at)
}

// notYet is a time at which the token of t, new in this list, had not begun; 0 if
// none is known.
func (c *comparison) notYet(t *token) Time {
	if t.link == blurred || t.seen <= longAgo { // blurred: it may have been there unseen
		return 0
	}
	if t.a != nil && c.prev.Quality != Consistent {
		return t.seen - TimeOfDuration(tornSpan)
	}
	return t.seen - c.slack()
}
