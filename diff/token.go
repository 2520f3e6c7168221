package diff

import "slices"

// link is how the state of a token may differ from that of the agent's token
// in the previous snapshot.
type link uint8

const (
	fresh   link = iota // the agent was not in the snapshot
	stay                // the same token: the same state
	ahead               // the same token in an open bucket: the same or a later state
	approve             // the same token, approvals keep it: the same, or waiting -> approved
	moved               // another token: any state
	blurred             // a begin time is unknown: perhaps the same token, perhaps not
	vanish              // no longer listed
)

// token is an agent about whom this reading can tell something, with all that
// is known of him before (a, past) and now (row, now).
type token struct {
	link link
	a    *Agent // in the previous snapshot; nil if not there
	row  *Row   // in this reading; nil if not there
	at   int    // where a is in the previous snapshot, or would be
	seen Time   // when a was last listed, at the earliest; if there is none, when nobody was there for certain

	past set // states in which he may have been when last listed
	now  set // states in which he may be

	// anchored are the states in which his token of the anchor may have been,
	// 0 if there was none or it is kept. kept: the token of the anchor is that
	// of the row, in the same state.
	anchored set
	kept     bool

	ghost  bool       // missing from a torn list for the first time: nothing follows
	broken bool       // the row contradicts what was known of the token
	grave  *Tombstone // of this agent
	risen  bool       // a is the grave's: he was there all the time
	gone   *Departure // no agent at all, but one who vanished since the anchor

	// was is the best guess of the state when last listed, is of that now;
	// None where there is no token. Until guess they are the standing ones.
	was, is State
}

// match joins the previous snapshot with the rows. All agents become tokens
// but those of whom nothing can be learned.
func (c *comparison) match() {
	c.settled = [8]int{}
	if c.tokens = c.tokens[:0]; c.tokens == nil {
		c.tokens = make([]token, 0, 16+abs(len(c.rows)-len(c.prev.Agents))+c.prev.inferred())
	}
	all := c.baseline || c.prev.Memory.Strikes > 0 || c.doubt
	agents, rows := c.prev.Agents, c.rows
	graves, gone := c.prev.Memory.Tombstones, c.prev.Memory.Gone
	for len(agents) > 0 || len(rows) > 0 {
		c.joined = len(c.prev.Agents) - len(agents)
		for len(gone) > 0 && (len(agents) == 0 || gone[0].WorkNo <= agents[0].WorkNo) &&
			(len(rows) == 0 || gone[0].WorkNo <= rows[0].WorkNo) {
			c.add(token{gone: &gone[0], anchored: gone[0].States})
			gone = gone[1:]
		}
		switch {
		case len(rows) == 0 || len(agents) > 0 && agents[0].WorkNo < rows[0].WorkNo:
			c.lost(&agents[0])
			agents = agents[1:]
		case len(agents) == 0 || rows[0].WorkNo < agents[0].WorkNo:
			for len(graves) > 0 && graves[0].Agent.WorkNo < rows[0].WorkNo {
				graves = graves[1:]
			}
			var grave *Tombstone
			if len(graves) > 0 && graves[0].Agent.WorkNo == rows[0].WorkNo {
				grave = &graves[0]
			}
			c.arrived(&rows[0], grave)
			rows = rows[1:]
		default:
			if a, r := &agents[0], &rows[0]; all || !c.isSettled(a, r) {
				c.again(a, r, c.prev.sighting(a))
			} else {
				c.settled[only(a.State)]++
			}
			agents, rows = agents[1:], rows[1:]
		}
	}
	c.joined = len(c.prev.Agents)
	for i := range gone {
		c.add(token{gone: &gone[i], anchored: gone[i].States})
	}
}

// add puts t at the place in the previous snapshot that match has come to.
func (c *comparison) add(t token) {
	t.at = c.joined
	c.tokens = append(c.tokens, t)
}

// inferred counts the agents of inferred state.
func (s *Snapshot) inferred() int {
	n := 0
	for i := range s.Agents {
		if s.Agents[i].Certainty == Inferred {
			n++
		}
	}
	return n
}

func abs(n int) int { return max(n, -n) }

// isSettled says that the row repeats a certain and closed token, so that it
// can neither teach nor learn anything.
func (c *comparison) isSettled(a *Agent, r *Row) bool {
	return a.BeginAt == r.Begin && r.Begin > 0 && a.RequestedSeconds == r.Requested && a.reason() == r.Reason &&
		a.AgentName == r.Name && a.Certainty == Certain &&
		a.Memory.Anchor == 0 && a.Memory.LastSeen == 0 && a.Memory.Misses == 0 &&
		(a.State != Waiting || !c.prev.ApprovalKeepsBegin()) &&
		(a.State != Resting || a.Overdue || a.deadline() >= c.at) &&
		(a.Memory.FirstSeen == 0 || c.prev.closed(a, c.opt))
}

// lost adds an agent who is not listed.
func (c *comparison) lost(a *Agent) {
	t := token{link: vanish, a: a, seen: c.prev.sighting(a), past: a.candidates(), was: a.State}
	t.ghost = c.torn && a.Memory.Misses == 0
	if t.ghost {
		t.is, t.now = a.State, t.past
	}
	c.rememberAnchor(&t)
	c.add(t)
}

// arrived adds an agent who is listed and was not in the previous snapshot.
func (c *comparison) arrived(r *Row, grave *Tombstone) {
	if grave != nil && grave.Agent.BeginAt == r.Begin && r.Begin != 0 {
		c.again(&grave.Agent, r, grave.Agent.Memory.LastSeen)
		t := &c.tokens[len(c.tokens)-1]
		t.grave, t.risen, t.kept, t.anchored = grave, true, false, 0
		// His token of the anchor was taken for gone.
		for i := len(c.tokens) - 2; i >= 0 && c.tokens[i].gone != nil; i-- {
			if g := c.tokens[i].gone; g.WorkNo == r.WorkNo && g.BeginAt == r.Begin {
				t.anchored = g.States
				c.tokens = slices.Delete(c.tokens, i, i+1)
				break
			}
		}
		return
	}
	t := token{link: fresh, row: r, grave: grave, seen: c.prev.ShownAt(), now: byReason(r.Reason)}
	if c.prev.Quality != Consistent {
		// That he was not listed does not mean that he was not there.
		t.seen = c.prev.Memory.SureAt
		if grave != nil {
			t.seen = max(t.seen, grave.Agent.Memory.LastSeen)
		}
	}
	c.add(t)
}

// again adds an agent who was known and is listed.
func (c *comparison) again(a *Agent, r *Row, seen Time) {
	t := token{a: a, row: r, seen: seen, past: a.candidates(), was: a.State, now: byReason(r.Reason)}
	switch {
	case a.BeginAt == 0 || r.Begin == 0:
		t.link = blurred
	case a.BeginAt != r.Begin:
		t.link = moved
	case !c.prev.closed(a, c.opt):
		t.link = ahead
		t.now &= t.past.onward()
	case c.prev.ApprovalKeepsBegin() && t.past.has(Waiting):
		t.link = approve
		t.now &= t.past | isApproved
	default:
		t.link = stay
		t.now &= t.past
	}
	if t.now == 0 {
		t.broken = true
		t.now = byReason(r.Reason)
	}
	c.rememberAnchor(&t)
	if t.link == stay && !t.broken {
		t.past = t.now
	}
	c.add(t)
}

// rememberAnchor finds the group of a token whose candidates are known.
func (c *comparison) rememberAnchor(t *token) {
	switch m := t.a.Memory.Anchor; {
	case c.prev.Memory.Anchor == nil || m == notInAnchor:
	case m != 0:
		t.anchored = m
	case t.link == stay && !t.broken:
		t.kept = true
	default:
		t.anchored = t.past
	}
}
