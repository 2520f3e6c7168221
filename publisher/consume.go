package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stall is after how long without a message a consumer that should end is asked
// whether there is anything left.
const stall = 2 * time.Second

// read hands fn the messages of an ordered consumer, in stream order and
// without a gap across reconnects, until fn returns false or ctx ends; with
// untilEnd, also once it has caught up with the stream. A reading that starts
// with the last message per subject may see older ones too after a reconnect,
// before newer ones.
func read(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.OrderedConsumerConfig, untilEnd bool, fn func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
	cons, err := js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("read stream %q: %w", stream, jetStreamError(err))
	}
	defer func() {
		// The server would drop it by itself, but only minutes later.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stall)
		defer cancel()
		_ = js.DeleteConsumer(ctx, stream, cons.CachedInfo().Name)
	}()
	if untilEnd && cons.CachedInfo().NumPending == 0 {
		// In a cluster the answer that made the consumer may come from before it
		// has counted.
		info, err := cons.Info(ctx)
		if err != nil {
			return fmt.Errorf("read stream %q: %w", stream, jetStreamError(err))
		}
		if info.NumPending == 0 {
			return nil
		}
	}
	it, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("read stream %q: %w", stream, jetStreamError(err))
	}
	defer it.Stop()
	next := &patience{ctx: ctx, bounded: untilEnd}
	defer next.end()
	for {
		m, err := it.Next(jetstream.NextContext(next.context()))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			// What was pending may have been deleted meanwhile.
			info, err := cons.Info(ctx)
			if err == nil && info.NumPending == 0 && info.NumWaiting > 0 {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("read stream %q: %w", stream, trimmed{err})
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %q: %w", stream, trimmed{err})
		}
		if !fn(m, meta) || untilEnd && meta.NumPending == 0 {
			return nil
		}
	}
}

// patience makes the contexts that Next waits with.
type patience struct {
	ctx     context.Context
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
		p.now, p.cancel = context.WithTimeout(p.ctx, stall)
	}
	return p.now
}

func (p *patience) end() {
	if p.cancel != nil {
		p.cancel()
	}
}
