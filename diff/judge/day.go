package judge

import (
	"math/rand/v2"
	"slices"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// Day is one simulated working day of a VDN, read by polls that sometimes
// fail.
type Day struct {
	Agents   int
	Interval time.Duration
	Grain    time.Duration // of begin times: time.Second or time.Millisecond
	Seed     int64
	// Length is 7.5 h if 0. Torn and Missed are the shares of inconsistent and
	// failed polls, 0.01 each in Run's own measure.
	Length       time.Duration
	Torn, Missed float64
	// Slow is the share of polls whose reply takes up to an interval, or is read
	// late by as much.
	Slow float64
	// Gap without polls in the middle of the day.
	Gap     time.Duration
	Options diff.Options
	// ApprovalKeepsBegin breaks assumption A3, as some platforms may.
	ApprovalKeepsBegin bool
	// Steps of the upstream's clock, in order. From each on, what begins is listed
	// by a clock that is so much ahead of the World's; before the first, by the
	// World's.
	Steps []Step
	// Dynamics of the agents; the usual ones if zero.
	Dynamics cmssim.Dynamics
}

// Step sets the upstream's clock.
type Step struct {
	After time.Duration // from the start of the day
	Ahead time.Duration // behind, if negative
}

// Outcome of a Day.
type Outcome struct {
	Score, Naive Score
	// Offence is the first certain event that was wrong; "" if none.
	Offence string
	Polls   int
	Listed  int           // agents listed, all polls together
	Spent   time.Duration // in Compare
}

const workingDay = 7*time.Hour + 30*time.Minute

// Run lives the day.
func (d Day) Run() Outcome {
	if d.Length == 0 {
		d.Length = workingDay
	}
	start := time.Date(2026, 3, 2, 8, 30, 0, 0, time.UTC)
	vdn := diff.VDN{CC: 1, ID: 170}
	w := cmssim.NewWorld(cmssim.Config{VDN: vdn, Agents: d.Agents, Seed: d.Seed, Start: start, Grain: d.Grain, Dynamics: d.Dynamics,
		ApprovalKeepsBegin: d.ApprovalKeepsBegin})
	rng := rand.New(rand.NewPCG(uint64(d.Seed), uint64(d.Agents)))
	j, naive := New(w), New(w)
	listed := func(begin diff.Time) diff.Time {
		ahead := time.Duration(0)
		for _, s := range d.Steps {
			if begin >= diff.TimeOf(start.Add(s.After)) {
				ahead = s.Ahead
			}
		}
		return begin.Add(ahead)
	}
	j.Listed, naive.Listed = listed, listed
	var reader Naive
	var prev diff.Snapshot
	var out Outcome
	spread := diff.TimeOfDuration(d.Interval * 9 / 10)
	gap := start.Add(d.Length/4 + time.Duration(rng.Int64N(int64(d.Length/2))))
	for at := start; at.Before(start.Add(d.Length)); at = at.Add(d.Interval) {
		if rng.Float64() < d.Missed || at.After(gap) && at.Before(gap.Add(d.Gap)) {
			continue
		}
		// The reply shows the instant at; it arrives a little later.
		w.Advance(at)
		o := &diff.Observation{VDN: vdn, At: diff.TimeOf(at) + 20 + diff.Time(rng.IntN(200)), DetectedBy: diff.Poll,
			Counts: w.Counts(), Rows: slices.Clone(w.Rows())}
		for i := range o.Rows {
			o.Rows[i].Begin = listed(o.Rows[i].Begin)
		}
		if rng.Float64() < d.Slow {
			asked := diff.Time(rng.Int64N(int64(max(1, min(diff.TimeOf(at)-prev.ObservedAt, spread)))))
			o.At = diff.TimeOf(at) + diff.Time(rng.Int64N(int64(spread)))
			o.Took = o.At.Sub(diff.TimeOf(at) - asked)
		}
		if prev.ObservedAt != 0 && o.At.Sub(prev.ObservedAt) > 3*d.Interval {
			o.DetectedBy = diff.Resync
		}
		complete := true
		if rng.Float64() < d.Torn && len(o.Rows) > 0 {
			complete = false
			for range 1 + rng.IntN(3) {
				if n := len(o.Rows); n > 0 {
					i := rng.IntN(n)
					o.Rows = slices.Delete(o.Rows, i, i+1)
				}
			}
		}
		told := reader.Read(o)
		began := time.Now()
		r := diff.Compare(&prev, o, d.Options)
		out.Spent += time.Since(began)
		out.Polls++
		out.Listed += len(o.Rows)
		if prev.Revision == 0 {
			j.Baseline()
			naive.Baseline()
		} else {
			j.Poll(o.Rows, complete, r.Events)
			if complete {
				naive.Poll(o.Rows, true, told)
			}
		}
		j.Snapshot(&r.Snapshot, o.Rows)
		prev = r.Snapshot
	}
	out.Score, out.Naive, out.Offence = j.Score, naive.Score, j.Offence
	return out
}
