package assess

import (
	"fmt"

	"restwatch/diff"
)

// pair is two consistent readings of a VDN and what visibly changed between
// them.
type pair struct {
	before, now *diff.Snapshot
	// Agents with one begin time, listed in the first reading only and in the
	// second only. One who got another begin time is in both.
	left, come int
	// Of those, the ones who certainly waited, as they had a reason (A1).
	leftWaiting, comeWaiting int
	// open are those listed twice whose begin time is a whole second that may
	// not have been over yet: they may have moved on unseen (A4).
	open  int
	moved *diff.Agent // one who got another begin time, in the second reading
	// blurred: a begin time is unknown, so nobody knows who changed.
	blurred bool
	delta   diff.Counts
}

// visit joins the two lists; fn gets every agent, was or is nil where he is
// not listed.
func visit(before, now *diff.Snapshot, fn func(was, is *diff.Agent)) {
	b, n := before.Agents, now.Agents
	for len(b) > 0 || len(n) > 0 {
		switch {
		case len(n) == 0 || len(b) > 0 && b[0].WorkNo < n[0].WorkNo:
			fn(&b[0], nil)
			b = b[1:]
		case len(b) == 0 || n[0].WorkNo < b[0].WorkNo:
			fn(nil, &n[0])
			n = n[1:]
		default:
			fn(&b[0], &n[0])
			b, n = b[1:], n[1:]
		}
	}
}

func newPair(before, now *diff.Snapshot) *pair {
	p := &pair{before: before, now: now, delta: diff.Counts{
		Waiting:  now.Counts.Waiting - before.Counts.Waiting,
		Approved: now.Counts.Approved - before.Counts.Approved,
		Resting:  now.Counts.Resting - before.Counts.Resting,
	}}
	visit(before, now, p.take)
	return p
}

func (p *pair) take(was, is *diff.Agent) {
	if was != nil && was.BeginAt == 0 || is != nil && is.BeginAt == 0 {
		p.blurred = true
		return
	}
	if was != nil && is != nil {
		if was.BeginAt == is.BeginAt {
			if isOpen(p.before, was) {
				p.open++
			}
			return
		}
		p.moved = is
	}
	if was != nil {
		p.left++
		if reason(was) != 0 {
			p.leftWaiting++
		}
	}
	if is != nil {
		p.come++
		if reason(is) != 0 {
			p.comeWaiting++
		}
	}
}

// stillOpen is how long after the first sighting a whole second may not have
// been over: itself and what clocks and replies may add.
const stillOpen diff.Time = 2000

func isOpen(s *diff.Snapshot, a *diff.Agent) bool {
	first := a.Memory.FirstSeen
	return first != 0 && s.ShownAt()-first <= stillOpen
}

// explained says whether states can be given to those who left and came, and
// to so many others who changed theirs, such that the totals come out.
//
// Of those who left, n(p) were in state p; then n(p)+delta(p) came into it. Both
// are at least 0, and for waiting at least the number with a reason. Any n(p)
// above that will do, so it suffices that the least fit in.
func (p *pair) explained(others int) bool {
	d := p.delta
	least := max(p.leftWaiting, p.comeWaiting-d.Waiting) + max(0, -d.Approved) + max(0, -d.Resting)
	return least <= p.left+others
}

// keptApprovals says that approvals which did not move the begin time would
// explain it.
func (p *pair) keptApprovals() bool {
	q := *p
	for range 8 {
		q.delta.Waiting++
		q.delta.Approved--
		if q.explained(0) {
			return true
		}
	}
	return false
}

// lone returns the states between which the only agent who changed has moved;
// ok is false if there are others, or he came, went or stayed in his state.
func (p *pair) lone() (from, to diff.State, ok bool) {
	if p.left != 1 || p.come != 1 || p.moved == nil || p.open > 0 {
		return 0, 0, false
	}
	for i, d := range []int{p.delta.Waiting, p.delta.Approved, p.delta.Resting} {
		switch d {
		case -1:
			from = diff.Waiting + diff.State(i)
		case 1:
			to = diff.Waiting + diff.State(i)
		}
	}
	return from, to, from != 0 && to != 0
}

// example shows who changed, or if nobody did, some of those who might have.
func (p *pair) example(s *site) Example {
	d := p.delta
	x := example(s, p.now, fmt.Sprintf("waiting %+d, approved %+d, resting %+d, but %d left and %d came with another beginTime",
		d.Waiting, d.Approved, d.Resting, p.left, p.come))
	x.Previous = &p.before.Counts
	visit(p.before, p.now, func(was, is *diff.Agent) {
		if len(x.Rows) >= 2*maxExamples || !p.suspect(was, is) {
			return
		}
		if was != nil {
			x.Rows = append(x.Rows, rowOf(p.before, was))
		}
		if is != nil {
			x.Rows = append(x.Rows, rowOf(p.now, is))
		}
	})
	return x
}

// suspect says that an agent changed, or if nobody did, that he may have.
func (p *pair) suspect(was, is *diff.Agent) bool {
	switch {
	case was == nil || is == nil || was.BeginAt != is.BeginAt:
		return true
	case p.left+p.come > 0:
		return false
	case p.open > 0:
		return isOpen(p.before, was)
	}
	return was.State == diff.Waiting && reason(is) == 0
}
