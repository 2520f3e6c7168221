package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"restwatch/diff"
)

// Options of a Bus. The zero value is usable.
type Options struct {
	// Stream is the stream's name; REST if empty.
	Stream string
	// Prefix begins every public subject; rest.v1 if empty.
	Prefix string
	// Storage is where the stream is kept: on disk if zero. Memory is for
	// demonstrations, as it forgets everything with the server.
	Storage jetstream.StorageType
	// Replicas of the stream; 1 if 0.
	Replicas int
	// Retention is how long events and feed changes are kept; 90 days if 0.
	Retention time.Duration
	// Heartbeat is how often a feed's status is repeated; 30 s if 0. A
	// heartbeat is kept for four times as long, and for two minutes at least.
	Heartbeat time.Duration
	// Instance names this process among the replicas, in ids of feed messages.
	Instance string
	// Log takes what happens to the stream and to commits. Nil discards.
	Log *slog.Logger
	// Metrics registers the bus's metrics. Nil: none are registered.
	Metrics prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Stream == "" {
		o.Stream = "REST"
	}
	if o.Prefix == "" {
		o.Prefix = "rest.v1"
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Retention == 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 30 * time.Second
	}
	if o.Instance == "" {
		o.Instance = "restwatch"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Bus is the service's way to the stream. Its methods may be called at the same
// time; Commit and Head of one VDN by one caller at a time, or the slower one
// gets ErrConflict.
type Bus struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	wire    *wire
	prefix  prefix
	options Options
	log     *slog.Logger
	metrics *metrics
	heads   heads
	group   *group
	follow  *nats.Subscription
	feeds   atomic.Uint64         // feed messages made so far
	created time.Time             // when the stream was
	stuck   atomic.Pointer[error] // why the last batch was given up, nil: it was stored
	// answerWithin bounds a question to JetStream, ackWithin one attempt to
	// store, and partBytes the payload of a message; tests make them smaller.
	answerWithin time.Duration
	ackWithin    time.Duration
	partBytes    int
	buffers      sync.Pool     // of *[]byte, to encode in
	encoding     chan struct{} // holds one for each commit that is encoded
}

// Open makes sure of the stream and follows it. Close the bus before the
// connection.
func Open(ctx context.Context, nc *nats.Conn, o Options) (*Bus, error) {
	o = o.withDefaults()
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open bus: %w", err)
	}
	stream, err := ensure(ctx, js, StreamConfig(o), o.Log)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	b := &Bus{
		nc: nc, js: js,
		wire:         newWire(nc, o.Stream),
		prefix:       prefix(o.Prefix),
		options:      o,
		log:          o.Log,
		metrics:      m,
		created:      stream.CachedInfo().Created,
		heads:        heads{byVDN: make(map[diff.VDN]*head)},
		answerWithin: answerTime,
		ackWithin:    ackTime,
		partBytes:    int(nc.MaxPayload()) - headerRoom,
	}
	b.encoding = make(chan struct{}, commitsAtOnce)
	b.buffers.New = func() any { return new([]byte) }
	b.group = &group{store: b.store}
	// Republished messages come in stream order and only once they are stored,
	// with their sequence; the rest of them need not be looked at.
	base := o.Prefix + ".snapshot"
	b.follow, err = nc.Subscribe(base+".*.*", func(m *nats.Msg) {
		v, _, ok := snapshotOf(m.Subject, base)
		seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		if ok && err == nil {
			b.heads.heard(v, seq)
		}
	})
	if err == nil {
		// Skipping one for lack of room would leave a stale head unnoticed. A
		// consumer that is really too slow is disconnected by the server, which
		// makes every head stale.
		err = b.follow.SetPendingLimits(-1, -1)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, b.answerWithin)
		defer cancel()
		err = nc.FlushWithContext(ctx)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("follow snapshots: %w", trimmed{err})
	}
	return b, nil
}

// Close waits for the commits under way; later ones fail. The connection stays
// open.
func (b *Bus) Close() {
	b.group.close()
	if b.follow != nil {
		// Fails only if the connection is closed already.
		_ = b.follow.Unsubscribe()
	}
	b.metrics.unregister()
}

// Check reports why the bus cannot be used just now: no connection, no
// JetStream, no stream, or not the one that it was opened on, or one that has
// lost a snapshot; or that the last batch could not be stored however often it
// was tried, as on a disk that is full.
func (b *Bus) Check(ctx context.Context) error {
	if !b.nc.IsConnected() {
		if err := b.nc.LastError(); err != nil { // as of a server that refuses us
			return fmt.Errorf("NATS: %s: %w", b.nc.Status(), trimmed{err})
		}
		return fmt.Errorf("NATS: %s", b.nc.Status())
	}
	if err := b.stuck.Load(); err != nil {
		return fmt.Errorf("nothing can be stored in stream %q: %w", b.options.Stream, *err)
	}
	if err := b.checkStream(ctx); err != nil {
		return err
	}
	return b.heads.lost()
}

// Load reads the heads of all these VDNs at once, so that their first polls
// need not ask one by one. A VDN whose stored snapshot cannot be used does not
// stop it: Head reports that.
func (b *Bus) Load(ctx context.Context, vdns []diff.VDN) error {
	wanted := make(map[diff.VDN]bool, len(vdns))
	for _, v := range vdns {
		wanted[v] = true
	}
	session := b.wire.session()
	b.heads.expect(vdns)
	base := string(b.prefix) + ".snapshot"
	all := []string{base + ".>"}
	found := make(map[diff.VDN]bool, len(vdns))
	parts := make(map[diff.VDN][]stored)
	load := reading{js: b.js, wire: b.wire, until: all}
	load.cfg = jetstream.OrderedConsumerConfig{FilterSubjects: all, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	load.fn = func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		v, part, ok := snapshotOf(m.Subject(), base)
		if !ok || !wanted[v] {
			return true
		}
		found[v] = true
		s, err := decodeOf(v, m.Subject(), meta.Sequence.Stream, m.Data(), true)
		switch {
		case err != nil:
			b.log.Error("stored snapshot cannot be used", "vdn", v.String(), "error", err)
		case part > 0:
			// They come before their main message; older, higher numbered ones
			// that are of no use any more may come too.
			parts[v] = append(parts[v], s)
		default:
			got := head{seq: meta.Sequence.Stream, poll: s.Poll, parts: s.Parts, session: session}
			if got.snapshot, ok = assemble(s, chosen(parts[v], s)); ok {
				b.heads.put(v, got)
			}
			delete(parts, v)
		}
		return true
	}
	if err := load.run(ctx); err != nil {
		return fmt.Errorf("load heads: %w", err)
	}
	for _, v := range vdns {
		if !found[v] {
			b.heads.put(v, head{session: session})
		}
	}
	b.metrics.reloads.WithLabelValues("load").Add(float64(len(found)))
	return nil
}

// chosen picks the parts of that commit, in order.
func chosen(parts []stored, main stored) []stored {
	var list []stored
	for n := 1; n <= main.Parts; n++ {
		for _, p := range parts {
			if p.Part == n && p.Poll == main.Poll {
				list = append(list, p)
			}
		}
	}
	return list
}
