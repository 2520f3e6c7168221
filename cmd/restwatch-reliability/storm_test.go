package reliability

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestStorm has five replicas, of which each is again and again ended in order,
// killed, or stopped for longer than its ticks are kept for it, whatever
// happens to the others meanwhile. One more is left alone, so that there always
// is one.
func TestStorm(t *testing.T) {
	if !*long {
		return
	}
	const (
		interval = time.Second
		pause    = 12 * time.Second
		places   = 5
	)
	f := &fleet{interval: interval, site: open(t, 40, interval, startNATS(t, 1)[0].url(), 0)}
	f.fault(t, "latency=20ms-60ms")
	f.grow(t, places+1)
	f.everywhere(t, "ok")
	var mu sync.Mutex // guards done
	done := map[syscall.Signal]int{}
	actions := times(0, 210)
	seen := f.watched(t, 12, func() {
		var wg sync.WaitGroup
		for place := range places {
			rng := rand.New(rand.NewPCG(*seed, uint64(100+place)))
			wg.Go(func() {
				for i := range actions / places {
					let(time.Duration(rng.Int64N(int64(3 * time.Second))))
					p := f.alive[place] // of this goroutine alone
					how := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSTOP}[(place+i)%3]
					p.signal(t, how)
					if how == syscall.SIGSTOP {
						let(pause)
						p.signal(t, syscall.SIGCONT)
					} else {
						select {
						case <-p.ended:
						case <-time.After(patience):
							t.Errorf("it does not end by %v", how)
							return
						}
						if code := p.cmd.ProcessState.ExitCode(); how == syscall.SIGTERM && code != 0 {
							t.Errorf("exit %d", code)
						}
						f.alive[place] = f.serve(t)
					}
					mu.Lock()
					done[how]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
	f.steady(t)
	gaps, ends := f.gaps()
	result(t, "6 replicas, of which 5 are ended (SIGTERM), killed and stopped for %v, each by itself | %d, %d and %d | %v; %d feeds told of a gap, %d of the end | %v",
		pause, done[syscall.SIGTERM], done[syscall.SIGKILL], done[syscall.SIGSTOP], seen, gaps, ends, f.check(t))
}
