package poller

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restwatch/poller/cms"
)

var (
	refused = &cms.Error{Category: cms.Refused, Message: "signature refused"}
	locked  = &cms.Error{Category: cms.Locked, Message: "address locked"}
	timeout = &cms.Error{Category: cms.Timeout, Message: "no reply"}
)

// try makes one call through the gate with this outcome.
func try(g *gate, outcome error) error {
	p, err := g.enter(context.Background())
	if err != nil {
		return err
	}
	p.leave(outcome)
	return outcome
}

func TestGateLetsOneCallThroughUntilOneWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			outcome error
			calls   int // that 10 callers make
			atOnce  int // of these
		}{
			{"answered", nil, 10, 9},
			{"rejected by code", &cms.Error{Category: cms.Rejected, Code: "0100001"}, 10, 9},
			{"answered by a proxy", &cms.Error{Category: cms.HTTP, Status: 503}, 10, 1},
			{"a login page", &cms.Error{Category: cms.Malformed}, 10, 1},
			{"refused", refused, 1, 1},
			{"out of reach", timeout, 1, 1},
		} {
			g := &gate{now: time.Now}
			calls, now, atOnce := 0, 0, 0
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					p, err := g.enter(t.Context())
					if err != nil {
						return
					}
					mu.Lock()
					calls, now = calls+1, now+1
					atOnce = max(atOnce, now)
					mu.Unlock()
					time.Sleep(time.Second) // the call, on the bubble's clock
					mu.Lock()
					now--
					mu.Unlock()
					p.leave(c.outcome)
				})
			}
			wg.Wait()
			if calls != c.calls || atOnce != c.atOnce {
				t.Errorf("%s: %d of 10 callers called, %d at once, want %d, %d", c.name, calls, atOnce, c.calls, c.atOnce)
			}
		}
	})
}

// A probe after a pause that gets no answer fails for itself alone: who waited
// for it was not called, and is told nothing but that the pause goes on.
func TestGateProbeWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			paused bool
			want   error
		}{{"at the start", false, timeout}, {"after a pause", true, errPaused}} {
			g := &gate{now: time.Now}
			if c.paused {
				try(g, refused)
				time.Sleep(firstRefusedPause)
			}
			probe, err := g.enter(t.Context())
			if err != nil || !probe.probing() {
				t.Fatalf("%s: got %v, want a probe", c.name, err)
			}
			waited := make(chan error)
			go func() {
				_, err := g.enter(t.Context())
				waited <- err
			}()
			synctest.Wait()
			probe.leave(timeout)
			if err := <-waited; err != c.want {
				t.Errorf("%s: who waited got %v, want %v", c.name, err, c.want)
			}
			next, err := g.enter(t.Context())
			if err != nil || !next.probing() {
				t.Fatalf("%s: the next call: %v, want it to be another probe", c.name, err)
			}
			next.leave(nil)
			if err := try(g, nil); err != nil {
				t.Errorf("%s: after an answer: %v", c.name, err)
			}
		}
	})
}

func TestGatePausesLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{now: time.Now}
		for _, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
			if err := try(g, refused); err != refused {
				t.Fatalf("probe: got %v, want to be let through", err)
			}
			until, reason := g.paused()
			if got := time.Until(until); got != want*time.Minute || reason != refused {
				t.Fatalf("pause: got %v for %v, want %vm", got, reason, int(want))
			}
			if err := try(g, nil); !errors.Is(err, errPaused) {
				t.Fatalf("during the pause: got %v, want it paused", err)
			}
			time.Sleep(want * time.Minute)
		}
		if err := try(g, nil); err != nil {
			t.Fatal(err)
		}
		if err := try(g, refused); err != refused {
			t.Fatal(err)
		}
		if until, _ := g.paused(); time.Until(until) != time.Minute {
			t.Errorf("pause after a success: got %v, want 1m again", time.Until(until))
		}
	})
}

func TestGateLockedPausesTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{now: time.Now}
		try(g, nil)
		try(g, locked)
		if until, _ := g.paused(); time.Until(until) != 10*time.Minute {
			t.Errorf("pause: got %v, want 10m", time.Until(until))
		}
	})
}

// Calls that were under way when the credentials were withdrawn come back
// refused one after the other: that is one refusal, not many.
func TestGateCountsRefusalsOfOneMomentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{now: time.Now}
		try(g, nil)
		var passes []pass
		for range 8 {
			p, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			passes = append(passes, p)
		}
		turns := 0
		for _, p := range passes[:7] {
			if p.leave(refused) {
				turns++
			}
		}
		passes[7].leave(nil) // answered before the withdrawal
		if until, _ := g.paused(); turns != 1 || time.Until(until) != time.Minute {
			t.Errorf("got %d pauses, the last of %v; want one of 1m", turns, time.Until(until))
		}
		if err := try(g, nil); !errors.Is(err, errPaused) {
			t.Errorf("a late success opened the gate: %v", err)
		}
	})
}
