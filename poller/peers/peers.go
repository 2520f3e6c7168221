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
	// At and Order are the observation's, of a good poll; of a failed one, At is
	// when it failed.
	At    diff.Time  `json:"at"`
	Order diff.Order `json:"order"`
	// Head is the stream sequence of the snapshot that the reading added nothing
	// to, or made.
	Head uint64 `json:"head,omitempty"`
	// Fed is when a feed message of the VDN was last published, by anybody the
	// replica knows of.
	Fed diff.Time `json:"fed,omitempty"`
	// Failed is how many polls in a row have failed, and Retry how long the VDN
	// is left alone for it; Error says why.
	Failed int             `json:"failed,omitempty"`
	Retry  time.Duration   `json:"retry,omitempty"`
	Error  *diff.FeedError `json:"error,omitempty"`
}

// note is what travels.
type note struct {
	From  string `json:"from"`
	Polls []Poll `json:"polls,omitempty"`
}

// answerTime is how long a replica waits for the others to say that they are
// there: a round trip and what a busy process may take to get to it.
const answerTime = 300 * time.Millisecond

// Peers is this replica's place among the others. Its methods may be called
// concurrently.
type Peers struct {
	nc       *nats.Conn
	instance string
	polled   string // subject of notes
	hello    string // subject of roll calls
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
	// Hear is called with what another replica polled, one call at a time.
	Hear func([]Poll)
	// Last returns what this replica was the last to poll, for one that has
	// just started.
	Last func() []Poll
	Log  *slog.Logger
}

// Join begins to listen. Leave before the connection is closed.
func Join(nc *nats.Conn, o Options) (*Peers, error) {
	p := &Peers{
		nc: nc, instance: o.Instance, log: o.Log,
		polled: "peer." + o.Prefix + ".polled", hello: "peer." + o.Prefix + ".hello",
	}
	if err := p.subscribe(p.polled, func(m *nats.Msg) { p.hear(m, o.Hear) }); err != nil {
		return nil, err
	}
	err := p.subscribe(p.hello, func(m *nats.Msg) {
		if string(m.Data) != p.instance {
			p.send(m.Reply, o.Last())
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		p.Leave()
		return nil, fmt.Errorf("join replicas: %w", err)
	}
	return p, nil
}

func (p *Peers) subscribe(subject string, handle nats.MsgHandler) error {
	sub, err := p.nc.Subscribe(subject, handle)
	if err != nil {
		return fmt.Errorf("join replicas: %w", err)
	}
	p.subs = append(p.subs, sub)
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
func (p *Peers) Tell(polls []Poll) { p.send(p.polled, polls) }

func (p *Peers) send(subject string, polls []Poll) {
	data, err := json.Marshal(note{From: p.instance, Polls: polls})
	if err == nil {
		err = p.nc.Publish(subject, data)
	}
	if err != nil {
		p.log.Debug("replicas not told", "error", err)
	}
}

func (p *Peers) hear(m *nats.Msg, hear func([]Poll)) {
	var n note
	if err := json.Unmarshal(m.Data, &n); err != nil {
		p.log.Warn("note of a replica not understood", "subject", m.Subject, "error", err)
		return
	}
	if n.From != p.instance {
		hear(n.Polls)
	}
}

// Hello asks the others what they polled, hands it to hear, and returns how
// many there are. It takes the whole of answerTime if there are none.
func (p *Peers) Hello(ctx context.Context, hear func([]Poll)) (others int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	inbox := p.nc.NewRespInbox()
	sub, err := p.nc.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("call replicas: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := p.nc.PublishRequest(p.hello, inbox, []byte(p.instance)); err != nil {
		return 0, fmt.Errorf("call replicas: %w", err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return others, nil // the time is over
		}
		p.hear(m, hear)
		others++
	}
}
