package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"restwatch/diff"
)

// head is a VDN's newest snapshot as far as this process knows.
type head struct {
	snapshot diff.Snapshot
	seq      uint64 // of its message; 0: the VDN has none yet
	poll     string // id of the poll that it was stored by
	parts    int    // messages that its agents take besides, 0: none
	// session of the connection that it was read or written in; 0: unknown.
	// It is good only while that session lasts.
	session uint64
	// newest is the highest sequence heard of for the snapshot subject. Above
	// seq, somebody else has committed.
	newest uint64
	// checked is the stream sequence up to which it is known to be the head.
	checked uint64
	// lost is an ErrLost while the stream has only an older one.
	lost error
}

func (h *head) current(session uint64) bool {
	return h.session != 0 && h.session == session && h.newest <= h.seq
}

// heads is the cache of them: one snapshot per VDN, and only a cache. A head
// counts only while everything that could replace it would have been heard.
type heads struct {
	mu    sync.Mutex
	byVDN map[diff.VDN]*head
}

// of returns the VDN's entry, made if need be. The lock must be held.
func (c *heads) of(v diff.VDN) *head {
	h := c.byVDN[v]
	if h == nil {
		h = &head{}
		c.byVDN[v] = h
	}
	return h
}

// expect makes the entries in which to note what is heard from now on.
func (c *heads) expect(vdns []diff.VDN) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range vdns {
		c.of(v)
	}
}

// current returns a copy of the VDN's head if it is known to be the newest.
func (c *heads) current(v diff.VDN, session uint64) (head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.byVDN[v]
	if h == nil || !h.current(session) {
		return head{}, false
	}
	return *h, true
}

// heard notes that a snapshot of the VDN was stored at seq.
func (c *heads) heard(v diff.VDN, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.byVDN[v]
	if h == nil {
		return // nobody here polls it
	}
	if seq > h.newest {
		h.newest = seq
	}
	if seq > h.seq {
		h.snapshot, h.session, h.poll = diff.Snapshot{}, 0, "" // of no more use
	}
}

// known returns the sequence of the last head that was read or written, and the
// highest sequence heard of so far, for read.
func (c *heads) known(v diff.VDN) (seq, newest uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.of(v)
	return h.seq, h.newest
}

// read puts in what the stream said. newest is what had been heard before it
// was asked: if nothing more was since, what it said stands even against that,
// as what is heard need not come from the stream. It returns the head to go by.
func (c *heads) read(v diff.VDN, got head, newest uint64) head {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.of(v)
	got.checked = got.seq
	got.newest = max(h.newest, got.seq)
	if h.newest == newest {
		got.newest = got.seq
	}
	if h.seq == got.seq && h.poll == got.poll && got.poll != "" {
		// The very message that we had: what Keep has added to it holds.
		got.snapshot = h.snapshot
	}
	*h = got
	return got
}

// put puts in what is stored at its sequence, whether or not it is the newest.
func (c *heads) put(v diff.VDN, got head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.of(v)
	if h.session == got.session && h.seq > got.seq {
		return
	}
	got.checked = got.seq
	got.newest = max(h.newest, got.seq)
	*h = got
}

// drop has the head read again before it counts.
func (c *heads) drop(v diff.VDN) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byVDN[v]; h != nil {
		h.session = 0
	}
}

// lose has the head count for lost until it is read or written again.
func (c *heads) lose(v diff.VDN, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(v).lost = err
}

// lost says of one head that is lost, nil if none is.
func (c *heads) lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.byVDN {
		if h.lost != nil {
			return h.lost
		}
	}
	return nil
}

func (c *heads) keep(v diff.VDN, seq uint64, s diff.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byVDN[v]; h != nil && h.session != 0 && h.seq == seq && seq != 0 {
		h.snapshot = s
	}
}

// Head returns what the VDN's next observation is to be compared with, and its
// stream sequence, which Commit asks for. Both are zero if there is none yet.
// The snapshot is shared: it must not be changed. It comes from memory if it is
// known to be the newest, else from the stream's leader. A stored snapshot that
// cannot be used is a *MessageError, and stays one until somebody removes it.
// ErrLost says that the leader has only an older one than this process knew.
func (b *Bus) Head(ctx context.Context, v diff.VDN) (diff.Snapshot, uint64, error) {
	if h, ok := b.heads.current(v, b.wire.session()); ok {
		return h.snapshot, h.seq, nil
	}
	h, err := b.reload(ctx, v, "stale")
	if err != nil {
		return diff.Snapshot{}, 0, fmt.Errorf("read head of VDN %s: %w", v, err)
	}
	return h.snapshot, h.seq, nil
}

// Keep remembers times of a snapshot that moved without a commit. It does
// nothing if seq is not the head any more.
func (b *Bus) Keep(v diff.VDN, seq uint64, s diff.Snapshot) { b.heads.keep(v, seq, s) }

// reload reads a head from the leader.
func (b *Bus) reload(ctx context.Context, v diff.VDN, why string) (head, error) {
	b.metrics.reloads.WithLabelValues(why).Inc()
	ctx, cancel := context.WithTimeout(ctx, b.answerWithin)
	defer cancel()
	session := b.wire.session()
	known, newest := b.heads.known(v)
	h, err := b.readHead(ctx, v)
	if err == nil && h.seq < known {
		if err = b.lostHead(ctx, v, h.seq, known); errors.Is(err, ErrLost) {
			b.heads.lose(v, err)
		}
	}
	if err != nil {
		b.heads.drop(v)
		return head{}, err
	}
	h.session = session
	return b.heads.read(v, h, newest), nil
}

// readHead reads a whole snapshot, as strictly as its successor needs it.
func (b *Bus) readHead(ctx context.Context, v diff.VDN) (head, error) {
	h, err := b.wire.snapshot(ctx, b.prefix, v, true)
	if errors.Is(err, errNoMessage) {
		return head{}, nil
	}
	return h, err
}

// snapshot reads the newest whole snapshot of a VDN; errNoMessage if there is
// none. Parts that do not belong to the main message mean that somebody
// committed in between.
func (w *wire) snapshot(ctx context.Context, p prefix, v diff.VDN, strict bool) (head, error) {
	for range 5 {
		m, err := w.last(ctx, p.snapshot(v))
		if err != nil {
			return head{}, err
		}
		main, err := decodeOf(v, m.Subject, m.Seq, m.Data, strict)
		if err != nil {
			return head{}, err
		}
		parts := make([]stored, 0, main.Parts)
		for n := 1; n <= main.Parts; n++ {
			part, err := w.last(ctx, p.part(v, n))
			if errors.Is(err, errNoMessage) {
				break
			}
			if err != nil {
				return head{}, err
			}
			s, err := decodeOf(v, part.Subject, part.Seq, part.Data, strict)
			if err != nil {
				return head{}, err
			}
			parts = append(parts, s)
		}
		if s, ok := assemble(main, parts); ok {
			return head{snapshot: s, seq: m.Seq, poll: main.Poll, parts: main.Parts}, nil
		}
	}
	return head{}, &MessageError{Subject: p.snapshot(v), Err: fmt.Errorf("%w: its parts are missing or keep changing", ErrForeign)}
}

// decodeOf reads one snapshot message, which has to be about the VDN that its
// subject names.
func decodeOf(v diff.VDN, subject string, seq uint64, data []byte, strict bool) (stored, error) {
	s, err := decodeSnapshot(data, strict)
	if err == nil && (diff.VDN{CC: s.CC, ID: s.VDN}) != v {
		err = fmt.Errorf("%w: it is about VDN %d:%d", ErrForeign, s.CC, s.VDN)
	}
	if err != nil {
		return s, &MessageError{Subject: subject, Sequence: seq, Err: err}
	}
	return s, nil
}

// Recheck makes sure that the heads of these VDNs are still the newest, for
// when the connection cannot be trusted to have told: after a tick that came
// twice or that another replica had before, and now and then. Those that are
// not are read again, here or by Head. It looks at the stream, too. On an error
// none of them counts any more.
func (b *Bus) Recheck(ctx context.Context, vdns []diff.VDN) error {
	if err := b.recheckAll(ctx, vdns); err != nil {
		for _, v := range vdns {
			b.heads.drop(v)
		}
		return fmt.Errorf("recheck heads: %w", err)
	}
	return nil
}

func (b *Bus) recheckAll(ctx context.Context, vdns []diff.VDN) error {
	look, cancel := context.WithTimeout(ctx, b.answerWithin)
	defer cancel()
	if err := b.checkStream(look); err != nil {
		return err
	}
	for chunk := range slices.Chunk(vdns, multiLastMax) {
		if err := b.recheck(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) recheck(ctx context.Context, vdns []diff.VDN) error {
	ctx, cancel := context.WithTimeout(ctx, b.answerWithin)
	defer cancel()
	session := b.wire.session()
	// Only what came after the last check of the one checked longest ago has
	// to cross the wire.
	subjects := make([]string, 0, len(vdns))
	asked := make([]diff.VDN, 0, len(vdns))
	var from uint64
	for _, v := range vdns {
		if h, ok := b.heads.current(v, session); ok {
			if len(asked) == 0 || h.checked < from {
				from = h.checked
			}
			asked = append(asked, v)
			subjects = append(subjects, b.prefix.snapshot(v))
		}
	}
	if len(asked) == 0 {
		return nil // Head reads them all anyway
	}
	upTo, err := b.wire.lastOf(ctx, subjects, from, func(subject string, seq uint64, data []byte) {
		v, part, ok := snapshotOf(subject, string(b.prefix)+".snapshot")
		if !ok || part != 0 {
			return
		}
		if h, ok := b.heads.current(v, session); ok && h.seq >= seq {
			return // our own commit, most of the time
		}
		b.heads.heard(v, seq)
		s, err := decodeOf(v, subject, seq, data, true)
		if err != nil || s.Parts > 0 {
			return // Head reads it, and reports what is wrong with it
		}
		b.metrics.reloads.WithLabelValues("recheck").Inc()
		b.heads.put(v, head{snapshot: s.Snapshot, seq: seq, poll: s.Poll, session: session})
	})
	if err != nil {
		return err
	}
	b.heads.checked(asked, session, upTo)
	return nil
}

// checked notes that what is current now was so at that stream sequence.
func (c *heads) checked(vdns []diff.VDN, session, upTo uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range vdns {
		if h := c.of(v); h.current(session) && upTo > h.checked {
			h.checked = upTo
		}
	}
}

// answerTime is how long a question may go without an answer, and ackTime a
// batch: not long, as what is lost while a stream has no leader is not answered
// at all, and a batch that was only slow is recognised as stored.
const (
	answerTime = 5 * time.Second
	ackTime    = 2 * time.Second
)
