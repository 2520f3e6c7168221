package assess_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restwatch/diff"
	"restwatch/diff/assess"
)

func encode(t interface{ Fatal(...any) }, r assess.Report) string {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStreams: the same recording gives the same report, whatever the order of
// its lists, and whether or not somebody looks in between. Polls that come
// again change nothing.
func TestStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := platform{
			agents: rapid.IntRange(1, 80).Draw(t, "agents"), length: 8 * time.Minute,
			torn: rapid.Float64Range(0, 0.3).Draw(t, "torn"), missed: rapid.Float64Range(0, 0.3).Draw(t, "missed"),
			interval: time.Duration(rapid.IntRange(1, 30).Draw(t, "interval")) * time.Second,
		}
		seed := rapid.Int64Range(1, 1000).Draw(t, "seed")
		want := encode(t, p.assess(seed))
		rng := rand.New(rand.NewPCG(1, 2))
		a := assess.New(diff.Options{})
		var prev diff.Snapshot
		p.record(seed, func(o *diff.Observation, r *diff.Result) {
			if r == nil {
				a.Failed(o.VDN, o.At)
				return
			}
			rng.Shuffle(len(o.Rows), func(i, j int) { o.Rows[i], o.Rows[j] = o.Rows[j], o.Rows[i] })
			again := diff.Compare(&prev, o, p.opt)
			prev = again.Snapshot
			a.Observe(o, &again)
			a.Observe(o, &again)
			if rng.IntN(10) == 0 {
				a.Report()
			}
		})
		if got := encode(t, a.Report()); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestVDNsAddUp: a recording of several VDNs tells what each tells by itself.
func TestVDNsAddUp(t *testing.T) {
	p := platform{world: keeps, length: time.Hour, torn: 0.02}
	a := assess.New(diff.Options{})
	var want assess.Facts
	for vdn := range 3 {
		seed := int64(vdn + 1)
		p.record(seed, func(o *diff.Observation, r *diff.Result) {
			other := *o
			other.VDN.ID += vdn
			a.Observe(&other, r)
		})
		one := p.assess(seed).Facts
		want.Lists += one.Lists
		want.BeginTimes += one.BeginTimes
		want.WrongLength += one.WrongLength
		want.Learned += one.Learned
		want.Contradictions += one.Contradictions
	}
	got := a.Report().Facts
	if got.VDNs != 3 || got.Lists != want.Lists || got.BeginTimes != want.BeginTimes || got.WrongLength != want.WrongLength ||
		got.Learned != want.Learned || got.Contradictions != want.Contradictions {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestBackWithinASecond has an agent rest, and wait under the same beginTime:
// he left and asked again within a second, which A4 excludes.
func TestBackWithinASecond(t *testing.T) {
	a := assess.New(diff.Options{})
	var prev diff.Snapshot
	at := diff.TimeOf(start)
	read := func(n diff.Counts, rows ...diff.Row) {
		at += 300
		o := &diff.Observation{VDN: diff.VDN{CC: 1, ID: 170}, At: at, DetectedBy: diff.Poll, Counts: n, Rows: rows}
		r := diff.Compare(&prev, o, diff.Options{})
		prev = r.Snapshot
		a.Observe(o, &r)
	}
	for no := range 16 { // enough to see that times are whole seconds
		read(diff.Counts{Resting: 1}, diff.Row{WorkNo: 1000 + no, Begin: diff.TimeOf(start) - diff.Time(no+1)*1000, Requested: 600})
	}
	now := at - at%1000 + 1000
	at = now
	read(diff.Counts{})
	read(diff.Counts{Resting: 1}, diff.Row{WorkNo: 200, Begin: now, Requested: 600})
	read(diff.Counts{Waiting: 1}, diff.Row{WorkNo: 200, Begin: now, Requested: 600})
	f := a.Report().Findings[3]
	if f.Verdict != assess.Broken || f.Against != 1 || len(f.Examples) != 1 || len(f.Examples[0].Rows) == 0 {
		t.Errorf("got %+v, want A4 broken once, with an example", f)
	}
}

// TestNothing: a report of nothing has nothing to say, and says so.
func TestNothing(t *testing.T) {
	r := assess.New(diff.Options{}).Report()
	if got := verdicts(r); got != "nnnnnnn" {
		t.Errorf("got %s, want nothing tested", got)
	}
	for _, f := range r.Findings {
		if f.Why == "" {
			t.Errorf("%s: got no reason, want why it was not tested", f.Assumption)
		}
	}
}
