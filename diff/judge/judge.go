// Package judge holds events against the truth of a simulated VDN: how many
// are right, how many of the certain ones are wrong (none may be), and how many
// are right at first sight. Tests of any package can use it.
//
// What is right is what the contract calls an event: the net change of an
// agent between two sightings. A rest of which no list shows a trace is not
// missed by anybody.
package judge

import (
	"fmt"
	"slices"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// Allowance is by how much a window may miss the truth: the age of a reply.
const Allowance = 300 // milliseconds

// Score counts the events of a VDN that say what its agents do: requested,
// approved, started, ended, cancelled, and updated where the begin time moves.
// Overdue ones are counted by themselves, as rests overrun while nobody looks:
// of them, CertainWrong and InferredWrong are those told before their time.
type Score struct {
	// Truth is how many there were to tell.
	Truth int
	// Told at the first poll that could show them, and right.
	CertainRight, InferredRight int
	// Told, and not true. CertainWrong must be 0.
	CertainWrong, InferredWrong int
	// Late were told at a later poll, or by a correction; Missed never.
	Late, Missed int
	// Corrected counts corrections.
	Corrected int
	// StateWrong counts sightings of agents whose true state the snapshot
	// excluded. It must be 0.
	StateWrong int
	// WindowWrong counts right events whose window does not hold the instant.
	WindowWrong int
	// OverdueCertain and OverdueInferred were told of rests that were overdue.
	OverdueCertain, OverdueInferred int
}

// Certain is the share of all there was to tell that was told as certain.
func (s Score) Certain() float64 { return float64(s.CertainRight) / float64(max(1, s.Truth)) }

// FirstRight is the share that was told right at first sight.
func (s Score) FirstRight() float64 {
	return float64(s.CertainRight+s.InferredRight) / float64(max(1, s.Truth))
}

// Add returns the sum of two scores.
func (s Score) Add(o Score) Score {
	return Score{
		Truth: s.Truth + o.Truth, CertainRight: s.CertainRight + o.CertainRight, InferredRight: s.InferredRight + o.InferredRight,
		CertainWrong: s.CertainWrong + o.CertainWrong, InferredWrong: s.InferredWrong + o.InferredWrong,
		Late: s.Late + o.Late, Missed: s.Missed + o.Missed, Corrected: s.Corrected + o.Corrected, WindowWrong: s.WindowWrong + o.WindowWrong,
		StateWrong: s.StateWrong + o.StateWrong, OverdueCertain: s.OverdueCertain + o.OverdueCertain, OverdueInferred: s.OverdueInferred + o.OverdueInferred,
	}
}

// Judge follows one World. Create it before the first poll.
type Judge struct {
	Score Score
	// Offence describes the first certain event that was wrong, or window that
	// missed the truth; "" if there was none.
	Offence string
	// Listed is how a begin time of the World is listed, where the upstream's
	// clock is not the World's; nil: as it is.
	Listed func(begin diff.Time) diff.Time

	world   *cmssim.World
	read    int // changes taken from the World's history
	people  map[int]*person
	ordered []*person
}

// person is one agent's truth.
type person struct {
	workNo   int
	is, seen stage // now; and when the upstream last showed him
	left     []departure
	pending  []fact // not told yet
}

type stage struct {
	state     diff.State
	rest      int
	begin     diff.Time
	requested int
	entered   diff.Time // 0: before the World began
}

type departure struct {
	rest int
	from diff.State
	at   diff.Time
}

// fact is something to tell.
type fact struct {
	kind diff.Kind
	rest int
	at   diff.Time // 0 if nobody can know
}

// New follows w from where it is now. Its history must be unlimited.
func New(w *cmssim.World) *Judge {
	j := &Judge{world: w, people: map[int]*person{}, read: len(w.History())}
	rows, states := w.Rows(), w.AppendStates(nil)
	for i, r := range rows {
		j.person(r.WorkNo).is = stage{state: states[i], begin: r.Begin, requested: r.Requested}
	}
	return j
}

func (j *Judge) person(no int) *person {
	p := j.people[no]
	if p == nil {
		p = &person{workNo: no}
		j.people[no] = p
		i, _ := slices.BinarySearchFunc(j.ordered, no, func(p *person, no int) int { return p.workNo - no })
		j.ordered = slices.Insert(j.ordered, i, p)
	}
	return p
}

// Baseline says that the World's present list was the first that was read.
func (j *Judge) Baseline() {
	j.catchUp()
	for _, p := range j.ordered {
		p.seen, p.left = p.is, nil
	}
}

// Poll judges the events that were told when the World, as it is now, was read
// as rows; complete says that these were all. A poll that failed is not told
// of. Events must be sorted by agent, as those of a poll are.
func (j *Judge) Poll(rows []diff.Row, complete bool, events []diff.Event) {
	j.catchUp()
	shown := map[int]bool{}
	if !complete {
		for _, r := range rows {
			shown[r.WorkNo] = true
		}
	}
	for _, p := range j.ordered {
		n := 0
		for n < len(events) && events[n].WorkNo == p.workNo {
			n++
		}
		j.judge(p, complete || shown[p.workNo], events[:n])
		events = events[n:]
	}
	for i := range events {
		j.wrong(&events[i], "nobody has this number")
	}
}

// Snapshot judges the states in a snapshot made from rows, read from the World
// as it is now.
func (j *Judge) Snapshot(s *diff.Snapshot, rows []diff.Row) {
	listed := map[int]bool{}
	for _, r := range rows {
		listed[r.WorkNo] = true
	}
	for _, a := range s.Agents {
		is := j.world.State(a.WorkNo)
		if !listed[a.WorkNo] || a.State == is || a.Candidates.Has(is) {
			continue
		}
		j.Score.StateWrong++
		if j.Offence == "" {
			j.Offence = fmt.Sprintf("%v agent %d is %v, not %v (%v)", s.ObservedAt, a.WorkNo, is, a.State, a.Candidates)
		}
	}
}

// catchUp takes in what happened since.
func (j *Judge) catchUp() {
	h := j.world.History()
	for _, c := range h[j.read:] {
		p, at := j.person(c.WorkNo), diff.TimeOf(c.At)
		if c.To == diff.None {
			p.left = append(p.left, departure{p.is.rest, c.From, at})
			p.is = stage{}
			continue
		}
		entered := at
		if c.Cause == cmssim.Prolonged {
			entered = p.is.entered
		}
		if p.is.state != diff.None && p.is.rest == 0 {
			// He was at it when the World began; only now the rest has a number.
			if p.seen.state != diff.None && p.seen.rest == 0 {
				p.seen.rest = c.Rest
			}
		}
		p.is = stage{c.To, c.Rest, c.Begin, c.Requested, entered}
	}
	j.read = len(h)
}

// judge compares what was told of one agent with what there was to tell.
// visible: the list shows truly whether he is there.
func (j *Judge) judge(p *person, visible bool, events []diff.Event) {
	var due []fact
	var allowed []fact // may be told, need not
	switch {
	case visible:
		due, allowed = p.facts()
		p.seen, p.left = p.is, nil
	case p.is.state == diff.None && p.seen.state != diff.None:
		allowed, _ = p.facts()
	}
	j.Score.Truth += len(due)
	for i := range events {
		e := &events[i]
		switch {
		case e.Kind == diff.KindUpdated && e.What != "prolong":
		case e.Kind == diff.KindOverdue:
			j.overdue(p, e)
		case e.Kind == diff.KindCorrected:
			j.correction(p, e)
		case j.take(&due, e):
			j.right(e)
		case j.take(&allowed, e):
			if !visible {
				// Told before a complete list confirms it.
				p.seen = stage{}
				j.Score.Truth++
				j.right(e)
			}
		case j.takeLate(p, e):
			j.Score.Late++
			j.Score.Missed--
		default:
			j.wrong(e, fmt.Sprintf("he is %v since %v, begin %v", p.is.state, p.is.entered, p.is.begin))
		}
	}
	j.Score.Missed += len(due)
	p.pending = append(p.pending[:0], append(due, p.pending[:min(2, len(p.pending))]...)...)
}

// facts is what happened to p since he was last seen, net.
func (p *person) facts() (due, allowed []fact) {
	s, x := p.seen, p.is
	arrival := fact{kindOf(x.state), x.rest, x.entered}
	switch {
	case s.state == diff.None && x.state == diff.None:
	case s.state == diff.None:
		due = []fact{arrival}
	case x.state == diff.None:
		due = []fact{p.departure(s)}
	case s.rest == x.rest && s.state == x.state:
		if s.begin != x.begin {
			due = []fact{{diff.KindUpdated, x.rest, 0}}
		}
	case s.state < x.state:
		due = []fact{arrival}
		if s.rest != x.rest {
			allowed = []fact{p.departure(s)}
		}
	default:
		due = []fact{p.departure(s), arrival}
	}
	return due, allowed
}

// departure is how p left the rest in which he was seen.
func (p *person) departure(s stage) fact {
	f := fact{kind: diff.KindCancelled, rest: s.rest}
	for _, d := range p.left {
		// A rest under way when the World began has no number until it changes.
		if d.rest == s.rest || s.rest == 0 || d.rest == 0 {
			if d.from == diff.Resting {
				f.kind = diff.KindEnded
			}
			f.at = d.at
			break
		}
	}
	return f
}

func kindOf(s diff.State) diff.Kind {
	return [...]diff.Kind{diff.KindNone, diff.KindRequested, diff.KindApproved, diff.KindStarted}[s]
}

// take removes the first fact that e tells, and checks its window.
func (j *Judge) take(facts *[]fact, e *diff.Event) bool {
	i := slices.IndexFunc(*facts, func(f fact) bool { return f.kind == e.Kind })
	if i < 0 {
		return false
	}
	f := (*facts)[i]
	*facts = slices.Delete(*facts, i, i+1)
	if !f.in(e) {
		j.Score.WindowWrong++
		j.offence(e, fmt.Sprintf("it happened at %v", f.at))
	}
	return true
}

// takeLate removes a fact that was missed before and that e tells now.
func (j *Judge) takeLate(p *person, e *diff.Event) bool {
	i := slices.IndexFunc(p.pending, func(f fact) bool { return f.kind == e.Kind && f.in(e) })
	if i < 0 {
		return false
	}
	p.pending = slices.Delete(p.pending, i, i+1)
	return true
}

// in says that the fact lies within the event's window.
func (f fact) in(e *diff.Event) bool {
	return f.at == 0 || f.at > e.OccurredAfter-Allowance && f.at <= e.OccurredBefore+Allowance
}

func (j *Judge) right(e *diff.Event) {
	if e.Certainty == diff.Certain {
		j.Score.CertainRight++
	} else {
		j.Score.InferredRight++
	}
}

func (j *Judge) wrong(e *diff.Event, why string) {
	if e.Certainty != diff.Certain {
		j.Score.InferredWrong++
		return
	}
	j.Score.CertainWrong++
	j.offence(e, why)
}

// overdue checks that the agent, as the World is now, rests longer than asked
// for, by the World's clock.
func (j *Judge) overdue(p *person, e *diff.Event) {
	early := p.is.begin.Add(time.Duration(p.is.requested)*time.Second) - diff.TimeOf(j.world.Now())
	switch {
	case p.is.state != diff.Resting || early > Allowance:
		j.wrong(e, fmt.Sprintf("he is %v since %v, for %d s, which is over in %v", p.is.state, p.is.begin, p.is.requested, early.Sub(0)))
	case e.Certainty == diff.Certain:
		j.Score.OverdueCertain++
	default:
		j.Score.OverdueInferred++
	}
}

func (j *Judge) listed(begin diff.Time) diff.Time {
	if j.Listed == nil {
		return begin
	}
	return j.Listed(begin)
}

// correction checks a correction: the agent is, or was when last seen, in the
// state it names.
func (j *Judge) correction(p *person, e *diff.Event) {
	j.Score.Corrected++
	if e.Certainty != diff.Certain || e.To == diff.None {
		return
	}
	if j.listed(p.is.begin) == e.BeginAt && p.is.state == e.To {
		return
	}
	for _, c := range j.world.History() {
		if c.WorkNo == e.WorkNo && j.listed(c.Begin) == e.BeginAt && c.To == e.To {
			return
		}
		if c.WorkNo == e.WorkNo && j.listed(c.Left) == e.BeginAt && c.From == e.To {
			return
		}
	}
	j.Score.CertainWrong++
	j.offence(e, "he never was")
}

func (j *Judge) offence(e *diff.Event, why string) {
	if j.Offence == "" {
		j.Offence = fmt.Sprintf("%v agent %d %s (%s): %v to %v, begin %v, in (%v, %v]; %s", e.ObservedAt, e.WorkNo, e.Kind, e.Certainty,
			e.From, e.To, e.BeginAt, e.OccurredAfter.Time().Format(time.TimeOnly+".000"), e.OccurredBefore.Time().Format(time.TimeOnly+".000"), why)
	}
}
