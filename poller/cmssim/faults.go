package cmssim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"restwatch/diff"
)

// Fault describes something that a Server can be made to do wrong.
type Fault struct {
	Name string
	Form string // how it is written in a fault list
	Help string
}

// Forms in which faults are written. P is a probability per call.
const (
	formPlain  = "NAME[=P]"
	formDelay  = "NAME=DURATION[-DURATION][:P]"
	formSkew   = "NAME=DURATION[:P]"
	formStatus = "NAME=300..599[:P]"
	formCode   = "NAME=SEVEN DIGITS[:P]"
	formScope  = "NAME=CC:VDN or NAME=all"
)

// Names of the faults. Of those that decide the whole answer the first in
// the list that strikes wins; the others add to each other.
const (
	faultLatency      = "latency"
	faultSkew         = "skew"
	faultHang         = "hang"
	faultReset        = "reset"
	faultTruncate     = "truncate"
	faultCut          = "cut"
	faultEmpty        = "empty"
	faultNull         = "null"
	faultHTML         = "html"
	faultStatus       = "status"
	faultCode         = "code"
	faultUnauthorized = "unauthorized"
	faultLocked       = "locked"
	faultTorn         = "torn"
	faultCounts       = "counts"
	faultDuplicate    = "duplicate"
	faultNames        = "names"
	faultNested       = "nested"
	faultNumbers      = "numbers"
	faultHuge         = "huge"
	faultEndless      = "endless"
	faultSlow         = "slow"
	faultBomb         = "bomb"
	faultHeaders      = "headers"
	faultScope        = "vdn"
)

var faultTable = []Fault{
	{faultLatency, formDelay, "the answer comes later; the list is that of the later instant"},
	{faultSkew, formSkew, "the server's clock is off: Date header and check of the signature's timestamp"},
	{faultHang, formPlain, "no answer until the caller gives up"},
	{faultReset, formPlain, "the connection is reset before the answer"},
	{faultTruncate, formPlain, "the connection ends in the middle of the body"},
	{faultCut, formPlain, "half the body, in an otherwise complete answer"},
	{faultEmpty, formPlain, "200 with an empty body"},
	{faultNull, formPlain, "success without the result object"},
	{faultHTML, formPlain, "200 with a login page, as a balancer gives"},
	{faultStatus, formStatus, "this HTTP status, with the platform's error body"},
	{faultCode, formCode, "this result code, with a text"},
	{faultUnauthorized, formPlain, "401 although the signature is good"},
	{faultLocked, formPlain, "403, the caller's IP is locked"},
	{faultTorn, formPlain, "a row is missing, the counts still have it"},
	{faultCounts, formPlain, "the counts do not add up to the list"},
	{faultDuplicate, formPlain, "a row stands twice, in place of another"},
	{faultNames, formPlain, "control characters, HTML, broken UTF-8 and the like in the agents' names"},
	{faultNested, formPlain, "100,000 brackets, one in the other"},
	{faultNumbers, formPlain, "numbers that fit nowhere"},
	{faultHuge, formPlain, "a good reply with 32 MB of a field that nobody knows"},
	{faultEndless, formPlain, "a list that does not end, until the caller gives up"},
	{faultSlow, formPlain, "a byte every 20 ms"},
	{faultBomb, formPlain, "1 MB of gzip that unpacks to 1 GB"},
	{faultHeaders, formPlain, "headers that do not end, until the caller gives up"},
	{faultScope, formScope, "the faults after it are for this VDN, or again for all"},
}

// FaultList describes all faults, in the order of the documentation.
func FaultList() []Fault {
	list := slices.Clone(faultTable)
	for i := range list {
		list[i].Form = strings.ReplaceAll(list[i].Form, "NAME", list[i].Name)
	}
	return list
}

// fault is one term of a fault list.
type fault struct {
	name        string
	probability float64
	vdn         diff.VDN // zero: all
	from, to    time.Duration
	status      int
	code        string
}

// CheckFaults reports the first thing wrong with a fault list.
func CheckFaults(spec string) error {
	_, err := parseFaults(spec)
	return err
}

// parseFaults reads a list like "latency=200ms,hang=0.01,vdn=1:170,slow".
func parseFaults(spec string) ([]fault, error) {
	var faults []fault
	var scope diff.VDN
	for term := range strings.SplitSeq(spec, ",") {
		term = strings.TrimSpace(term)
		if term == "" {
			continue
		}
		name, value, hasValue := strings.Cut(term, "=")
		i := slices.IndexFunc(faultTable, func(f Fault) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("fault %q does not exist: want one of %s", name, faultNamesJoined())
		}
		form := faultTable[i].Form
		fail := func(why string) ([]fault, error) {
			return nil, fmt.Errorf("fault %q: %s: want %s, P from 0 to 1, a percentage, or always",
				term, why, strings.ReplaceAll(form, "NAME", name))
		}
		if form == formScope {
			if value == "all" {
				scope = diff.VDN{}
				continue
			}
			v, err := diff.ParseVDN(value)
			if err != nil {
				return nil, fmt.Errorf("fault %q: %w, or all", term, err)
			}
			scope = v
			continue
		}
		f := fault{name: name, probability: 1, vdn: scope}
		chance, hasChance := value, hasValue
		if form != formPlain {
			value, chance, hasChance = strings.Cut(value, ":")
			if why := f.parseValue(form, value); why != "" {
				return fail(why)
			}
		}
		if hasChance {
			p, ok := parseProbability(chance)
			if !ok {
				return fail(fmt.Sprintf("%q is no probability", chance))
			}
			f.probability = p
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// parseValue returns what is wrong, "" if nothing is.
func (f *fault) parseValue(form, s string) string {
	var err error
	switch form {
	case formDelay:
		from, to, isRange := strings.Cut(s, "-")
		if f.from, err = time.ParseDuration(from); err != nil || f.from < 0 {
			return fmt.Sprintf("%q is no duration", from)
		}
		f.to = f.from
		if isRange {
			if f.to, err = time.ParseDuration(to); err != nil || f.to < f.from {
				return fmt.Sprintf("%q is no duration, or less than %v", to, f.from)
			}
		}
	case formSkew:
		if f.from, err = time.ParseDuration(s); err != nil {
			return fmt.Sprintf("%q is no duration", s)
		}
	case formStatus:
		if f.status, err = strconv.Atoi(s); err != nil || f.status < 300 || f.status > 599 {
			return fmt.Sprintf("%q is no status that fails", s)
		}
	case formCode:
		if n, err := strconv.ParseUint(s, 10, 32); err != nil || len(s) != 7 || n == 0 {
			return fmt.Sprintf("%q is no result code", s)
		}
		if s == codeOK {
			return s + " is success"
		}
		f.code = s
	}
	return ""
}

func parseProbability(s string) (float64, bool) {
	if s == "always" {
		return 1, true
	}
	number, percent := strings.CutSuffix(s, "%")
	p, err := strconv.ParseFloat(number, 64)
	if percent {
		p /= 100
	}
	return p, err == nil && p >= 0 && p <= 1
}

func faultNamesJoined() string {
	names := make([]string, len(faultTable))
	for i, f := range faultTable {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// strike is what was drawn for one call.
type strike struct {
	latency, skew time.Duration
	whole         *fault // decides the whole answer
	list          uint8  // changes of the list, bits below
}

const (
	listTorn = 1 << iota
	listCounts
	listDuplicate
	listNames
)

// name is one of the faults that changed the answer, "" if none did.
func (s *strike) name() string {
	switch {
	case s.whole != nil:
		return s.whole.name
	case s.list&listTorn != 0:
		return faultTorn
	case s.list&listCounts != 0:
		return faultCounts
	case s.list&listDuplicate != 0:
		return faultDuplicate
	case s.list&listNames != 0:
		return faultNames
	}
	return ""
}

// draw decides which faults strike a call for a VDN. Every fault of the list
// draws every time, so that adding a VDN's own does not move the others.
func (s *Server) draw(vdn diff.VDN) strike {
	faults := *s.faults.Load()
	var hit strike
	if len(faults) == 0 {
		return hit
	}
	s.rngMu.Lock()
	defer s.rngMu.Unlock()
	for i := range faults {
		f := &faults[i]
		if s.rng.Float64() >= f.probability || f.vdn != (diff.VDN{}) && f.vdn != vdn {
			continue
		}
		switch f.name {
		case faultLatency:
			hit.latency += f.from
			if f.to > f.from {
				hit.latency += time.Duration(s.rng.Int64N(int64(f.to - f.from)))
			}
		case faultSkew:
			hit.skew += f.from
		case faultTorn:
			hit.list |= listTorn
		case faultCounts:
			hit.list |= listCounts
		case faultDuplicate:
			hit.list |= listDuplicate
		case faultNames:
			hit.list |= listNames
		default:
			if hit.whole == nil {
				hit.whole = f
			}
		}
	}
	return hit
}

// index draws one of n > 0.
func (s *Server) index(n int) int {
	s.rngMu.Lock()
	defer s.rngMu.Unlock()
	return s.rng.IntN(n)
}
