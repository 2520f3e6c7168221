package assess_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// Platforms that the simulator does not know: what they list instead of the
// truth.

type spoiler = func(w *cmssim.World, o *diff.Observation)

// each is for spoilers that look at one list only.
func each(f spoiler) func(*rand.Rand) spoiler { return func(*rand.Rand) spoiler { return f } }

// offForMinutes has totals that for a while count one more.
func offForMinutes(rng *rand.Rand) spoiler {
	left := 0
	return func(_ *cmssim.World, o *diff.Observation) {
		if left == 0 && rng.IntN(200) == 0 {
			left = 30
		}
		if left > 0 {
			left--
			o.Counts.Resting++
		}
	}
}

// stale has totals of the poll before, if they fit the list.
func stale(*rand.Rand) spoiler {
	var before diff.Counts
	return func(_ *cmssim.World, o *diff.Observation) {
		counts := o.Counts
		if before.Sum() == counts.Sum() {
			o.Counts = before
		}
		before = counts
	}
}

// missed leaves out an agent now and then, in the totals too.
func missed(rng *rand.Rand) spoiler {
	return func(w *cmssim.World, o *diff.Observation) {
		if len(o.Rows) == 0 || rng.IntN(100) > 0 {
			return
		}
		i := rng.IntN(len(o.Rows))
		switch w.State(o.Rows[i].WorkNo) {
		case diff.Waiting:
			o.Counts.Waiting--
		case diff.Approved:
			o.Counts.Approved--
		case diff.Resting:
			o.Counts.Resting--
		}
		o.Rows = slices.Delete(o.Rows, i, i+1)
	}
}

// lingering has approved agents show why they waited.
func lingering(w *cmssim.World, o *diff.Observation) {
	for i := range o.Rows {
		if w.State(o.Rows[i].WorkNo) == diff.Approved {
			o.Rows[i].Reason = 1
		}
	}
}

// quota shows a full quota on every row.
func quota(_ *cmssim.World, o *diff.Observation) {
	if o.Counts.Approved+o.Counts.Resting > 8 {
		for i := range o.Rows {
			o.Rows[i].Reason = 2
		}
	}
}

func minutes(_ *cmssim.World, o *diff.Observation) {
	for i := range o.Rows {
		o.Rows[i].Begin -= o.Rows[i].Begin % 60_000
	}
}

func alike(_ *cmssim.World, o *diff.Observation) {
	for i := range o.Rows {
		o.Rows[i].Requested = 600
	}
}

func timeless(_ *cmssim.World, o *diff.Observation) {
	for i := range o.Rows {
		o.Rows[i].Begin = 0
	}
}

func ahead(_ *cmssim.World, o *diff.Observation)  { shift(o, 7_123) }
func behind(_ *cmssim.World, o *diff.Observation) { shift(o, -7_123) }

func shift(o *diff.Observation, by diff.Time) {
	for i := range o.Rows {
		o.Rows[i].Begin += by
	}
}

// short has rests of a few seconds.
func short(c *cmssim.Config) {
	c.Dynamics.MinRest = 0
	c.Dynamics.Lengths = []time.Duration{8 * time.Second, 600 * time.Second}
}
