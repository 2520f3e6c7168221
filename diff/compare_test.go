package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// base is an instant to count seconds from.
const base Time = 1_770_000_000_000

// story is a VDN told poll by poll.
type story struct {
	t    *testing.T
	prev Snapshot
	last Result
}

// w, a and r are rows of an agent whose truth is waiting, approved or resting
// since a number of milliseconds after base.
func row(no int, begin Time, length int) Row {
	return Row{WorkNo: no, Name: fmt.Sprint("a", no), Begin: base + begin, Requested: length}
}

func (r Row) because(code int) Row { r.Reason = code; return r }
func (r Row) unknown() Row         { r.Begin = 0; return r }

// poll reads the list at some seconds after base.
func (s *story) poll(seconds float64, n Counts, rows ...Row) *story {
	s.t.Helper()
	return s.read(&Observation{VDN: VDN{1, 170}, At: base + Time(seconds*1000), Counts: n, Rows: rows, DetectedBy: Poll})
}

func (s *story) read(o *Observation) *story {
	s.t.Helper()
	before := s.prev
	s.last = Compare(&before, o, Options{})
	checkResult(s.t, &before, o, s.last)
	s.prev = s.last.Snapshot
	return s
}

// tells wants events as in "101 started certain", with alternatives or the
// kinds of a correction behind.
func (s *story) tells(want ...string) *story {
	s.t.Helper()
	var got []string
	for _, e := range s.last.Events {
		line := fmt.Sprint(e.WorkNo, " ", e.Kind, " ", e.Certainty)
		if e.Correction != nil {
			line += fmt.Sprintf(" %s>%s", e.Was, e.Now)
		}
		if len(e.Alternatives) > 0 {
			line += " " + strings.Join(e.Alternatives, ",")
		}
		got = append(got, line)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		s.t.Errorf("at %v got\n%s\nwant\n%s", s.prev.ObservedAt, g, w)
	}
	return s
}

func (s *story) agent(no int) *Agent {
	s.t.Helper()
	a := find(&s.prev, no)
	if a == nil {
		s.t.Fatalf("agent %d is not there", no)
	}
	return a
}

func TestContradictionHeals(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 1}, x).tells().
		poll(5, Counts{Approved: 1}, x).tells()
	if a := s.agent(101); a.Certainty != Inferred || a.State != Resting || !s.prev.InDoubt() {
		t.Errorf("in doubt: got %+v", a)
	}
	s.poll(10, Counts{Resting: 1}, x).tells()
	if a := s.agent(101); a.Certainty != Certain || s.prev.InDoubt() {
		t.Errorf("healed: got %+v", a)
	}
	s.poll(15, Counts{}).tells("101 ended certain")
}

func TestCorrectionNamesTheWrongEvent(t *testing.T) {
	x, y := row(101, 2001, 600), row(102, 2501, 600)
	s := (&story{t: t}).
		poll(0, Counts{}).
		poll(5, Counts{Approved: 1, Resting: 1}, x, y)
	guess := map[int]Event{}
	for _, e := range s.last.Events {
		guess[e.WorkNo] = e
	}
	stays := x
	if guess[102].Kind == KindStarted {
		stays = y
	}
	// Only he who was taken to rest is left, and he is approved.
	s.poll(10, Counts{Approved: 1}, stays)
	var fixed []string
	for _, e := range s.last.Events {
		if e.Kind == KindCorrected {
			id := guess[e.WorkNo]
			if e.Corrects == nil || *e.Corrects != id.ID() || e.Was != id.Kind {
				t.Errorf("got %+v, want it to correct %q", e.Correction, id.ID())
			}
			fixed = append(fixed, fmt.Sprint(e.WorkNo))
		}
	}
	if len(fixed) != 2 {
		t.Errorf("corrected %v: %s", fixed, brief(s.last.Events))
	}
}

// TestCorrectionOfAProlongation: one that may have been another rest announces
// the state, as the event that a correction names.
func TestCorrectionOfAProlongation(t *testing.T) {
	x, y := row(101, 3001, 900), row(102, 4001, 900)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 1}, row(101, -50_001, 600)).
		poll(5, Counts{Approved: 1, Resting: 1}, x, y)
	said := s.last.Events[0]
	s.poll(10, Counts{Approved: 1}, x).
		tells("101 corrected certain updated>approved", "102 corrected certain approved>started", "102 ended certain")
	if e := s.last.Events[0]; e.Corrects == nil || *e.Corrects != said.ID() || said.Kind != KindUpdated {
		t.Errorf("got %+v, want it to correct %q", e.Correction, said.ID())
	}
}

// TestRestBehindAProlongationThatWasNone: a rest that began after the approval is
// not counted from the one before.
func TestRestBehindAProlongationThatWasNone(t *testing.T) {
	x, y := row(101, 12_000, 900), row(102, 12_000, 900)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 1}, row(101, -50_000, 600)).
		poll(12.5, Counts{Approved: 1, Resting: 1}, x, y).
		poll(12.9, Counts{Approved: 1}, x).
		tells("101 corrected certain updated>approved", "102 corrected certain approved>started", "102 ended certain").
		poll(17, Counts{Resting: 1}, x).tells("101 started certain").
		poll(62, Counts{}).tells("101 ended certain")
	if got := *s.last.Events[0].ElapsedSeconds; got != 50 {
		t.Errorf("rested for %d s, want 50", got)
	}
}

func TestOverdue(t *testing.T) {
	one := Counts{Resting: 1}
	x := row(101, 1, 20)
	longer := x
	longer.Requested = 40
	s := (&story{t: t}).
		poll(-5, Counts{}).tells().
		poll(5, one, x).tells("101 started certain").
		poll(20, one, x).tells()
	if s.last.QuietUntil != base+20_002 {
		t.Errorf("quiet until %v, want the first instant overdue", s.last.QuietUntil)
	}
	s.poll(22.5, one, x).tells("101 overdue certain")
	e := s.last.Events[0]
	if *e.ElapsedSeconds != 22 || *e.OverdueSeconds != 2 || e.OccurredAfter != base+20_001 || e.OccurredBefore != base+20_002 {
		t.Errorf("got %+v", e)
	}
	s.poll(27, one, x).tells().
		poll(32, one, longer).tells("101 updated certain").
		poll(39, one, longer).tells().
		poll(41, one, longer).tells("101 overdue certain").
		poll(46, one, longer).tells().
		poll(51, Counts{}).tells("101 ended certain")
	e = s.last.Events[0]
	if *e.ElapsedSeconds != 50 || *e.ElapsedSecondsMin != 45 || *e.OverdueSeconds != 10 {
		t.Errorf("elapsed %d, at least %d, overdue %d", *e.ElapsedSeconds, *e.ElapsedSecondsMin, *e.OverdueSeconds)
	}
}

// slow reads the list at some seconds after base, by a reply that was asked for
// some seconds earlier.
func (s *story) slow(seconds, took float64, n Counts, rows ...Row) *story {
	s.t.Helper()
	return s.read(&Observation{VDN: VDN{1, 170}, At: base + Time(seconds*1000), Took: time.Duration(took * float64(time.Second)), Counts: n, Rows: rows, DetectedBy: Poll})
}

// TestSlowReply: what happened while a reply was on its way is not in it, and
// is told by the next one with a window that holds it.
func TestSlowReply(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 1}, x).
		slow(5, 4, Counts{Resting: 1}, x).tells()
	if s.prev.ObservedAt != base+5000 || s.prev.ShownAt() != base+1300 || s.prev.Memory.SureAt != base+1300 {
		t.Errorf("of a reply of 4 s: got %+v", s.prev)
	}
	s.poll(6, Counts{}).tells("101 ended certain")
	e := s.last.Events[0]
	if e.OccurredAfter != base+1300 || e.OccurredBefore != base+6000 || e.PreviousObservedAt != base+5000 || *e.ElapsedSecondsMin != 51 {
		t.Errorf("got %+v", e)
	}
	s.poll(7, Counts{}).poll(8, Counts{})
	if s.prev.Memory.Age != 0 || s.prev.ShownAt() != base+8000 {
		t.Errorf("after quick ones: got %+v", s.prev)
	}
}

// TestSlowReplyMayHideAnEnd: who was still in time when the list was asked for
// may have ended in time.
func TestSlowReplyMayHideAnEnd(t *testing.T) {
	one := Counts{Resting: 1}
	s := (&story{t: t}).
		poll(-5, Counts{}).
		poll(5, one, row(101, 1, 20)).
		slow(22, 3, one, row(101, 1, 20)).tells("101 overdue inferred none")
	if e := s.last.Events[0]; *e.ElapsedSeconds != 20 || *e.OverdueSeconds != 0 {
		t.Errorf("he rests for %d s, %d too long: not known", *e.ElapsedSeconds, *e.OverdueSeconds)
	}
	s.poll(23, one, row(101, 1, 20)).tells()
	(&story{t: t}).
		poll(-5, Counts{}).
		poll(5, one, row(101, 1, 20)).
		slow(24, 3, one, row(101, 1, 20)).tells("101 overdue certain")
}

// TestReadingsCross: of two readings under way at once, the one that ends last
// may show the earlier instant.
func TestReadingsCross(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).poll(0, Counts{}).poll(5, Counts{Resting: 1}, x)
	before := s.prev
	before.Order = Order{Epoch: 1, Seq: 7}
	late := &Observation{VDN: VDN{1, 170}, At: base + 7000, Took: 2001 * time.Millisecond, Order: Order{1, 8}, DetectedBy: Poll}
	if r := Compare(&before, late, Options{}); r.Commit || r.Snapshot.ObservedAt != before.ObservedAt {
		t.Errorf("got %s", brief(r.Events))
	}
	if got := before.Touched(late.At, 2001, late.Order); got.ObservedAt != before.ObservedAt {
		t.Errorf("touched at %v", got.ObservedAt)
	}
	late.Took = 2 * time.Second
	if r := Compare(&before, late, Options{}); len(r.Events) != 1 || r.Snapshot.ObservedAt != late.At {
		t.Errorf("one after the other: got %s", brief(r.Events))
	}
	// Also where what is shown is no older than Options.Slack allows.
	late.Took = 250 * time.Millisecond
	late.At = before.ObservedAt + 249
	if r := Compare(&before, late, Options{}); r.Commit || r.Snapshot.ObservedAt != before.ObservedAt {
		t.Errorf("crossed by a millisecond: got %s", brief(r.Events))
	}
	late.At++
	if r := Compare(&before, late, Options{}); len(r.Events) != 1 || r.Snapshot.ObservedAt != late.At {
		t.Errorf("at once after the other: got %s", brief(r.Events))
	}
}

func TestOverdueWhenFirstSeen(t *testing.T) {
	x := row(101, -50_001, 20)
	(&story{t: t}).
		poll(0, Counts{Resting: 1}, x).tells(). // in the first snapshot: never
		poll(5, Counts{Resting: 1}, x).tells()
	(&story{t: t}).
		poll(0, Counts{}).
		poll(90, Counts{Resting: 1}, row(101, 5001, 20)).tells("101 started certain", "101 overdue certain")
}

// TestOverdueBehindAGuess: taken for approved in the first snapshot, he was
// overdue all the time.
func TestOverdueBehindAGuess(t *testing.T) {
	x, y := row(101, -50_001, 20), row(102, -90_001, 20)
	s := (&story{t: t}).poll(0, Counts{Approved: 1, Resting: 1}, x, y)
	guessed := 101
	if s.agent(102).State == Approved {
		guessed = 102
	}
	s.poll(5, Counts{Resting: 1}, map[int]Row{101: x, 102: y}[guessed])
	for _, e := range s.last.Events {
		if e.Kind == KindOverdue {
			t.Errorf("got %s", brief(s.last.Events))
		}
	}
	if !s.agent(guessed).Overdue {
		t.Error("not overdue in the snapshot")
	}
}

func TestOverdueOnlyGuessed(t *testing.T) {
	x, y := row(101, -1001, 600), row(102, -3001, 10)
	(&story{t: t}).
		poll(0, Counts{Approved: 1, Resting: 1}, x, y).tells().
		poll(12, Counts{Approved: 1, Resting: 1}, x, y).tells("102 overdue inferred none")
}

func TestUnknownBeginTime(t *testing.T) {
	x := row(101, 0, 20).unknown()
	s := (&story{t: t}).
		poll(0, Counts{}).
		poll(5, Counts{Waiting: 1}, x.because(1)).tells("101 requested certain")
	id := RestID{101, base + 5000}
	if e := s.last.Events[0]; e.RestID != id || e.BeginAt != 0 || e.OccurredAt != 0 || e.OccurredAfter != base {
		t.Errorf("got %+v", e)
	}
	s.poll(10, Counts{Approved: 1}, x).tells("101 approved certain").
		poll(15, Counts{Resting: 1}, x).tells("101 started certain").
		poll(90, Counts{Resting: 1}, x).tells() // overdue of what?
	if a := s.agent(101); a.RestID != id || a.BeginAt != 0 || a.Overdue {
		t.Errorf("got %+v", a)
	}
	s.poll(95, Counts{}).tells("101 ended certain")
	if e := s.last.Events[0]; e.ElapsedSeconds != nil {
		t.Errorf("rested %d s since an unknown time", *e.ElapsedSeconds)
	}
}

func TestReasonCodes(t *testing.T) {
	for code, name := range map[int]string{1: "agentBusy", 4: "queueQuotaFull", 5: "unknown", 99: "unknown", -1: "unknown"} {
		s := (&story{t: t}).
			poll(0, Counts{}).
			poll(5, Counts{Waiting: 1}, row(101, 3001, 20).because(code)).tells("101 requested certain")
		if got := s.last.Events[0].WaitReason; got == nil || got.Name != name || got.Code != code {
			t.Errorf("reason %d: got %+v", code, got)
		}
	}
}

// TestTornFirst: an agent whom a torn first list did not show was there before.
func TestTornFirst(t *testing.T) {
	x, y := row(101, -50_001, 600), row(102, -60_001, 600)
	(&story{t: t}).
		poll(0, Counts{Resting: 2}, x).tells().
		poll(5, Counts{Resting: 2}, x, y).tells("102 started inferred updated,none")
}

// TestTouchedTorn: another poll like the one before does not make an incomplete
// list a complete one.
func TestTouchedTorn(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 1}, x).
		poll(5, Counts{Resting: 2}, x).tells()
	next := &Observation{VDN: VDN{1, 170}, At: base + 10_000, Counts: Counts{Resting: 2}, Rows: []Row{x}}
	r := Compare(&s.prev, next, Options{})
	if got := s.prev.Touched(next.At, 0, Order{}); r.Commit || !bytes.Equal(encode(t, got), encode(t, r.Snapshot)) {
		t.Errorf("touched\n%s\nwant\n%s", encode(t, got), encode(t, r.Snapshot))
	}
}

func TestGhostIsKept(t *testing.T) {
	x, y := row(101, -50_001, 600), row(102, -60_001, 600)
	s := (&story{t: t}).
		poll(0, Counts{Resting: 2}, x, y).
		poll(5, Counts{Resting: 2}, x).tells()
	if !s.last.Commit || s.last.QuietUntil != 0 || s.agent(102).State != Resting {
		t.Errorf("got %+v", s.last)
	}
	s.poll(10, Counts{Resting: 1}, x).tells("102 ended certain")
	e := s.last.Events[0]
	if e.OccurredAfter != base || e.PreviousObservedAt != base+5000 || *e.ElapsedSecondsMin != 59 {
		t.Errorf("he may have left before the torn list: %+v", e)
	}
}

// TestPastDepartureCorrected: what a torn list made of an ambiguous agent is
// put right by the totals of the next consistent one.
func TestPastDepartureCorrected(t *testing.T) {
	x, y := row(101, -20_001, 600), row(102, -30_001, 600)
	s := (&story{t: t}).poll(0, Counts{Approved: 1, Resting: 1}, x, y)
	// x asks anew; one row is missing, so the totals mean nothing.
	again := row(101, 3001, 600).because(1)
	s.poll(5, Counts{Waiting: 1, Approved: 1}, again)
	left := s.last.Events[len(s.last.Events)-2]
	if left.Certainty != Inferred || left.To != None {
		t.Fatalf("got %s", brief(s.last.Events))
	}
	truth := KindEnded
	n := Counts{Waiting: 1, Approved: 1}
	if left.Kind == KindEnded {
		truth = KindCancelled
		n = Counts{Waiting: 1, Resting: 1}
	}
	s.poll(10, n, again, y)
	for _, e := range s.last.Events {
		if e.Kind == KindCorrected && e.WorkNo == 101 {
			if e.From != None || e.To != None || e.Was != left.Kind || e.Now != truth || *e.Corrects != left.ID() {
				t.Errorf("got %s", brief(s.last.Events))
			}
			return
		}
	}
	t.Errorf("not corrected: %s", brief(s.last.Events))
}

func TestNotNewer(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).poll(10, Counts{Resting: 1}, x)
	old := s.prev
	for _, o := range []*Observation{
		{VDN: VDN{1, 170}, At: base + 10_000},
		{VDN: VDN{1, 170}, At: base + 5_000},
		{VDN: VDN{1, 170}},
	} {
		if r := Compare(&old, o, Options{}); r.Commit || len(r.Events) > 0 || r.Snapshot.ObservedAt != old.ObservedAt {
			t.Errorf("at %v: got %+v", o.At, r)
		}
	}
	// With an order, that decides, and the clock only moves on.
	old.Order = Order{Epoch: 1, Seq: 7}
	if r := Compare(&old, &Observation{VDN: VDN{1, 170}, At: base + 20_000, Order: Order{1, 7}}, Options{}); r.Commit {
		t.Error("the same tick again was taken in")
	}
	r := Compare(&old, &Observation{VDN: VDN{1, 170}, At: base + 9_900, Order: Order{1, 8}}, Options{})
	if !r.Commit || r.Snapshot.ObservedAt != base+10_001 {
		t.Errorf("a newer tick with an older clock: %+v", r)
	}
}

func TestRestart(t *testing.T) {
	x := row(101, -50_001, 600)
	s := (&story{t: t}).poll(0, Counts{Resting: 1}, x)
	stored := s.prev
	s.poll(5, Counts{Resting: 1}, x).poll(10, Counts{Resting: 1}, x)
	if s.last.Commit || s.prev.ObservedAt != base+10_000 || s.prev.Revision != 1 || !s.prev.Baseline {
		t.Errorf("quiet polls: %+v", s.last)
	}
	s.prev = stored
	s.poll(15, Counts{}).tells("101 ended certain")
	if e := s.last.Events[0]; e.OccurredAfter != base || s.prev.PreviousObservedAt != base {
		t.Errorf("after a restart only what was stored is known: %+v", e)
	}
}

func TestDecodeSnapshot(t *testing.T) {
	s := (&story{t: t}).poll(0, Counts{Resting: 1}, row(101, -50_001, 600))
	data, err := json.Marshal(s.prev)
	if err != nil {
		t.Fatal(err)
	}
	// As are all that were stored before replies had an age.
	if old, err := DecodeSnapshot(data); err != nil || old.ShownAt() != base || strings.Contains(string(data), `"age"`) {
		t.Errorf("got %+v, %v from %s", old, err, data)
	}
	newer := strings.Replace(string(data), `"format":1`, `"format":2`, 1)
	if _, err := DecodeSnapshot([]byte(newer)); !errors.Is(err, ErrFormat) {
		t.Errorf("format 2: got %v", err)
	}
	for _, bad := range []string{`{`, `{"revision":1}`, strings.Replace(string(data), `"state":"resting"`, `"state":"none"`, 1)} {
		if _, err := DecodeSnapshot([]byte(bad)); err == nil {
			t.Errorf("decoded %s", bad)
		}
	}
}

func TestFoldRefuses(t *testing.T) {
	for _, e := range []Event{
		{WorkNo: 1, Kind: KindEnded}, {WorkNo: 1, Kind: KindOverdue}, {WorkNo: 1, Kind: KindUpdated}, {WorkNo: 1, Kind: "danced"},
	} {
		if _, err := Fold(nil, []Event{e}); err == nil {
			t.Errorf("folded %s into nobody", e.Kind)
		}
	}
	a := Event{WorkNo: 1, Kind: KindStarted, To: Resting, Sequence: 4}
	b := Event{WorkNo: 1, Kind: KindEnded, Sequence: 6}
	if _, err := Fold(nil, []Event{a, b}); err == nil {
		t.Error("folded events with a gap")
	}
}

func TestStepsKeepAgentsTogether(t *testing.T) {
	s := (&story{t: t}).poll(0, Counts{})
	var rows []Row
	for no := 101; no < 111; no++ {
		rows = append(rows, row(no, 5001, 20))
	}
	prev := s.prev
	s.poll(90, Counts{Resting: 10}, rows...) // started and overdue, each
	steps := s.last.Steps(&prev, 5)
	if len(steps) != 5 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, step := range steps {
		if len(step.Events) != 4 {
			t.Errorf("%d events in a step", len(step.Events))
		}
	}
	if one := s.last.Steps(&prev, 20); len(one) != 1 || one[0].Snapshot.Revision != s.prev.Revision {
		t.Errorf("%d steps where one would do", len(one))
	}
	if each := s.last.Steps(&prev, 1); len(each) != 10 {
		t.Errorf("%d steps, want one per agent", len(each))
	}
}

// TestLeastOfAGuess: who was only guessed to be resting may have begun after he
// was last listed.
func TestLeastOfAGuess(t *testing.T) {
	s := (&story{t: t}).
		poll(0, Counts{Approved: 1, Resting: 1}, row(101, -300_001, 600), row(102, -1_001, 600)).
		poll(30, Counts{}).tells("101 ended inferred cancelled", "102 cancelled inferred ended")
	if e := s.last.Events[0]; *e.ElapsedSecondsMin != 0 || *e.ElapsedSeconds != 330 {
		t.Errorf("rested %d to %d s, want 0 to 330", *e.ElapsedSecondsMin, *e.ElapsedSeconds)
	}
}

// TestWhatElseAnUpdateMayHaveBeen: a rest that seems prolonged may have ended,
// with any stage of another behind it.
func TestWhatElseAnUpdateMayHaveBeen(t *testing.T) {
	x, y := row(101, -50_001, 600), row(102, 4001, 900)
	(&story{t: t}).
		poll(0, Counts{Resting: 1}, x).
		poll(5, Counts{Approved: 1, Resting: 1}, row(101, 3001, 900), y).
		tells("101 updated inferred approved,ended,ended+started", "102 approved inferred started")
	x = x.unknown()
	longer := x
	longer.Requested = 900
	(&story{t: t}).
		poll(0, Counts{Resting: 1}, x).
		poll(5, Counts{Resting: 1}, longer).tells("101 updated inferred ended+started")
}

// TestWhatElseACorrectionMayBe: one that is inferred itself names the other
// states that the agent may be in, or that he was not and is in by now.
func TestWhatElseACorrectionMayBe(t *testing.T) {
	u, v, w := row(103, 2_001, 600), row(102, 2_001, 600), row(101, 2_001, 600)
	(&story{t: t}).
		poll(0, Counts{}).
		poll(5, Counts{1, 1, 1}, u, v, w).
		tells("101 requested inferred approved,started", "102 approved inferred requested,started", "103 started inferred requested,approved").
		poll(10, Counts{0, 1, 1}, v, w).
		tells("101 corrected inferred requested>started approved", "103 corrected certain started>requested", "103 cancelled certain")
	x, y := row(101, -50_001, 600), row(102, 3_000, 600)
	torn := &Observation{VDN: VDN{1, 170}, At: base + 5000, Counts: Counts{Resting: 1}, Rows: []Row{x, y}}
	(&story{t: t}).
		poll(0, Counts{Resting: 1}, x).
		read(torn).tells("102 requested inferred approved,started").
		poll(10, Counts{Resting: 2}, x, y).tells("102 corrected inferred requested>started approved,started")
}

// TestMovedOnUnseen: who was approved for certain and may have gone to rest
// within the same second was told rightly, whatever he did next.
func TestMovedOnUnseen(t *testing.T) {
	x := row(101, 3_000, 600)
	torn := func(at Time) *Observation {
		return &Observation{VDN: VDN{1, 170}, At: base + at, Counts: Counts{Approved: 1}, Rows: []Row{x, x}}
	}
	(&story{t: t}).
		poll(0, Counts{Waiting: 1}, row(101, -50_000, 600)).
		poll(5, Counts{Approved: 1}, x).tells("101 approved certain").
		read(torn(10_000)).tells().
		poll(400, Counts{Waiting: 1}, row(101, 390_000, 600).because(2)).
		tells("101 started inferred none", "101 ended inferred cancelled", "101 requested certain")
}
