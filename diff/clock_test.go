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
				_, overdue := s.restsBegin(2000+1000*i, enoughLate+enoughTokens+1, ahead, 600)
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
