package cmssim

import (
	"slices"
	"time"

	"restwatch/diff"
)

// What happens to an agent, step by step: work, request, approval, rest, work.

func (w *World) happen(s step) {
	i := s.agent
	a := &w.agents[i]
	switch s.do {
	case doAsk:
		w.ask(i)
	case doForce:
		w.rests++
		a.rest, a.requested = w.rests, w.length()
		w.begin(i, Forced)
	case doDecide:
		w.decide(i)
	case doWithdraw:
		w.leave(i, Withdrawn)
	case doRefuse:
		w.leave(i, Refused)
	case doReason:
		w.version++
	case doStart:
		w.begin(i, Started)
	case doProlong:
		w.prolong(i)
	case doEnd:
		w.leave(i, Ended)
	case doSignOut:
		w.leave(i, SignedOut)
	case doSignIn:
		a.age++
		w.toWork(i, w.exp(w.cfg.Dynamics.Work))
	}
}

// toWork plans the next rest of an agent who works.
func (w *World) toWork(i int32, pause int64) {
	d := &w.cfg.Dynamics
	pause = max(pause, d.MinPause.Milliseconds())
	if w.chance(d.Forced) {
		w.plan(i, pause, doForce)
	} else {
		w.plan(i, pause, doAsk)
	}
}

func (w *World) ask(i int32) {
	d := &w.cfg.Dynamics
	a := &w.agents[i]
	w.rests++
	a.rest, a.requested = w.rests, w.length()
	a.busyUntil, a.skilledAt = 0, 0
	if w.chance(d.Busy) {
		a.busyUntil = w.now + w.exp(d.Call)
	}
	if w.chance(d.NoSkill) {
		a.skilledAt = w.now + w.exp(d.SignIn)
	}
	w.change(i, diff.Waiting, Asked)
	if w.chance(d.AutoApprove) && w.reason(a) == reasonApproval {
		w.approve(i, AutoApproved)
		return
	}
	for _, until := range []int64{a.busyUntil, a.skilledAt} {
		if until > w.now {
			w.plan(i, until-w.now, doReason)
		}
	}
	dwell := w.exp(d.Waiting)
	switch u := w.rng.Float64(); {
	case u < d.Withdraw:
		w.plan(i, dwell, doWithdraw)
	case u < d.Withdraw+d.Refuse:
		w.plan(i, dwell, doRefuse)
	case u < d.Withdraw+d.Refuse+d.SignOut:
		w.plan(i, dwell, doSignOut)
	default:
		w.plan(i, dwell, doDecide)
	}
}

// decide approves a waiting agent, or looks again later if something stands
// against it. A supervisor may approve an agent on a call, who then starts
// when it ends; the other reasons bind him too.
func (w *World) decide(i int32) {
	a := &w.agents[i]
	switch w.reason(a) {
	case reasonApproval:
		w.approve(i, Approved)
	case reasonBusy:
		if w.quotaReason(a) == reasonApproval && w.chance(0.5) {
			w.approve(i, Approved)
		} else {
			w.plan(i, a.busyUntil-w.now+w.within(500, 3000), doDecide)
		}
	case reasonNoSkill:
		w.plan(i, a.skilledAt-w.now+w.within(500, 3000), doDecide)
	default:
		w.plan(i, w.exp(w.cfg.Dynamics.Recheck), doDecide)
	}
}

func (w *World) approve(i int32, why Cause) {
	d := &w.cfg.Dynamics
	w.change(i, diff.Approved, why)
	if w.chance(d.Immediate) {
		if w.chance(1. / 3) {
			w.begin(i, Started)
		} else {
			w.plan(i, w.within(1, 999-w.now%1000), doStart)
		}
		return
	}
	dwell := w.exp(d.Approved)
	switch u := w.rng.Float64(); {
	case u < d.Withdraw:
		w.plan(i, dwell, doWithdraw)
	case u < d.Withdraw+d.SignOut:
		w.plan(i, dwell, doSignOut)
	default:
		w.plan(i, dwell, doStart)
	}
}

// begin starts a rest and plans its end.
func (w *World) begin(i int32, why Cause) {
	a := &w.agents[i]
	w.change(i, diff.Resting, why)
	a.restBegan = w.now
	w.planEnd(i)
}

// planEnd plans what becomes of a rest as it stands now: its end, or before
// that a prolongation or a sign-out.
func (w *World) planEnd(i int32) {
	d := &w.cfg.Dynamics
	a := &w.agents[i]
	share := 0.7 + 0.3*w.rng.Float64()
	switch u := w.rng.Float64(); {
	case u < d.Overrun:
		share = 1 + 0.5*w.rng.Float64()
	case u < d.Overrun+d.Early:
		share = 0.1 + 0.5*w.rng.Float64()
	}
	length := float64(a.requested) * 1000
	end := a.begin + int64(share*length)
	end = max(end, w.now+1000, a.restBegan+d.MinRest.Milliseconds())
	left := end - w.now
	switch u := w.rng.Float64(); {
	case u < d.Prolong:
		// Mostly before the length has run out, and always before the end.
		at := a.begin + int64((0.5+0.6*w.rng.Float64())*length)
		w.plan(i, min(max(at-w.now, 1), left), doProlong)
	case u < d.Prolong+d.SignOut:
		earliest := max(0, a.restBegan+d.MinRest.Milliseconds()-w.now)
		w.plan(i, w.within(min(earliest, left), left), doSignOut)
	default:
		w.plan(i, left, doEnd)
	}
}

// prolong makes the length asked for greater: one that came back to what it was
// between two polls would not show, which the inference relies on not to happen.
func (w *World) prolong(i int32) {
	a := &w.agents[i]
	if more := w.length(); a.requested+more <= maxRequested {
		a.requested += more
		if w.chance(w.cfg.Dynamics.ProlongMovesBegin) {
			w.change(i, diff.Resting, Prolonged) // the length now counts from here
		} else {
			w.keepBegin(i, Prolonged)
		}
	}
	w.planEnd(i)
}

// leave takes an agent off the list.
func (w *World) leave(i int32, why Cause) {
	d := &w.cfg.Dynamics
	w.change(i, diff.None, why)
	switch {
	case why == SignedOut:
		w.plan(i, max(w.exp(d.Away), d.MinPause.Milliseconds()), doSignIn)
	case why == Ended && w.chance(d.Again), why != Ended && w.chance(d.Retry):
		least := d.MinPause.Milliseconds()
		w.toWork(i, w.within(least, least+8000))
	default:
		w.toWork(i, w.exp(d.Work))
	}
}

// change moves an agent to a state with a new beginTime, except for an
// approval on a platform that keeps it.
func (w *World) change(i int32, to diff.State, why Cause) {
	if to == diff.Approved && w.cfg.ApprovalKeepsBegin {
		w.enter(i, to, why)
		return
	}
	a := &w.agents[i]
	left := a.shown
	a.begin = w.now
	a.shown = diff.Time(w.now - w.now%w.cfg.Grain.Milliseconds())
	if to == diff.None {
		a.shown = 0
	}
	w.move(i, to, why, left)
}

// keepBegin changes a rest without a new beginTime.
func (w *World) keepBegin(i int32, why Cause) { w.enter(i, w.agents[i].state, why) }

func (w *World) enter(i int32, to diff.State, why Cause) { w.move(i, to, why, w.agents[i].shown) }

func (w *World) move(i int32, to diff.State, why Cause, left diff.Time) {
	a := &w.agents[i]
	from := a.state
	a.state = to
	a.age++
	w.version++
	w.count(a, from, -1)
	w.count(a, to, 1)
	switch {
	case from == diff.None:
		at, _ := slices.BinarySearch(w.listed, i)
		w.listed = slices.Insert(w.listed, at, i)
	case to == diff.None:
		at, _ := slices.BinarySearch(w.listed, i)
		w.listed = slices.Delete(w.listed, at, at+1)
	}
	w.record(Change{
		At: w.Now(), WorkNo: a.workNo, From: from, To: to, Cause: why,
		Begin: a.shown, Left: left, Requested: a.requested, Rest: a.rest,
	})
}

func (w *World) count(a *agent, s diff.State, n int) {
	w.counts[s] += n
	if s == diff.Approved || s == diff.Resting {
		w.queues[a.queue] += n
	}
}

// plan lets something happen to an agent after a while, in milliseconds,
// unless his stage changes before.
func (w *World) plan(i int32, after int64, do deed) {
	w.planned++
	w.pending.push(step{at: w.now + after, seq: w.planned, agent: i, age: w.agents[i].age, do: do})
}

// length draws a requested length in seconds.
func (w *World) length() int {
	l := w.cfg.Dynamics.Lengths
	return int(l[w.rng.IntN(len(l))] / time.Second)
}

func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// exp draws a dwell time in milliseconds.
func (w *World) exp(mean time.Duration) int64 {
	return int64(w.rng.ExpFloat64() * float64(mean.Milliseconds()))
}

// within draws from a closed range.
func (w *World) within(low, high int64) int64 {
	if high <= low {
		return low
	}
	return low + w.rng.Int64N(high-low+1)
}
