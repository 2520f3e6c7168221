package assess_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"restwatch/diff"
	"restwatch/diff/assess"
	"restwatch/poller/cmssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var seeds = flag.Int("seeds", 2, "how many recordings of each platform")

// platform is a simulated one, and how it is recorded.
type platform struct {
	agents   int           // 60 if 0
	interval time.Duration // 5 s if 0
	length   time.Duration // 4 h if 0
	world    func(*cmssim.Config)
	// torn lists lack an agent, missed polls fail: shares.
	torn, missed float64
	// age of a reply: 20 ms and up to jitter more, 200 if 0.
	jitter int64
	// spoil changes what a list says.
	spoil func(rng *rand.Rand) func(w *cmssim.World, o *diff.Observation)
	opt   diff.Options
}

var start = time.Date(2026, 3, 2, 8, 30, 0, 0, time.UTC)

// record feeds one recording of VDN 1:170 to fn; r is nil for a failed poll.
func (p platform) record(seed int64, fn func(o *diff.Observation, r *diff.Result)) {
	vdn := diff.VDN{CC: 1, ID: 170}
	c := cmssim.Config{VDN: vdn, Agents: or(p.agents, 60), Seed: seed, Start: start, Dynamics: cmssim.DefaultDynamics()}
	c.Dynamics.Prolong = 0.15
	if p.world != nil {
		p.world(&c)
	}
	w := cmssim.NewWorld(c)
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	var prev diff.Snapshot
	spoil := func(*cmssim.World, *diff.Observation) {}
	if p.spoil != nil {
		spoil = p.spoil(rng)
	}
	for at := start; at.Before(start.Add(or(p.length, 4*time.Hour))); at = at.Add(or(p.interval, 5*time.Second)) {
		// Polls wander over the second, as those of a busy machine do.
		at := at.Add(time.Duration(rng.IntN(500)) * time.Millisecond)
		w.Advance(at)
		o := &diff.Observation{VDN: vdn, At: diff.TimeOf(at) + 20 + diff.Time(rng.Int64N(or(p.jitter, 200))), DetectedBy: diff.Poll,
			Counts: w.Counts(), Rows: slices.Clone(w.Rows())}
		if rng.Float64() < p.missed {
			fn(o, nil)
			continue
		}
		if n := len(o.Rows); n > 0 && rng.Float64() < p.torn {
			o.Rows = slices.Delete(o.Rows, n/2, n/2+1)
		}
		spoil(w, o)
		r := diff.Compare(&prev, o, p.opt)
		prev = r.Snapshot
		fn(o, &r)
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (p platform) assess(seed int64) assess.Report {
	a := assess.New(p.opt)
	p.record(seed, func(o *diff.Observation, r *diff.Result) {
		if r == nil {
			a.Failed(o.VDN, o.At)
			return
		}
		a.Observe(o, r)
	})
	return a.Report()
}

func seconds(c *cmssim.Config)  { c.Grain = time.Second }
func keeps(c *cmssim.Config)    { c.ApprovalKeepsBegin = true }
func inPlace(c *cmssim.Config)  { c.Dynamics.ProlongMovesBegin = 0 }
func byMoving(c *cmssim.Config) { c.Dynamics.ProlongMovesBegin = 1 }

func both(f, g func(*cmssim.Config)) func(*cmssim.Config) {
	return func(c *cmssim.Config) { f(c); g(c) }
}

// verdicts writes verdicts as one letter for each assumption: h, b, n or u.
func verdicts(r assess.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteByte(map[assess.Verdict]byte{assess.Held: 'h', assess.Broken: 'b', assess.NotTested: 'n', assess.Untestable: 'u'}[f.Verdict])
	}
	return b.String()
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		name string
		platform
		want string // A1 to A7; ? is any but broken, * any
	}{
		{"clean", platform{missed: 0.01}, "hhhuhhh"},
		{"clean, small", platform{agents: 12}, "hhhu??h"},
		{"clean, large", platform{agents: 400, torn: 0.01, missed: 0.01}, "hhhuhhh"},
		{"clean, every second", platform{interval: time.Second}, "hhhuhhh"},
		{"clean, every 30 s", platform{interval: 30 * time.Second}, "hhhu?hh"},
		{"seconds", platform{world: seconds}, "hhh?hhh"},
		{"seconds, every second", platform{world: seconds, interval: time.Second}, "hhhhhhh"},
		{"seconds, large", platform{world: seconds, agents: 400, torn: 0.01}, "hhh?hhh"},
		{"torn", platform{torn: 0.2}, "hhhuhhh"},
		{"prolonged in place", platform{world: inPlace}, "hhhuhhh"},
		{"prolonged with another begin", platform{world: byMoving}, "hhhu?hh"},
		{"approval keeps begin", platform{world: keeps}, "h?bu?hh"},
		{"approval keeps begin, large", platform{world: keeps, agents: 400}, "h?bu?hh"},
		{"approval keeps begin, seconds", platform{world: both(keeps, seconds)}, "h?b??hh"},
		{"totals always off", platform{spoil: each(func(_ *cmssim.World, o *diff.Observation) { o.Counts.Resting++ })}, "nbnnnnn"},
		{"totals off for minutes", platform{spoil: offForMinutes}, "hbhu??h"},
		{"totals of another instant", platform{spoil: stale}, "hbnu***"},
		{"an agent missed and the totals too", platform{spoil: missed}, "hb*u***"},
		{"approved agents keep their reason", platform{spoil: each(lingering)}, "b*****?"},
		{"a full quota shows on all rows", platform{spoil: each(quota)}, "b******"},
		{"whole minutes", platform{spoil: each(minutes)}, "hnnbnnn"},
		{"prolonged with the same length", platform{agents: 200, world: byMoving, spoil: each(alike)}, "h??ub?h"},
		{"short rests", platform{world: short}, "h??u?bh"},
		{"replies of any age", platform{jitter: 2000}, "h??u??b"},
		{"no begin times", platform{spoil: each(timeless)}, "h?nnnnn"},
		{"clock ahead", platform{spoil: each(ahead)}, "hhhuhhh"},
		{"clock behind", platform{spoil: each(behind)}, "hhhuhhh"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for seed := range int64(*seeds) {
				r := test.assess(seed + 1)
				got := verdicts(r)
				for i := range test.want {
					if w := test.want[i]; w != '*' && w != got[i] && (w != '?' || got[i] == 'b') {
						t.Errorf("seed %d: got %s, want %s\n%s", seed+1, got, test.want, show(r))
						break
					}
				}
				if testing.Verbose() && seed == 0 {
					t.Logf("%s\n%s", got, show(r))
				}
			}
		})
	}
}

func show(r assess.Report) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	for _, f := range r.Findings {
		f.Examples = f.Examples[:min(1, len(f.Examples))]
		x, _ := json.Marshal(f.Examples)
		b.WriteString(f.Assumption + " " + string(f.Verdict) + ": " + f.Why + "\n   " + strings.Join(f.Notes, "\n   ") + "\n   " + string(x) + "\n")
	}
	b.WriteString(strings.Join(append(r.Oddities, r.Meaning...), "\n") + "\n")
	x, _ := json.Marshal(r.Facts)
	b.Write(x)
	return b.String()
}
