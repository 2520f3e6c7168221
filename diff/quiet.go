package diff

// unchanged says that the reply is what prev was made from, in the totals and
// in every row, and that nothing is pending in prev; and until when that stays
// without effect.
//
// It holds for whole-second begin times too, although their tokens may move on
// unseen: agents only move forward, and if one did, the totals could not all
// be as before.
func (c *comparison) unchanged() (quiet Time, same bool) {
	p := c.prev
	if c.baseline || c.retimed || c.torn || !p.calm() || *p.Memory.Anchor != c.obs.Counts || len(p.Agents) != len(c.rows) {
		return 0, false
	}
	quiet = Never
	for i := range c.rows {
		a, r := &p.Agents[i], &c.rows[i]
		if a.WorkNo != r.WorkNo || a.BeginAt != r.Begin || a.RequestedSeconds != r.Requested ||
			a.BeginAt <= 0 || a.reason() != r.Reason || a.AgentName != r.Name {
			return 0, false
		}
		if a.State == Resting && !a.Overdue {
			quiet = min(quiet, a.deadline()+1)
		}
	}
	return quiet, c.at < quiet
}

// calm says that only another reply, or time, can tell anything new.
func (s *Snapshot) calm() bool {
	m := &s.Memory
	return s.Quality == Consistent && m.Strikes == 0 && m.Anchor != nil &&
		len(m.Gone) == 0 && len(m.Tombstones) == 0
}

// quietUntil is unchanged for a snapshot just made.
func (s *Snapshot) quietUntil() Time {
	if !s.calm() {
		return 0
	}
	quiet := Never
	for i := range s.Agents {
		a := &s.Agents[i]
		if a.BeginAt == 0 {
			return 0
		}
		if a.State == Resting && !a.Overdue {
			quiet = min(quiet, a.deadline()+1)
		}
	}
	return quiet
}

// Touched is s after another poll with the identical reply, observed before
// Result.QuietUntil: exactly what Compare would return, at no cost; without such
// a limit, after any poll that left s as it is. Its age is [Options.Age]. A poll
// that is not newer changes nothing.
func (s *Snapshot) Touched(at, age Time, order Order) Snapshot {
	t := *s
	if !newer(s, at, age, order) {
		return t
	}
	t.PreviousObservedAt = s.ObservedAt
	t.ObservedAt = max(at, s.ObservedAt+1)
	t.Memory.Age = max(0, age)
	if s.Quality == Consistent && s.Memory.Strikes == 0 {
		t.Memory.SureAt = t.ShownAt()
	}
	t.Order = order
	return t
}
