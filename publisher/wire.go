package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers of nats-server that nats.go has no name for.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	headerContentType   = "Content-Type"
	headerStatus        = "Status"
	headerUpTo          = "Nats-UpTo-Sequence"
)

// Error codes of JetStream that a commit has to tell apart.
const (
	codeNoMessage       = 10037
	codeNoStream        = 10059
	codeWrongLast       = 10071 // the head is another one
	codeWrongLastUnsure = 10164 // the same, or a write on the subject is under way
)

// refusal is an answer of the server that says that nothing was stored, or,
// to a question, that there is no such thing.
type refusal struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s (%d)", r.Description, r.ErrCode)
}

// passing reports whether the same request may well succeed a little later.
func (r *refusal) passing() bool {
	switch r.ErrCode {
	case codeWrongLastUnsure,
		10176, // batch incomplete: some of it was lost on the way
		10210: // too many batches at once
		return true
	}
	// Overload and leaderless moments, whatever their number.
	return r.Code == 429 || r.Code == 503
}

// noStream reports whether the server has answered that there is no such
// stream.
func noStream(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.ErrCode == codeNoStream
}

var (
	errNoMessage = errors.New("no such message")
	// errNotSent says that the connection failed before the message that
	// commits was given to it: nothing can have been stored.
	errNotSent = errors.New("not sent")
)

// wire is what the bus needs of a connection and a stream.
type wire struct {
	nc     *nats.Conn
	stream string
	// request is the connection's; tests put faults in its place.
	request func(context.Context, *nats.Msg) (*nats.Msg, error)
	// stall is stallTime; tests make it smaller.
	stall time.Duration
}

func newWire(nc *nats.Conn, stream string) *wire {
	return &wire{nc: nc, stream: stream, request: nc.RequestMsgWithContext, stall: stallTime}
}

// session numbers the connection's unbroken stretches from 1; 0 while there is
// none. What was heard in another session may have been overtaken unheard.
func (w *wire) session() uint64 {
	n := w.nc.Stats().Reconnects + 1
	if !w.nc.IsConnected() {
		return 0
	}
	return n
}

// storedMsg is a message as JetStream's leader gives it out.
type storedMsg struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// askAgain is after how long without an answer a question is put once more:
// while a stream has no leader nobody hears it.
const askAgain = 500 * time.Millisecond

// last reads the newest message on a subject from the stream's leader, which
// alone knows for sure. errNoMessage if there is none. ctx needs a deadline.
func (w *wire) last(ctx context.Context, subject string) (*storedMsg, error) {
	ask, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	question := &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + w.stream, Data: ask}
	for {
		try, cancel := context.WithTimeout(ctx, askAgain)
		m, err := w.ask(try, question)
		var refused *refusal
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, context.DeadlineExceeded):
			cancel()
			continue
		case errors.As(err, &refused) && refused.passing():
			<-try.Done() // no sooner than one that got no answer
			cancel()
			continue
		}
		cancel()
		return m, err
	}
}

// newest is last for several subjects, which may have wildcards: the newest of
// all, nil if there is none.
func (w *wire) newest(ctx context.Context, subjects []string) (newest *storedMsg, err error) {
	for _, s := range subjects {
		m, err := w.last(ctx, s)
		if err != nil && !errors.Is(err, errNoMessage) {
			return nil, err
		}
		if m != nil && (newest == nil || m.Seq > newest.Seq) {
			newest = m
		}
	}
	return newest, nil
}

func (w *wire) ask(ctx context.Context, question *nats.Msg) (*storedMsg, error) {
	answer, err := w.request(ctx, question)
	if err != nil {
		return nil, plain(err)
	}
	var r struct {
		Error   *refusal   `json:"error"`
		Message *storedMsg `json:"message"`
	}
	switch err := json.Unmarshal(answer.Data, &r); {
	case err != nil:
		return nil, fmt.Errorf("decode answer: %w", err)
	case r.Error != nil && r.Error.ErrCode == codeNoMessage:
		return nil, errNoMessage
	case r.Error != nil:
		return nil, r.Error
	case r.Message == nil:
		return nil, errors.New("decode answer: no message in it")
	}
	return r.Message, nil
}

// multiLastMax is how many subjects one request for last messages may name;
// the server gives out at most 1,024.
const multiLastMax = 1000

// lastOf hands fn the newest message of each subject that has one after
// sequence from, in stream order, and returns the stream sequence up to which
// this is all. Any replica may answer, so it can be some milliseconds behind.
func (w *wire) lastOf(ctx context.Context, subjects []string, from uint64, fn func(subject string, seq uint64, data []byte)) (upTo uint64, err error) {
	inbox, err := w.nc.SubscribeSync(w.nc.NewRespInbox())
	if err != nil {
		return 0, plain(err)
	}
	defer inbox.Unsubscribe()
	for more := true; more; {
		ask, err := json.Marshal(struct {
			Subjects []string `json:"multi_last"`
			From     uint64   `json:"seq,omitempty"`
			UpTo     uint64   `json:"up_to_seq,omitempty"`
		}{subjects, from + 1, upTo})
		if err != nil {
			return 0, err
		}
		if err := w.nc.PublishRequest("$JS.API.DIRECT.GET."+w.stream, inbox.Subject, ask); err != nil {
			return 0, plain(err)
		}
		if from, upTo, more, err = collect(ctx, inbox, from, fn); err != nil {
			return 0, err
		}
	}
	return upTo, nil
}

// collect reads one answer: messages, then an empty one with a status.
func collect(ctx context.Context, inbox *nats.Subscription, from uint64, fn func(string, uint64, []byte)) (seen, upTo uint64, more bool, err error) {
	for {
		m, err := inbox.NextMsgWithContext(ctx)
		if err != nil {
			return 0, 0, false, plain(err)
		}
		if status := m.Header.Get(headerStatus); len(m.Data) == 0 && status != "" {
			switch status {
			case "204":
				upTo, err = strconv.ParseUint(m.Header.Get(headerUpTo), 10, 64)
				if err != nil {
					return 0, 0, false, fmt.Errorf("decode answer: %w", err)
				}
				// The server stops early rather than flood a connection.
				return from, upTo, m.Header.Get("Nats-Num-Pending") != "0", nil
			case "404": // none of the subjects has a message at all
				return from, 0, false, nil
			}
			return 0, 0, false, fmt.Errorf("answer %s %s", status, m.Header.Get("Description"))
		}
		seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		if err != nil {
			return 0, 0, false, fmt.Errorf("decode answer: %w", err)
		}
		fn(m.Header.Get(nats.JSSubject), seq, m.Data)
		from = seq
	}
}
