package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	// batchMax is how many messages one atomic batch may have.
	batchMax = 1000
	// batchBytes bounds what commits of several VDNs add up to, so that one
	// batch does not keep the stream from others for long.
	batchBytes = 8 << 20
	// headerRoom is what the headers of one message take at most.
	headerRoom = 1 << 10
)

// message is one to be stored.
type message struct {
	subject string // the public one, without ingest
	data    []byte
	// ttl is how long it is kept, in nats-server's form; "" as the stream says.
	ttl string
	// rollup makes it the only message of its subject.
	rollup bool
	// guarded makes the whole batch depend on guard being the sequence of the
	// subject's newest message, 0 for none.
	guarded bool
	guard   uint64
}

// send stores messages, all or none, without others in between, and returns
// the last one's sequence. A *refusal or errNotSent says that nothing was
// stored; after any other error that is unknown.
func (w *wire) send(ctx context.Context, msgs []message) (uint64, error) {
	last := len(msgs) - 1
	header := nats.Header{headerContentType: {ContentType}}
	var id string
	if last > 0 {
		id = nuid.Next()
		header.Set(headerBatchID, id)
	}
	for i := range msgs {
		m := &nats.Msg{Subject: ingest + msgs[i].subject, Header: header, Data: msgs[i].data}
		msgs[i].headers(header)
		if last > 0 {
			header.Set(headerBatchSequence, strconv.Itoa(i+1))
		}
		if i < last {
			// The header is encoded before this returns, so it can be reused.
			if err := w.nc.PublishMsg(m); err != nil {
				return 0, notSent(err)
			}
			continue
		}
		if last > 0 {
			header.Set(headerBatchCommit, "1")
		}
		answer, err := w.request(ctx, m)
		if err != nil {
			return 0, lost(err)
		}
		return acknowledged(answer.Data, id, len(msgs))
	}
	return 0, errors.New("empty batch")
}

// headers sets what varies from message to message.
func (m *message) headers(h nats.Header) {
	set := func(name, value string) {
		if value == "" {
			delete(h, name)
			return
		}
		h[name] = []string{value}
	}
	set(nats.MsgTTLHdr, m.ttl)
	rollup, guard := "", ""
	if m.rollup {
		rollup = nats.MsgRollupSubject
	}
	if m.guarded {
		guard = strconv.FormatUint(m.guard, 10)
	}
	set(nats.MsgRollup, rollup)
	set(nats.ExpectedLastSubjSeqHdr, guard)
}

// notSent marks an error that came before anything could be stored.
func notSent(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w", errTooLarge, trimmed{err})
	}
	return fmt.Errorf("%w: %w", errNotSent, plain(err))
}

// lost sorts the errors of the request that commits.
func lost(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrNoResponders):
		return notSent(err)
	}
	return plain(err)
}

// acknowledged reads the answer to a batch of n messages, or to a single one,
// whose answer names no batch.
func acknowledged(answer []byte, id string, n int) (uint64, error) {
	var a struct {
		Error *refusal `json:"error"`
		Seq   uint64   `json:"seq"`
		Batch string   `json:"batch"`
		Count int      `json:"count"`
	}
	switch err := json.Unmarshal(answer, &a); {
	case err != nil:
		return 0, fmt.Errorf("decode acknowledgement: %w", err)
	case a.Error != nil:
		return 0, a.Error
	case a.Seq < uint64(n) || n > 1 && (a.Batch != id || a.Count != n):
		// Such a server does not know batches: EnsureStream would have said so.
		return 0, fmt.Errorf("acknowledgement of batch %q with %d messages, want %q with %d", a.Batch, a.Count, id, n)
	}
	return a.Seq, nil
}
