package judge

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"restwatch/poller/cmssim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	days   = flag.Int("days", 0, "TestDays: days per row of the table; 0 is a short form")
	sizes  = flag.String("sizes", "20,100,500,2000", "TestDays: agents")
	polls  = flag.String("polls", "1s,5s,10s,30s", "TestDays: intervals")
	keeps  = flag.Bool("keeps", false, "TestDays: approvals keep the begin time")
	pause  = flag.Duration("pause", 400*time.Minute, "TestDays: mean time from a rest to the next request")
	slow   = flag.Float64("slow", 0, "TestDays: share of slow replies")
	moves  = flag.Float64("moves", 0.5, "TestDays: share of prolongations that move the begin time")
	grains = flag.String("grains", "1s,1ms", "TestDays: units of begin times")
)

// TestDays measures the reasoning on simulated days: 1 % torn polls, 1 %
// missed, one gap of 20 minutes, in the short form 10 % slow. Whatever the size and the interval, nothing
// certain may be wrong. The tables of docs/inference.md are
//
//	go test ./diff/judge -run TestDays -days 3 -v -timeout 2h
//	go test ./diff/judge -run TestDays -days 3 -v -timeout 2h -pause 80m
func TestDays(t *testing.T) {
	day := Day{Torn: 0.01, Missed: 0.01, Gap: 20 * time.Minute}
	day.ApprovalKeepsBegin, day.Slow = *keeps, *slow
	day.Dynamics = cmssim.DefaultDynamics()
	day.Dynamics.Work, day.Dynamics.ProlongMovesBegin = *pause, *moves
	seeds := *days
	if seeds == 0 {
		day.Length, day.Dynamics.Work, seeds = 90*time.Minute, 80*time.Minute, 1
		day.Slow = 0.1
		*sizes, *polls = "20,100,500", "5s,30s"
	}
	t.Log("agents  poll  begin   events  certain  first right   naive | certain wrong  windows  missed  late  inferred wrong  corrected | ns/agent")
	for _, interval := range durations(t, *polls) {
		for _, agents := range strings.Split(*sizes, ",") {
			for _, grain := range durations(t, *grains) {
				d := day
				fmt.Sscan(agents, &d.Agents)
				d.Interval, d.Grain = interval, grain
				row(t, d, seeds)
			}
		}
	}
}

// row runs days that differ in their seed only and prints their sum, with the
// medians of the shares.
func row(t *testing.T, d Day, seeds int) {
	t.Helper()
	var all, naive Score
	var certain, first []float64
	var spent time.Duration
	listed := 0
	for seed := range seeds {
		d.Seed = int64(seed + 1)
		o := d.Run()
		if o.Offence != "" {
			t.Errorf("%d agents, every %v, seed %d: %s", d.Agents, d.Interval, d.Seed, o.Offence)
		}
		all, naive = all.Add(o.Score), naive.Add(o.Naive)
		certain, first = append(certain, o.Score.Certain()), append(first, o.Score.FirstRight())
		spent += o.Spent
		listed += o.Listed
	}
	t.Logf("%6d  %4v  %5v  %7d   %5.1f %%     %5.1f %%  %5.1f %% | %13d  %7d  %6d  %4d  %14d  %9d | %8d", d.Agents, d.Interval, d.Grain, all.Truth,
		100*median(certain), 100*median(first), 100*naive.FirstRight(), all.CertainWrong, all.WindowWrong,
		all.Missed, all.Late, all.InferredWrong, all.Corrected, int(spent)/max(1, listed))
	if all.CertainWrong > 0 || all.WindowWrong > 0 {
		t.Errorf("%d certain events wrong, %d windows", all.CertainWrong, all.WindowWrong)
	}
	if all.Truth < 10 {
		t.Errorf("only %d events", all.Truth)
	}
}

func median(list []float64) float64 {
	slices.SortFunc(list, cmp.Compare)
	return list[len(list)/2]
}

func durations(t *testing.T, s string) []time.Duration {
	t.Helper()
	var list []time.Duration
	for _, f := range strings.Split(s, ",") {
		d, err := time.ParseDuration(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}
