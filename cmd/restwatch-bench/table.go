package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

func compareHead(w io.Writer) {
	fmt.Fprintln(w, "| agents | changed | program | polls/s | CPU ms per 1,000 polls | with nats-server | of the floor's | with nats-server | MB | peak | published per change | latency p50 | p95 |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")
}

// compareRow writes a program's medians, with the least and the greatest of
// its own CPU figure, and the median of its ratios to the floor's run beside it.
func compareRow(w io.Writer, d load, program string, runs, floor []window) {
	own := func(w window) float64 { return perPoll(w.cpu, w.polls) }
	all := func(w window) float64 { return perPoll(w.cpu+w.nats, w.polls) }
	low, high := spread(runs, own)
	fmt.Fprintf(w, "| %d | %g %% | %s | %.0f | %.1f (%.1f-%.1f) | %.1f | %.2f | %.2f | %.0f | %.0f | %s | %s | %s |\n",
		d.agents, d.share*100, program,
		median(runs, func(w window) float64 { return float64(w.polls) / w.took.Seconds() }),
		median(runs, own), low, high, median(runs, all),
		ratio(runs, floor, own), ratio(runs, floor, all),
		median(runs, func(w window) float64 { return float64(w.resident) / (1 << 20) }),
		median(runs, func(w window) float64 { return float64(w.peak) / (1 << 20) }),
		perChange(runs), latency(runs, 0.50), latency(runs, 0.95))
}

func values(runs []window, of func(window) float64) []float64 {
	list := make([]float64, len(runs))
	for i, w := range runs {
		list[i] = of(w)
	}
	slices.Sort(list)
	return list
}

func median(runs []window, of func(window) float64) float64 { return middle(values(runs, of)) }

// middle is the median of a sorted list, 0 of an empty one.
func middle(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func spread(runs []window, of func(window) float64) (low, high float64) {
	list := values(runs, of)
	return list[0], list[len(list)-1]
}

// ratio is the median of the ratios of runs made side by side.
func ratio(runs, floor []window, of func(window) float64) float64 {
	var list []float64
	for i := range min(len(runs), len(floor)) {
		list = append(list, of(runs[i])/of(floor[i]))
	}
	slices.Sort(list)
	return middle(list)
}

// perChange is how many messages about changes were stored for one change that
// was in a reply, over all runs; "" if there was none of either.
func perChange(runs []window) string {
	var changes, published int64
	for _, w := range runs {
		changes += w.changes
		published += w.published
	}
	if published == 0 || changes == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(published)/float64(changes))
}

// latency is a quantile over all runs, "" of a program that has none.
func latency(runs []window, q float64) string {
	var list []time.Duration
	for _, w := range runs {
		list = append(list, w.latencies...)
	}
	if len(list) == 0 {
		return ""
	}
	slices.SortFunc(list, cmp.Compare)
	return fmt.Sprintf("%.1f ms", float64(list[int(q*float64(len(list)-1))].Microseconds())/1000)
}
