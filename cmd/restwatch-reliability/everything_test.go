package reliability

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// TestEverything has CC-CMS fail in all its ways at random, while replicas are
// killed, stopped and replaced, and NATS is killed, for as long as a soak lasts.
// Once the credentials are refused; in a soak of 25 minutes and more, the
// address is locked, too.
func TestEverything(t *testing.T) {
	if !*long {
		return // its parts have short forms of their own
	}
	const interval = time.Second
	const longestStop = 3 * time.Second
	bus := startNATS(t, 1)[0]
	f := &fleet{interval: interval, site: open(t, 50, interval, bus.url(), 0, "CMS_TIMEOUT=2s")}
	f.grow(t, 3)
	f.everywhere(t, diff.OK)
	rng := rand.New(rand.NewPCG(*seed, 7))
	chance := func(of int) bool { return rng.IntN(100) < of }
	did := map[string]int{}
	var most needs
	from := time.Now()
	passed := func(share float64) bool { return time.Since(from) > time.Duration(share*float64(*soak)) }
	looked := from
	refusals := []struct {
		fault string
		at    float64
		least time.Duration // the pause that follows
	}{{"unauthorized", 0.25, time.Minute}, {"locked", 0.5, 10 * time.Minute}}
	if *soak < 25*time.Minute {
		refusals = refusals[:1]
	}
	var pauses []string
	quiet := time.Time{} // until when no call may be made
	var since time.Time  // from when on
	for !passed(1) {
		for i, p := range f.alive {
			if !p.gone() {
				continue
			}
			// One that loses NATS while it starts ends, and whatever has started it
			// starts another. One at work never does.
			if p.line("msg=replicas") != "" {
				t.Errorf("a replica has ended:\n%s", p.log())
			}
			did["ended in the start, for want of NATS"]++
			f.alive[i] = f.serve(t)
		}
		switch {
		case len(refusals) > 0 && passed(refusals[0].at):
			r := refusals[0]
			refusals = refusals[1:]
			begun := time.Now()
			f.fault(t, r.fault)
			eventually(t, "a refused call", func() bool { return len(f.struck(begun, r.fault)) > 0 })
			let(time.Second) // calls of the same burst are under way
			first := f.struck(begun, r.fault)[0].At
			since, quiet = time.Now(), first.Add(r.least-time.Second)
			pauses = append(pauses, fmt.Sprintf("%s: %d calls in the first second", r.fault, len(f.struck(begun, r.fault))))
			f.fault(t, "")
		case !quiet.IsZero() && time.Now().After(quiet):
			n := f.between(since, quiet)
			pauses = append(pauses, fmt.Sprintf("%d calls in %v of the pause", n, quiet.Sub(since).Round(time.Second)))
			if n > 0 {
				t.Errorf("%s", strings.Join(pauses, "; "))
			}
			quiet = time.Time{}
		case chance(25):
			f.fault(t, someFaults(rng, passed(0.75) || *soak < 20*time.Minute))
			did["changes of the faults"]++
		case chance(25):
			f.fault(t, "")
			did["times without a fault"]++
			let(time.Duration(rng.Int64N(int64(8 * time.Second))))
		case chance(12):
			n := rng.IntN(len(f.alive))
			f.alive[n].kill(t)
			f.alive[n] = f.serve(t)
			did["kill -9 of a replica"]++
		case chance(8):
			n := rng.IntN(len(f.alive))
			p := f.alive[n]
			if code := p.stop(t); code != 0 && p.line("msg=replicas") != "" {
				t.Errorf("exit %d:\n%s", code, p.log())
			}
			f.alive[n] = f.serve(t)
			did["orderly restarts"]++
		case chance(8):
			p := f.alive[rng.IntN(len(f.alive))]
			p.signal(t, syscall.SIGSTOP)
			let(time.Duration(rng.Int64N(int64(longestStop))))
			p.signal(t, syscall.SIGCONT)
			did["SIGSTOP of a replica"]++
		case chance(8):
			bus.kill(t)
			let(time.Duration(rng.Int64N(int64(2 * time.Second))))
			bus.start(t)
			did["kill -9 of NATS"]++
		default:
			let(time.Duration(rng.Int64N(int64(2 * time.Second))))
		}
		if time.Since(looked) > 10*time.Second {
			looked = time.Now()
			for _, p := range f.alive {
				if p.line("msg=replicas") != "" && !p.gone() {
					most = most.or(p.needs(t))
				}
			}
		}
	}
	f.fault(t, "")
	ended := time.Now()
	// Back-off is at most a minute. Settings that CC-CMS refused were five
	// minutes ago.
	for late := ended.Add(2 * patience); f.told(diff.OK) < len(f.truths); let(100 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%d of %d feeds are ok", f.told(diff.OK), len(f.truths))
		}
	}
	well := time.Since(ended)
	hit := map[string]int{}
	f.mu.Lock()
	calls := len(f.calls)
	for _, c := range f.calls {
		hit[cmp.Or(c.Fault, "none")]++
	}
	f.mu.Unlock()
	found := f.check(t)
	gaps, _ := f.gaps()
	result(t, "everything | %v, 50 VDNs every 1 s, 3 replicas: %v; calls by fault: %v of %d | pauses: %s; all feeds ok %v after the last fault; %d feeds told of a gap; a replica needed at most %v | %v",
		*soak, did, hit, calls, strings.Join(pauses, "; "), well.Round(time.Second), gaps, most, found)
	for _, p := range f.alive {
		p.complain(t)
	}
}

// someFaults draws up to four faults. Those that CC-CMS puts down to the
// settings keep a VDN from being polled for five minutes, so they are for a few
// VDNs only, and not for the end.
func someFaults(rng *rand.Rand, end bool) string {
	kinds := []string{
		"latency=50ms-900ms:%s", "hang=%s", "reset=%s", "truncate=%s", "cut=%s", "empty=%s", "null=%s", "html=%s", "status=503:%s", "status=302:%s",
		"code=0100001:%s", "code=0100999:%s", "torn=%s", "counts=%s", "duplicate=%s", "names=%s", "nested=%s", "numbers=%s", "huge=0.02", "endless=0.02",
		"slow=%s", "skew=6m:%s", "skew=-90s:%s",
	}
	var spec []string
	for range 1 + rng.IntN(4) {
		k := kinds[rng.IntN(len(kinds))]
		if strings.Contains(k, "%") {
			k = fmt.Sprintf(k, fmt.Sprintf("%.2f", []float64{0.02, 0.1, 0.3, 0.6}[rng.IntN(4)]))
		}
		spec = append(spec, k)
	}
	if !end && rng.IntN(4) == 0 {
		codes := []string{"0100002", "0100003", "0101003"}
		spec = append(spec, fmt.Sprintf("vdn=1:%d,code=%s", 1+rng.IntN(4), codes[rng.IntN(len(codes))]))
	}
	return strings.Join(spec, ",")
}

// struck are the calls since an instant that met a fault.
func (u *upstream) struck(since time.Time, fault string) (calls []cmssim.Call) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.calls {
		if c.At.After(since) && c.Fault == fault {
			calls = append(calls, c)
		}
	}
	return calls
}

// between counts the calls between two instants.
func (u *upstream) between(from, to time.Time) (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.calls {
		if c.At.After(from) && c.At.Before(to) {
			n++
		}
	}
	return n
}

// needs is what a restwatch has in use.
type needs struct{ resident, goroutines, files, calls float64 }

func (n needs) String() string {
	return fmt.Sprintf("%.0f MiB, %.0f goroutines, %.0f open files, %.0f calls at once", n.resident, n.goroutines, n.files, n.calls)
}

func (n needs) or(m needs) needs {
	return needs{max(n.resident, m.resident), max(n.goroutines, m.goroutines), max(n.files, m.files), max(n.calls, m.calls)}
}

func (p *process) needs(t *testing.T) needs {
	t.Helper()
	return needs{
		p.metric(t, "process_resident_memory_bytes") / (1 << 20), p.metric(t, "go_goroutines"),
		p.metric(t, "process_open_fds"), p.metric(t, "restwatch_cms_calls_in_flight"),
	}
}
