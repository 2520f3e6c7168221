package tick

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestPauseStopsAllReplicas(t *testing.T) {
	var b book
	qs := trio(t, func(int) Handler { return b.note }, func(o *Options) { o.MaxAckPending = 50 })
	if err := qs[0].Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for i, q := range qs {
		until, paused, err := q.Paused(t.Context())
		if left := time.Until(until); err != nil || !paused || left < 59*time.Minute || left > 61*time.Minute {
			t.Errorf("replica %d: got until %v, %v, %v; want an hour from now", i, until, paused, err)
		}
	}
	for i := range 10 {
		qs[1].mustOffer(t, group(i), slotAt(0))
	}
	eventually(t, "stored", func() bool { return qs[1].counted(resultOffered) == 10 })
	// A replica that starts during the pause leaves it alone.
	late := open(t, qs[0].js, func(o *Options) { o.MaxAckPending = 50 })
	if _, paused, err := late.Paused(t.Context()); err != nil || !paused {
		t.Errorf("after another Open: paused %v, %v", paused, err)
	}
	// A shorter pause does not end a longer one.
	if err := qs[2].Pause(t.Context(), time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	s, err := qs[2].State(t.Context())
	if err != nil || time.Until(s.PausedUntil) < 59*time.Minute || !s.Probation {
		t.Errorf("after a shorter Pause: got %+v, %v", s, err)
	}
	// A success of before the pause proves nothing.
	if err := qs[1].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := qs[1].Proven(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := qs[1].State(t.Context()); err != nil || !s.Probation || s.PausedUntil.IsZero() {
		t.Errorf("after Proven in the pause: got %+v, %v", s, err)
	}
	if b.len() != 0 {
		t.Errorf("got %d ticks during the pause, want 0", b.len())
	}
	if err := qs[2].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all worked", func() bool { return b.len() == 10 })
	for i, q := range qs {
		if s, err := q.State(t.Context()); err != nil || s != (State{}) {
			t.Errorf("replica %d: got %+v, %v, want none", i, s, err)
		}
		info, err := q.consumerInfo(t.Context())
		if err != nil || info.Config.MaxAckPending != 50 {
			t.Errorf("got MaxAckPending %d, %v, want 50", info.Config.MaxAckPending, err)
		}
	}
}

func TestProbation(t *testing.T) {
	var out, most, worked atomic.Int32
	begun, finish := make(chan struct{}, 20), make(chan struct{})
	qs := trio(t, func(int) Handler {
		return func(context.Context, Tick) error {
			n := out.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			begun <- struct{}{}
			<-finish
			out.Add(-1)
			worked.Add(1)
			return nil
		}
	}, nil)
	if err := qs[0].Pause(t.Context(), time.Now().Add(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		qs[0].mustOffer(t, group(i), slotAt(0))
	}
	// The pause ends by itself; one tick comes, and while it is out no other.
	<-begun
	s, err := qs[1].State(t.Context())
	if err != nil || !s.Probation || !s.PausedUntil.IsZero() {
		t.Errorf("after the pause: got %+v, %v, want probation", s, err)
	}
	for range 3 {
		finish <- struct{}{}
		<-begun
	}
	info, err := qs[0].consumerInfo(t.Context())
	if err != nil || info.NumAckPending != 1 || info.NumPending != 4 {
		t.Errorf("got %d out, %d waiting, %v; want 1, 4", info.NumAckPending, info.NumPending, err)
	}
	if n := most.Load(); n != 1 {
		t.Errorf("got %d at once on probation, want 1", n)
	}
	// Another replica than the one that paused has the success.
	if err := qs[1].Proven(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 { // all at once, although the first has not ended
		<-begun
	}
	close(finish)
	eventually(t, "all worked", func() bool { return worked.Load() == 8 })
	if err := qs[0].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, _ := qs[0].state.get(); s != (State{}) {
		t.Errorf("after Sync: got %+v, want none", s)
	}
}

func TestProbationSurvivesOpen(t *testing.T) {
	s := inProcess(t)
	a := open(t, connect(t, s), nil)
	if err := a.Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b := open(t, connect(t, s), func(o *Options) { o.MaxAckPending = 9 })
	got, err := b.State(t.Context())
	if err != nil || !got.Probation || got.PausedUntil.IsZero() {
		t.Errorf("got %+v, %v, want pause and probation", got, err)
	}
	// With one that is configured for a single tick it is no probation.
	if err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := open(t, connect(t, s), func(o *Options) { o.MaxAckPending = 1 })
	if got, err := c.State(t.Context()); err != nil || got.Probation {
		t.Errorf("MaxAckPending 1: got %+v, %v, want no probation", got, err)
	}
}

func TestPauseOutlivesTheConsumer(t *testing.T) {
	// The consumer is made anew by a replica that knew of no pause.
	s := inProcess(t)
	knows := open(t, connect(t, s), nil)
	if err := knows.Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := knows.js.DeleteConsumer(t.Context(), DefaultStream, durable); err != nil {
		t.Fatal(err)
	}
	other := open(t, connect(t, s), nil)
	if got, err := other.State(t.Context()); err != nil || got != (State{}) {
		t.Fatalf("the new consumer: got %+v, %v, want no pause", got, err)
	}
	// A look at it must not make the first replica forget.
	if err := knows.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, knows, func(context.Context, Tick) error { return nil })
	eventually(t, "the pause is put back", func() bool {
		got, err := other.State(t.Context())
		return err == nil && got.Probation && time.Until(got.PausedUntil) > 59*time.Minute
	})
	// What was resumed stays so.
	if err := knows.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := knows.js.DeleteConsumer(t.Context(), DefaultStream, durable); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another consumer", func() bool {
		got, err := knows.State(t.Context())
		return err == nil && got == (State{})
	})
}
