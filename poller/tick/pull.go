package tick

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullWait is how long a request for a tick stands, and pullBeat how often
	// the server shows meanwhile that it has not forgotten it.
	pullWait = 30 * time.Second
	pullBeat = 5 * time.Second
	// handOver bounds the wait for ticks on their way to us when we stop, and
	// for our last words to be sent.
	handOver = 2 * time.Second
)

// Answers to a delivered tick, as the server takes them.
const (
	ackDone     = "+ACK"
	ackBack     = "-NAK"
	ackProgress = "+WPI"
	ackDrop     = "+TERM"
)

// errInterrupted says that a request for a tick will not be answered.
var errInterrupted = errors.New("request for a tick interrupted")

// puller asks for ticks, one at a time.
//
// The client library's own iterator is not used: asked for one message at a
// time it now and then sends no request after a message that came at once, and
// notices after two missed heartbeats; and its single requests drop a message
// that arrives while they are cancelled, which then is nobody's until AckWait.
type puller struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	subject string
	request []byte
	asked   bool // a request stands
}

// newPuller subscribes to an inbox for the answers.
func (q *Queue) newPuller() (*puller, error) {
	sub, err := q.nc.SubscribeSync(q.nc.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("subscribe to inbox: %w", err)
	}
	request, err := json.Marshal(struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{1, pullWait, pullBeat})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return &puller{
		nc: q.nc, sub: sub, request: request,
		subject: apiPrefix(q.js.Options()) + ".CONSUMER.MSG.NEXT." + q.opt.Stream + "." + durable,
	}, nil
}

// apiPrefix is where the JetStream that js talks to listens.
func apiPrefix(opt jetstream.JetStreamOptions) string {
	switch {
	case opt.Domain != "":
		return "$JS." + opt.Domain + ".API"
	case opt.APIPrefix != "":
		return strings.TrimSuffix(opt.APIPrefix, ".")
	}
	return "$JS.API"
}

// next waits for a message. It returns ctx's error, or errInterrupted wrapped if
// stream, consumer or server may be gone.
func (p *puller) next(ctx context.Context) (*nats.Msg, error) {
	for {
		if !p.asked {
			if err := p.nc.PublishRequest(p.subject, p.sub.Subject, p.request); err != nil {
				return nil, fmt.Errorf("ask for a tick: %w", err)
			}
			p.asked = true
		}
		beat, cancel := context.WithTimeout(ctx, 2*pullBeat)
		msg, err := p.sub.NextMsgWithContext(beat)
		cancel()
		switch {
		case ctx.Err() != nil && msg == nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrNoResponders):
			p.asked = false
			return nil, fmt.Errorf("%w: no consumer", errInterrupted)
		case err != nil:
			p.asked = false
			return nil, fmt.Errorf("%w: %w", errInterrupted, err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
			p.asked = false
			return msg, nil
		case "100": // a heartbeat
		case "404", "408": // the request's time is over
			p.asked = false
		default:
			p.asked = false
			return nil, fmt.Errorf("%w: %s %s", errInterrupted, status, msg.Header.Get("Description"))
		}
	}
}

// close withdraws the request and returns the messages that had already come,
// or were on their way.
func (p *puller) close() (left []*nats.Msg) {
	if err := p.sub.Drain(); err != nil {
		return nil
	}
	for {
		msg, err := p.sub.NextMsg(handOver)
		if err != nil {
			// Mostly because all is drained; else we waited long enough.
			_ = p.sub.Unsubscribe()
			return left
		}
		if msg.Header.Get("Status") == "" {
			left = append(left, msg)
		}
	}
}
