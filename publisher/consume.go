package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stallTime is after how long without a message it is asked whether there is
	// anything left to read.
	stallTime = 2 * time.Second
	// behindMost is how many consumers in a row may give out nothing that the
	// stream's leader has.
	behindMost = 10
)

// reading is a way through a stream, in stream order and without a gap across
// reconnects. One that starts with the last message per subject may see older
// ones too after a reconnect, before newer ones.
type reading struct {
	js   jetstream.JetStream
	wire *wire
	cfg  jetstream.OrderedConsumerConfig
	// until are the subjects whose newest message is the end of the reading; none
	// if it has no end.
	until []string
	fn    func(jetstream.Msg, *jetstream.MsgMetadata) bool

	seen uint64 // sequence of the last message
	end  uint64 // sequence of the one that it ends with
}

// run hands fn the messages until it returns false, ctx ends, or all is read
// that was stored when it began, or when nothing came for a while, however much
// is stored meanwhile. What that is the stream's leader says: a consumer may be
// with a replica of the stream that has just come back, and that says of itself
// that nothing is pending while it still knows nothing. And a consumer gives out
// one by one what is just being stored as a batch, the leader's answer has all
// of it or nothing.
func (r *reading) run(ctx context.Context) error {
	for behind := 0; ; behind++ {
		before := r.seen
		lagging, err := r.stretch(ctx)
		if err != nil || !lagging {
			return err
		}
		if r.seen != before {
			behind = 0
		}
		if behind == behindMost {
			return fmt.Errorf("read stream %q: message %d is stored, but none is given out after message %d", r.wire.stream, r.end, r.seen)
		}
		if r.seen > 0 { // another consumer, maybe with another replica
			r.cfg.DeliverPolicy, r.cfg.OptStartSeq, r.cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, r.seen+1, nil
		}
	}
}

// stretch reads with one consumer. It is lagging if it ends before the reading
// does.
func (r *reading) stretch(ctx context.Context) (lagging bool, err error) {
	fail := func(err error) (bool, error) {
		if err != nil {
			err = fmt.Errorf("read stream %q: %w", r.wire.stream, err)
		}
		return false, err
	}
	// Since the reading began, NATS may have gone, or the stream lost its leader.
	begun := r.end > 0
	again := func(err error) bool {
		return begun && !noStream(err) && !errors.Is(err, jetstream.ErrStreamNotFound) && wait(ctx, r.wire.stall)
	}
	cons, err := r.js.OrderedConsumer(ctx, r.wire.stream, r.cfg)
	if err != nil && again(err) {
		return true, nil
	}
	if err != nil {
		return fail(jetStreamError(err))
	}
	defer func() {
		// The server would drop it by itself, but only minutes later.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stallTime)
		defer cancel()
		_ = r.js.DeleteConsumer(ctx, r.wire.stream, cons.CachedInfo().Name)
	}()
	done, err := r.done(ctx)
	if err != nil && again(err) {
		return true, nil
	}
	if err != nil || done {
		return fail(err)
	}
	it, err := cons.Messages(jetstream.PullHeartbeat(stallTime)) // by itself it would take 30 s to see that it was not heard
	if err != nil {
		return fail(jetStreamError(err))
	}
	defer it.Stop()
	next := &patience{ctx: ctx, each: r.wire.stall, bounded: r.until != nil}
	defer next.end()
	for mark := r.seen; ; {
		m, err := it.Next(jetstream.NextContext(next.context()))
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && r.seen != mark:
			mark = r.seen
			continue
		case errors.Is(err, context.DeadlineExceeded):
			switch done, err := r.done(ctx); {
			case done, noStream(err):
				return fail(err)
			case err != nil:
				continue // NATS is away, or the stream has no leader: it goes on after that
			}
			if looking, err := looking(ctx, cons); err == nil && !looking {
				return true, nil
			}
			continue
		case err != nil:
			return fail(trimmed{err})
		}
		meta, err := m.Metadata()
		if err != nil {
			return fail(trimmed{err})
		}
		r.seen = meta.Sequence.Stream
		switch {
		case r.until != nil && r.seen > r.end: // what it was to end with has been replaced
			return false, nil
		case !r.fn(m, meta), r.seen == r.end:
			return false, nil
		}
	}
}

// looking reports whether a consumer has been asked for messages and knows of
// some. One that has lost its request, as happens while a server is still making
// itself known to the others, or that is gone, never gives out another.
func looking(ctx context.Context, cons jetstream.Consumer) (bool, error) {
	// The client would wait for ever for an answer that was lost.
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	info, err := cons.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	return err == nil && info.NumPending > 0 && info.NumWaiting > 0, err
}

// done asks the leader where the reading ends, and reports whether it is there.
func (r *reading) done(ctx context.Context) (bool, error) {
	if r.until == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	last, err := r.wire.newest(ctx, r.until)
	switch {
	case err != nil:
		return false, err
	case last == nil, last.Seq < r.cfg.OptStartSeq, r.cfg.OptStartTime != nil && last.Time.Before(*r.cfg.OptStartTime):
		return true, nil
	}
	r.end = last.Seq
	return r.end <= r.seen, nil
}

// wait reports whether ctx outlasts d.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// patience makes the contexts that Next waits with.
type patience struct {
	ctx     context.Context
	each    time.Duration
	bounded bool
	now     context.Context
	cancel  context.CancelFunc
}

func (p *patience) context() context.Context {
	if !p.bounded {
		return p.ctx
	}
	if p.now == nil || p.now.Err() != nil {
		p.end()
		p.now, p.cancel = context.WithTimeout(p.ctx, p.each)
	}
	return p.now
}

func (p *patience) end() {
	if p.cancel != nil {
		p.cancel()
	}
}
