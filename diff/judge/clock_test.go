package judge

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"restwatch/poller/cmssim"
)

var clocks = flag.Int("clocks", 60, "TestUpstreamClockIsSet: days")

// The upstream's clock is set while agents rest, by minutes or hours, to any
// size of VDN: no rest is overdue, for certain, before its time.
func TestUpstreamClockIsSet(t *testing.T) {
	var all Score
	for seed := range *clocks {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		d := Day{
			Agents: []int{10, 30, 100}[rng.IntN(3)], Interval: []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}[rng.IntN(3)],
			Grain: []time.Duration{time.Millisecond, time.Second}[rng.IntN(2)], Seed: int64(seed), Length: 2 * time.Hour,
			Torn: 0.03 * rng.Float64(), Missed: 0.03 * rng.Float64(), Dynamics: cmssim.DefaultDynamics(),
		}
		d.Dynamics.Work = time.Duration(20+rng.IntN(60)) * time.Minute
		for at := -24 * time.Hour * time.Duration(rng.IntN(2)); at < d.Length; at = max(at, 0) + time.Duration(rng.Int64N(int64(time.Hour))) {
			off := []time.Duration{time.Hour, 10 * time.Minute, 3 * time.Minute}[rng.IntN(3)]
			d.Steps = append(d.Steps, Step{at, time.Duration(rng.IntN(3)-1) * off})
		}
		o := d.Run()
		if o.Score.CertainWrong > 0 {
			t.Errorf("seed %d: %d certain events wrong: %s %v", seed, o.Score.CertainWrong, o.Offence, d.Steps)
		}
		all = all.Add(o.Score)
	}
	t.Logf("%+v", all)
}
