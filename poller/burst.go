package poller

import (
	"context"
	"sync/atomic"
	"time"
)

// gatherTime is how long a commit waits for the replies of its burst: about what
// a burst takes if the upstream answers at once, and little if it does not.
const gatherTime = 3 * time.Millisecond

// burst is the polls of one tick. Those that have something to commit wait a
// moment for the replies of the others, so that all of them share a batch: a
// batch costs the server as much as some twenty polls, however little is in
// it. Who polls alone, or is the last to hear, waits for nobody.
type burst struct {
	unheard atomic.Int32
	heard   chan struct{} // closed when all polls have their reply
}

func newBurst(polls int) *burst {
	b := &burst{heard: make(chan struct{})}
	b.unheard.Store(int32(polls))
	return b
}

// hear says that one more poll has its reply, or will have none.
func (b *burst) hear() {
	if b.unheard.Add(-1) == 0 {
		close(b.heard)
	}
}

// gather waits for the replies of the others.
func (b *burst) gather(ctx context.Context) {
	select {
	case <-b.heard:
		return
	default:
	}
	enough := time.NewTimer(gatherTime)
	defer enough.Stop()
	select {
	case <-b.heard:
	case <-enough.C:
	case <-ctx.Done():
	}
}
