package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

// ErrLost says that the stream, or a snapshot in it, is not there any more
// though this process had seen it. To go on would be to give out again numbers
// that subscribers have seen on other events, so every commit fails until
// what was there is back. A process that starts anew takes the stream as it is.
var ErrLost = errors.New("stored messages are gone: put them back, or restart restwatch to begin anew")

// checkStream makes sure that the stream is the one that the bus was opened on,
// with settings that do. Errors: ErrLost, a *StreamError, or that nobody
// answers.
func (b *Bus) checkStream(ctx context.Context) error {
	s, err := b.js.Stream(ctx, b.options.Stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("look up stream %q: %w; %w", b.options.Stream, trimmed{err}, ErrLost)
	case err != nil:
		return fmt.Errorf("look up stream %q: %w", b.options.Stream, jetStreamError(err))
	}
	info := s.CachedInfo()
	if !info.Created.Equal(b.created) {
		return fmt.Errorf("stream %q was created at %s, and the one before it at %s: %w",
			b.options.Stream, info.Created.Format(time.RFC3339Nano), b.created.Format(time.RFC3339Nano), ErrLost)
	}
	return unfit(info.Config, StreamConfig(b.options))
}

// unheard says what is wrong with a stream that nobody listens for. It returns
// nil for one that has no leader just now, which passes.
func (b *Bus) unheard(err error) error {
	if !errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askAgain)
	defer cancel()
	if err := b.checkStream(ctx); errors.Is(err, ErrLost) || errors.As(err, new(*StreamError)) {
		return err
	}
	return nil
}

// lostHead explains that the leader gives out an older head than the one that
// was known.
func (b *Bus) lostHead(ctx context.Context, v diff.VDN, got, known uint64) error {
	if err := b.checkStream(ctx); err != nil {
		return err
	}
	return fmt.Errorf("snapshot of VDN %s was message %d of the stream, and now is %d: %w", v, known, got, ErrLost)
}
