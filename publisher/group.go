package publisher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"restwatch/diff"
)

// ErrClosed is what a closed bus answers.
var ErrClosed = errors.New("bus is closed")

// item is what one caller wants stored, all or nothing: a VDN's commit, or
// feed messages.
type item struct {
	// vdn and poll, the poll's id, of a commit, whose last message is the
	// guarded snapshot. No poll: nothing guards the messages, and storing them
	// twice does no harm.
	vdn   diff.VDN
	poll  string
	msgs  []message
	bytes int
	buf   []byte // that the messages lie in
	ctx   context.Context
	done  chan result // takes one
	// doubt says that an attempt may have stored it.
	doubt bool
}

type result struct {
	seq uint64 // of the last message
	err error
}

// guard is the sequence that the commit depends on.
func (it *item) guard() uint64 { return it.msgs[len(it.msgs)-1].guard }

// group lets commits that are ready at the same time share one atomic batch,
// because the disk takes as long for one as for many. One batch is on its way
// at a time: who comes while it is waits for the next, together with all the
// others; who comes alone goes at once. It is no queue behind the caller's
// back: everybody stays until his own result is known.
type group struct {
	store func([]*item)

	mu      sync.Mutex
	waiting []*item
	running bool
	closed  bool
	runs    sync.WaitGroup
}

// do stores an item and returns its last message's sequence. If ctx ends first,
// an item that is on its way may still be stored.
func (g *group) do(ctx context.Context, it *item) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	it.ctx, it.done = ctx, make(chan result, 1)
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return 0, ErrClosed
	}
	g.waiting = append(g.waiting, it)
	if !g.running {
		g.running = true
		g.runs.Go(g.run)
	}
	g.mu.Unlock()
	select {
	case r := <-it.done:
		return r.seq, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUndecided, ctx.Err())
	}
}

// run stores what waits until nothing does.
func (g *group) run() {
	for {
		// Those whom the last batch woke, and who have more, get in first.
		runtime.Gosched()
		g.mu.Lock()
		batch := g.take()
		if len(batch) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.store(batch)
	}
}

// take removes from those who wait as many as one batch holds, first come,
// first served. A VDN can be in it once: its second commit needs the sequence
// of the first.
func (g *group) take() []*item {
	var batch, rest []*item
	seen := make(map[diff.VDN]bool, len(g.waiting))
	n, bytes := 0, 0
	for _, it := range g.waiting {
		switch {
		case it.ctx.Err() != nil: // his caller has gone, nothing was sent
		case len(batch) > 0 && (n+len(it.msgs) > batchMax || bytes+it.bytes > batchBytes),
			it.poll != "" && seen[it.vdn]:
			rest = append(rest, it)
		default:
			batch = append(batch, it)
			seen[it.vdn] = seen[it.vdn] || it.poll != ""
			n += len(it.msgs)
			bytes += it.bytes
		}
	}
	g.waiting = rest
	return batch
}

// close refuses new items and waits for those that are in.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.runs.Wait()
}
