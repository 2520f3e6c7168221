package diff

import (
	"fmt"
	"testing"
)

// restsBegin has one more agent rest at each poll, which is a second after the
// one before, with begin times by a clock that is so many milliseconds ahead.
// It returns the certainty of each start, and of each overdue rest.
func (s *story) restsBegin(no, n int, ahead Time, length int) (started, overdue []Certainty) {
	s.t.Helper()
	for i := range n {
		at := s.prev.ObservedAt - base + 1000
		x := row(no+i, at-400+ahead, length)
		x.Begin += x.Begin % 2 // never a whole second
		s.poll(float64(at)/1000, Counts{Resting: 1}, x)
		for _, e := range s.last.Events {
			switch e.Kind {
			case KindStarted:
				started = append(started, e.Certainty)
			case KindOverdue:
				overdue = append(overdue, e.Certainty)
			}
		}
	}
	return started, overdue
}

// The upstream's clock is set by an hour, back and forth: nothing that follows
// from the old difference is certain, and the new one is learned soon.
func TestUpstreamClockIsSet(t *testing.T) {
	const hour = 3_600_000
	for _, by := range []Time{-hour, hour - 60_000} {
		t.Run(fmt.Sprint(by), func(t *testing.T) {
			s := (&story{t: t}).poll(0, Counts{})
			s.restsBegin(1000, enoughTokens+1, 0, 600)
			for i, ahead := range []Time{by, 0} {
				_, overdue := s.restsBegin(2000+1000*i, enoughTokens+1, ahead, 600)
				for _, c := range overdue {
					if c == Certain {
						t.Errorf("set to %d: a rest just begun is overdue for certain", ahead)
					}
				}
				started, _ := s.restsBegin(2500+1000*i, 5, ahead, 600)
				for _, c := range started {
					if c != Certain {
						t.Errorf("set to %d: still not learned: %+v", ahead, s.prev.Memory.Clock)
					}
				}
				if ms, _ := s.prev.Memory.Clock.ahead(s.prev.ObservedAt); Time(ms) > ahead || Time(ms) < ahead-1000 {
					t.Errorf("set to %d, learned %d", ahead, ms)
				}
			}
		})
	}
}

// A clock that is minutes behind makes rests look longer than they are.
func TestOverdueByAClockThatIsBehind(t *testing.T) {
	const behind = -420_000
	s := (&story{t: t}).poll(0, Counts{})
	s.restsBegin(1000, enoughTokens+1, behind, 86_000)
	at := s.prev.ObservedAt - base
	x := row(2000, at+600+behind, 430)
	one := Counts{Resting: 1}
	s.poll(float64(at+1000)/1000, one, x).tells("1032 ended certain", "2000 started certain").
		poll(float64(at+12_000)/1000, one, x).tells("2000 overdue inferred none")
	// So much that it is over by that clock, too.
	y := row(3000, at+12_500+behind, 430)
	s.poll(float64(at+13_000)/1000, one, y).tells("2000 ended certain", "3000 started certain").
		poll(float64(at+12_500+431_000)/1000, one, y).tells("3000 overdue certain")
}

// The upstream's clock is set back and forth before much is known of it: who
// began by the one clock is not judged by the other.
func TestOverdueAcrossStepsOfTheUpstreamsClock(t *testing.T) {
	const behind = -600_000
	rests := func(n int) Counts { return Counts{Resting: n} }
	w, x, y, z := row(101, 4001, 30), row(102, 9001+behind, 300), row(103, 9002+behind, 620), row(104, 19_001, 30)
	(&story{t: t}).poll(0, Counts{}).
		poll(5, rests(1), w).tells("101 started certain").
		// Set back: the one seems to be over, the other will long before its time.
		poll(10, rests(3), w, x, y).tells("102 started inferred none", "102 overdue inferred none", "103 started inferred none").
		// Right again.
		poll(20, rests(4), w, x, y, z).tells("104 started certain").
		poll(30, rests(4), w, x, y, z).tells("103 overdue inferred none").
		poll(50, rests(4), w, x, y, z).tells("101 overdue inferred none", "104 overdue certain")
}

// The upstream's clock is behind from the start, by more than all rests.
func TestOverdueByAClockThatIsBehindFromTheStart(t *testing.T) {
	const behind = -420_000
	one := Counts{Resting: 1}
	(&story{t: t}).poll(0, one, row(101, behind-60_000, 490)).
		poll(15, one, row(101, behind-60_000, 490)).tells("101 overdue inferred none").
		poll(20, one, row(102, 18_001+behind, 300)).tells("101 ended certain", "102 started inferred none", "102 overdue inferred none")
}

// The bus's clock was a day ahead, and is set back: what happens then lies in no
// window of that day, and nothing follows from it for certain that the clock
// alone would tell.
func TestBusClockIsSetBack(t *testing.T) {
	const day = 86_400_000
	s := (&story{t: t}).poll(day/1000, Counts{})
	tick := func(at float64, n Counts, rows ...Row) *story {
		o := &Observation{VDN: VDN{1, 170}, At: base + Time(at*1000), Order: Order{1, s.prev.Order.Seq + 1}, Counts: n, Rows: rows, DetectedBy: Poll}
		s.last = Compare(&s.prev, o, Options{})
		s.prev = s.last.Snapshot
		return s
	}
	two := Counts{Resting: 2}
	x, y, z := row(101, 1001, 600), row(102, 1002, 600), row(103, 9001, 600)
	tick(day/1000+2, two, x, y).tells("101 started inferred none", "101 overdue inferred none", "102 started inferred none", "102 overdue inferred none")
	tick(10, two, y, z).tells("101 ended certain", "103 started inferred none")
	for _, e := range s.last.Events {
		if e.OccurredAfter > base+10_000 || e.OccurredBefore > base+10_000 || e.ObservedAt != base+10_000 || e.PreviousObservedAt != 0 {
			t.Errorf("%s: after %v, before %v, observed at %v, before that at %v", e.Kind, e.OccurredAfter, e.OccurredBefore, e.ObservedAt, e.PreviousObservedAt)
		}
	}
	if s.prev.ObservedAt != base+10_000 || !s.last.Commit {
		t.Errorf("observed at %v, to be stored: %t", s.prev.ObservedAt, s.last.Commit)
	}
	tick(15, Counts{Resting: 1}, z).tells("102 ended certain")
	if e := s.last.Events[0]; e.OccurredAfter != base+10_000 || e.OccurredBefore != base+15_000 {
		t.Errorf("after %v, before %v", e.OccurredAfter, e.OccurredBefore)
	}
	// Less than the slack is the error of two readings.
	tick(14.9, Counts{}).tells("103 ended certain")
	if got := s.prev.ObservedAt; got != base+15_001 {
		t.Errorf("observed at %v, want just after the poll before", got)
	}
}

// An agent listed without a begin time may have been there for long when it is
// listed with one: that tells nothing of the clocks.
func TestABeginTimeThatBecomesKnown(t *testing.T) {
	const behind = -20_000
	s := (&story{t: t}).poll(0, Counts{})
	s.restsBegin(1000, enoughTokens+1, behind, 600)
	at := s.prev.ObservedAt - base
	x := row(2000, 0, 600)
	x.Begin = 0
	s.poll(float64(at+1000)/1000, Counts{Resting: 1}, x)
	x = row(2000, at-300_001+behind, 600)
	s.poll(float64(at+2000)/1000, Counts{Resting: 1}, x)
	started, _ := s.restsBegin(3000, 3, behind, 600)
	for _, c := range started {
		if c != Certain {
			t.Error("a start is not certain any more")
		}
	}
}
