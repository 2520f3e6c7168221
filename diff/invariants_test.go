package diff

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// checkResult checks what holds of every result of comparing o with prev.
func checkResult(t testing.TB, prev *Snapshot, o *Observation, r Result) {
	t.Helper()
	s := &r.Snapshot
	if err := s.Validate(); err != nil {
		t.Fatalf("snapshot is not valid: %v", err)
	}
	if s.LastSequence != prev.LastSequence+int64(len(r.Events)) {
		t.Errorf("last sequence %d after %d and %d events", s.LastSequence, prev.LastSequence, len(r.Events))
	}
	if want := prev.Revision + int64(btoi(r.Commit)); s.Revision != want {
		t.Errorf("revision %d, want %d", s.Revision, want)
	}
	if len(r.Events) > 0 && (!r.Commit || prev.Revision == 0) {
		t.Errorf("events without commit, or at the baseline: %s", brief(r.Events))
	}
	if s.Baseline && s.Revision != 1 {
		t.Errorf("baseline at revision %d", s.Revision)
	}
	for i := range r.Events {
		checkEvent(t, prev, s, &r.Events[i], i)
	}
	if !slices.IsSortedFunc(r.Events, func(a, b Event) int { return order(a.WorkNo, b.WorkNo) }) {
		t.Errorf("events are not sorted by agent: %s", brief(r.Events))
	}
	if prev.Revision > 0 {
		checkFold(t, prev.Agents, r.Events, s.Agents)
	}
	if !r.Commit && !reflect.DeepEqual(visible(prev.Agents), visible(s.Agents)) {
		t.Errorf("agents changed without commit")
	}
	if r.QuietUntil != 0 && r.QuietUntil != Never && r.QuietUntil <= s.ObservedAt {
		t.Errorf("quiet until %v, which is past", r.QuietUntil)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func checkEvent(t testing.TB, prev, s *Snapshot, e *Event, i int) {
	t.Helper()
	bad := func(what string) { t.Errorf("%s: %s\n%+v", what, brief([]Event{*e}), *e) }
	if e.Sequence != prev.LastSequence+int64(i)+1 || e.Revision != s.Revision {
		bad("numbering")
	}
	if (e.Certainty == Inferred) != (e.Alternatives != nil) || slices.Contains(e.Alternatives, string(e.Kind)) {
		bad("alternatives")
	}
	if e.OccurredAfter >= e.OccurredBefore || e.OccurredBefore > e.ObservedAt {
		bad("window")
	}
	if e.ObservedAt != s.ObservedAt || e.PreviousObservedAt != prev.ObservedAt {
		bad("polls")
	}
	if (e.Kind == KindCorrected) != (e.Correction != nil) {
		bad("correction")
	}
	if (e.WaitReason != nil) != (e.To == Waiting) {
		bad("wait reason")
	}
	switch e.Kind {
	case KindRequested, KindApproved, KindStarted:
		if e.From >= e.To || kindOfArrival(e.To) != e.Kind {
			bad("transition")
		}
	case KindEnded, KindCancelled:
		if e.To != None || kindOfDeparture(e.From) != e.Kind || e.OccurredAt != 0 {
			bad("transition")
		}
	case KindUpdated, KindOverdue:
		if e.From != e.To || e.To == None {
			bad("transition")
		}
	}
	if e.ElapsedSecondsMin != nil && *e.ElapsedSecondsMin > *e.ElapsedSeconds {
		bad("elapsed")
	}
}

// visible is what subscribers can know of agents from events.
func visible(agents []Agent) []Agent {
	out := slices.Clone(agents)
	for i := range out {
		out[i].Certainty, out[i].Candidates, out[i].Memory, out[i].AgentName = 0, 0, AgentMemory{}, ""
	}
	if out == nil {
		out = []Agent{}
	}
	return out
}

func checkFold(t testing.TB, prev []Agent, events []Event, next []Agent) {
	t.Helper()
	folded, err := Fold(prev, events)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := visible(folded), visible(next); !reflect.DeepEqual(got, want) {
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		t.Fatalf("folding %s\ngives %s\nwant  %s", brief(events), a, b)
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compareAll compares in every way that must make no difference, and returns
// the result: rows in other orders, and prev after a trip through JSON.
func compareAll(t testing.TB, rng *rand.Rand, prev *Snapshot, o *Observation) Result {
	t.Helper()
	before := encode(t, prev)
	r := Compare(prev, o, Options{})
	if !bytes.Equal(before, encode(t, prev)) {
		t.Fatal("Compare changed the previous snapshot")
	}
	checkResult(t, prev, o, r)
	want := encode(t, r)

	shuffled := *o
	shuffled.Rows = slices.Clone(o.Rows)
	rng.Shuffle(len(o.Rows), func(i, j int) {
		shuffled.Rows[i], shuffled.Rows[j] = shuffled.Rows[j], shuffled.Rows[i]
	})
	decoded, err := DecodeSnapshot(before)
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, Compare(&decoded, &shuffled, Options{})); !bytes.Equal(got, want) {
		t.Fatalf("another order and a trip through JSON give\n%s\nwant\n%s", got, want)
	}
	if again := Compare(&r.Snapshot, o, Options{}); len(again.Events) > 0 || again.Commit {
		t.Fatalf("the same observation again gives %s", brief(again.Events))
	}
	return r
}
