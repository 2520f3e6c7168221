package reliability

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// TestUpstreamFaults lets CC-CMS fail in several ways at a time, which change
// all the while.
func TestUpstreamFaults(t *testing.T) {
	begin(t)
	const interval = 250 * time.Millisecond
	f := &fleet{interval: interval, site: open(t, 5, interval, startNATS(t, 1)[0].url(), 0, "CMS_TIMEOUT=500ms")}
	f.grow(t, 2)
	f.everywhere(t, diff.OK)
	rng := rand.New(rand.NewPCG(*seed, 4))
	kinds := []string{
		"latency=50ms-400ms:%s", "hang=%s", "reset=%s", "truncate=%s", "cut=%s", "empty=%s", "null=%s", "html=%s", "status=503:%s", "status=302:%s",
		"code=0100001:%s", "code=0100999:%s", "torn=%s", "counts=%s", "duplicate=%s", "names=%s", "nested=%s", "numbers=%s",
	}
	rounds := times(8, 80)
	used := map[string]bool{}
	for range rounds {
		var spec []string
		for range 1 + rng.IntN(4) {
			k := kinds[rng.IntN(len(kinds))]
			used[k] = true
			spec = append(spec, fmt.Sprintf(k, fmt.Sprintf("%.2f", []float64{0.1, 0.3, 0.6, 1}[rng.IntN(4)])))
		}
		f.fault(t, strings.Join(spec, ","))
		let(time.Second)
	}
	f.fault(t, "")
	from := time.Now()
	f.everywhere(t, diff.OK)
	well := time.Since(from)
	f.mu.Lock()
	hit := 0
	for _, c := range f.calls {
		if c.Fault != "" {
			hit++
		}
	}
	calls := len(f.calls)
	f.mu.Unlock()
	found := f.check(t)
	gaps, _ := f.gaps()
	result(t, "CC-CMS fails in 1 to 4 ways at a time | %d changes of the faults, %d kinds | %d of %d calls spoilt; all feeds ok %v after the last; %d feeds told of a gap | %v",
		rounds, len(used), hit, calls, well.Round(time.Millisecond), gaps, found)
}

// TestRefused refuses the credentials under three replicas: hardly a call may be
// made then, and none while calls are paused.
func TestRefused(t *testing.T) {
	begin(t)
	interval := 500 * time.Millisecond
	f := &fleet{interval: interval, site: open(t, either(20, 60), interval, startNATS(t, 1)[0].url(), 0)}
	f.grow(t, 3)
	f.everywhere(t, diff.OK)
	f.steady(t)
	from := time.Now()
	f.fault(t, "unauthorized")
	f.everywhere(t, diff.Paused)
	refused := func(since time.Time) (at []time.Time) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.calls {
			if c.At.After(since) && c.Fault == "unauthorized" {
				at = append(at, c.At)
			}
		}
		return at
	}
	// Calls of the same burst are under way when the first is refused. On a busy
	// machine they come when another replica has told of the pause already.
	f.quiet(t)
	paused := time.Now()
	before := refused(from)
	let(either(3*time.Second, 40*time.Second))
	during := len(refused(paused))
	spread := before[len(before)-1].Sub(before[0])
	late := 0
	for _, at := range before {
		if at.Sub(before[0]) > 100*time.Millisecond {
			late++
		}
	}
	result(t, "401 under 3 replicas | %d VDNs every %v | %d calls were refused, all within %v; %d in %v of the pause",
		len(f.truths), interval, len(before), spread.Round(100*time.Microsecond), during, time.Since(paused).Round(time.Second))
	if during > 0 {
		t.Errorf("%d calls in the pause", during)
	}
	// The short form goes beside others, on a machine that they keep busy.
	if *long && late > 2 {
		t.Errorf("%d calls were begun after the first was refused", late)
	}
	if most := len(f.truths) + len(f.alive); len(before) > most {
		t.Errorf("%d calls were refused, want one for each VDN at most, and a probe for each replica", len(before))
	}
	if !*long {
		return
	}
	// The probe after the pause is refused too; then the keys are good again.
	probed := time.Now()
	eventually(t, "the probe", func() bool { return len(refused(probed)) > 0 })
	first := refused(probed)[0]
	let(5 * time.Second)
	n := len(refused(probed))
	result(t, "401, after the first pause | 1 | %d calls were refused, the first %v after the refusal", n, first.Sub(before[0]).Round(time.Second))
	if n > 2 {
		t.Errorf("%d calls after the pause", n)
	}
}
