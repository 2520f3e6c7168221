package reliability

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestCrashes kills the service with its embedded server, which syncs each
// commit, again and again: a third of the times before the first poll, a third
// at work, a third while it shuts down.
func TestCrashes(t *testing.T) {
	begin(t)
	s := open(t, 5, 250*time.Millisecond, "", 0)
	rng := rand.New(rand.NewPCG(*seed, 1))
	p := s.serve(t)
	first := s.atWork(t, p)
	eventually(t, "the first snapshots", func() bool {
		s.heard.Lock()
		defer s.heard.Unlock()
		return len(s.trail) == len(s.truths)
	})
	kills := times(9, 300)
	moments := [3]int{}
	var starts []time.Duration
	ended := 0
	for i := range kills {
		switch i % 3 {
		case 0:
			let(time.Duration(rng.Float64() * float64(first)))
		case 1:
			starts = append(starts, s.atWork(t, p))
			let(time.Duration(rng.Int64N(int64(time.Second))))
		case 2:
			starts = append(starts, s.atWork(t, p))
			p.signal(t, syscall.SIGTERM)
			let(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
			if p.gone() {
				ended++ // it was faster
			}
		}
		moments[i%3]++
		p.kill(t)
		p = s.serve(t)
	}
	starts = append(starts, s.atWork(t, p))
	f := s.check(t)
	slices.Sort(starts)
	result(t, "embedded, kill -9 | %d kills: %d before the first poll, %d at work, %d in the shutdown (%d had ended by then) | at work after %v at first, after a crash %v (median), %v (most) | %v",
		kills, moments[0], moments[1], moments[2], ended, first.Round(time.Millisecond), starts[len(starts)/2].Round(time.Millisecond), starts[len(starts)-1].Round(time.Millisecond), f)
}
