package diff

// result collects what a comparison gives.
type result struct {
	agents  []Agent
	graves  []Tombstone
	gone    []Departure
	clock   Clock
	events  []Event
	changed bool // something other than times is not as in prev
}

// report turns the guesses into events and the new snapshot.
func (c *comparison) report() Result {
	c.out.agents = make([]Agent, 0, max(len(c.rows), len(c.prev.Agents)))
	c.out.clock = c.prev.Memory.Clock
	c.out.events = make([]Event, 0, c.expected())
	from := 0
	for i := range c.tokens {
		t := &c.tokens[i]
		c.keep(c.prev.Agents[from:t.at])
		from = t.at
		if t.a != nil && !t.risen {
			from++
		}
		switch {
		case t.gone != nil:
			c.reportGone(t)
		case t.ghost:
			c.keepGhost(t)
		case t.row == nil:
			c.reportVanished(t)
		default:
			c.reportListed(t)
		}
	}
	c.keep(c.prev.Agents[from:])
	c.keepGraves()
	return c.finish()
}

// expected is about how many events there will be.
func (c *comparison) expected() int {
	if c.baseline {
		return 0
	}
	n := 0
	for i := range c.tokens {
		if t := &c.tokens[i]; t.link != stay && t.gone == nil && !t.ghost {
			n++
		}
	}
	return n + n/2
}

// keep takes over agents about whom nothing is new.
func (c *comparison) keep(agents []Agent) {
	from := len(c.out.agents)
	c.out.agents = append(c.out.agents, agents...)
	for i := range agents {
		// Settled agents are those whose bucket is closed for good.
		if agents[i].Memory.FirstSeen != 0 {
			c.out.agents[from+i].Memory.FirstSeen = 0
		}
	}
}

// reportListed reports an agent who is in the list.
func (c *comparison) reportListed(t *token) {
	n := Agent{
		WorkNo: t.row.WorkNo, AgentName: t.row.Name, State: t.is, Certainty: Certain,
		BeginAt: t.row.Begin, RequestedSeconds: t.row.Requested,
	}
	if !t.now.single() || c.strikes > 0 {
		n.Certainty, n.Candidates = Inferred, States(t.now)
	}
	if t.is == Waiting {
		n.WaitReason = c.reasonOf(t)
	}
	if c.torn {
		n.Memory.Anchor = t.relation()
	}
	if t.link == fresh {
		c.reportArrival(t, &n)
	} else {
		c.reportKnown(t, &n)
	}
	if n.Certainty == Certain {
		n.Memory.announced(nil)
	}
	c.reportOverdue(t, &n)
	if t.a == nil || t.risen || !n.equal(t.a) {
		c.out.changed = true
	}
	c.out.agents = append(c.out.agents, n)
}

// reasonOf is the wait reason of a waiting agent, shared with the previous
// snapshot where it is the same.
func (c *comparison) reasonOf(t *token) *WaitReason {
	if t.a != nil && t.a.WaitReason != nil && t.a.WaitReason.Code == t.row.Reason {
		return t.a.WaitReason
	}
	r := ReasonOf(t.row.Reason)
	return &r
}

// relation is how the token of the row relates to the anchor after an
// inconsistent list, which leaves the anchor as it is.
func (t *token) relation() set {
	switch {
	case t.kept:
		return 0
	case t.anchored != 0 && t.link != moved && t.link != blurred:
		return t.anchored
	}
	return notInAnchor
}

// equal says that nothing but times differs.
func (a *Agent) equal(b *Agent) bool {
	m, n := a.Memory, b.Memory
	m.FirstSeen, m.LastSeen, n.FirstSeen, n.LastSeen = 0, 0, 0, 0
	return a.WorkNo == b.WorkNo && a.AgentName == b.AgentName && a.State == b.State && a.Certainty == b.Certainty &&
		a.Candidates == b.Candidates && a.RestID == b.RestID && a.BeginAt == b.BeginAt &&
		a.RequestedSeconds == b.RequestedSeconds && a.reason() == b.reason() && a.Overdue == b.Overdue &&
		(a.WaitReason == nil) == (b.WaitReason == nil) && m == n
}

// reportKnown reports an agent who was known before and is listed.
func (c *comparison) reportKnown(t *token, n *Agent) {
	a := t.a
	n.RestID = a.RestID
	if t.past.has(Resting) { // else what seemed prolonged was over, and this is another
		n.Memory.RestingSince = a.Memory.RestingSince
	}
	n.Memory.Event, n.Memory.Corrected, n.Memory.Updated = a.Memory.Event, a.Memory.Corrected, a.Memory.Updated
	if t.link == moved || t.link == blurred {
		c.reportMoved(t, n)
		return
	}
	if !c.prev.closed(a, c.opt) && !t.risen {
		n.Memory.FirstSeen = a.Memory.FirstSeen
	}
	n.Memory.Loose = a.Memory.Loose || t.link != stay && t.past != t.now
	switch {
	case t.risen:
		c.reportRisen(t, n)
	case t.link == stay:
		c.reportStay(t, n)
	default:
		c.reportAhead(t, n)
	}
}
