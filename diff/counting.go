package diff

// group says in which of two readings, the anchor and the present one, a token
// was listed.
type group uint8

const (
	both group = iota // in both, and in the same state
	then              // in the anchor only
	now               // in the present reading only
)

// tally counts tokens by group and candidates. An agent who may have changed
// his state between the readings without it showing counts as two tokens: one
// then, one now.
type tally [3][8]int

// system is what two readings say together: how many tokens there are of each
// kind, and how many of them the totals put into each state. It has an answer
// if states can be given to all tokens such that the totals of both readings
// come out.
//
// lo and hi count, by group and state, the tokens that must and that may be in
// the state. Three states make them sufficient: states can be given to a group
// of n tokens with n1, n2, n3 of them in the three states if n1+n2+n3 = n and
// lo <= ni <= hi for each, because what Hall's condition demands for two states
// is what hi demands for the third.
type system struct {
	lo, hi     [3][3]int
	kept       int    // tokens of group both
	then, now  [3]int // totals of the anchor and of the present reading
	hasAnchor  bool
	tokens     tally
	population [3]int
}

// newSystem counts tokens against totals. Without an anchor all tokens must be
// in the group now.
func newSystem(t *tally, anchor *Counts, present Counts) system {
	s := system{tokens: *t, now: present.byState()}
	if anchor != nil {
		s.hasAnchor, s.then = true, anchor.byState()
	}
	for g := range t {
		for c, n := range t[g] {
			s.add(group(g), set(c), n)
		}
	}
	s.kept = s.population[both]
	return s
}

// add puts n more tokens with candidates c into group g.
func (s *system) add(g group, c set, n int) {
	s.population[g] += n
	if c.single() {
		s.lo[g][c.first()-1] += n
	}
	for p := range 3 {
		if c&(1<<p) != 0 {
			s.hi[g][p] += n
		}
	}
}

// narrow moves one token of group g from candidates c to candidates d.
func (s *system) narrow(g group, c, d set) {
	s.add(g, c, -1)
	s.add(g, d, 1)
}

// feasible says whether the system has an answer.
//
// Let k be the number of tokens of group both in a state. The present total
// leaves total-k to the group now, the anchor's total leaves total-k to the
// group then; each must lie within lo and hi. So k is bounded from both sides,
// for each state by itself, and any choice within the bounds that adds up to
// the size of group both extends to an answer.
func (s *system) feasible() bool {
	sumLow, sumHigh := 0, 0
	for p := range 3 {
		low, high := s.lo[both][p], s.hi[both][p]
		low = max(low, s.now[p]-s.hi[now][p])
		high = min(high, s.now[p]-s.lo[now][p])
		if s.hasAnchor {
			low = max(low, s.then[p]-s.hi[then][p])
			high = min(high, s.then[p]-s.lo[then][p])
		}
		if low > high {
			return false
		}
		sumLow += low
		sumHigh += high
	}
	return sumLow <= s.kept && s.kept <= sumHigh
}

// allows says whether a token of group g with candidates c can be in state p.
func (s *system) allows(g group, c set, p State) bool {
	if c.single() {
		return c.has(p)
	}
	s.narrow(g, c, only(p))
	ok := s.feasible()
	s.narrow(g, only(p), c)
	return ok
}

// cuts is what is left of the candidates of every token, by group and set.
type cuts [3][8]set

// solve finds, for every kind of token that there is, the states that some
// answer gives to it. Tokens of one kind are interchangeable, so one trial per
// kind and state decides for all: at most 27.
func (s *system) solve() cuts {
	var left cuts
	for g := range left {
		for c := range left[g] {
			left[g][c] = set(c)
			if s.tokens[g][c] == 0 || set(c).single() {
				continue
			}
			left[g][c] = 0
			for p := Waiting; p <= Resting; p++ {
				if set(c).has(p) && s.allows(group(g), set(c), p) {
					left[g][c] |= only(p)
				}
			}
		}
	}
	return left
}

func (c Counts) byState() [3]int { return [3]int{c.Waiting, c.Approved, c.Resting} }
