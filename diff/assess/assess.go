package assess

import (
	"cmp"

	"restwatch/diff"
)

// Assessment collects evidence poll by poll. It is not safe for concurrent
// use.
type Assessment struct {
	opt       diff.Options
	sites     map[diff.VDN]*site
	facts     Facts
	intervals spread
	tellings  tellings
	begins    [enoughBegins]diff.Time // the first different ones

	// Counter-examples, by what they speak against.
	excess, disagree, returned, contradicted evidence
	mismatches                               mismatches
	found, coarse, reused, again, short      evidence
	late                                     evidence
}

// New returns an empty Assessment; opt are the options that Compare was given.
func New(opt diff.Options) *Assessment {
	opt.GapLimit = cmp.Or(opt.GapLimit, diff.DefaultGapLimit)
	opt.Slack = cmp.Or(opt.Slack, diff.DefaultSlack)
	return &Assessment{opt: opt, sites: map[diff.VDN]*site{}}
}

// site is what is remembered of one VDN.
type site struct {
	vdn    diff.VDN
	polled diff.Time // the last poll
	good   diff.Time // the last one that did not fail
	// The last consistent reading and the one before it.
	last, older *diff.Snapshot
	doubt       *doubt // of last

	totals, reasons    runs
	strikes, approvals int
	learned            bool
	left               map[int]diff.Time // begin time of each agent when he left
	clock              clock
}

func (a *Assessment) site(v diff.VDN) *site {
	s := a.sites[v]
	if s == nil {
		s = &site{vdn: v, left: map[int]diff.Time{}}
		a.sites[v] = s
	}
	return s
}

// Failed takes in a poll that failed. As with Observe, one that is not newer
// than the last is ignored.
func (a *Assessment) Failed(v diff.VDN, at diff.Time) {
	s := a.site(v)
	if at <= s.polled {
		return
	}
	a.polledAt(s, at)
	a.facts.Failed++
}

// Observe takes in a good poll: the observation as Compare left it, and
// Compare's result. Snapshots must be compared in the order of the recording,
// each with the one before, the first with none.
func (a *Assessment) Observe(o *diff.Observation, r *diff.Result) {
	s := a.site(o.VDN)
	if o.At <= s.polled {
		return
	}
	a.polledAt(s, o.At)
	if s.good != 0 {
		a.facts.LongestGap = max(a.facts.LongestGap, Seconds(o.At-s.good))
		if o.DetectedBy == diff.Resync {
			a.facts.Gaps++
		}
	}
	s.good = o.At
	a.readList(s, o)
	a.takeEvents(s, r.Events)
	a.takeContradictions(s, &r.Snapshot)
	if now := r.Snapshot; now.Quality == diff.Consistent {
		a.compare(s, &now)
		s.last, s.older = &now, s.last
	}
}

func (a *Assessment) polledAt(s *site, at diff.Time) {
	a.facts.Polls++
	if a.facts.From == 0 || at < a.facts.From {
		a.facts.From = at
	}
	a.facts.To = max(a.facts.To, at)
	if s.polled != 0 {
		a.intervals.add(at - s.polled)
	}
	s.polled = at
}

// takeContradictions counts what Compare could not explain, and how it got out
// of it.
func (a *Assessment) takeContradictions(s *site, now *diff.Snapshot) {
	m := &now.Memory
	if m.Strikes > s.strikes {
		a.facts.Contradictions++
		a.contradicted.add(example(s, now, "contradicts what the lists before had told together"))
	}
	if m.Approvals > s.approvals {
		a.found.add(example(s, now, "explained only by an approval that did not move beginTime"))
	}
	if now.ApprovalKeepsBegin() && !s.learned {
		s.learned = true
		a.facts.Learned++
		a.facts.LearnedAt = max(a.facts.LearnedAt, now.ObservedAt)
	}
	s.strikes, s.approvals = m.Strikes, m.Approvals
}
