package cmssim

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"restwatch/diff"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)

// mirror follows a World from outside, by its history alone.
type mirror map[int]Change

func (m mirror) apply(t *testing.T, grain time.Duration, c Change) {
	t.Helper()
	last := m[c.WorkNo]
	if last.To != c.From {
		t.Fatalf("%+v after %+v: stage does not follow", c, last)
	}
	if last.To != diff.None {
		if c.Rest != last.Rest {
			t.Fatalf("%+v after %+v: another rest", c, last)
		}
		if c.Left != last.Begin {
			t.Fatalf("%+v after %+v: left another begin", c, last)
		}
	} else if last.Rest >= c.Rest {
		t.Fatalf("%+v after %+v: an old rest", c, last)
	}
	if (c.To == diff.None) != (c.Begin == 0) || (c.From == diff.None) != (c.Left == 0) {
		t.Fatalf("%+v: begin does not fit the stage", c)
	}
	if int64(c.Begin)%grain.Milliseconds() != 0 {
		t.Fatalf("%+v: begin finer than %v", c, grain)
	}
	m[c.WorkNo] = c
}

// TestHistoryIsTheList replays the history and compares it with the list at
// many instants: nothing is listed that was not recorded, and nothing recorded
// that is not listed.
func TestHistoryIsTheList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := Config{
			VDN:                diff.VDN{CC: 1, ID: rapid.IntRange(1, 5000).Draw(rt, "vdn")},
			Agents:             rapid.IntRange(0, 120).Draw(rt, "agents"),
			Seed:               rapid.Int64().Draw(rt, "seed"),
			Start:              start,
			Cold:               true,
			Grain:              rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second}).Draw(rt, "grain"),
			Speed:              rapid.SampledFrom([]float64{0, 1, 30}).Draw(rt, "speed"),
			ApprovalKeepsBegin: rapid.Bool().Draw(rt, "keeps"),
		}
		w := NewWorld(c)
		truth := mirror{}
		seen := 0
		for now, i := start, 0; i < 60; i++ {
			now = now.Add(time.Duration(rapid.IntRange(1, 600_000).Draw(rt, "ms")) * time.Millisecond)
			w.Advance(now)
			for _, change := range w.History()[seen:] {
				truth.apply(t, w.cfg.Grain, change)
			}
			seen = len(w.History())
			sameAsList(t, w, truth)
		}
	})
}

func sameAsList(t *testing.T, w *World, truth mirror) {
	t.Helper()
	rows, states := w.Rows(), w.AppendStates(nil)
	var counts diff.Counts
	for i, r := range rows {
		last := truth[r.WorkNo]
		if last.To != states[i] || last.Begin != r.Begin || last.Requested != r.Requested {
			t.Fatalf("%s: listed %+v as %v, history says %+v", w.Now(), r, states[i], last)
		}
		if w.State(r.WorkNo) != states[i] {
			t.Fatalf("State(%d) = %v, want %v", r.WorkNo, w.State(r.WorkNo), states[i])
		}
		if r.Reason != 0 && states[i] != diff.Waiting {
			t.Fatalf("%+v has a reason but is %v", r, states[i])
		}
		if r.Requested < 1 || r.Requested > maxRequested {
			t.Fatalf("%+v: impossible length", r)
		}
		switch states[i] {
		case diff.Waiting:
			counts.Waiting++
		case diff.Approved:
			counts.Approved++
		case diff.Resting:
			counts.Resting++
		default:
			t.Fatalf("%+v is listed and %v", r, states[i])
		}
		delete(truth, r.WorkNo)
		defer func() { truth[r.WorkNo] = last }()
	}
	if counts != w.Counts() {
		t.Fatalf("counts %+v, list has %+v", w.Counts(), counts)
	}
	for _, last := range truth {
		if last.To != diff.None {
			t.Fatalf("%+v is not listed", last)
		}
	}
}

// TestSameSeedSameDay says that the steps in which a World advances change
// nothing, nor does looking at it.
func TestSameSeedSameDay(t *testing.T) {
	c := Config{VDN: diff.VDN{CC: 1, ID: 170}, Agents: 100, Seed: 7, Start: start}
	leap, walk := NewWorld(c), NewWorld(c)
	end := start.Add(4 * time.Hour)
	leap.Advance(end)
	for now := start; !now.After(end); now = now.Add(777 * time.Millisecond) {
		walk.Advance(now)
		walk.Rows()
	}
	walk.Advance(end)
	if len(leap.History()) == 0 || !reflect.DeepEqual(leap.History(), walk.History()) {
		t.Fatal("the day depends on how it is looked at")
	}
	if !slices.Equal(leap.Rows(), walk.Rows()) {
		t.Fatal("the list depends on how it is looked at")
	}
	for name, other := range map[string]Config{
		"seed": {VDN: c.VDN, Agents: 100, Seed: 8, Start: start},
		"vdn":  {VDN: diff.VDN{CC: 1, ID: 171}, Agents: 100, Seed: 7, Start: start},
	} {
		w := NewWorld(other)
		w.Advance(end)
		if reflect.DeepEqual(leap.History(), w.History()) {
			t.Errorf("another %s gives the same day", name)
		}
	}
}

// TestAssumptions checks what the inference may rely on: a begin that moves
// with every stage but a prolongation or approval that keeps it, no two rests
// under one begin, no rest shorter than 10 s, no prolongation to the same length.
func TestAssumptions(t *testing.T) {
	for _, c := range []Config{
		{Grain: time.Millisecond}, {Grain: time.Second}, {Grain: time.Second, Speed: 30}, {ApprovalKeepsBegin: true},
	} {
		c.VDN, c.Agents, c.Start, c.Seed = diff.VDN{CC: 2, ID: 7}, 300, start, 3
		w := NewWorld(c)
		w.Advance(start.Add(8 * time.Hour))
		began := map[int]time.Time{} // rest -> start of resting
		last := map[int]Change{}
		for _, h := range w.History() {
			before, known := last[h.WorkNo]
			last[h.WorkNo] = h
			if !known {
				continue
			}
			sameGrain := h.At.UnixMilli()/c.grainMs() == before.At.UnixMilli()/c.grainMs()
			switch {
			case h.From == diff.None:
				if h.Begin <= before.Left {
					t.Fatalf("%+v after %+v: one begin for two rests", h, before)
				}
			case h.Cause == Prolonged:
				if h.Requested == before.Requested {
					t.Fatalf("%+v: prolonged to the same length", h)
				}
			case h.To == diff.None:
				if b, ok := began[h.Rest]; ok && h.At.Sub(b) < 10*time.Second {
					t.Fatalf("%+v: rest of %v", h, h.At.Sub(b))
				}
			case h.To == diff.Approved && c.ApprovalKeepsBegin:
				if h.Begin != h.Left {
					t.Fatalf("%+v: approval moved begin", h)
				}
			case h.Begin == h.Left && !sameGrain:
				t.Fatalf("%+v after %+v: begin kept", h, before)
			}
			if h.From != diff.Resting && h.To == diff.Resting {
				began[h.Rest] = h.At
			}
		}
	}
}

func (c Config) grainMs() int64 { return max(1, c.Grain.Milliseconds()) }

// TestEverythingHappens checks the mix of a day at the defaults: every cause
// and reason, and dwell times as the inference's weights assume them.
func TestEverythingHappens(t *testing.T) {
	w := NewWorld(Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: 500, Seed: 1, Start: start})
	causes, reasons := map[Cause]int{}, map[int]int{}
	var dwell [4]time.Duration
	var stays [4]int
	since := map[int]Change{}
	listed := 0
	for now := start; now.Before(start.Add(7*time.Hour + 30*time.Minute)); now = now.Add(5 * time.Second) {
		w.Advance(now)
		for i, s := range w.AppendStates(nil) {
			if s == diff.Waiting {
				reasons[w.Rows()[i].Reason]++
			}
			listed++
		}
	}
	overruns := 0
	for _, h := range w.History() {
		causes[h.Cause]++
		if h.Cause == Prolonged {
			continue
		}
		if b, ok := since[h.WorkNo]; ok && b.To != diff.None {
			dwell[b.To] += h.At.Sub(b.At)
			stays[b.To]++
			if b.To == diff.Resting && h.At.Sub(b.At) > time.Duration(h.Requested)*time.Second {
				overruns++
			}
		}
		since[h.WorkNo] = h
	}
	for _, c := range []Cause{Asked, Withdrawn, Refused, Approved, AutoApproved, Forced, Started, Prolonged, Ended, SignedOut} {
		if causes[c] == 0 {
			t.Errorf("nobody was %s", c)
		}
	}
	for r := range 5 {
		if reasons[r] == 0 {
			t.Errorf("nobody waited for reason %d", r)
		}
	}
	if perAgent := float64(causes[Asked]) / 500; perAgent < 3 || perAgent > 7 {
		t.Errorf("%.1f requests per agent and day", perAgent)
	}
	for s, want := range map[diff.State]time.Duration{diff.Waiting: 40 * time.Second, diff.Approved: 30 * time.Second, diff.Resting: 700 * time.Second} {
		if mean := dwell[s] / time.Duration(stays[s]); mean < want*6/10 || mean > want*16/10 {
			t.Errorf("%v lasts %v, want about %v", s, mean, want)
		}
		t.Logf("%v lasts %v", s, dwell[s]/time.Duration(stays[s]))
	}
	if overruns == 0 {
		t.Error("no rest was longer than asked for")
	}
	t.Logf("causes %v, reasons %v, overruns %d, mean list %.1f", causes, reasons, overruns, float64(listed)/5400)
}

func TestWorkNos(t *testing.T) {
	for _, n := range []int{0, 1, 2, 500, maxAgents} {
		w := NewWorld(Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: n, Start: start, Cold: true})
		if len(w.byWorkNo) != n {
			t.Errorf("%d agents have %d numbers", n, len(w.byWorkNo))
		}
		for no := range w.byWorkNo {
			if no < 101 || no > 59999 && no < 70000 || no > 999999 {
				t.Fatalf("workNo %d", no)
			}
		}
	}
}

func TestHistoryLimit(t *testing.T) {
	c := Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: 50, Start: start, Seed: 5}
	all := NewWorld(c)
	c.HistoryLimit = 20
	some := NewWorld(c)
	c.HistoryLimit = -1
	none := NewWorld(c)
	for _, w := range []*World{all, some, none} {
		w.Advance(start.Add(3 * time.Hour))
	}
	n := len(some.History())
	if n < 20 || n > 40 || !slices.Equal(some.History(), all.History()[len(all.History())-n:]) {
		t.Errorf("limit 20 kept %d changes, of them not the last", n)
	}
	if len(none.History()) != 0 {
		t.Errorf("limit -1 kept %d changes", len(none.History()))
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{VDN: diff.VDN{CC: 1, ID: 1}, Start: start}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"vdn":     func(c *Config) { c.VDN.ID = 5001 },
		"agents":  func(c *Config) { c.Agents = -1 },
		"start":   func(c *Config) { c.Start = time.Time{} },
		"grain":   func(c *Config) { c.Grain = time.Minute },
		"speed":   func(c *Config) { c.Speed = -1 },
		"lengths": func(c *Config) { c.Dynamics.Work = time.Second },
		"length":  func(c *Config) { c.Dynamics = DefaultDynamics(); c.Dynamics.Lengths[0] = 24 * time.Hour },
	} {
		c := good
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("a bad %s is accepted", name)
		}
	}
}

// BenchmarkDay is the most that a back-test asks for: 2,000 agents listed
// each second for 7.5 h.
func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		w := NewWorld(Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: 2000, Seed: 1, Start: start})
		for i := range 27_000 {
			w.Advance(start.Add(time.Duration(i) * time.Second))
			w.Rows()
		}
	}
}
