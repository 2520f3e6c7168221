package diff

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The cases in testdata are small histories, each made to hit one rule or
// trap, with the exact events expected.
type caseFile struct {
	Cases []inferenceCase `json:"cases"`
}

type inferenceCase struct {
	Name  string     `json:"name"`
	Polls []casePoll `json:"polls"`
}

type casePoll struct {
	ObservedAt Time `json:"observedAt"`
	Reply      struct {
		Desc struct {
			Allow  int `json:"allowRestNum"`
			On     int `json:"onRestNum"`
			Wait   int `json:"waitRestNum"`
			Agents []struct {
				Name     string `json:"agentName"`
				WorkNo   int    `json:"workNo"`
				Reason   int    `json:"cantRestReason"`
				Begin    int64  `json:"beginTime"`
				Duration int    `json:"restDuration"`
			} `json:"agentsRestDetails"`
		} `json:"resultDesc"`
	} `json:"reply"`
	Expect            []caseEvent        `json:"expect"`
	States            map[string][]State `json:"states"`
	Guess             map[string]State   `json:"guess"`
	RepeatLaterMayAct bool               `json:"repeatLaterMayAct"`
}

type caseEvent struct {
	WorkNo         int       `json:"workNo"`
	Kind           Kind      `json:"kind"`
	Certainty      Certainty `json:"certainty"`
	Alternatives   []string  `json:"alternatives"`
	Was            Kind      `json:"was"`
	Now            Kind      `json:"now"`
	What           string    `json:"what"`
	From           string    `json:"from"`
	GuessFree      bool      `json:"guessFree"`
	OnlyIfGuessWas Kind      `json:"onlyIfGuessWas"`
}

func readCases(t testing.TB) []inferenceCase {
	t.Helper()
	data, err := os.ReadFile("testdata/inference-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var f caseFile
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f.Cases
}

func (p *casePoll) observation() *Observation {
	d := p.Reply.Desc
	o := &Observation{VDN: VDN{1, 170}, At: p.ObservedAt, DetectedBy: Poll, Counts: Counts{d.Wait, d.Allow, d.On}}
	for _, a := range d.Agents {
		o.Rows = append(o.Rows, Row{a.WorkNo, a.Name, a.Reason, Time(a.Begin), a.Duration})
	}
	return o
}

func TestCases(t *testing.T) {
	orders := map[string]func([]Row){
		"as listed": func([]Row) {},
		"reversed":  slices.Reverse[[]Row],
		"rotated": func(r []Row) {
			if len(r) > 1 {
				first := r[0]
				copy(r, r[1:])
				r[len(r)-1] = first
			}
		},
	}
	for _, tc := range readCases(t) {
		for order, shuffle := range orders {
			for _, twice := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/twice=%v", tc.Name, order, twice), func(t *testing.T) {
					runCase(t, tc, shuffle, twice)
				})
			}
		}
	}
}

func runCase(t *testing.T, tc inferenceCase, shuffle func([]Row), twice bool) {
	var prev Snapshot
	for i, p := range tc.Polls {
		o := p.observation()
		shuffle(o.Rows)
		before := prev
		r := Compare(&prev, o, Options{})
		checkExpected(t, i, p.Expect, r.Events, &before)
		checkStates(t, i, &p, &r.Snapshot)
		checkResult(t, &before, o, r)
		prev = r.Snapshot
		if again := Compare(&prev, p.observation(), Options{}); len(again.Events) > 0 || again.Commit {
			t.Errorf("poll %d: same observation again gave %s", i+1, brief(again.Events))
		}
		if twice && !p.RepeatLaterMayAct {
			o := p.observation()
			o.At = o.At.Add(time.Second)
			if i+1 < len(tc.Polls) && o.At >= tc.Polls[i+1].ObservedAt {
				o.At = (p.ObservedAt + tc.Polls[i+1].ObservedAt) / 2
			}
			shuffle(o.Rows)
			again := Compare(&prev, o, Options{})
			if again.Events = withoutOverdue(again.Events); len(again.Events) > 0 {
				t.Errorf("poll %d: same content 1 s later gave %s", i+1, brief(again.Events))
			}
			checkResult(t, &prev, o, again)
			prev = again.Snapshot
		}
	}
}

func withoutOverdue(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return e.Kind == KindOverdue })
}

func checkExpected(t *testing.T, poll int, expect []caseEvent, events []Event, before *Snapshot) {
	t.Helper()
	got := withoutOverdue(events)
	free := map[int]int{}
	for _, want := range expect {
		if want.OnlyIfGuessWas != "" && !slices.ContainsFunc(before.Agents, func(a Agent) bool {
			return a.WorkNo == want.WorkNo && kindOfArrival(a.State) == want.OnlyIfGuessWas
		}) {
			continue
		}
		i := slices.IndexFunc(got, func(e Event) bool { return want.matches(&e) })
		if i < 0 {
			t.Errorf("poll %d: no %+v in %s", poll+1, want, brief(events))
			continue
		}
		if want.GuessFree {
			free[int(got[i].Kind[0])]++
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		t.Errorf("poll %d: unexpected %s", poll+1, brief(got))
	}
	for _, n := range free {
		if n > 1 {
			t.Errorf("poll %d: guesses do not add up: %s", poll+1, brief(events))
		}
	}
}

func (w caseEvent) matches(e *Event) bool {
	kinds := []string{string(w.Kind)}
	if w.GuessFree {
		kinds = append(kinds, w.Alternatives...)
	}
	if e.WorkNo != w.WorkNo || !slices.Contains(kinds, string(e.Kind)) || e.Certainty != w.Certainty || e.What != w.What {
		return false
	}
	if w.From != "" && e.From.String() != w.From {
		return false
	}
	if e.Correction == nil && w.Was != "" || e.Correction != nil && (e.Was != w.Was || e.Now != w.Now) {
		return false
	}
	if (e.Certainty == Inferred) != (e.Alternatives != nil) {
		return false
	}
	if w.Alternatives == nil {
		return true
	}
	want := append([]string{string(w.Kind)}, w.Alternatives...)
	got := append([]string{string(e.Kind)}, e.Alternatives...)
	slices.Sort(want)
	slices.Sort(got)
	return slices.Equal(got, want)
}

func checkStates(t *testing.T, poll int, p *casePoll, s *Snapshot) {
	t.Helper()
	for i := range s.Agents {
		a := &s.Agents[i]
		no := fmt.Sprint(a.WorkNo)
		if want, ok := p.States[no]; ok {
			if got := States(a.candidates()); got != StatesOf(want...) {
				t.Errorf("poll %d: agent %s may be %v, want %v", poll+1, no, got, want)
			}
			delete(p.States, no)
			defer func() { p.States[no] = want }()
		}
		if want, ok := p.Guess[no]; ok && a.State != want {
			t.Errorf("poll %d: agent %s guessed %v, want %v", poll+1, no, a.State, want)
		}
	}
	for no := range p.States {
		t.Errorf("poll %d: agent %s is not in the snapshot", poll+1, no)
	}
}

func brief(events []Event) string {
	if len(events) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %d %d %s %s>%s %s %q %s", e.Sequence, e.WorkNo, e.Kind, e.From, e.To, e.Certainty, e.Alternatives, e.What)
		if e.Correction != nil {
			fmt.Fprintf(&b, " was %s now %s", e.Was, e.Now)
		}
	}
	return b.String()
}
