package diff

import "slices"

// finish puts the new snapshot together.
func (c *comparison) finish() Result {
	p, o := c.prev, &c.out
	s := Snapshot{
		CC: c.obs.VDN.CC, VDN: c.obs.VDN.ID,
		Revision: p.Revision, LastSequence: p.LastSequence + int64(len(o.events)),
		ObservedAt: c.at, PreviousObservedAt: p.ObservedAt,
		Quality: Consistent, Counts: c.obs.Counts, Agents: o.agents, Order: c.obs.Order,
		Memory: Memory{
			Format: Format, Since: p.Memory.Since, Age: c.at - c.shown, SureAt: p.Memory.SureAt,
			Anchor: c.anchor(), Gone: o.gone, Tombstones: o.graves,
			Strikes: c.strikes, Approvals: p.Memory.Approvals, Clock: o.clock,
		},
	}
	if c.baseline {
		s.Memory.Since = c.at
	}
	if c.torn {
		s.Quality = Inconsistent
	} else if c.strikes == 0 {
		s.Memory.SureAt = c.shown
	}
	if c.solved {
		s.Memory.Approvals++
	}
	commit := c.baseline || c.retimed || len(o.events) > 0 || o.changed || !sameButTimes(p, &s)
	if commit {
		s.Revision++
		s.Baseline = c.baseline
	} else {
		s.Baseline = p.Baseline
	}
	return Result{Snapshot: s, Events: o.events, Commit: commit, QuietUntil: s.quietUntil()}
}

// anchor is what the next reading is counted against.
func (c *comparison) anchor() *Counts {
	switch p := c.prev.Memory.Anchor; {
	case c.torn:
		return p
	case c.strikes > 0:
		return nil
	case p != nil && *p == c.obs.Counts:
		return p
	default:
		n := c.obs.Counts
		return &n
	}
}

// sameButTimes compares what of two snapshots is not about single agents.
func sameButTimes(p, s *Snapshot) bool {
	m, n := &p.Memory, &s.Memory
	return p.Quality == s.Quality && p.Counts == s.Counts && m.Strikes == n.Strikes && m.Approvals == n.Approvals &&
		(m.Anchor == nil) == (n.Anchor == nil) && (m.Anchor == nil || *m.Anchor == *n.Anchor) &&
		slices.Equal(m.Gone, n.Gone)
}
