package diff

// outcomes is every departure that there may have been of a token, altNone if
// perhaps there was none.
func (c *comparison) outcomes(t *token) kinds {
	var k kinds
	for s := Waiting; s <= Resting; s++ {
		if !t.past.has(s) {
			continue
		}
		if t.row == nil {
			k |= c.departures(t, s)
			continue
		}
		for x := Waiting; x <= Resting; x++ {
			switch {
			case !t.now.has(x):
			case s < x, s == x && t.link == blurred:
				k |= altNone
			case s == Resting && x == Resting && t.lengthChanged():
				k |= altUpdated | altEnded
			default:
				k |= c.departures(t, s)
			}
		}
	}
	if t.row == nil && (c.torn || c.doubt) {
		k |= altNone
	}
	return k
}

// departures is how an agent last listed in state s may have departed. In a
// long gap he may have rested before.
func (c *comparison) departures(t *token, s State) kinds {
	k := altOfDeparture(s)
	if s != Resting && c.longUnseen(t) {
		k |= altEnded
	}
	return k
}

// longUnseen says that a whole rest may have been since the agent was last
// listed (A6).
func (c *comparison) longUnseen(t *token) bool {
	return c.at-t.seen >= TimeOfDuration(c.opt.GapLimit)
}

// reportVanished reports an agent who is no longer listed.
func (c *comparison) reportVanished(t *token) {
	old := *t.a
	if !t.past.has(old.State) {
		c.correct(t, &old, old.State, t.was, t.past)
	}
	old.State = t.was
	event := c.reportDeparture(t, &old, 0, c.outcomes(t))
	if c.torn || c.doubt {
		g := Tombstone{Agent: *t.a, Kind: kindOfDeparture(t.was), Event: event, Polls: tombstonePolls}
		g.Agent.Memory.LastSeen = t.seen
		if c.prev.closed(t.a, c.opt) {
			g.Agent.Memory.FirstSeen = 0
		}
		c.out.graves = append(c.out.graves, g)
	}
	c.out.changed = true
}

// reportDeparture reports that the agent left the rest old; next is the begin
// time of what he did then. It returns the event's sequence.
func (c *comparison) reportDeparture(t *token, old *Agent, next Time, k kinds) int64 {
	e := c.event(kindOfDeparture(old.State), old, old.State, None)
	e.WaitReason = nil
	e.window(left(next, t.seen, c.at))
	if old.State == Resting && old.BeginAt != 0 {
		least := 0
		if t.past == isResting || !c.longUnseen(t) {
			least = wholeSeconds(old.BeginAt.bucketEnd(), t.seen-c.slack())
		}
		most := max(least, wholeSeconds(old.restingSince(), e.OccurredBefore))
		over := old.secondsOver(e.OccurredBefore)
		e.ElapsedSeconds, e.ElapsedSecondsMin, e.OverdueSeconds = &most, &least, &over
	}
	own := altOfDeparture(old.State)
	sure := k == own && !c.torn && !c.doubt
	sequence := c.emit(old, e, sure, k&^own)
	c.dies(t, e.Kind, sequence)
	return sequence
}

// dies remembers, after an inconsistent list, a token of the anchor that is no
// longer listed, and what was said of it.
func (c *comparison) dies(t *token, said Kind, event int64) {
	if !c.torn || t.anchored == 0 {
		return
	}
	c.out.gone = append(c.out.gone, Departure{
		WorkNo: t.a.WorkNo, AgentName: t.a.AgentName, RestID: t.a.RestID, BeginAt: t.a.BeginAt,
		Requested: t.a.RequestedSeconds, States: t.anchored,
		Kind: said, Event: event, Gap: int64(c.at - t.seen),
	})
}

// reportGone carries a vanished token of the anchor on, or takes back what was
// said of its departure if the totals prove it wrong.
func (c *comparison) reportGone(t *token) {
	g := t.gone
	if c.torn {
		c.out.gone = append(c.out.gone, *g)
		return
	}
	c.out.changed = true
	if !c.counted || g.Event == 0 {
		return
	}
	long := g.Gap >= int64(TimeOfDuration(c.opt.GapLimit))
	var truth Kind
	switch {
	case g.Kind == KindEnded && !t.anchored.has(Resting) && !long:
		truth = KindCancelled
	case g.Kind == KindCancelled && t.anchored == isResting:
		truth = KindEnded
	default:
		return
	}
	a := Agent{WorkNo: g.WorkNo, AgentName: g.AgentName, RestID: g.RestID, BeginAt: g.BeginAt, RequestedSeconds: g.Requested}
	e := c.correction(t, &a, None, None)
	said := Event{RestID: g.RestID, Kind: g.Kind, Sequence: g.Event}
	id := said.ID()
	e.Correction = &Correction{Corrects: &id, Was: g.Kind, Now: truth}
	c.emit(&a, e, !c.doubt, 0)
}
