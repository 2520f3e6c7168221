package poller

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// gatherTime is how long a commit waits for the replies of its burst: about what
	// a burst takes if the upstream answers at once, and little if it does not.
	gatherTime = 3 * time.Millisecond

	// ahead is how many polls of a burst go before the others. If CC-CMS refuses
	// the credentials, all that is sent before the first refusal is back is refused,
	// and repeated bad signatures lock the address. One alone might get no answer.
	ahead = 2
	// followTime is how long the others wait at most.
	followTime = time.Second
)

// burst is the polls of one tick. Those that have something to commit wait a
// moment for the replies of the others, so that all of them share a batch: a
// batch costs the server as much as some twenty polls, however little is in
// it. Who polls alone, or is the last to hear, waits for nobody.
type burst struct {
	polls   int32
	unheard atomic.Int32
	first   chan struct{} // closed when a poll has its reply
	heard   chan struct{} // closed when all have
}

func newBurst(polls int) *burst {
	b := &burst{polls: int32(polls), first: make(chan struct{}), heard: make(chan struct{})}
	b.unheard.Store(b.polls)
	return b
}

// hear says that one more poll has its reply, or will have none.
func (b *burst) hear() {
	unheard := b.unheard.Add(-1)
	if unheard == b.polls-1 {
		close(b.first)
	}
	if unheard == 0 {
		close(b.heard)
	}
}

// follow waits for the reply to one of those ahead, for a part of the interval
// at most, so that their silence costs nobody a slot.
func (b *burst) follow(ctx context.Context, interval time.Duration) {
	await(ctx, b.first, min(interval/4, followTime))
}

// gather waits for the replies of the others.
func (b *burst) gather(ctx context.Context) { await(ctx, b.heard, gatherTime) }

func await(ctx context.Context, done <-chan struct{}, most time.Duration) {
	select {
	case <-done:
		return
	default:
	}
	enough := time.NewTimer(most)
	defer enough.Stop()
	select {
	case <-done:
	case <-enough.C:
	case <-ctx.Done():
	}
}
