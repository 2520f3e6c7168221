package tick

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"restwatch/diff"
)

const (
	// maxDrift bounds how fast a server's clock and ours can part: a clock
	// that is being slewed runs up to 500 parts per million off.
	maxDrift = 500e-6
	// keptSamples is how many of the last samples compete.
	keptSamples = 8
)

// clock tells the time of the NATS server, which all replicas share, without
// ever reading the wall clock of this machine. Between samples it runs on the
// local monotonic clock. Its methods may be called concurrently.
//
// A sample asks the server for its time and takes the answer to be that of the
// middle of the round trip, so it is wrong by at most half the round trip. Of
// the recent samples the best is used: the one whose half round trip plus drift
// since is smallest. When two samples contradict each other by more than both
// can be wrong, the server's clock was set or another server leads, and what
// was learnt before is dropped.
type clock struct {
	ask   func(context.Context) (time.Time, error)
	local func() time.Time

	best atomic.Pointer[sample]

	mu     sync.Mutex
	recent []sample // oldest first
}

// sample says that the server's time was server when ours was local, give or
// take half.
type sample struct {
	local  time.Time // with monotonic reading
	server time.Time
	half   time.Duration
}

// at is the server's time at a local one.
func (s sample) at(local time.Time) time.Time { return s.server.Add(local.Sub(s.local)) }

// error is how far at may be off.
func (s sample) error(local time.Time) time.Duration {
	return s.half + time.Duration(maxDrift*float64(local.Sub(s.local).Abs()))
}

// newClock makes a clock that learns the server's time from ask. It must be
// synced once before it is read.
func newClock(ask func(context.Context) (time.Time, error), local func() time.Time) *clock {
	return &clock{ask: ask, local: local}
}

// sync takes one sample.
func (c *clock) sync(ctx context.Context) error {
	before := c.local()
	server, err := c.ask(ctx)
	if err != nil {
		return fmt.Errorf("ask for the server's time: %w", err)
	}
	if server.IsZero() {
		return fmt.Errorf("ask for the server's time: the answer has none")
	}
	half := c.local().Sub(before) / 2
	c.add(sample{local: before.Add(half), server: server, half: half})
	return nil
}

func (c *clock) add(s sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make([]sample, 0, keptSamples)
	for _, old := range c.recent {
		if apart := old.at(s.local).Sub(s.server).Abs(); apart <= old.error(s.local)+s.half {
			kept = append(kept, old)
		}
	}
	kept = append(kept, s)
	kept = kept[max(0, len(kept)-keptSamples):]
	c.recent = kept
	best := s
	for _, k := range kept {
		if k.error(s.local) < best.error(s.local) {
			best = k
		}
	}
	c.best.Store(&best)
}

// Now is the time of the bus: the NATS server's, which all replicas share. It
// follows when that clock is set, so it may step in either direction; whoever
// needs it to rise only must see to that.
func (q *Queue) Now() diff.Time { return q.At(time.Now()) }

// At is the bus's time at a moment that this process noted with time.Now. The
// value must still carry its monotonic reading, as it does unless it went
// through Round, UTC, In, Local or a text.
func (q *Queue) At(received time.Time) diff.Time { return diff.TimeOf(q.clock.server(received)) }

// server is the server's time at a local one, exact.
func (c *clock) server(local time.Time) time.Time {
	return c.best.Load().at(local)
}

// wrong reports whether a message that the server stored at the given time
// could not have been received at that local time, if the clock were right.
func (c *clock) wrong(stored, received time.Time) bool {
	best := c.best.Load()
	return stored.After(best.at(received).Add(best.error(received)))
}

// roundTrip is the one of the sample in use.
func (c *clock) roundTrip() time.Duration { return 2 * c.best.Load().half }
