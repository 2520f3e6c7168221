package tick

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"restwatch/diff"
)

const (
	defaultAckWait       = 10 * time.Second
	defaultMaxAckPending = 256
	defaultConcurrency   = 32
	// openSamples of the server's time are taken before the clock is used.
	openSamples = 3
)

// Options of a Queue. The settings of the shared consumer (AckWait and
// MaxAckPending) should be the same in all replicas; the last to open decides.
type Options struct {
	// Stream is the tick stream's name; see StreamName. Empty: DefaultStream.
	Stream string
	// Prefix is that of the public subjects, such as "rest.v1".
	Prefix string
	// AckWait is how long after its replica's last sign of life a tick is given
	// to another one. 0: 10 s.
	AckWait time.Duration
	// MaxAckPending caps the ticks being worked in all replicas together. 0: 256.
	MaxAckPending int
	// Concurrency is how many ticks this replica works at once. It takes no tick
	// that it cannot begin at once. 0: 32.
	Concurrency int
	// After is the greatest Order that stored snapshots carry. Open makes sure
	// that new ticks rank after it; see Outrank.
	After diff.Order
	// Ensure creates the stream when it is missing, as it is after a restart of
	// NATS, which keeps it in memory. It may be called at any time while Run
	// runs, and by several replicas at once. nil: somebody else creates it.
	Ensure  func(context.Context) error
	Log     *slog.Logger          // nil: none
	Metrics prometheus.Registerer // nil: none
}

// Queue is this replica's hold on the shared work queue. Its methods may be
// called concurrently, but Run only once.
type Queue struct {
	opt     Options
	log     *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	clock   *clock
	metrics *metrics

	publisher jetstream.JetStream // of ticks, with handlers of its own
	offers    chan offer
	refusing  atomic.Bool // the last tick sent was refused
	doubts    chan struct{}

	bound atomic.Pointer[binding]
	// renewal is held while stream and consumer are looked up, so that one
	// goroutine mends what many found broken.
	renewal sync.Mutex
	least   int64 // that the stream's epoch must be at least; guarded by renewal

	state state

	runMu   sync.Mutex
	running map[*delivery]struct{} // what is being worked now
}

// Open binds to the stream and its shared consumer, which it creates or
// adjusts, and learns the server's time.
func Open(ctx context.Context, js jetstream.JetStream, opt Options) (*Queue, error) {
	if opt.Prefix == "" {
		return nil, errors.New("open tick queue: no subject prefix")
	}
	if opt.Stream == "" {
		opt.Stream = DefaultStream
	}
	if opt.AckWait <= 0 {
		opt.AckWait = defaultAckWait
	}
	if opt.MaxAckPending <= 0 {
		opt.MaxAckPending = defaultMaxAckPending
	}
	if opt.Concurrency <= 0 {
		opt.Concurrency = defaultConcurrency
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{
		opt:     opt,
		log:     opt.Log.With("stream", opt.Stream),
		nc:      js.Conn(),
		js:      js,
		offers:  make(chan offer, offersKept),
		doubts:  make(chan struct{}, 1),
		running: map[*delivery]struct{}{},
	}
	q.clock = newClock(q.serverTime, time.Now)
	q.metrics = newMetrics(opt.Metrics, q.clock)
	if err := q.newPublisher(); err != nil {
		return nil, err
	}
	if _, err := q.renew(ctx); err != nil {
		return nil, fmt.Errorf("open tick queue: %w", err)
	}
	if err := q.adjust(ctx); err != nil {
		return nil, fmt.Errorf("open tick queue: %w", err)
	}
	if err := q.Outrank(ctx, opt.After); err != nil {
		return nil, fmt.Errorf("open tick queue: %w", err)
	}
	for range openSamples {
		if err := q.clock.sync(ctx); err != nil {
			return nil, fmt.Errorf("open tick queue: %w", err)
		}
	}
	if _, err := q.State(ctx); err != nil {
		return nil, fmt.Errorf("open tick queue: %w", err)
	}
	return q, nil
}

// Connected reports whether NATS can be reached just now.
func (q *Queue) Connected() bool { return q.nc.IsConnected() }

// Session counts the connections to NATS: what was heard in an earlier one may
// not be all.
func (q *Queue) Session() uint64 { return q.nc.Stats().Reconnects }

// Sync takes a sample of the server's time and learns whether ticks are paused.
// Call it at every heartbeat.
func (q *Queue) Sync(ctx context.Context) error {
	if err := q.clock.sync(ctx); err != nil {
		return err
	}
	_, err := q.State(ctx)
	return err
}

// serverTime asks for the stream's state, which carries the time; it also shows
// whether the stream is still the one that we are bound to.
func (q *Queue) serverTime(ctx context.Context) (time.Time, error) {
	b := q.bound.Load()
	known := b.newest()
	info, err := q.streamInfo(ctx)
	if err != nil {
		q.suspect()
		return time.Time{}, err
	}
	if !info.Created.Equal(b.created) || epochOf(info) != b.epoch || info.State.LastSeq < known {
		q.suspect()
	}
	return info.TimeStamp, nil
}

// consumerConfig is the shared consumer's.
func (q *Queue) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       durable,
		Description:   "all replicas",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.opt.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: q.opt.MaxAckPending,
	}
}

// adjust gives an existing consumer this replica's settings. A probation stays.
func (q *Queue) adjust(ctx context.Context) error {
	info, err := q.consumerInfo(ctx)
	if err != nil {
		return err
	}
	want := q.consumerConfig()
	if onProbation(info) {
		want.MaxAckPending = probationPending
		want.Metadata = probationMark()
	}
	have := info.Config
	if have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending && have.MaxDeliver == want.MaxDeliver {
		return nil
	}
	q.log.Info("consumer adjusted", "ackWait", want.AckWait, "ackWaitBefore", have.AckWait,
		"maxAckPending", want.MaxAckPending, "maxAckPendingBefore", have.MaxAckPending)
	if _, err := q.js.UpdateConsumer(ctx, q.opt.Stream, want); err != nil {
		return fmt.Errorf("update consumer: %w", err)
	}
	return nil
}

func (q *Queue) consumerInfo(ctx context.Context) (info *jetstream.ConsumerInfo, err error) {
	err = ask(ctx, func(ctx context.Context) error {
		c, err := q.js.Consumer(ctx, q.opt.Stream, durable)
		if err == nil {
			info = c.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read consumer: %w", err)
	}
	return info, nil
}
