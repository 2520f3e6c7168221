package assess

import "slices"

// Verdict on an assumption.
type Verdict string

// The verdicts.
const (
	Held       Verdict = "held"
	Broken     Verdict = "broken"
	NotTested  Verdict = "not tested"
	Untestable Verdict = "cannot be tested from the list"
)

// Finding is what a recording tells of one assumption.
type Finding struct {
	Assumption string  `json:"assumption"`
	Claim      string  `json:"claim"`
	Verdict    Verdict `json:"verdict"`
	// Tested is how often something could have spoken against it, Against how
	// often something did.
	Tested  int    `json:"tested"`
	Against int    `json:"against"`
	Why     string `json:"why"`
	// Notes say what else was seen that bears on it.
	Notes    []string  `json:"notes,omitempty"`
	Examples []Example `json:"examples,omitempty"`

	untested string // why, if nothing tested it
}

// Report is all that a recording tells.
type Report struct {
	Facts    Facts     `json:"facts"`
	Findings []Finding `json:"assumptions"`
	Events   []Telling `json:"events"`
	// Oddities are what the interface document does not foresee.
	Oddities []string `json:"oddities"`
	// Meaning is what follows for who runs restwatch on this platform.
	Meaning []string `json:"meaning"`
}

// Report sums up what was taken in so far.
func (a *Assessment) Report() Report {
	j := a.judge()
	r := Report{
		Facts:    j.facts,
		Findings: []Finding{j.reasons(), j.totals(), j.begins(), j.grain(), j.lengths(), j.rests(), j.clocks()},
		Events:   []Telling{},
		Oddities: j.oddities(),
	}
	if j.facts.tooCoarse() {
		j.veil(r.Findings)
	}
	for i, t := range a.tellings {
		if t.Kind = kinds[i]; t.Certain+t.Inferred > 0 {
			r.Events = append(r.Events, t)
		}
	}
	r.Meaning = j.meaning(r.Findings)
	return r
}

// judge is an Assessment with its VDNs added up.
type judge struct {
	*Assessment
	facts Facts
	// Lists of VDNs where it persists: totals that do not add up to the list,
	// and more reasons than agents wait.
	unequal, oddReasons int
}

func (a *Assessment) judge() *judge {
	j := &judge{Assessment: a, facts: a.facts}
	f := &j.facts
	f.VDNs = len(a.sites)
	f.Interval, f.LongInterval = a.intervals.quantile(0.5), a.intervals.quantile(0.95)
	for _, s := range a.sites {
		f.LongestMismatch = max(f.LongestMismatch, s.totals.longest)
		if s.totals.persistent() {
			j.unequal += s.totals.bad
		}
		if s.reasons.persistent() {
			j.oddReasons += s.reasons.bad
		}
	}
	return j
}

// decide completes a finding: counter-examples break it, and without anything
// that could have been one it was not tested.
func (f Finding) decide(against int, examples ...evidence) Finding {
	f.Against = against
	switch {
	case against > 0:
		f.Verdict = Broken
		for _, e := range examples {
			f.Examples = append(f.Examples, e.examples...)
		}
		f.Examples = f.Examples[:min(len(f.Examples), maxExamples)]
	case f.Verdict != "":
	case f.Tested == 0:
		f.Verdict, f.Why = NotTested, f.untested
	default:
		f.Verdict = Held
	}
	return f
}

// veil takes back findings that rest on begin times, where these are too coarse
// to tell anything.
func (j *judge) veil(all []Finding) {
	for i := range all {
		switch f := &all[i]; f.Assumption {
		case "A2", "A3", "A5", "A6", "A7":
			if f.Assumption != "A2" || j.unequal == 0 {
				*f = Finding{Assumption: f.Assumption, Claim: f.Claim, Verdict: NotTested, Why: "begin times are too coarse, see A4"}
			}
		}
	}
}

func (f *Finding) note(text string) { f.Notes = append(f.Notes, text) }

// verdicts finds the assumptions with a verdict.
func verdicts(all []Finding, v Verdict) (names []string) {
	for _, f := range all {
		if f.Verdict == v {
			names = append(names, f.Assumption)
		}
	}
	return names
}

// inSeconds says that the platform's begin times are whole seconds.
func (f *Facts) inSeconds() bool { return f.Distinct == enoughBegins && f.Grain%1000 == 0 }

// coarsest is the grain of begin times that the inference can deal with.
const coarsest = 1000 // milliseconds

// enoughBegins is how many different begin times tell their grain: that all are
// multiples of a number by chance is less likely than one in 10^4.
const enoughBegins = 16

func (f *Facts) tooCoarse() bool {
	return f.Distinct == enoughBegins && f.Grain > coarsest
}

func broken(all []Finding, name string) bool {
	return slices.Contains(verdicts(all, Broken), name)
}
