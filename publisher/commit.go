package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"restwatch/diff"
)

const (
	// stepEvents is how many events are committed at once; the rest of a
	// batch is for the parts of a very large snapshot.
	stepEvents = 900
	// commitsAtOnce bounds the commits that are encoded: half of them on their
	// way, half waiting for the next batch. More share of a sync gains nothing
	// any more, and when all VDNs of a large installation come at once, at the
	// start, the encoded snapshots would be most of the process's memory.
	commitsAtOnce = 128
	// forever keeps snapshots beyond the stream's retention.
	forever = "never"
)

// errTooLarge is for what no batch can hold.
var errTooLarge = errors.New("too large")

// Commit stores what Compare made of prev: the events and the snapshot that
// contains them, all or nothing, and only if seq still is the sequence of the
// VDN's head (0: it has none). It returns the new head's sequence. prev is the
// snapshot that Head gave with seq; nil if there was none.
//
// More events than one batch holds are committed in steps, each a valid head of
// its own, so that the last one's revision is higher than r says; Head has it.
// Errors: ErrConflict if somebody else committed first, ErrUndecided if
// the outcome could not be found out, ErrClosed, the server's refusal, ctx's.
// After any of them Head reads what is stored.
func (b *Bus) Commit(ctx context.Context, seq uint64, prev *diff.Snapshot, r diff.Result) (uint64, error) {
	v := diff.VDN{CC: r.Snapshot.CC, ID: r.Snapshot.VDN}
	if !r.Commit {
		b.Keep(v, seq, r.Snapshot)
		return seq, nil
	}
	start := time.Now()
	seq, err := b.commitSteps(ctx, v, seq, prev, r)
	b.metrics.duration.Observe(time.Since(start).Seconds())
	b.metrics.commits.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		b.heads.drop(v)
		return 0, fmt.Errorf("commit VDN %s: %w", v, err)
	}
	return seq, nil
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "committed"
	case errors.Is(err, ErrConflict):
		return "conflict"
	case errors.Is(err, ErrUndecided):
		return "undecided"
	}
	return "failed"
}

func (b *Bus) commitSteps(ctx context.Context, v diff.VDN, seq uint64, prev *diff.Snapshot, r diff.Result) (uint64, error) {
	if err := v.Validate(); err != nil {
		return 0, err
	}
	if prev == nil {
		prev = &diff.Snapshot{}
	}
	for _, step := range r.Steps(prev, stepEvents) {
		var err error
		if seq, err = b.commitOne(ctx, v, seq, prev, step); err != nil {
			return 0, err
		}
		prev = &step.Snapshot
	}
	return seq, nil
}

// commitOne commits what fits one batch.
func (b *Bus) commitOne(ctx context.Context, v diff.VDN, seq uint64, prev *diff.Snapshot, r diff.Result) (uint64, error) {
	if err := follows(prev, &r); err != nil {
		return 0, err
	}
	select {
	case b.encoding <- struct{}{}:
		defer func() { <-b.encoding }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	old, _ := b.heads.current(v, b.wire.session())
	it, parts := b.encode(v, seq, &r)
	if len(it.msgs) > batchMax {
		return 0, fmt.Errorf("%w: %d messages, one batch holds %d", errTooLarge, len(it.msgs), batchMax)
	}
	size := it.bytes
	// Read before: what is heard between the acknowledgement and us counts.
	session := b.wire.session()
	seq, err := b.group.do(ctx, it)
	if err != nil {
		return 0, err
	}
	b.heads.put(v, head{snapshot: r.Snapshot, seq: seq, poll: it.poll, parts: parts, session: session})
	b.metrics.snapshots.Observe(float64(size))
	for i := range r.Events {
		b.metrics.events.WithLabelValues(string(r.Events[i].Kind), r.Events[i].Certainty.String()).Inc()
	}
	if old.parts > parts {
		b.purgeParts(ctx, v, parts, old.parts, seq)
	}
	return seq, nil
}

// follows refuses what would break the promise that no number is skipped and
// none used twice.
func follows(prev *diff.Snapshot, r *diff.Result) error {
	if r.Snapshot.Revision != prev.Revision+1 {
		return fmt.Errorf("revision %d cannot follow %d", r.Snapshot.Revision, prev.Revision)
	}
	next := prev.LastSequence
	for i := range r.Events {
		e := &r.Events[i]
		next++
		if e.Sequence != next {
			return fmt.Errorf("event %d has sequence %d, want %d", i, e.Sequence, next)
		}
		if e.CC != r.Snapshot.CC || e.VDN != r.Snapshot.VDN || e.Revision != r.Snapshot.Revision {
			return fmt.Errorf("event %d is of VDN %d:%d, revision %d", i, e.CC, e.VDN, e.Revision)
		}
	}
	if r.Snapshot.LastSequence != next {
		return fmt.Errorf("snapshot ends with sequence %d, its events with %d", r.Snapshot.LastSequence, next)
	}
	return nil
}

// encode makes the messages of one commit: the events, the parts of a snapshot
// that is too large for one message, and last the snapshot with the guard. It
// returns how many parts there are.
func (b *Bus) encode(v diff.VDN, seq uint64, r *diff.Result) (*item, int) {
	it := &item{vdn: v, poll: nuid.Next(), msgs: make([]message, 0, len(r.Events)+1)}
	it.buf = (*b.buffers.Get().(*[]byte))[:0]
	ends := make([]int, 0, len(r.Events)+1)
	for i := range r.Events {
		it.buf = EncodeEvent(it.buf, &r.Events[i])
		ends = append(ends, len(it.buf))
		it.msgs = append(it.msgs, message{subject: b.prefix.event(&r.Events[i])})
	}
	before := len(it.buf)
	it.buf = EncodeSnapshot(it.buf, &r.Snapshot, it.poll)
	ends = append(ends, len(it.buf))
	parts := 0
	if len(it.buf)-before > b.partBytes {
		it.buf = it.buf[:before]
		ends = ends[:len(ends)-1]
		split := r.Snapshot
		for _, agents := range b.split(r.Snapshot.Agents) {
			parts++
			split.Agents = agents
			it.buf = appendSnapshot(it.buf, &split, it.poll, parts)
			ends = append(ends, len(it.buf))
			it.msgs = append(it.msgs, message{subject: b.prefix.part(v, parts), ttl: forever, rollup: true})
		}
		split.Agents, split.Parts = nil, parts
		it.buf = EncodeSnapshot(it.buf, &split, it.poll)
		ends = append(ends, len(it.buf))
	}
	it.msgs = append(it.msgs, message{subject: b.prefix.snapshot(v), ttl: forever, rollup: true, guarded: true, guard: seq})
	// Only now does the buffer lie still.
	start := 0
	for i, end := range ends {
		it.msgs[i].data = it.buf[start:end:end]
		start = end
	}
	it.bytes = start + len(it.msgs)*headerRoom/2
	return it, parts
}

// split cuts agents so that each part fits a message.
func (b *Bus) split(agents []diff.Agent) [][]diff.Agent {
	const envelopeRoom = 1 << 9
	var parts [][]diff.Agent
	var scratch []byte
	size, start := 0, 0
	for i := range agents {
		scratch = appendAgent(scratch[:0], &agents[i])
		n := len(scratch) + 1
		if i > start && size+n > b.partBytes-envelopeRoom {
			parts = append(parts, agents[start:i])
			size, start = 0, i
		}
		size += n
	}
	return append(parts, agents[start:])
}

// purgeParts removes parts that a smaller snapshot has left behind. They do no
// harm, so neither does failing. Whatever somebody has stored there since is
// newer than seq and stays.
func (b *Bus) purgeParts(ctx context.Context, v diff.VDN, have, had int, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, b.answerWithin)
	defer cancel()
	for n := have + 1; n <= had; n++ {
		ask, err := json.Marshal(map[string]any{"filter": b.prefix.part(v, n), "seq": seq})
		if err == nil {
			_, err = b.wire.request(ctx, &nats.Msg{Subject: "$JS.API.STREAM.PURGE." + b.options.Stream, Data: ask})
		}
		if err != nil {
			b.log.Debug("parts of an older snapshot stay behind", "vdn", v.String(), "part", n, "error", err)
			return
		}
	}
}
