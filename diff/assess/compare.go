package assess

import "restwatch/diff"

// compare looks at what changed between the last consistent reading and now
// (A2 to A5, A7).
func (a *Assessment) compare(s *site, now *diff.Snapshot) {
	before := s.last
	if before == nil {
		for i := range now.Agents {
			a.newToken(s, nil, now, &now.Agents[i])
		}
		return
	}
	visit(before, now, func(was, is *diff.Agent) { a.follow(s, before, now, was, is) })
	a.weigh(s, newPair(before, now))
}

// follow looks at one agent.
func (a *Assessment) follow(s *site, before, now *diff.Snapshot, was, is *diff.Agent) {
	if was != nil && is != nil && was.BeginAt == is.BeginAt {
		a.sameBegin(was, is)
		return
	}
	if is != nil {
		a.newToken(s, before, now, is)
	}
	if was != nil && is != nil {
		a.otherBegin(s, before, now, was, is)
	}
	if was != nil {
		s.left[was.WorkNo] = was.BeginAt
	}
}

// sameSecond looks at agents who were listed while the second of their begin
// time lasted. They may move on, but not back (A4).
func (a *Assessment) sameSecond(s *site, p *pair) {
	if p.open == 0 || p.left+p.come > 0 {
		return
	}
	a.facts.OpenPairs++
	switch {
	case p.delta == (diff.Counts{}) || !p.explained(p.open):
	case p.delta.Waiting > 0 || p.delta.Resting < 0:
		a.reused.add(p.example(s))
	default:
		a.facts.SameSecond++
	}
}

// weigh compares the totals with what changed in the list.
func (a *Assessment) weigh(s *site, p *pair) {
	if p.blurred {
		s.doubt = nil
		return
	}
	f := &a.facts
	if p.left+p.come > 0 || p.delta != (diff.Counts{}) {
		f.Compared++
	}
	if from, to, ok := p.lone(); ok {
		switch {
		case from == diff.Waiting && to == diff.Approved:
			f.ApprovalsMoved++
		case from < to:
			f.StartsMoved++
		}
	}
	if s.doubt != nil {
		a.mismatches.settle(s.doubt, p.now)
		s.doubt = nil
		return
	}
	a.sameSecond(s, p)
	if !p.explained(p.open) {
		s.doubt = newDoubt(s, p)
	}
}
