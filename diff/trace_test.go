package diff

import (
	"flag"
	"fmt"
	"testing"
)

var (
	truths    = flag.Int("truths", 200, "TestSound: how many histories")
	firstSeed = flag.Uint64("from", 0, "TestSound: first seed")
	traceSeed = flag.Int64("seed", -1, "TestSound: only this seed, with every poll printed")
)

// trace prints a poll and what was concluded, for looking into a seed.
func (w *truth) trace(t *testing.T, p poll, r *Result) {
	if *traceSeed < 0 {
		return
	}
	t.Logf("--- %v torn=%v %s counts %v quality %s strikes %d anchor %v gone %+v", p.obs.At, p.torn, p.obs.DetectedBy, p.obs.Counts,
		r.Snapshot.Quality, r.Snapshot.Memory.Strikes, r.Snapshot.Memory.Anchor, r.Snapshot.Memory.Gone)
	for _, row := range p.obs.Rows {
		is := w.life(row.WorkNo).at(p.instant)
		known := "-"
		if a := find(&r.Snapshot, row.WorkNo); a != nil {
			known = fmt.Sprintf("%v %s %v %s %+v", a.State, a.Certainty, a.Candidates, a.RestID, a.Memory)
		}
		t.Logf("    %d %v d=%d c=%d  truth %v since %v   known %s", row.WorkNo, row.Begin, row.Requested, row.Reason, is.state, is.start, known)
	}
	t.Log(brief(r.Events))
}
