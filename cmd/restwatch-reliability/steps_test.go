package reliability

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// TestClockSteps sets the clocks of single processes, back and forth, by
// seconds, an hour and a day, while all others go by this machine's.
func TestClockSteps(t *testing.T) {
	if !*long {
		return // it takes a standard library of its own
	}
	restwatch := stepped(t, "build", "restwatch/cmd/restwatch")
	self := stepped(t, "test", "restwatch/cmd/restwatch-reliability")
	const interval = 250 * time.Millisecond
	steps := []time.Duration{3 * time.Second, -3 * time.Second, 0, 20 * time.Second, 0, -20 * time.Second, 0,
		time.Hour, 0, -time.Hour, 0, 24 * time.Hour, 0, -24 * time.Hour, 0}

	// walk sets a clock to each of them for a while, and says what the calls,
	// the feeds and the skew as it is measured did meanwhile.
	walk := func(t *testing.T, s *site, c clock, p *process) string {
		t.Helper()
		var said []string
		for _, ahead := range steps {
			from := time.Now()
			gaps, downs := first(s.gaps()), s.downs()
			c.set(t, ahead)
			let(5 * time.Second)
			calls := s.slots(from, time.Now(), interval)
			g, d := first(s.gaps()), s.downs()
			said = append(said, fmt.Sprintf("%v: gap %v, %d resyncs, %d down, skew %.0f s", ahead, calls.gap.Round(10*time.Millisecond), g-gaps, d-downs,
				p.metric(t, "restwatch_cms_clock_skew_seconds")))
		}
		s.everywhere(t, diff.OK)
		return strings.Join(said, "; ")
	}

	t.Run("ours", func(t *testing.T) {
		s := open(t, 10, interval, startNATS(t, 1)[0].url(), 0)
		c := newClock(t, 0)
		s.binary, s.env = restwatch, append(s.env, c.env())
		p := s.serve(t)
		s.everywhere(t, diff.OK)
		did := walk(t, s, c, p)
		// So far off that CC-CMS refuses the signature.
		c.set(t, 2*tolerance)
		begun := time.Now()
		s.everywhere(t, diff.Paused)
		refused := s.BadSignatures()
		reason := p.await(t, "calls stopped")
		c.set(t, 0)
		let(30 * time.Second) // of a minute's pause
		s.everywhere(t, diff.OK)
		result(t, "the clock of the service is set | %s; %v: %d calls refused, well again %v after, and said: %s | %v",
			did, 2*tolerance, refused, time.Since(begun).Round(time.Second), strings.TrimSpace(reason), s.check(t))
	})

	t.Run("replicas", func(t *testing.T) {
		f := &fleet{interval: interval, site: open(t, 10, interval, startNATS(t, 1)[0].url(), 0)}
		f.binary = restwatch
		env := f.env
		for _, ahead := range []time.Duration{-20 * time.Second, 0, 10 * time.Second, time.Hour} {
			f.env = append(slices.Clone(env), newClock(t, ahead).env())
			f.grow(t, 1)
		}
		f.everywhere(t, diff.OK)
		f.steady(t)
		calm := f.watched(t, 80, func() {})
		killed := f.watched(t, 40, func() {
			f.alive[3].kill(t)
			let(3 * time.Second)
			f.alive[2].kill(t)
			let(3 * time.Second)
			f.alive[1].kill(t)
		})
		f.alive = f.alive[:1]
		gaps, downs := first(f.gaps()), f.downs()
		result(t, "replicas whose clocks are 20 s behind, right, 10 s and an hour ahead | %v; the latter three killed in turn: %v; %d resyncs, %d down | %v", calm, killed, gaps, downs, f.check(t))
	})

	t.Run("bus", func(t *testing.T) {
		c := newClock(t, 0)
		f := &fleet{interval: interval, site: open(t, 10, interval, startNATS(t, 1, with(self, c))[0].url(), 0)}
		f.grow(t, 2)
		f.everywhere(t, diff.OK)
		f.apart = 24 * time.Hour
		did := walk(t, f.site, c, f.alive[0])
		let(5 * time.Second) // a heartbeat, and a poll by the right clock
		f.settled = time.Now()
		let(20 * time.Second)
		result(t, "the clock of the NATS host is set | %s; right again: %s | %v", did, f.certainBetween(f.settled, time.Now()), f.check(t))
	})

	t.Run("bus between runs", func(t *testing.T) {
		c := newClock(t, 24*time.Hour)
		n := startNATS(t, 1, with(self, c))[0]
		f := &fleet{interval: interval, site: open(t, 10, interval, n.url(), 0)}
		f.grow(t, 2)
		f.everywhere(t, diff.OK)
		f.apart = 24 * time.Hour
		let(15 * time.Second)
		for _, p := range f.alive {
			if code := p.stop(t); code != 0 {
				t.Errorf("exit %d:\n%s", code, p.log())
			}
		}
		n.kill(t)
		c.set(t, 0)
		n.start(t)
		f.alive = nil
		f.grow(t, 2)
		f.everywhere(t, diff.OK)
		let(5 * time.Second)
		f.settled = time.Now()
		let(20 * time.Second)
		result(t, "the clock of the NATS host was a day ahead at the first start, and is right at the second | %s | %v", f.certainBetween(f.settled, time.Now()), f.check(t))
	})
}

// with gives a node another binary, and a clock.
func with(binary string, c clock) func(*node) {
	return func(n *node) { n.binary, n.env = binary, append(n.env, c.env()) }
}

// TestUpstreamClockSteps has CC-CMS's clock set by an hour and back, as a wrong
// rule for daylight saving time does: begin times from then on, and the Date
// header, are off.
func TestUpstreamClockSteps(t *testing.T) {
	if !*long {
		return
	}
	const interval = 250 * time.Millisecond
	for _, by := range []time.Duration{-time.Hour, time.Hour, -10 * time.Minute, 10 * time.Minute} {
		t.Run(by.String(), func(t *testing.T) {
			s := open(t, 10, interval, "", 0)
			s.resettable(t, by)
			p := s.serve(t)
			s.everywhere(t, diff.OK)
			const phase = 40 * time.Second
			var said []string
			for _, off := range []bool{false, true, false} {
				from := time.Now()
				s.reset(off)
				let(phase)
				said = append(said, fmt.Sprintf("%s, skew %.0f s", s.certainBetween(from, time.Now()), p.metric(t, "restwatch_cms_clock_skew_seconds")))
			}
			result(t, "CC-CMS's clock is set by %v, and back | %v each: %s | %v", by, phase, strings.Join(said, "; "), s.check(t))
		})
	}
}

func first(n, _ int) int { return n }
