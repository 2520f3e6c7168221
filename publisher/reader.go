package publisher

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

// ErrNoSnapshot says that a VDN has no snapshot: it was never polled.
var ErrNoSnapshot = errors.New("no snapshot stored")

// Reader reads what is stored, with no right but a subscriber's.
type Reader struct {
	js     jetstream.JetStream
	wire   *wire
	prefix prefix
}

// NewReader reads a stream, REST if empty, below a subject prefix, rest.v1 if
// empty. It asks the server nothing yet.
func NewReader(nc *nats.Conn, stream, subjects string) (*Reader, error) {
	o := Options{Stream: stream, Prefix: subjects}.withDefaults()
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	return &Reader{js: js, wire: newWire(nc, o.Stream), prefix: prefix(o.Prefix)}, nil
}

// Reader reads the bus's own stream.
func (b *Bus) Reader() *Reader {
	return &Reader{js: b.js, wire: newWire(b.nc, b.options.Stream), prefix: b.prefix}
}

// VDNs lists those that have a snapshot, in order.
func (r *Reader) VDNs(ctx context.Context) ([]diff.VDN, error) {
	base := string(r.prefix) + ".snapshot"
	s, err := r.js.Stream(ctx, r.wire.stream)
	if err != nil {
		return nil, fmt.Errorf("list VDNs: %w", jetStreamError(err))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(base+".*.*"))
	if err != nil {
		return nil, fmt.Errorf("list VDNs: %w", jetStreamError(err))
	}
	var vdns []diff.VDN
	for subject := range info.State.Subjects {
		if v, part, ok := snapshotOf(subject, base); ok && part == 0 {
			vdns = append(vdns, v)
		}
	}
	slices.SortFunc(vdns, diff.VDN.Compare)
	return vdns, nil
}

// LastSnapshot returns a VDN's newest snapshot, put together if it is split,
// and its stream sequence. ErrNoSnapshot if there is none, *MessageError if
// what is there is no snapshot.
func (r *Reader) LastSnapshot(ctx context.Context, v diff.VDN) (diff.Snapshot, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	h, err := r.wire.snapshot(ctx, r.prefix, v, false)
	if errors.Is(err, errNoMessage) {
		err = ErrNoSnapshot
	}
	if err != nil {
		return diff.Snapshot{}, 0, fmt.Errorf("read snapshot of VDN %s: %w", v, err)
	}
	return h.snapshot, h.seq, nil
}

// LastFeed returns a VDN's newest stored feed status, nil if there is none.
func (r *Reader) LastFeed(ctx context.Context, v diff.VDN) (*diff.Feed, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	last, err := r.wire.last(ctx, r.prefix.feed(v))
	if errors.Is(err, errNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read feed of VDN %s: %w", v, err)
	}
	m := Message{Subject: last.Subject, Sequence: last.Seq, Data: last.Data}
	_, err = m.decode(r.prefix, nil)
	return m.Feed, err
}

// End returns the stream sequence of the newest message, of any kind; 0 if there
// never was one.
func (r *Reader) End(ctx context.Context) (uint64, error) {
	s, err := r.js.Stream(ctx, r.wire.stream)
	if err != nil {
		return 0, fmt.Errorf("read stream %q: %w", r.wire.stream, jetStreamError(err))
	}
	return s.CachedInfo().State.LastSeq, nil
}

// Message is a stored message. One of Event, Snapshot and Feed is set, unless
// it could not be decoded.
type Message struct {
	Subject  string
	Sequence uint64    // in the stream
	Stored   time.Time // by the server's clock
	Data     []byte    // the CloudEvent
	// Pending is how many more match the query just now: at 0 the reader has
	// caught up.
	Pending  uint64
	Event    *diff.Event
	Snapshot *diff.Snapshot // whole, also if it is stored in parts
	Feed     *diff.Feed
}

// Query selects messages. The zero value selects every agent event from the
// oldest to the newest.
type Query struct {
	// CC, VDN and WorkNo select one each; 0 selects all.
	CC, VDN, WorkNo int
	// Kinds of agent events; none selects all.
	Kinds []diff.Kind
	// Snapshots and Feeds select these too, of the same VDNs. Only the newest
	// snapshot of a VDN is stored.
	Snapshots, Feeds bool
	// Everything selects all that is stored, whatever is said above, also on
	// subjects that are none of restwatch's: what is there comes with a
	// *MessageError that wraps ErrStray. Of a long history it is by far the
	// fastest, as the server need not choose among the messages.
	Everything bool
	// Where to begin: at what was stored at or after Since, or behind the
	// stream sequence After, or with what is stored from now on. At most one.
	// After an end that the stream has not reached, as it was made anew since, is
	// from now on.
	Since time.Time
	After uint64
	New   bool
	// Follow goes on with what is stored later, until ctx ends, instead of
	// ending with the newest message.
	Follow bool
}

// Messages yields what the query selects, in stream order, across reconnects.
// Unless it follows, it ends with the newest that the stream's leader has, and
// never, without an error, before what was the newest when it began. A message
// that cannot be decoded comes with a *MessageError, after which the caller may
// go on; any other error is the last. A ctx that ends is no error.
func (r *Reader) Messages(ctx context.Context, q Query) iter.Seq2[Message, error] {
	subjects := q.subjects(r.prefix)
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: subjects}
	if q.Everything {
		subjects, cfg.FilterSubjects = []string{string(r.prefix) + ".>"}, nil
	}
	if q.New || q.After > 0 {
		// By number, and not as what is new: after a reconnect before the first
		// message, that would leave out what came in between.
		last, err := r.End(ctx)
		if err != nil {
			return func(yield func(Message, error) bool) { yield(Message{}, err) }
		}
		if q.New || q.After > last {
			q.New, q.After = true, last
		}
	}
	switch {
	case q.New, q.After > 0:
		cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		cfg.OptStartSeq = q.After + 1
	case !q.Since.IsZero():
		cfg.DeliverPolicy = jetstream.DeliverByStartTimePolicy
		cfg.OptStartTime = &q.Since
	default:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	if q.Follow {
		subjects = nil
	}
	return r.messages(ctx, cfg, subjects)
}

// Snapshots yields every VDN's newest snapshot, but for those that are replaced
// while it reads.
func (r *Reader) Snapshots(ctx context.Context) iter.Seq2[Message, error] {
	return r.newest(ctx, ".snapshot.>", false)
}

// Feeds yields every VDN's newest feed status and, if it is to follow, then each
// new one, heartbeats too, until ctx ends.
func (r *Reader) Feeds(ctx context.Context, follow bool) iter.Seq2[Message, error] {
	return r.newest(ctx, ".feed.*.*", follow)
}

// newest yields the last message of each subject, and with follow each new one.
func (r *Reader) newest(ctx context.Context, below string, follow bool) iter.Seq2[Message, error] {
	subjects := []string{string(r.prefix) + below}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	if follow {
		subjects = nil
	}
	return r.messages(ctx, cfg, subjects)
}

// messages yields what a consumer gives out, to the newest on the subjects of
// until, or without an end.
func (r *Reader) messages(ctx context.Context, cfg jetstream.OrderedConsumerConfig, until []string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		parts := make(map[diff.VDN][]stored)
		stopped := false
		way := reading{js: r.js, wire: r.wire, cfg: cfg, until: until}
		way.fn = func(jm jetstream.Msg, meta *jetstream.MsgMetadata) bool {
			m := Message{
				Subject: jm.Subject(), Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Data: jm.Data(), Pending: meta.NumPending,
			}
			more, err := m.decode(r.prefix, parts)
			if more {
				return true
			}
			stopped = !yield(m, err)
			return !stopped
		}
		if err := way.run(ctx); err != nil && ctx.Err() == nil && !stopped {
			yield(Message{}, err)
		}
	}
}

// decode fills in what the message holds. more says that it is a part of a
// split snapshot, whose main message comes later.
func (m *Message) decode(p prefix, parts map[diff.VDN][]stored) (more bool, err error) {
	fail := func(err error) (bool, error) {
		return false, &MessageError{Subject: m.Subject, Sequence: m.Sequence, Err: err}
	}
	if v, part, ok := snapshotOf(m.Subject, string(p)+".snapshot"); ok {
		s, err := decodeOf(v, m.Subject, m.Sequence, m.Data, false)
		switch {
		case err != nil:
			return false, err
		case part > 0:
			parts[v] = append(parts[v], s)
			return true, nil
		}
		whole, ok := assemble(s, chosen(parts[v], s))
		delete(parts, v)
		if !ok {
			// A newer commit has replaced the parts, and follows.
			return true, nil
		}
		m.Snapshot = &whole
		return false, nil
	}
	if v, part, ok := snapshotOf(m.Subject, string(p)+".feed"); ok && part == 0 {
		f, err := DecodeFeed(m.Data)
		if err == nil && (diff.VDN{CC: f.CC, ID: f.VDN}) != v {
			err = fmt.Errorf("%w: it is about VDN %d:%d", ErrForeign, f.CC, f.VDN)
		}
		if err != nil {
			return fail(err)
		}
		m.Feed = &f
		return false, nil
	}
	if !p.isEvent(m.Subject) {
		return fail(ErrStray)
	}
	e, err := DecodeEvent(m.Data)
	if err == nil && p.event(&e) != m.Subject {
		err = fmt.Errorf("%w: its subject should be %q", ErrForeign, p.event(&e))
	}
	if err != nil {
		return fail(err)
	}
	m.Event = &e
	return false, nil
}

// subjects are the filters of a consumer.
func (q *Query) subjects(p prefix) []string {
	token := func(n int) string {
		if n == 0 {
			return "*"
		}
		return strconv.Itoa(n)
	}
	vdn := token(q.CC) + "." + token(q.VDN)
	kinds := q.Kinds
	if len(kinds) == 0 {
		kinds = []diff.Kind{"*"}
	}
	var list []string
	for _, k := range kinds {
		s := string(p) + ".event." + vdn + "." + string(k) + "." + token(q.WorkNo)
		if !slices.Contains(list, s) { // filters must not overlap
			list = append(list, s)
		}
	}
	if q.Snapshots {
		list = append(list, string(p)+".snapshot."+vdn, string(p)+".snapshot."+vdn+".*")
	}
	if q.Feeds {
		list = append(list, string(p)+".feed."+vdn)
	}
	return list
}
