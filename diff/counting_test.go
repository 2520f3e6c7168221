package diff

import (
	"math/rand/v2"
	"testing"
)

// bruteSystem is a system token by token.
type bruteSystem struct {
	group  []group
	may    []set
	totals [2][3]int // then, now
}

// solve tries every assignment: the states that each token has in some answer.
func (b *bruteSystem) solve() (left []set, feasible bool) {
	left = make([]set, len(b.may))
	is := make([]State, len(b.may))
	var try func(i int, n [2][3]int)
	try = func(i int, n [2][3]int) {
		if i == len(b.may) {
			if n == b.totals {
				feasible = true
				for i, s := range is {
					left[i] |= only(s)
				}
			}
			return
		}
		for s := Waiting; s <= Resting; s++ {
			if !b.may[i].has(s) {
				continue
			}
			m := n
			if b.group[i] != now {
				m[0][s-1]++
			}
			if b.group[i] != then {
				m[1][s-1]++
			}
			is[i] = s
			try(i+1, m)
		}
	}
	try(0, [2][3]int{})
	return left, feasible
}

// randomSystem has up to 8 tokens. Half of them have an answer by design.
func randomSystem(rng *rand.Rand) *bruteSystem {
	b := &bruteSystem{}
	var size [2]int
	designed := rng.IntN(2) == 0
	for range rng.IntN(9) {
		g, c := group(rng.IntN(3)), set(1+rng.IntN(7))
		b.group, b.may = append(b.group, g), append(b.may, c)
		s := Waiting
		for s = State(1 + rng.IntN(3)); !c.has(s); s = State(1 + rng.IntN(3)) {
		}
		for i, other := range []group{now, then} {
			if g != other {
				size[i]++
				if designed {
					b.totals[i][s-1]++
				}
			}
		}
	}
	if !designed {
		for i, n := range size {
			for range n {
				b.totals[i][rng.IntN(3)]++
			}
		}
	}
	return b
}

func counts(n [3]int) Counts { return Counts{n[0], n[1], n[2]} }

// TestCountingIsExact compares the counting step with trying everything.
func TestCountingIsExact(t *testing.T) {
	n, feasible, narrowed := 40_000, 0, 0
	rng := rand.New(rand.NewPCG(7, 7))
	for range n {
		b := randomSystem(rng)
		var tokens tally
		for i, g := range b.group {
			tokens[g][b.may[i]]++
		}
		anchor := counts(b.totals[0])
		s := newSystem(&tokens, &anchor, counts(b.totals[1]))
		want, ok := b.solve()
		if s.feasible() != ok {
			t.Fatalf("feasible %v, want %v: %+v", s.feasible(), ok, b)
		}
		if !ok {
			continue
		}
		feasible++
		left := s.solve()
		for i, g := range b.group {
			got := left[g][b.may[i]]
			if got != want[i] {
				t.Fatalf("token %d may be %v, want %v: %+v", i, got, want[i], b)
			}
			if got != b.may[i] {
				narrowed++
			}
		}
	}
	if feasible < n/3 || narrowed < n/10 {
		t.Errorf("only %d systems with an answer, %d tokens narrowed", feasible, narrowed)
	}
}

// TestCountingWithoutAnchor is the same where only the present totals count.
func TestCountingWithoutAnchor(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 10_000 {
		b := randomSystem(rng)
		var tokens tally
		for i := range b.group {
			b.group[i] = now
			tokens[now][b.may[i]]++
		}
		b.totals[0] = [3]int{}
		n := counts(b.totals[1])
		n.Resting += len(b.may) - n.Sum()
		if n.Resting < 0 {
			continue
		}
		b.totals[1] = n.byState()
		s := newSystem(&tokens, nil, n)
		want, ok := b.solve()
		if s.feasible() != ok {
			t.Fatalf("feasible %v, want %v: %+v", s.feasible(), ok, b)
		}
		if !ok {
			continue
		}
		left := s.solve()
		for i := range b.may {
			if got := left[now][b.may[i]]; got != want[i] {
				t.Fatalf("token %d may be %v, want %v: %+v", i, got, want[i], b)
			}
		}
	}
}
