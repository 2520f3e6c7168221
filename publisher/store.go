package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	// ErrConflict says that the head is not the one that the commit was made
	// on: nothing of it was stored.
	ErrConflict = errors.New("another commit came first")
	// ErrUndecided says that it could not be found out whether the commit was
	// stored.
	ErrUndecided = errors.New("outcome of the commit is unknown")
)

const (
	// storeTries bounds how often an item is sent that the server refuses for
	// the moment.
	storeTries = 12
	// togetherTries is how often those that share a batch are, before each
	// goes alone: one whose subject is busy must not hold up the others.
	togetherTries = 3
)

// verdict is what the failure of a batch says about the items in it.
type verdict int

const (
	unknown   verdict = iota // they may have been stored
	away                     // not stored: there is no connection, or nobody listens
	passing                  // not stored, but may be a little later
	wrongHead                // not stored: at least one of them is too late
	hopeless                 // not stored, and never will be, because of at least one of them
)

func verdictOf(err error) verdict {
	var r *refusal
	switch {
	case errors.Is(err, errTooLarge):
		return hopeless
	case errors.Is(err, errNotSent):
		return away
	case !errors.As(err, &r):
		return unknown
	case r.ErrCode == codeWrongLast:
		return wrongHead
	case r.passing():
		return passing
	}
	return hopeless
}

// store sees to it that every item gets its result, before long. What a batch's
// failure leaves open about a single item its head tells, read through the
// leader: the commit's own poll id in it, the sequence that guards the commit,
// or another. Only in the second case it is sent again, with the same guard, so
// that nothing can be stored twice, however late the first batch arrives.
func (b *Bus) store(items []*item) { b.storeUntil(items, time.Now().Add(3*b.answerWithin)) }

func (b *Bus) storeUntil(items []*item, giveUp time.Time) {
	for try := 1; ; try++ {
		if items = b.present(items); len(items) == 0 {
			return
		}
		last, err := b.sendItems(items)
		if err == nil {
			b.stuck.Store(nil)
			b.metrics.batches.Observe(float64(len(items)))
			b.deliver(items, last)
			return
		}
		b.log.Debug("commit not acknowledged", "commits", len(items), "try", try, "error", err)
		v := verdictOf(err)
		late := time.Now().After(giveUp) || try >= storeTries && v != away
		if v == away {
			if gone := b.unheard(err); gone != nil {
				b.fail(items, gone)
				return
			}
			items = b.dropFeeds(items, err)
		}
		switch {
		case len(items) == 0:
			return
		case v == hopeless && len(items) == 1:
			b.fail(items, err)
			return
		case v == hopeless, try == togetherTries && len(items) > 1 && (v == passing || v == wrongHead):
			for _, it := range items {
				b.storeUntil([]*item{it}, giveUp)
			}
			return
		case v == unknown:
			for _, it := range items {
				it.doubt = true
			}
			items = b.settle(items, giveUp)
		case v == wrongHead, v == passing && late:
			items = b.settle(items, giveUp)
		}
		if late {
			if v != away { // then Check finds that by itself
				b.stuck.Store(&err)
			}
			b.fail(items, err)
			return
		}
		if v != wrongHead || try > 1 {
			pause(items, try)
		}
	}
}

// sendItems sends all items as one batch.
func (b *Bus) sendItems(items []*item) (uint64, error) {
	msgs := items[0].msgs
	if len(items) > 1 {
		n := 0
		for _, it := range items {
			n += len(it.msgs)
		}
		msgs = make([]message, 0, n)
		for _, it := range items {
			msgs = append(msgs, it.msgs...)
		}
	}
	// Not the callers' contexts: one who leaves must not end it for the others.
	ctx, cancel := context.WithTimeout(context.Background(), b.ackWithin)
	defer cancel()
	return b.wire.send(ctx, msgs)
}

// deliver hands out sequences, counting back from the last message's.
func (b *Bus) deliver(items []*item, last uint64) {
	for i := len(items) - 1; i >= 0; i-- {
		b.finish(items[i], result{seq: last})
		last -= uint64(len(items[i].msgs))
	}
}

// fail ends items that could not be stored, or of which that is not known.
func (b *Bus) fail(items []*item, err error) {
	for _, it := range items {
		r := result{err: err}
		if it.doubt {
			r.err = fmt.Errorf("%w: %w", ErrUndecided, err)
		}
		b.finish(it, r)
	}
}

// dropFeeds fails what nothing guards, and returns the rest: what a feed message
// says is old by the time that NATS is back.
func (b *Bus) dropFeeds(items []*item, err error) (commits []*item) {
	for _, it := range items {
		if it.poll == "" {
			b.fail([]*item{it}, err)
		} else {
			commits = append(commits, it)
		}
	}
	return commits
}

// finish gives an item its result; its memory is free for the next.
func (b *Bus) finish(it *item, r result) {
	if buf := it.buf; buf != nil {
		b.buffers.Put(&buf)
	}
	it.done <- r
}

// settle finishes the items whose fate the heads tell, and returns the others.
// An item that nothing guards is never settled: it may be sent again.
func (b *Bus) settle(items []*item, giveUp time.Time) []*item {
	open := make([]bool, len(items))
	var g errgroup.Group
	g.SetLimit(16)
	for i, it := range items {
		g.Go(func() error {
			open[i] = it.poll == "" || b.open(it, giveUp)
			return nil
		})
	}
	_ = g.Wait() // open finishes what it cannot tell
	var left []*item
	for i, it := range items {
		if open[i] {
			left = append(left, it)
		}
	}
	return left
}

// open reports whether the head still is the one that the commit was made on;
// if not, or if that cannot be found out in time, the item is finished.
func (b *Bus) open(it *item, giveUp time.Time) bool {
	for try := 1; ; try++ {
		b.metrics.reloads.WithLabelValues("doubt").Inc()
		ctx, cancel := context.WithTimeout(context.Background(), b.answerWithin)
		m, err := b.wire.last(ctx, b.prefix.snapshot(it.vdn))
		cancel()
		var seq uint64
		switch {
		case errors.Is(err, errNoMessage):
		case err != nil:
			if time.Now().After(giveUp) || it.ctx.Err() != nil || noStream(err) {
				b.fail([]*item{it}, fmt.Errorf("read head: %w", err))
				return false
			}
			pause([]*item{it}, try)
			continue
		case pollOf(m.Data) == it.poll:
			b.finish(it, result{seq: m.Seq})
			return false
		default:
			seq = m.Seq
		}
		if seq == it.guard() {
			return true
		}
		b.finish(it, result{err: fmt.Errorf("%w: head is message %d, not %d", ErrConflict, seq, it.guard())})
		return false
	}
}

// present finishes the items whose callers have gone, before they are sent.
func (b *Bus) present(items []*item) []*item {
	var left []*item
	for _, it := range items {
		if err := it.ctx.Err(); err != nil {
			b.fail([]*item{it}, err)
			continue
		}
		left = append(left, it)
	}
	return left
}

// pause waits 5 ms to a quarter of a second, the longer the oftener it was
// tried, unless nobody waits for the result any more: all tries together outlast
// the election of a leader.
func pause(items []*item, try int) {
	most := min(5*time.Millisecond<<min(try, 6), 250*time.Millisecond)
	wait := time.NewTimer(5*time.Millisecond + rand.N(most))
	defer wait.Stop()
	if len(items) == 1 {
		select {
		case <-wait.C:
		case <-items[0].ctx.Done():
		}
		return
	}
	<-wait.C
}
