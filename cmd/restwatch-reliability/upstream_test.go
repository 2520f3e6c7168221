package reliability

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

const (
	accessKey = "tester"
	secretKey = "correct-horse-battery-staple"
)

// tolerance is how far the time of a signature may be off; the real one is not
// known.
const tolerance = 25 * time.Hour

// upstream is a simulated CC-CMS that knows who called when.
type upstream struct {
	*cmssim.Server
	caFile string
	ahead  time.Duration // of its clock
	// by how much reset sets the clock by which begin times are listed
	resetBy time.Duration
	relist  atomic.Pointer[func(begin diff.Time) diff.Time]

	mu     sync.Mutex
	calls  []cmssim.Call
	frozen time.Time // since when nothing happens any more; zero: all goes on
}

// startUpstream has it listen at a free port of the address.
func startUpstream(t *testing.T, address string, vdns int, ahead time.Duration) *upstream {
	t.Helper()
	u := &upstream{caFile: filepath.Join(t.TempDir(), "ca.pem"), ahead: ahead}
	var err error
	u.Server, err = cmssim.Start(cmssim.Options{
		Addr:      address + ":0",
		AccessKey: accessKey, SecretKey: secretKey, Now: u.now, Tolerance: tolerance, FaultSeed: int64(*seed),
		Tenants: cmssim.Tenants(vdns, cmssim.Tenant{World: cmssim.Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: 60, Seed: int64(*seed), Speed: 30}}),
		Trace: func(c cmssim.Call) {
			u.mu.Lock()
			defer u.mu.Unlock()
			c.At = time.Now()
			u.calls = append(u.calls, c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	if err := os.WriteFile(u.caFile, u.CACert(), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upstream) now() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.frozen.IsZero() {
		return u.frozen
	}
	return time.Now().Add(u.ahead)
}

// listed is how a begin time is listed: as it is, unless somebody set the clock
// that it is listed by.
func (u *upstream) listed(begin diff.Time) diff.Time {
	if f := u.relist.Load(); f != nil {
		return (*f)(begin)
	}
	return begin
}

// mine is an instant of the upstream's clock by this machine's.
func (u *upstream) mine(t diff.Time) diff.Time { return t.Add(-u.ahead) }

// freeze stops the lives of all agents, and the upstream's clock.
func (u *upstream) freeze() {
	now := u.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.frozen = now
}

// fault sets what goes wrong from now on.
func (u *upstream) fault(t *testing.T, spec string) {
	t.Helper()
	if err := u.SetFaults(spec); err != nil {
		t.Fatal(err)
	}
}

// slots is how the calls of a time fit the schedule.
type slots struct {
	calls  int
	double int           // calls less than half an interval after another for the same VDN: probes and repeated readings
	missed int           // slots without a call
	gap    time.Duration // the longest time between two calls for one VDN
	most   int64         // calls for one VDN at once
}

func (s slots) String() string {
	return fmt.Sprintf("%d calls, %d double, %d slots missed, longest gap %v, at most %d call at once for a VDN",
		s.calls, s.double, s.missed, s.gap.Round(time.Millisecond), s.most)
}

// slots counts the calls between two instants.
func (u *upstream) slots(from, to time.Time, interval time.Duration) (s slots) {
	return u.slotsOf(from, to, interval, func(diff.VDN) bool { return true })
}

// slotsOf counts those for some of the VDNs.
func (u *upstream) slotsOf(from, to time.Time, interval time.Duration, wanted func(diff.VDN) bool) (s slots) {
	byVDN := map[diff.VDN][]time.Time{}
	u.mu.Lock()
	for _, c := range u.calls {
		if !c.At.Before(from) && c.At.Before(to) && wanted(c.VDN) {
			byVDN[c.VDN] = append(byVDN[c.VDN], c.At)
		}
	}
	u.mu.Unlock()
	for v, list := range byVDN {
		slices.SortFunc(list, func(a, b time.Time) int { return cmp.Compare(a.UnixNano(), b.UnixNano()) })
		s.calls += len(list)
		s.most = max(s.most, u.Stats(v).MaxInFlight)
		for i := 1; i < len(list); i++ {
			d := list[i].Sub(list[i-1])
			s.gap = max(s.gap, d)
			switch n := int(math.Round(float64(d) / float64(interval))); {
			case d < interval/2:
				s.double++
			case n > 1:
				s.missed += n - 1
			}
		}
	}
	return s
}
