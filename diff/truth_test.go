package diff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A truth is what agents really do: the stages of their rests, under the
// assumptions A1 to A7. It is dense: something happens at almost every poll.
type truth struct {
	rng    *rand.Rand
	agents []*life
	skew   Time // of our clock against the upstream's
}

type life struct {
	no     int
	unit   Time // of the begin times: 1 or 1000; 0: no usable ones
	stages []stage
}

// stage is the time from which an agent is in a state, with the row that the
// upstream shows. State None: not listed.
type stage struct {
	from   Time
	state  State
	begin  Time
	length int
	reason int
	rest   int  // counts the rests of the agent
	start  Time // when the state was entered; not from where a rest was prolonged
}

func newTruth(rng *rand.Rand, from, to Time) *truth {
	w := &truth{rng: rng}
	if rng.IntN(4) == 0 {
		w.skew = Time(rng.IntN(10_000) - 5000)
	}
	unit := []Time{1, 1000, -1}[rng.IntN(3)]
	for no := range 1 + rng.IntN(9) {
		l := &life{no: 101 + no*7, unit: unit}
		if unit < 0 {
			l.unit = []Time{1, 1000}[rng.IntN(2)]
		}
		if rng.IntN(25) == 0 {
			l.unit = 0
		}
		l.live(rng, from-Time(rng.IntN(60_000)), to)
		w.agents = append(w.agents, l)
	}
	return w
}

// live makes up a life.
func (l *life) live(rng *rand.Rand, at, to Time) {
	l.stages = []stage{{from: at - 1}}
	lengths := []int{15, 20, 40}
	pause := func(least, spread int) Time { return Time(least + rng.IntN(spread)) }
	quick := rng.IntN(2) == 0
	for rest := 0; at < to; rest++ {
		s := stage{rest: rest, length: lengths[rng.IntN(3)], state: State(1 + rng.IntN(3))}
		for ; s.state <= Resting && at < to; s.state++ {
			if s.state == Approved && rng.IntN(6) == 0 {
				continue
			}
			s.from, s.start, s.begin, s.reason = at, at, l.stamp(at), 0
			if s.state == Waiting {
				s.reason = rng.IntN(6)
			}
			l.stages = append(l.stages, s)
			if s.state == Resting {
				break
			}
			if quick {
				at += pause(2, 3000)
			} else {
				at += pause(2, 15000)
			}
			for s.state == Waiting && rng.IntN(3) == 0 {
				s.from, s.reason = at, rng.IntN(6)
				l.stages = append(l.stages, s)
				at += pause(2, 4000)
			}
			if rng.IntN(6) == 0 {
				break // withdrawn
			}
		}
		if s.state == Resting {
			end := at + pause(10_400, 40_000)
			for at += 40_000; rng.IntN(3) == 0; at += 40_000 {
				// Prolonged; the begin time may move.
				s.from = at
				// To a length that nobody asks for.
				s.length += 1 + 5*rng.IntN(6)
				if rng.IntN(2) == 0 {
					s.begin = l.stamp(at)
				}
				l.stages = append(l.stages, s)
				end = at + pause(2, 30_000)
			}
			at = max(end, l.stages[len(l.stages)-1].from+2)
		}
		l.stages = append(l.stages, stage{from: at, rest: rest})
		// Nobody leaves and applies again within one second.
		at += pause(2, 20_000)
		if rng.IntN(3) == 0 {
			at = l.stages[len(l.stages)-1].from + pause(2, 300)
		}
		if l.unit == 1000 {
			at = max(at, (l.stages[len(l.stages)-1].from/1000+1)*1000)
		}
	}
}

func (l *life) stamp(at Time) Time {
	if l.unit == 0 {
		return 0
	}
	return at / l.unit * l.unit
}

// at is the stage at the time t.
func (l *life) at(t Time) stage {
	i, found := slices.BinarySearchFunc(l.stages, t, func(s stage, t Time) int { return order(s.from, t) })
	if !found {
		i--
	}
	return l.stages[max(i, 0)]
}

func (w *truth) life(no int) *life {
	i := slices.IndexFunc(w.agents, func(l *life) bool { return l.no == no })
	return w.agents[i]
}

// read is the reply at the time t.
func (w *truth) read(t Time) (rows []Row, n Counts) {
	for _, l := range w.agents {
		s := l.at(t)
		switch s.state {
		case None:
			continue
		case Waiting:
			n.Waiting++
		case Approved:
			n.Approved++
		case Resting:
			n.Resting++
		}
		rows = append(rows, Row{l.no, fmt.Sprint("a", l.no), s.reason, s.begin, s.length})
	}
	return rows, n
}

// slowest is the longest that a reply takes, in milliseconds. No rest begins and is
// prolonged in that and three intervals.
const slowest = 10_000

// poll is one reading: what was observed, and the instant it shows.
type poll struct {
	obs     *Observation
	instant Time
	torn    bool
}

// polls reads the truth with jitter, gaps and torn lists.
func (w *truth) polls(from, to Time, clean bool) []poll {
	var list []poll
	interval := []Time{500, 1000, 3000, 5000, 9000}[w.rng.IntN(5)]
	last, received := Time(0), from-interval
	for t := from; t < to; {
		took := min(Time(w.rng.IntN(290)), t-received)
		if w.rng.IntN(5) == 0 {
			// A slow reply, or one that a stopped process read late. The
			// upstream looked when it was asked, when it answered, or between.
			took = Time(w.rng.Int64N(int64(min(t-received, slowest)) + 1))
		}
		p := poll{instant: max(t-[]Time{0, took, Time(w.rng.Int64N(int64(took) + 1))}[w.rng.IntN(3)], last+1)}
		rows, counts := w.read(p.instant)
		p.obs = &Observation{VDN: VDN{1, 170}, At: t + w.skew, Took: time.Duration(took) * time.Millisecond, Counts: counts, Rows: rows, DetectedBy: Poll}
		if len(list) > 0 && p.obs.At-list[len(list)-1].obs.At > 3*interval {
			p.obs.DetectedBy = Resync
		}
		if !clean && w.rng.IntN(6) == 0 && len(rows) > 0 {
			p.torn = true
			w.tear(&p)
		}
		list = append(list, p)
		last, received = p.instant, t
		t += interval
		if w.rng.IntN(8) == 0 {
			t += interval * Time(w.rng.IntN(12))
		}
	}
	return list
}

// tear takes rows out of a reading, and lists some twice as they were shortly
// before.
func (w *truth) tear(p *poll) {
	p.obs.Torn = true
	rows := p.obs.Rows
	for range 1 + w.rng.IntN(2) {
		if len(rows) == 0 {
			break
		}
		i := w.rng.IntN(len(rows))
		if w.rng.IntN(3) > 0 {
			rows = slices.Delete(rows, i, i+1)
			p.obs.Torn = w.rng.IntN(2) == 0
		} else {
			rows = append(rows, rows[i])
		}
	}
	if len(rows) == p.obs.Counts.Sum() {
		p.obs.Torn = true
	}
	p.obs.Rows = rows
}

const allowance = 300 // milliseconds, for the reply's own age

// TestSound compares random histories with what is concluded from them:
// nothing certain may be wrong.
func TestSound(t *testing.T) {
	if *traceSeed >= 0 {
		runTruth(t, uint64(*traceSeed))
		return
	}
	for i := range *truths {
		seed := *firstSeed + uint64(i)
		runTruth(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runTruth(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	start := TimeOf(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)) + Time(rng.IntN(1000))
	end := start + 150_000
	w := newTruth(rng, start, end)
	var prev, stored Snapshot
	j := &soundness{t: t, w: w, instants: map[Time]Time{}}
	var quiet quietChecker
	for _, p := range w.polls(start, end, rng.IntN(3) == 0) {
		if rng.IntN(15) == 0 {
			prev, quiet = stored, quietChecker{} // the service was started again
			p.obs.DetectedBy = Resync
		}
		quiet.check(t, &prev, p.obs)
		r := compareAll(t, rng, &prev, p.obs)
		w.trace(t, p, &r)
		j.check(&prev, &r, p)
		if t.Failed() {
			t.Logf("poll at %d of %+v", p.obs.At, p.obs)
			return
		}
		quiet.took(p.obs, &r)
		steps := checkSteps(t, rng, &prev, r)
		prev = r.Snapshot
		if r.Commit {
			stored = r.Snapshot
		}
		if len(steps) > 1 && rng.IntN(4) == 0 {
			// The service was killed between the steps.
			stored = steps[rng.IntN(len(steps)-1)].Snapshot
			prev, quiet = stored, quietChecker{}
		}
	}
}

// soundness judges results by the truth.
type soundness struct {
	t *testing.T
	w *truth
	// instants is what the polls showed in truth, by their ShownAt.
	instants map[Time]Time
}

func (j *soundness) check(prev *Snapshot, r *Result, p poll) {
	s := &r.Snapshot
	if s.InDoubt() {
		j.t.Errorf("contradiction in true readings")
	}
	for i := range s.Agents {
		a := &s.Agents[i]
		if a.Memory.LastSeen != 0 {
			continue
		}
		is := j.w.life(a.WorkNo).at(p.instant)
		if !a.candidates().has(is.state) {
			j.t.Errorf("agent %d is %v, not one of %v (%s)", a.WorkNo, is.state, a.candidates(), a.Certainty)
		}
	}
	for i := range r.Events {
		e, why := &r.Events[i], ""
		if e.Certainty == Certain {
			why = j.wrong(prev, e, p)
		} else {
			why = j.unsaid(prev, e, p)
		}
		if why != "" {
			j.t.Errorf("%s: %s\n%+v\n%+v", why, brief(r.Events[i:i+1]), *e, j.w.life(e.WorkNo).stages)
		}
	}
	j.instants[s.ShownAt()] = p.instant
}

// wrong says why a certain event is not true; "" if it is.
func (j *soundness) wrong(prev *Snapshot, e *Event, p poll) string {
	w := j.w
	l := w.life(e.WorkNo)
	is := l.at(p.instant)
	inside := func(t Time) bool {
		// With two clocks, windows are as wrong as these are.
		return w.skew != 0 || t > e.OccurredAfter-allowance && t <= e.OccurredBefore+allowance
	}
	switch e.Kind {
	case KindRequested, KindApproved, KindStarted:
		switch {
		case is.state != e.To:
			return fmt.Sprintf("the state is %v", is.state)
		case !inside(is.start):
			return fmt.Sprintf("happened at %v", is.start)
		case e.OccurredAt != 0 && e.OccurredAt != l.stamp(is.start):
			return fmt.Sprintf("occurred at %v", is.start)
		}
	case KindEnded, KindCancelled:
		return j.wrongDeparture(prev, l, e, inside)
	case KindUpdated:
		if is.state != e.To || is.begin != e.BeginAt || is.length != e.RequestedSeconds {
			return fmt.Sprintf("the stage is %+v", is)
		}
	case KindOverdue:
		if is.state != Resting || int64(p.instant+w.skew+allowance-is.begin) <= int64(is.length)*1000 {
			return fmt.Sprintf("the stage is %+v", is)
		}
	case KindCorrected:
		if e.To == None {
			break
		}
		for _, s := range l.stages {
			if s.begin == e.BeginAt && s.state == e.To && s.from <= p.instant {
				return ""
			}
		}
		return "no such stage"
	}
	return ""
}

// unsaid says what an inferred event leaves out: what happened is among its kind
// and its alternatives, and within its window if it is the kind. "" if it is.
func (j *soundness) unsaid(prev *Snapshot, e *Event, p poll) string {
	seen := prev.Memory.SureAt
	for _, g := range prev.Memory.Tombstones {
		if g.Agent.WorkNo == e.WorkNo {
			seen = max(seen, g.Agent.Memory.LastSeen)
		}
	}
	before := find(prev, e.WorkNo)
	if before != nil {
		seen = prev.sighting(before)
	}
	last, known := j.instants[seen]
	if !known {
		return "" // the agent was not there for certain at any poll
	}
	l := j.w.life(e.WorkNo)
	was, is := l.at(last), l.at(p.instant)
	inside := func(t Time) bool {
		return j.w.skew != 0 || t > e.OccurredAfter-allowance && t <= e.OccurredBefore+allowance
	}
	runsOn := was.state != None && was.rest == is.rest && was.state == is.state
	said := append(slices.Clone(e.Alternatives), string(e.Kind))
	missing := func(kinds ...Kind) string {
		for _, k := range kinds {
			if !slices.Contains(said, string(k)) {
				return fmt.Sprintf("%v to %v, but not %s", was.state, is.state, k)
			}
		}
		return ""
	}
	switch e.Kind {
	case KindRequested, KindApproved, KindStarted:
		switch arrived := kindOfArrival(is.state); {
		case before != nil && e.BeginAt == before.BeginAt && e.BeginAt != is.begin:
			// Noticed late, after he went on.
			if was.state == e.To {
				return ""
			}
			return missing(KindNone)
		case runsOn && was.begin == is.begin:
			return missing(KindNone)
		case runsOn:
			return missing(KindUpdated)
		case was.state == Resting && is.state == Resting && e.From != None:
			return missing("ended+started")
		case arrived == e.Kind && !inside(is.start):
			return fmt.Sprintf("happened at %v", is.start)
		case arrived == e.Kind && e.OccurredAt != 0 && e.OccurredAt != l.stamp(is.start):
			return fmt.Sprintf("occurred at %v", is.start)
		default:
			return missing(arrived)
		}
	case KindEnded, KindCancelled:
		switch {
		case runsOn && before != nil && is.begin != was.begin && j.listed(p, e.WorkNo):
			return missing(KindUpdated)
		case runsOn || was.state < is.state:
			return missing(KindNone)
		}
		left := slices.IndexFunc(l.stages, func(s stage) bool { return s.from > last && s.state == None && s.rest == was.rest })
		if left < 0 {
			return ""
		}
		k := kindOfDeparture(l.stages[left-1].state)
		if k == e.Kind && !inside(l.stages[left].from) {
			return fmt.Sprintf("happened at %v", l.stages[left].from)
		}
		if rested := int(l.stages[left].from-l.stages[left-1].start) / 1000; k == e.Kind && j.w.skew == 0 && e.ElapsedSecondsMin != nil && rested < *e.ElapsedSecondsMin {
			return fmt.Sprintf("rested %d s, not %d at least", rested, *e.ElapsedSecondsMin)
		}
		return missing(k)
	case KindUpdated:
		switch {
		case runsOn && was.begin == is.begin && e.What == "prolong":
			return missing(KindNone)
		case runsOn:
			return ""
		case was.state < is.state:
			return missing(kindOfArrival(is.state))
		case was.state == Resting && is.state == Resting:
			return missing("ended+started")
		}
		return missing(kindOfDeparture(was.state), kindOfArrival(is.state))
	case KindCorrected:
		switch {
		case e.From == None || e.To == None || was.begin != e.BeginAt || was.state == e.To:
		case was.state == e.From && l.unit != 0 && is.begin == was.begin && is.state != was.state:
			return missing(kindOfArrival(is.state))
		case was.state == e.From:
			return missing(KindNone)
		default:
			return missing(kindOfArrival(was.state))
		}
	}
	return ""
}

func (j *soundness) listed(p poll, no int) bool {
	return slices.ContainsFunc(p.obs.Rows, func(r Row) bool { return r.WorkNo == no })
}

func (j *soundness) wrongDeparture(prev *Snapshot, l *life, e *Event, inside func(Time) bool) string {
	for i, s := range l.stages {
		if i == 0 || s.state != None || !inside(s.from) {
			continue
		}
		left := l.stages[i-1]
		if kindOfDeparture(left.state) != e.Kind {
			continue
		}
		if e.Kind == KindEnded && e.ElapsedSeconds != nil && j.w.skew == 0 {
			rested := int(s.from-left.start) / 1000
			// A rest is counted from the first begin time seen of it.
			if a := find(prev, e.WorkNo); a == nil || a.restingSince() != l.stamp(left.start) {
				rested = min(rested, *e.ElapsedSeconds)
			}
			if rested < *e.ElapsedSecondsMin || rested > *e.ElapsedSeconds {
				return fmt.Sprintf("rested %d s, not %d to %d", rested, *e.ElapsedSecondsMin, *e.ElapsedSeconds)
			}
		}
		return ""
	}
	return "no such departure"
}

func find(s *Snapshot, no int) *Agent {
	for i := range s.Agents {
		if s.Agents[i].WorkNo == no {
			return &s.Agents[i]
		}
	}
	return nil
}

// checkSteps commits a result piecemeal: every step is a valid baseline, and
// together they are the result.
func checkSteps(t *testing.T, rng *rand.Rand, prev *Snapshot, r Result) []Result {
	t.Helper()
	if len(r.Events) < 2 {
		return nil
	}
	steps := r.Steps(prev, 1+rng.IntN(len(r.Events)))
	at, n := prev, 0
	for i := range steps {
		s := &steps[i]
		checkFold(t, at.Agents, s.Events, s.Snapshot.Agents)
		if s.Snapshot.Revision != prev.Revision+int64(i)+1 || s.Snapshot.LastSequence != at.LastSequence+int64(len(s.Events)) {
			t.Fatalf("step %d: revision %d, sequence %d", i, s.Snapshot.Revision, s.Snapshot.LastSequence)
		}
		if err := s.Snapshot.Validate(); err != nil {
			t.Fatal(err)
		}
		at, n = &s.Snapshot, n+len(s.Events)
	}
	if n != len(r.Events) {
		t.Fatalf("%d events in steps, want %d", n, len(r.Events))
	}
	return steps
}

// quietChecker checks that the short cut for identical replies changes nothing.
type quietChecker struct {
	last  Observation
	until Time
}

func (q *quietChecker) took(o *Observation, r *Result) {
	q.last, q.until = *o, r.QuietUntil
	q.last.Rows = slices.Clone(o.Rows)
}

func (q *quietChecker) check(t *testing.T, prev *Snapshot, o *Observation) {
	t.Helper()
	if o.At >= q.until || !slices.Equal(q.last.Rows, o.Rows) || q.last.Counts != o.Counts || q.last.Torn != o.Torn {
		return
	}
	r := Compare(prev, o, Options{})
	if got, want := encode(t, prev.Touched(o.At, Options{}.Age(o.Took), o.Order)), encode(t, r.Snapshot); r.Commit || !bytes.Equal(got, want) {
		t.Fatalf("quiet until %v, but at %v: %s\n%s\nwant\n%s", q.until, o.At, brief(r.Events), got, want)
	}
	if r.QuietUntil != q.until {
		t.Fatalf("quiet until %v became %v", q.until, r.QuietUntil)
	}
}
