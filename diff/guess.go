package diff

import (
	"cmp"
	"slices"
)

// The weights of the best guess are 100 x natural logarithms of likelihoods,
// integers so that every machine guesses alike. They were tuned on simulated
// days (diff/judge).

// moves is how likely an agent who was in the first state is found in the
// second, under another begin time. The rows are None to Resting.
var moves = [4][4]int{
	None:     {Waiting: -80, Approved: -105, Resting: -160},
	Waiting:  {Waiting: -700, Approved: -50, Resting: -90},
	Approved: {Waiting: -700, Approved: -700, Resting: -2},
	Resting:  {Waiting: -80, Approved: -120, Resting: -140},
}

// dwell is how long agents stay in a state, on average, in seconds.
var dwell = [4]int64{Waiting: 40, Approved: 30, Resting: 700}

const (
	stands       = 800  // for what was guessed before, of a token still there
	stoodBefore  = 60   // the same, of a token that is gone
	prolonged    = 400  // resting as before, with another length, before the old one ran out
	reapplied    = -330 // a rest ended and the agent is listed again
	reappliedMid = -100 // more, if hardly half of it was over
	endedEarly   = -250 // a rest ended before two fifths were over
	withdrew     = -280 // a request was taken back
)

// lasting scores how likely a stage of state s is to have lasted since b.
func (c *comparison) lasting(s State, b Time) int {
	if b == 0 {
		return 0
	}
	age := min(max(0, int64(c.at-b)), 1_000_000_000)
	return -int(age / (10 * dwell[s]))
}

// choice is a pair of states of one token, when last listed and now.
type choice struct {
	was, is State
	score   int
}

// choices lists the pairs of states that can be, the likeliest first. buf
// avoids an allocation.
func (c *comparison) choices(t *token, buf []choice) []choice {
	list := buf[:0]
	past := t.past
	if t.gone != nil {
		past = t.anchored
	}
	for s := None; s <= Resting; s++ {
		if isNew := t.a == nil && t.gone == nil; (s == None) != isNew || !isNew && !past.has(s) {
			continue
		}
		for x := None; x <= Resting; x++ {
			if left := t.row == nil; (x == None) != left || !left && !t.now.has(x) || !t.can(s, x) {
				continue
			}
			list = append(list, choice{s, x, c.score(t, s, x)})
		}
	}
	slices.SortStableFunc(list, func(a, b choice) int { return cmp.Compare(b.score, a.score) })
	return list
}

// can says whether the link allows the pair.
func (t *token) can(s, x State) bool {
	switch t.link {
	case stay:
		return s == x || t.broken
	case ahead:
		return s <= x || t.broken
	case approve:
		return s == x || s == Waiting && x == Approved || t.broken
	}
	return true
}

// standing is what the agent was last said to be; None if he was not there.
func (t *token) standing() State {
	if t.a == nil {
		return None
	}
	return t.a.State
}

func (c *comparison) score(t *token, s, x State) int {
	switch {
	case t.gone != nil:
		if kindOfDeparture(s) == t.gone.Kind {
			return stoodBefore
		}
		return 0
	case t.link == vanish:
		return c.scorePast(t, s, false)
	case t.link == fresh:
		return moves[None][x] + c.lasting(x, t.row.Begin)
	}
	n := c.lasting(x, t.row.Begin)
	switch same := t.link != moved; {
	case same && s == x:
		if s == t.standing() {
			n += stands
		}
	case same && t.link != blurred:
		n += moves[s][x]
		if s == t.standing() {
			n += stoodBefore
		}
	case s == Resting && x == Resting && t.link == moved && c.runsOn(t):
		n += moves[s][x] + prolonged
		if t.standing() == Resting {
			n += stoodBefore
		}
	default:
		n += moves[s][x] + c.scorePast(t, s, true)
	}
	return n
}

// scorePast scores the state that an agent left.
func (c *comparison) scorePast(t *token, s State, listed bool) int {
	n := 0
	if s == t.standing() {
		n = stoodBefore
	}
	if s != Resting {
		n += c.lasting(s, t.a.BeginAt)
		if !listed {
			n += withdrew
		}
		return n
	}
	over, whole := int64(c.at-t.a.BeginAt), int64(t.a.RequestedSeconds)*1000
	known := t.a.BeginAt != 0 && t.a.RequestedSeconds > 0
	switch {
	case listed:
		n += reapplied
		if known && 2*over < whole {
			n += reappliedMid
		}
	case known && 5*over < 2*whole:
		n += endedEarly
	}
	return n
}

// lengthChanged says that the token may be a prolongation of the one before,
// if both are resting (A5).
func (t *token) lengthChanged() bool {
	return t.link == moved && t.a.RequestedSeconds != t.row.Requested
}

// runsOn says that it more likely is one than not.
func (c *comparison) runsOn(t *token) bool {
	return t.lengthChanged() && t.row.Begin <= t.a.deadline()
}

// open is a token with more than one choice; margin is by how much the first
// is likelier than the next.
type open struct {
	t      *token
	margin int
}

// guess gives every token its best guess: tokens one by one, the surest first,
// each the likeliest states with which the counts still come out. Standing
// guesses of tokens that cannot have changed come before all others and are
// kept if they can be: nobody changes his mind without evidence.
func (c *comparison) guess() {
	var fixed, free []open
	var buf [9]choice
	s := c.system()
	stand := c.counted && c.stand(&s)
	for i := range c.tokens {
		t := &c.tokens[i]
		if t.ghost || t.link == stay && t.now.has(t.was) && (stand || !c.counted || t.now.single()) {
			t.is = t.was
			continue
		}
		list := c.choices(t, buf[:])
		t.was, t.is, list = c.settle(t, list)
		if len(list) < 2 || !c.counted {
			continue
		}
		o := open{t, list[0].score - list[1].score}
		if t.link == stay {
			if list[0].is != t.was {
				o.margin = -o.margin
			}
			fixed = append(fixed, o)
		} else {
			free = append(free, o)
		}
	}
	surest := func(a, b open) int { return cmp.Compare(b.margin, a.margin) }
	slices.SortStableFunc(fixed, surest)
	slices.SortStableFunc(free, surest)
	for _, list := range [][]open{fixed, free} {
		for _, o := range list {
			c.choose(&s, o.t, buf[:])
		}
	}
}

// stand fixes all tokens that cannot have changed to their standing guesses,
// if these can be true together.
func (c *comparison) stand(s *system) bool {
	before := *s
	for i := range c.tokens {
		t := &c.tokens[i]
		if t.link == stay && !t.broken && !t.ghost && !t.now.single() && t.now.has(t.was) {
			s.fix(t, choice{was: t.was, is: t.was}, false)
		}
	}
	if s.feasible() {
		return true
	}
	*s = before
	return false
}

// settle is the guess of a token regarded by itself: the standing one if it
// may stand, else the likeliest.
func (c *comparison) settle(t *token, list []choice) (was, is State, _ []choice) {
	if len(list) == 0 {
		// No pair can be, which only a broken promise of the caller's own
		// could bring about. The row wins.
		return t.was, t.now.first(), nil
	}
	if t.link == stay && t.now.has(t.was) {
		return t.was, t.was, list
	}
	return list[0].was, list[0].is, list
}

// choose fixes t to its likeliest pair that leaves the system an answer.
func (c *comparison) choose(s *system, t *token, buf []choice) {
	list := c.choices(t, buf)
	if s := t.standing(); t.link == stay && t.now.has(s) {
		i := slices.IndexFunc(list, func(o choice) bool { return o.is == s })
		first := list[i]
		copy(list[1:i+1], list[:i])
		list[0] = first
	}
	for _, o := range list {
		s.fix(t, o, false)
		if s.feasible() {
			t.was, t.is = o.was, o.is
			return
		}
		s.fix(t, o, true)
	}
}

// fix narrows the candidates of t in the system to one pair, or undoes that.
func (s *system) fix(t *token, o choice, undo bool) {
	change := func(g group, c, d set) {
		if undo {
			c, d = d, c
		}
		s.narrow(g, c, d)
	}
	if t.kept {
		change(both, t.now, only(o.is))
		return
	}
	// The state at the anchor is that when last listed, unless there were
	// inconsistent lists in between.
	if t.anchored != 0 && (t.gone != nil || t.a.Memory.Anchor == 0) {
		change(then, t.anchored, only(o.was))
	}
	if t.row != nil {
		change(now, t.now, only(o.is))
	}
}
