package diff

// weigh narrows the candidates of all tokens by the totals of the anchor and
// of this reading, and deals with readings that contradict what is known.
func (c *comparison) weigh() {
	c.strikes = c.prev.Memory.Strikes
	c.doubt = c.strikes > 0
	if c.torn {
		return
	}
	if c.count() {
		c.strikes, c.doubt = 0, false
		return
	}
	c.doubt = true
	if c.prev.Memory.Strikes == 0 {
		// Most likely the reading is wrong. Keep what is known, without the
		// totals; candidates are back to what they were before count.
		c.strikes = 1
		c.match()
		return
	}
	// The second time what is known must be wrong.
	c.strikes = 0
	c.match()
	if !c.prev.ApprovalKeepsBegin() {
		for i := range c.tokens {
			if t := &c.tokens[i]; t.link == stay && t.past.has(Waiting) {
				t.link = approve
				t.now |= isApproved & byReason(t.row.Reason)
			}
		}
		if c.solved = c.count(); c.solved {
			return
		}
		c.match()
	}
	for i := range c.tokens {
		t := &c.tokens[i]
		if t.row == nil {
			continue
		}
		t.now = byReason(t.row.Reason)
		if t.link == ahead || t.link == approve || t.link == stay {
			t.link, t.past = stay, t.now
		}
	}
	c.count()
}

// count applies the counting step until it teaches nothing more. It returns
// false if the system has no answer; candidates are then of no use.
func (c *comparison) count() bool {
	for {
		s := c.system()
		if !s.feasible() {
			return false
		}
		left := s.solve()
		again := false
		for i := range c.tokens {
			t := &c.tokens[i]
			t.cut(&left)
			is, past, anchored := t.now, t.past, t.anchored
			if !t.connect() {
				return false
			}
			again = again || is != t.now || past != t.past || anchored != t.anchored
		}
		if !again {
			c.counted = true
			return true
		}
	}
}

// system counts all tokens as they are now.
func (c *comparison) system() system {
	var n tally
	anchor, settled := c.prev.Memory.Anchor, both
	if anchor == nil {
		settled = now
	}
	n[settled] = c.settled
	for i := range c.tokens {
		t := &c.tokens[i]
		if t.kept {
			n[both][t.now]++
			continue
		}
		if t.anchored != 0 {
			n[then][t.anchored]++
		}
		if t.row != nil {
			n[now][t.now]++
		}
	}
	return newSystem(&n, anchor, c.obs.Counts)
}

// cut takes over what the counting step has left of the candidates.
func (t *token) cut(left *cuts) {
	if t.kept {
		t.now = left[both][t.now]
		t.past = t.now
		return
	}
	if t.anchored != 0 {
		t.anchored = left[then][t.anchored]
	}
	if t.row != nil {
		t.now = left[now][t.now]
	}
}

// connect applies to the candidates of one token what its link says: which
// pairs of states, then and now, can be. It returns false if none can.
func (t *token) connect() bool {
	if t.kept || t.gone != nil {
		return true
	}
	if t.anchored != 0 {
		if t.a.Memory.Anchor == 0 {
			t.past = t.anchored // nothing was seen of it in between
		} else {
			t.past &= t.anchored.onward()
		}
	}
	switch t.link {
	case stay:
		if !t.broken {
			t.past &= t.now
			t.now = t.past
		}
	case ahead:
		if !t.broken {
			t.past &= t.now.backward()
			t.now &= t.past.onward()
		}
	case approve:
		if !t.broken {
			t.past &= t.now | (t.now&isApproved)>>1
			t.now &= t.past | (t.past&isWaiting)<<1
		}
	}
	if t.anchored != 0 {
		if t.a.Memory.Anchor == 0 {
			t.anchored = t.past
		} else {
			t.anchored &= t.past.backward()
		}
	}
	return (t.now != 0 || t.row == nil) && (t.past != 0 || t.link == fresh)
}
