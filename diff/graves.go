package diff

import "slices"

// An inconsistent list need not show everybody. Who is missing from one for the
// first time is kept as a ghost; the second time in a row his departure is
// inferred, and a tombstone allows taking that back.

// keepGhost keeps an agent who is missing from an inconsistent list for the
// first time, with his last sighting.
func (c *comparison) keepGhost(t *token) {
	a := *t.a
	a.Memory.Misses = 1
	a.Memory.LastSeen = t.seen
	if c.prev.closed(t.a, c.opt) {
		a.Memory.FirstSeen = 0
	}
	c.out.changed = true
	c.out.agents = append(c.out.agents, a)
}

// reportRisen takes back the departure of an agent who was there all the time.
func (c *comparison) reportRisen(t *token, n *Agent) {
	e := c.correction(t, n, None, t.is)
	id := t.grave.id()
	e.Correction = &Correction{Corrects: &id, Was: t.grave.Kind, Now: KindNone}
	c.emit(n, e, !c.doubt && t.now.single(), 0)
	c.reportUpdates(t, n, t.now.single())
}

func (g *Tombstone) id() string {
	e := Event{RestID: g.Agent.RestID, Kind: g.Kind, Sequence: g.Event}
	return e.ID()
}

// keepGraves carries on the tombstones that nobody has risen from.
func (c *comparison) keepGraves() {
	fresh := len(c.out.graves)
	listed := c.tokens
	for _, g := range c.prev.Memory.Tombstones {
		for len(listed) > 0 && (listed[0].grave == nil || listed[0].grave.Agent.WorkNo < g.Agent.WorkNo) {
			listed = listed[1:]
		}
		if len(listed) > 0 && listed[0].grave.Agent.WorkNo == g.Agent.WorkNo {
			continue
		}
		if g.Polls--; g.Polls > 0 {
			c.out.graves = append(c.out.graves, g)
		}
	}
	if fresh > 0 && len(c.out.graves) > fresh {
		sortGraves(c.out.graves)
	}
}

func sortGraves(g []Tombstone) {
	slices.SortFunc(g, func(a, b Tombstone) int { return order(a.Agent.WorkNo, b.Agent.WorkNo) })
}
