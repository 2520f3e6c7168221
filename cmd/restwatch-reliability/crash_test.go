package reliability

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
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
	s.truthful = true
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
	result(t, "embedded, kill -9 | %d kills: %d before the first poll, %d at work, %d in the shutdown (%d had ended by then) | at work after %v at first, after a crash %v | %v",
		kills, moments[0], moments[1], moments[2], ended, first.Round(time.Millisecond), spread(starts), f)
}

// TestFirstStartCrashes kills the very first start on a fresh store, when it
// makes folders, account, streams and consumer, and then starts once more.
func TestFirstStartCrashes(t *testing.T) {
	begin(t)
	rng := rand.New(rand.NewPCG(*seed, 6))
	s := open(t, 2, 250*time.Millisecond, "", 0)
	p := s.serve(t) // on a store of its own, to learn how long it takes
	first := s.atWork(t, p)
	p.kill(t)
	kills := times(4, 250)
	var starts []time.Duration
	said := map[string]int{}
	for i := range kills {
		// The last setting of a name counts.
		env := append(slices.Clone(s.env), "RESTWATCH_STORE_DIR="+filepath.Join(t.TempDir(), fmt.Sprint("store-", i)))
		p := spawn(t, env, binary, "serve")
		let(time.Duration(rng.Float64() * float64(first)))
		for _, step := range []string{"feed ok", "snapshots loaded", "stream created", "embedded NATS started", "restwatch starts", ""} {
			if p.line(step) != "" || step == "" {
				said[step]++
				break
			}
		}
		p.kill(t)
		starts = append(starts, s.startAgain(t, env, i))
	}
	result(t, "embedded, kill -9 of the first start on a fresh store | %d kills: %d before the first line of the log, %d before the server, %d before the streams, %d before they were read, %d before the first poll, %d after | the next start at work after %v |",
		kills, said[""], said["restwatch starts"], said["embedded NATS started"], said["stream created"], said["snapshots loaded"], said["feed ok"], spread(starts))
}

// startAgain starts the service once more on the store that a start left which was cut
// short, and has verify look at it. It returns how long that took to be at work.
func (s *site) startAgain(t *testing.T, env []string, store int) time.Duration {
	t.Helper()
	p := spawn(t, env, binary, "serve")
	took := s.atWork(t, p)
	eventually(t, "all VDNs polled", func() bool { return p.ready(t) })
	verify := spawn(t, env, binary, "verify")
	if code := verify.exit(t); code != 0 {
		t.Errorf("store %d: verify: exit %d: %s", store, code, verify.log())
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("store %d: exit %d: %s", store, code, p.log())
	}
	return took
}

// spread is the median and the greatest of some durations.
func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("%v (median), %v (most)", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}
