package tick

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restwatch/diff"
)

// world is a local clock and a server whose clock differs.
type world struct {
	local  time.Time
	offset time.Duration // of the server's clock
	there  time.Duration // way of the question
	back   time.Duration // way of the answer
	err    error
}

func newWorld() *world {
	return &world{local: time.Now(), offset: 90 * time.Minute, there: time.Millisecond, back: time.Millisecond}
}

func (w *world) now() time.Time { return w.local }

// server is the truth.
func (w *world) server() time.Time { return w.local.Add(w.offset) }

func (w *world) pass(d time.Duration) { w.local = w.local.Add(d) }

func (w *world) ask(context.Context) (time.Time, error) {
	w.pass(w.there)
	at := w.server()
	w.pass(w.back)
	return at, w.err
}

func (w *world) error(c *clock) time.Duration { return c.server(w.local).Sub(w.server()).Abs() }

func TestClockHalvesTheRoundTrip(t *testing.T) {
	w := newWorld()
	w.there, w.back = 30*time.Millisecond, 10*time.Millisecond
	c := newClock(w.ask, w.now)
	if err := c.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.error(c); got != 10*time.Millisecond {
		t.Errorf("got an error of %v, want half the asymmetry, 10ms", got)
	}
	w.pass(time.Minute)
	if got := w.error(c); got != 10*time.Millisecond {
		t.Errorf("a minute later: got an error of %v, want 10ms", got)
	}
}

func TestClockKeepsTheBestSample(t *testing.T) {
	w := newWorld()
	c := newClock(w.ask, w.now)
	if err := c.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.there, w.back = 2*time.Second, 0 // a slow and lopsided one
	if err := c.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.error(c); got != 0 {
		t.Errorf("got an error of %v, want 0: that of the first sample", got)
	}
	w.there, w.back = 5*time.Millisecond, 5*time.Millisecond
	w.pass(time.Hour) // by now the first may have drifted far
	if err := c.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.roundTrip(); got != 10*time.Millisecond {
		t.Errorf("an hour later: got the sample of round trip %v, want the new one", got)
	}
}

func TestClockFollowsASetClock(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 50 * time.Millisecond, -50 * time.Millisecond} {
		w := newWorld()
		c := newClock(w.ask, w.now)
		for range keptSamples + 3 {
			if err := c.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.offset += step
		w.there, w.back = 4*time.Millisecond, 4*time.Millisecond // worse than all before
		if err := c.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.error(c); got != 0 {
			t.Errorf("step %v: got an error of %v, want 0", step, got)
		}
	}
}

func TestClockIsNotMisled(t *testing.T) {
	w := newWorld()
	c := newClock(w.ask, w.now)
	if err := c.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("no answer")
	w.err = lost
	if err := c.sync(t.Context()); !errors.Is(err, lost) {
		t.Errorf("got %v, want %v", err, lost)
	}
	if got := w.error(c); got != 0 {
		t.Errorf("after a failure: got an error of %v, want 0", got)
	}
	silent := newClock(func(context.Context) (time.Time, error) { return time.Time{}, nil }, w.now)
	if err := silent.sync(t.Context()); err == nil {
		t.Error("an answer without a time: got nil, want an error")
	}
	if stored := w.server(); c.wrong(stored, w.local) {
		t.Error("a message of now is said to come from the future")
	}
	if stored := w.server().Add(time.Second); !c.wrong(stored, w.local) {
		t.Error("a message of the future goes unnoticed")
	}
}

func TestClockError(t *testing.T) {
	// Whatever the network does and however the clocks drift, the error stays
	// within half the round trip of the newest sample plus drift.
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.offset = time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "offset"))
		c := newClock(w.ask, w.now)
		for range rapid.IntRange(1, 30).Draw(t, "syncs") {
			w.there = time.Duration(rapid.Int64Range(0, 3e8).Draw(t, "there"))
			w.back = time.Duration(rapid.Int64Range(0, 3e8).Draw(t, "back"))
			if err := c.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, most := w.error(c), (w.there+w.back)/2+1; got > most {
				t.Fatalf("got an error of %v, want at most %v", got, most)
			}
			pause := time.Duration(rapid.Int64Range(0, 6e10).Draw(t, "pause"))
			w.pass(pause)
			w.offset += time.Duration(float64(pause) * rapid.Float64Range(-4e-4, 4e-4).Draw(t, "drift"))
		}
	})
}

func TestBusTime(t *testing.T) {
	// On a real server on this machine both clocks are one.
	q := open(t, connect(t, inProcess(t)), nil)
	received := time.Now()
	most := q.clock.best.Load().error(received) + 2*time.Millisecond // both are cut to whole ones
	if d := q.At(received).Sub(diff.TimeOf(received)).Abs(); d > most {
		t.Errorf("got a bus time %v off, want %v at most", d, most)
	}
	if q.Now() < q.At(received) {
		t.Error("Now is before At of the past")
	}
	if err := q.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := q.js.DeleteStream(t.Context(), DefaultStream); err != nil {
		t.Fatal(err)
	}
	if err := q.Sync(t.Context()); err == nil {
		t.Error("without a stream: got nil, want an error")
	}
	if len(q.doubts) != 1 {
		t.Error("the lost stream is not suspected")
	}
}
