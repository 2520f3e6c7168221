package tick

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// offersKept bounds the ticks that wait to be sent, and those sent whose
	// answer is awaited.
	offersKept = 4096
	// offerAge is how old a tick that waits to be sent may grow. After an
	// outage only the present is of interest.
	offerAge = time.Second
	// answerWait is how long the answer to a sent tick is awaited.
	answerWait = 5 * time.Second
)

// Error codes by which the stream refuses a tick that need not be offered any
// more: another replica's is being stored; the subject holds one already.
const (
	codeDuplicateInProcess jetstream.ErrorCode = 10158
	codeStoreFailed        jetstream.ErrorCode = 10077
	textOccupied                               = "maximum messages per subject exceeded"
)

// ErrSkipped says that a tick was not offered because NATS is away or does not
// keep up: this replica skips the slot.
var ErrSkipped = errors.New("NATS is away or too slow, slot skipped")

// offer is a tick waiting to be sent.
type offer struct {
	group string
	slot  time.Time
	since time.Time
}

// Offer puts the tick of a group's slot into the queue, unless another replica
// has done so or the group is still being worked. It never blocks: it returns
// before the tick is sent, and what becomes of it shows in the metrics only. It
// returns ErrSkipped if NATS is away, and an error if group is no legal end of a
// subject. Ticks are sent while Run runs.
func (q *Queue) Offer(ctx context.Context, group string, slot time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkGroup(group); err != nil {
		return err
	}
	if q.nc.IsConnected() {
		select {
		case q.offers <- offer{group: group, slot: slot, since: time.Now()}:
			return nil
		default:
		}
	}
	q.metrics.offer(resultSkipped)
	return ErrSkipped
}

// send publishes offers until ctx is done. It is a goroutine of its own because
// a publish may block on a connection that has died without our knowing.
func (q *Queue) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-q.offers:
			if time.Since(o.since) > offerAge || !q.nc.IsConnected() {
				q.metrics.offer(resultSkipped)
				continue
			}
			msg := nats.NewMsg(subject(q.opt.Prefix, o.group))
			msg.Header.Set(jetstream.MsgIDHeader, messageID(o.group, o.slot))
			if _, err := q.publisher.PublishMsgAsync(msg); err != nil {
				q.refused(q.publisher, msg, err)
			}
		}
	}
}

// accepted is called with the stream's consent to a tick.
func (q *Queue) accepted(_ jetstream.JetStream, _ *nats.Msg, ack *jetstream.PubAck) {
	if ack.Duplicate {
		q.answered(resultDuplicate)
	} else {
		q.answered(resultOffered)
	}
}

// answered counts a tick that the stream took, or rightly did not.
func (q *Queue) answered(result string) {
	q.metrics.offer(result)
	if q.refusing.CompareAndSwap(true, false) {
		q.log.Info("ticks are accepted again")
	}
}

// refused is called when a tick was not stored, or nobody knows.
func (q *Queue) refused(_ jetstream.JetStream, msg *nats.Msg, err error) {
	var api *jetstream.APIError
	errors.As(err, &api)
	switch {
	case api != nil && api.ErrorCode == codeDuplicateInProcess:
		q.answered(resultDuplicate)
		return
	case api != nil && api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, textOccupied):
		q.answered(resultOccupied)
		return
	case errors.Is(err, jetstream.ErrJetStreamPublisherClosed):
		q.metrics.offer(resultFailed) // Run has ended
		return
	case errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		q.metrics.offer(resultSkipped)
	default:
		q.metrics.offer(resultFailed)
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		q.suspect()
	}
	// One line per outage, not one per tick.
	if q.refusing.CompareAndSwap(false, true) {
		q.log.Warn("ticks are not accepted", "subject", msg.Subject, "error", err)
	}
}

// newPublisher has its own asynchronous publisher on the caller's connection,
// as its handlers can only be given when it is made.
func (q *Queue) newPublisher() error {
	p, err := jetstream.New(q.nc,
		jetstream.WithPublishAsyncMaxPending(offersKept),
		jetstream.WithPublishAsyncTimeout(answerWait),
		jetstream.WithPublishAsyncAckHandler(q.accepted),
		jetstream.WithPublishAsyncErrHandler(q.refused))
	if err != nil {
		return fmt.Errorf("make publisher: %w", err)
	}
	q.publisher = p
	return nil
}
