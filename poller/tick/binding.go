package tick

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

const (
	// renewWait bounds one attempt to find or mend stream and consumer.
	renewWait = 20 * time.Second
	// lookupWait is how long the answer to a question is first awaited. Questions
	// get lost while a server starts or a leader is elected, so they are asked
	// lookups times, with twice the patience each time.
	lookupWait = 500 * time.Millisecond
	lookups    = 4
	// createTries is how often a missing stream is created in one attempt.
	createTries = 4
	// Between attempts.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
	// resetReadings is how many readings must show that the sequences began
	// anew; a leader that lags for a moment shows it once.
	resetReadings = 3
)

// binding is the stream as it was found over one life of the connection: it is
// one life of the stream, whose sequences order its ticks.
type binding struct {
	epoch   int64     // of the Orders of its ticks, see epochOf
	created time.Time // another time is another life of the stream
	// reconnects of the connection before the stream was looked up. After one
	// more, requests are to be sent again, and nobody knows to which stream.
	reconnects uint64
	// gone is done when another binding has replaced this one.
	gone  context.Context
	leave context.CancelFunc

	mu     sync.Mutex
	seq    uint64    // the greatest sequence known
	stored time.Time // when that tick was stored; zero if not known
}

func (b *binding) newest() uint64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seq
}

// saw notes a sequence.
func (b *binding) saw(seq uint64, stored time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq > b.seq {
		b.seq, b.stored = seq, stored
	}
}

// restarted reports whether a tick shows that the sequences began anew: it is
// younger than the newest known, yet not numbered higher.
//
// One case stays: a request that was sent in the moment between a stream's being
// made anew and our noticing, answered with a sequence higher than all we knew.
// Its Order is then of the old epoch, so it ranks too low. That costs an
// observation, which is taken for an old one; it never lets an old one pass for
// new.
func (b *binding) restarted(seq uint64, stored time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return seq <= b.seq && !b.stored.IsZero() && stored.After(b.stored)
}

// suspect has stream and consumer looked up soon. It does not block.
func (q *Queue) suspect() {
	select {
	case q.doubts <- struct{}{}:
	default:
	}
}

// keep looks after the binding until ctx is done. It returns an error if the
// connection was closed for good.
func (q *Queue) keep(ctx context.Context) error {
	connected := q.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer q.nc.RemoveStatusListener(connected)
	if q.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case status, ok := <-connected:
			if !ok || status == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
		case <-q.doubts:
		}
		q.mend(ctx)
	}
}

// mend renews the binding, as often as it takes. Without a connection there is
// nothing to try: the next one starts it again.
func (q *Queue) mend(ctx context.Context) {
	for wait := firstRetry; q.nc.IsConnected(); wait = min(2*wait, lastRetry) {
		_, err := q.renew(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		q.log.Warn("tick queue not found", "error", err, "retry", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// renew makes sure that stream and consumer exist, and returns the binding to
// them: the present one, if it is still good.
func (q *Queue) renew(ctx context.Context) (*binding, error) {
	q.renewal.Lock()
	defer q.renewal.Unlock()
	ctx, cancel := context.WithTimeout(ctx, renewWait)
	defer cancel()

	reconnects := q.nc.Stats().Reconnects // before the look-up: a later one invalidates it
	b := q.bound.Load()
	info, err := q.stream(ctx)
	if err != nil {
		return nil, err
	}
	least := q.least
	if b != nil {
		if info.Created.Equal(b.created) {
			if info, err = q.unreset(ctx, info, b.newest()); err != nil {
				return nil, err
			}
		}
		least = max(least, b.epoch)
		if !info.Created.Equal(b.created) {
			least = max(least, b.epoch+1)
		}
	}
	if info, err = q.raise(ctx, info, least); err != nil {
		return nil, err
	}
	made, err := q.makeConsumer(ctx)
	if err != nil {
		return nil, err
	}
	next := &binding{epoch: epochOf(info), created: info.Created, reconnects: reconnects, seq: info.State.LastSeq}
	if b != nil && b.epoch == next.epoch {
		if b.reconnects == next.reconnects && !made {
			b.saw(info.State.LastSeq, time.Time{})
			return b, nil
		}
		next.saw(b.newest(), time.Time{})
	}
	next.gone, next.leave = context.WithCancel(context.Background())
	q.bound.Store(next)
	if b != nil {
		b.leave()
		q.metrics.renewed.Inc()
		q.log.Info("tick queue taken up again", "created", info.Created, "before", b.created, "epoch", next.epoch)
	}
	return next, nil
}

// stream reads the stream's state, after creating it if need be.
func (q *Queue) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := q.streamInfo(ctx)
	// In a cluster a stream just made, or just deleted by another replica, may
	// be unknown for a moment.
	for try := 0; errors.Is(err, jetstream.ErrStreamNotFound) && q.opt.Ensure != nil && try < createTries; try++ {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(firstRetry << try):
			}
		}
		if err := q.opt.Ensure(ctx); err != nil {
			return nil, fmt.Errorf("create stream %q: %w", q.opt.Stream, err)
		}
		info, err = q.streamInfo(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read stream %q: %w", q.opt.Stream, err)
	}
	return info, nil
}

func (q *Queue) streamInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	var info *jetstream.StreamInfo
	err := ask(ctx, func(ctx context.Context) error {
		s, err := q.js.Stream(ctx, q.opt.Stream)
		if err == nil {
			info = s.CachedInfo()
		}
		return err
	})
	return info, err
}

// ask puts a question again while the answer stays away.
func ask(ctx context.Context, question func(context.Context) error) (err error) {
	for try := range lookups {
		patience, cancel := context.WithTimeout(ctx, lookupWait<<try)
		err = question(patience)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// makeConsumer makes the shared consumer if it is missing, and returns whether
// it was. A pause that this replica knows of outlives the consumer, whoever makes
// the next.
func (q *Queue) makeConsumer(ctx context.Context) (made bool, err error) {
	info, err := q.consumerInfo(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		made = true
		var c jetstream.Consumer
		c, err = q.js.CreateConsumer(ctx, q.opt.Stream, q.restored(q.consumerConfig()))
		if err == nil {
			// Nothing is lost with this one. To look again, and perhaps find it
			// resumed already, would be to undo that.
			q.state.carry(c.CachedInfo().Created)
			return true, nil
		}
		// Another replica may have been first, with settings of its own.
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return false, fmt.Errorf("create consumer: %w", err)
		}
		info, err = q.consumerInfo(ctx)
	}
	if err != nil {
		return false, err
	}
	return made, q.inherit(ctx, info)
}

// unreset finds out whether the stream lost its sequences while it kept its
// creation time, and if so has it made anew. In a cluster that happens to every
// stream in memory whose servers all were down: the cluster remembers that there
// was a stream, and when it was created, and starts it again at sequence 1.
// Orders would then run backwards, and observations be taken for old ones until
// the sequence had caught up.
func (q *Queue) unreset(ctx context.Context, info *jetstream.StreamInfo, known uint64) (*jetstream.StreamInfo, error) {
	epoch := info.Created
	for range resetReadings {
		if info.State.LastSeq >= known || !info.Created.Equal(epoch) {
			return info, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(firstRetry):
		}
		var err error
		if info, err = q.stream(ctx); err != nil {
			return nil, err
		}
	}
	if info.State.LastSeq >= known || !info.Created.Equal(epoch) {
		return info, nil
	}
	if q.opt.Ensure == nil {
		return nil, fmt.Errorf("stream %q lost its sequences (last %d, was %d): must be deleted and created again",
			q.opt.Stream, info.State.LastSeq, known)
	}
	q.log.Warn("stream lost its sequences, it is made anew", "last", info.State.LastSeq, "known", known, "created", epoch)
	if err := q.js.DeleteStream(ctx, q.opt.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("delete stream %q: %w", q.opt.Stream, err)
	}
	return q.stream(ctx)
}

// epochKey is where, in its metadata, a stream says what its epoch was raised to.
const epochKey = "epoch"

// epochOf is what ranks the ticks of one life of the stream before those of the
// next, in nanoseconds since 1970: when it was created, by the NATS server's
// clock. If that clock was ahead in an earlier life, this one's epoch was raised
// above that one's, and the stream itself says so: all replicas must agree.
func epochOf(info *jetstream.StreamInfo) int64 {
	raised, _ := strconv.ParseInt(info.Config.Metadata[epochKey], 10, 64) // 0: it was not
	return max(info.Created.UnixNano(), raised)
}

// raise makes sure that the stream's epoch is at least as great. Should another
// replica write a lesser one at the same moment, the next look shows it, and it
// is raised again.
func (q *Queue) raise(ctx context.Context, info *jetstream.StreamInfo, least int64) (*jetstream.StreamInfo, error) {
	if epochOf(info) >= least {
		return info, nil
	}
	q.log.Warn("the NATS server's clock went back, the ticks' order goes on from what it was",
		"created", info.Created, "epoch", least, "ahead", time.Duration(least-info.Created.UnixNano()).Round(time.Millisecond))
	config := info.Config
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[epochKey] = strconv.FormatInt(least, 10)
	s, err := q.js.UpdateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("raise epoch of stream %q: %w", q.opt.Stream, err)
	}
	return s.CachedInfo(), nil
}

// Outrank makes sure that the ticks from now on rank after o, an Order found in
// a stored snapshot. They would not if the stream's sequences began anew while
// no replica ran to notice; then the stream is made anew. Nor would they if an
// earlier life of the stream began, by the NATS server's clock, later than this
// one; then its epoch is raised.
func (q *Queue) Outrank(ctx context.Context, o diff.Order) error {
	b := q.bound.Load()
	switch {
	case o.Epoch < b.epoch:
		return nil
	case o.Epoch == b.epoch:
		b.saw(o.Seq, time.Time{})
	default:
		q.renewal.Lock()
		q.least = max(q.least, o.Epoch+1)
		q.renewal.Unlock()
	}
	if _, err := q.renew(ctx); err != nil {
		return fmt.Errorf("outrank order %d/%d: %w", o.Epoch, o.Seq, err)
	}
	return nil
}
