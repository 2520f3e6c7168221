// Package peers lets the replicas of a service tell one another what they have
// just polled.
//
// What replicas say here saves doubt, not truth: the stream alone decides what
// was committed, and a note that is lost makes a window of time wider or a
// heartbeat come twice, and nothing wrong. So notes are plain NATS messages,
// stored nowhere.
package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"restwatch/diff"
)

// Poll is the outcome of a replica's last poll of a VDN.
type Poll struct {
	CC  int `json:"cc"`
	VDN int `json:"vdn"`
	// At is the observation's, of a good poll, and of a failed one when it failed;
	// Age is how long ago that was. Order is that of its tick, or of a later one
	// whose poll this replica knew of by then; 0: none is known.
	At    diff.Time     `json:"at"`
	Age   time.Duration `json:"age"`
	Order diff.Order    `json:"order"`
	// Slow is by how much older what its reply showed may be.
	Slow diff.Time `json:"slow,omitempty"`
	// Head is the stream sequence of the snapshot that the reading added nothing
	// to, or made.
	Head uint64 `json:"head,omitempty"`
	// Fed is how long ago a feed message of the VDN was published, by anybody the
	// replica knows of; 0 if it knows of none.
	Fed time.Duration `json:"fed,omitempty"`
	// Failed is how many polls in a row have failed, and Retry how long the VDN
	// is left alone for it; Error says why.
	Failed int             `json:"failed,omitempty"`
	Retry  time.Duration   `json:"retry,omitempty"`
	Error  *diff.FeedError `json:"error,omitempty"`
}

// Pause says that calls are stopped, as the upstream refuses the credentials.
type Pause struct {
	Left    time.Duration   `json:"left"`    // until it ends
	Refused int             `json:"refused"` // 401s in a row
	Error   *diff.FeedError `json:"error"`
}

// Note is what one replica tells the others.
type Note struct {
	Polls []Poll `json:"polls,omitempty"`
	Pause *Pause `json:"pause,omitempty"`

	From string `json:"from"` // set when it is sent
}

// pollsPerMessage keeps a note of thousands of VDNs below the server's limit for
// a message.
const pollsPerMessage = 500

// How long a replica waits at most for the others to say that they are there: a
// round trip, and what a busy process may take to get to it. It is waited out only
// where somebody listens who does not answer, or who knows less than is asked for.
const (
	JoinTime  = 3 * time.Second
	WakeTime  = time.Second
	LeaveTime = time.Second
)

// Peers is this replica's place among the others. Its methods may be called
// concurrently.
type Peers struct {
	nc       *nats.Conn
	instance string
	polled   string // subject of notes
	hello    string // subject of roll calls
	last     func() Note
	log      *slog.Logger
	subs     []*nats.Subscription
}

// Options of Join; all are required.
type Options struct {
	// Prefix is that of the public subjects, such as rest.v1. Notes travel
	// outside of them, below peer.<prefix>.
	Prefix string
	// Instance tells this replica from the others.
	Instance string
	// Hear is called with what another replica tells, one call at a time.
	Hear func(Note)
	// Last returns every VDN that this replica has in its settings, with what it
	// knows to have been polled last, by anybody; At is 0 if it knows of nothing.
	Last func() Note
	Log  *slog.Logger
}

// Join begins to listen, or will when NATS is back. Leave before the connection
// is closed.
func Join(nc *nats.Conn, o Options) (*Peers, error) {
	p := &Peers{
		nc: nc, instance: o.Instance, last: o.Last, log: o.Log,
		polled: "peer." + o.Prefix + ".polled", hello: "peer." + o.Prefix + ".hello",
	}
	sub, err := nc.Subscribe(p.polled, func(m *nats.Msg) { p.hear(m, o.Hear) })
	if err != nil {
		return nil, fmt.Errorf("join replicas: %w", err)
	}
	p.subs = append(p.subs, sub)
	return p, nil
}

// Meet is the Hello of a replica that begins. From then on it answers those who
// ask, also while it still waits itself. As it does not before it asks, one that is
// alone finds out at once. If NATS is away, or goes away meanwhile, it waits until
// NATS is back, and asks again: within is counted from then. The error says that
// the connection was closed.
func (p *Peers) Meet(ctx context.Context, within time.Duration, hear func(Note), enough func(others int) bool) (others int, err error) {
	for told := false; ; told = true {
		others, err = p.meet(ctx, within, hear, enough)
		if err == nil || ctx.Err() != nil {
			return others, nil
		}
		if p.nc.IsClosed() {
			return 0, err
		}
		if !told {
			p.log.Warn("NATS is away: the other replicas are asked when it is back", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// again is how soon Meet looks again whether NATS is back.
const again = 100 * time.Millisecond

var errAway = errors.New("NATS went away")

func (p *Peers) meet(ctx context.Context, within time.Duration, hear func(Note), enough func(others int) bool) (others int, err error) {
	session := p.nc.Stats().Reconnects
	if err := p.known(ctx); err != nil {
		return 0, err
	}
	answers, err := p.ask()
	if err != nil {
		return 0, err
	}
	answering, err := p.nc.Subscribe(p.hello, func(m *nats.Msg) {
		if string(m.Data) != p.instance {
			p.send(m.Reply, p.last())
		}
	})
	if err == nil {
		err = p.known(ctx)
	}
	if err == nil {
		others = p.collect(ctx, within, answers, hear, enough)
		if ctx.Err() == nil && (!p.nc.IsConnected() || p.nc.Stats().Reconnects != session) {
			err = errAway
		}
	}
	if err != nil {
		// Fail only if the connection is closed already, or there is nothing yet.
		_, _ = answers.Unsubscribe(), answering.Unsubscribe()
		return 0, err
	}
	p.subs = append(p.subs, answering)
	return others, nil
}

// known returns once the server knows of all subscriptions.
func (p *Peers) known(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, LeaveTime)
	defer cancel()
	if err := p.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("join replicas: %w", err)
	}
	return nil
}

// Leave stops listening.
func (p *Peers) Leave() {
	for _, s := range p.subs {
		// Fails only if the connection is closed already.
		_ = s.Unsubscribe()
	}
}

// Tell tells the others what was polled. That it cannot be told is no error:
// without NATS nobody polls.
func (p *Peers) Tell(n Note) { p.send(p.polled, n) }

// send sends a note in as many messages as it takes, one at least.
func (p *Peers) send(subject string, n Note) {
	polls := n.Polls
	for first := true; first || len(polls) > 0; first = false {
		n.Polls = polls[:min(len(polls), pollsPerMessage)]
		polls = polls[len(n.Polls):]
		n.From = p.instance
		data, err := json.Marshal(n)
		if err == nil {
			err = p.nc.Publish(subject, data)
		}
		if err != nil {
			p.log.Debug("replicas not told", "error", err)
			return
		}
	}
}

func (p *Peers) hear(m *nats.Msg, hear func(Note)) (from string) {
	var n Note
	if err := json.Unmarshal(m.Data, &n); err != nil {
		p.log.Warn("note of a replica not understood", "subject", m.Subject, "error", err)
		return ""
	}
	if n.From != p.instance {
		hear(n)
	}
	return n.From
}

// Hello asks the others what they polled, hands it to hear, and returns how many
// have answered: when that is enough, which is asked again and again, when there
// is nobody to answer, or when the time is over. It counts for nobody before Meet
// and after Leave.
func (p *Peers) Hello(ctx context.Context, within time.Duration, hear func(Note), enough func(others int) bool) (others int, err error) {
	answers, err := p.ask()
	if err != nil {
		return 0, err
	}
	return p.collect(ctx, within, answers, hear, enough), nil
}

func (p *Peers) ask() (answers *nats.Subscription, err error) {
	inbox := p.nc.NewRespInbox()
	if answers, err = p.nc.SubscribeSync(inbox); err == nil {
		if err = p.nc.PublishRequest(p.hello, inbox, []byte(p.instance)); err != nil {
			_ = answers.Unsubscribe()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("call replicas: %w", err)
	}
	return answers, nil
}

func (p *Peers) collect(ctx context.Context, within time.Duration, answers *nats.Subscription, hear func(Note), enough func(others int) bool) (others int) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer func() { _ = answers.Unsubscribe() }()
	found := map[string]bool{}
	for ctx.Err() == nil && !enough(len(found)) {
		m, err := answers.NextMsg(listen)
		switch {
		case errors.Is(err, nats.ErrTimeout):
			// What was asked for may be told to all meanwhile.
		case err != nil:
			return len(found) // nobody is there, or NATS is not
		default:
			if from := p.hear(m, hear); from != "" {
				found[from] = true
			}
		}
	}
	return len(found)
}

// listen is how long collect waits for a message before it looks around.
const listen = 20 * time.Millisecond
