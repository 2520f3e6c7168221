package reliability

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
)

// TestStalls stops a whole service for some seconds again and again, as a
// paused virtual machine is. The replies that it had asked for are as old as
// that when it reads them.
func TestStalls(t *testing.T) {
	begin(t)
	s := open(t, 20, 500*time.Millisecond, "", 0)
	s.fault(t, "latency=20ms-60ms")
	const longest = 4 * time.Second // below the time-out of a call
	rng := rand.New(rand.NewPCG(*seed, 5))
	p := s.serve(t)
	s.everywhere(t, diff.OK)
	stalls := times(3, 12)
	for range stalls {
		let(time.Second + time.Duration(rng.Int64N(int64(500*time.Millisecond))))
		p.signal(t, syscall.SIGSTOP)
		let(time.Second + time.Duration(rng.Int64N(int64(longest-time.Second))))
		p.signal(t, syscall.SIGCONT)
	}
	let(time.Second)
	result(t, "the service and its server stopped for 1 to 4 s | %d stops | %v", stalls, s.check(t))
}
