package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"restwatch/diff"
)

// feedsPerBatch leaves room for commits in the same batch.
const feedsPerBatch = 500

// PublishFeed stores one feed status; PublishFeeds tells more.
func (b *Bus) PublishFeed(ctx context.Context, f diff.Feed, heartbeat bool) error {
	return b.PublishFeeds(ctx, []diff.Feed{f}, heartbeat)
}

// PublishFeeds stores feed statuses, in one batch with whatever else is ready:
// on a disk that syncs each write, a thousand heartbeats cost as much as one. A
// change is kept as long as events are, a heartbeat for minutes. Without an
// ObservedAt, it is now. After an error some may be stored, and storing them
// again does no harm.
func (b *Bus) PublishFeeds(ctx context.Context, feeds []diff.Feed, heartbeat bool) error {
	ttl, what := "", "change"
	if heartbeat {
		ttl, what = b.heartbeatTTL(), "heartbeat"
	}
	for len(feeds) > 0 {
		chunk := feeds[:min(len(feeds), feedsPerBatch)]
		feeds = feeds[len(chunk):]
		it := &item{msgs: make([]message, len(chunk))}
		for i, f := range chunk {
			v := diff.VDN{CC: f.CC, ID: f.VDN}
			if err := v.Validate(); err != nil {
				return fmt.Errorf("publish feed: %w", err)
			}
			if f.ObservedAt == 0 {
				f.ObservedAt = diff.TimeOf(time.Now())
			}
			data := EncodeFeed(nil, &f, b.options.Instance, b.feeds.Add(1))
			it.msgs[i] = message{subject: b.prefix.feed(v), data: data, ttl: ttl}
			it.bytes += len(data) + headerRoom/2
		}
		outcome := "stored"
		_, err := b.group.do(ctx, it)
		if err != nil {
			outcome = "failed"
		}
		b.metrics.feeds.WithLabelValues(what, outcome).Add(float64(len(chunk)))
		if err != nil {
			return fmt.Errorf("publish feed: %w", err)
		}
	}
	return nil
}

// heartbeatTTL is how long a heartbeat is kept, in nats-server's form.
func (b *Bus) heartbeatTTL() string {
	return max(4*b.options.Heartbeat, 2*time.Minute).Round(time.Second).String()
}

// LastFeeds returns the newest stored feed message of each VDN. One that cannot
// be understood is left out.
func (b *Bus) LastFeeds(ctx context.Context) (map[diff.VDN]diff.Feed, error) {
	feeds := make(map[diff.VDN]diff.Feed)
	for m, err := range b.Reader().Feeds(ctx, false) {
		switch {
		case m.Feed != nil:
			feeds[diff.VDN{CC: m.Feed.CC, ID: m.Feed.VDN}] = *m.Feed
		case err != nil && !errors.As(err, new(*MessageError)):
			return nil, err
		}
	}
	return feeds, ctx.Err()
}
