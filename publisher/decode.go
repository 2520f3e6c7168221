package publisher

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"restwatch/diff"
)

var (
	// ErrForeign says that a message is none of ours, or damaged.
	ErrForeign = errors.New("not a message of this service")
	// ErrNewer says that a later version wrote the message: what it means
	// beyond our knowledge would be lost by carrying on from it.
	ErrNewer = errors.New("written by a newer version of restwatch")
	// ErrStray says that restwatch never publishes on a message's subject.
	ErrStray = errors.New("nothing of restwatch's belongs on this subject")
)

// MessageError says which stored message could not be used. It wraps
// ErrForeign, ErrNewer or ErrStray.
type MessageError struct {
	Subject  string
	Sequence uint64 // in the stream; 0 if unknown
	Err      error
}

func (e *MessageError) Error() string {
	if e.Sequence == 0 {
		return fmt.Sprintf("message on %q: %v", e.Subject, e.Err)
	}
	return fmt.Sprintf("message %d on %q: %v", e.Sequence, e.Subject, e.Err)
}

func (e *MessageError) Unwrap() error { return e.Err }

// envelope is a CloudEvent. Attributes that we do not write are ignored, as
// CloudEvents wants it.
type envelope struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject"`
	Time        diff.Time      `json:"time"`
	ContentType string         `json:"datacontenttype"`
	DataSchema  string         `json:"dataschema"`
	Sequence    string         `json:"sequence"`
	Data        jsontext.Value `json:"data"`
}

// open takes the envelope off a message of the wanted schema.
func open(msg []byte, schema string) (envelope, error) {
	var e envelope
	if err := json.Unmarshal(msg, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if e.SpecVersion != "1.0" || e.ContentType != "application/json" {
		return e, fmt.Errorf("%w: no CloudEvent 1.0 with JSON in it", ErrForeign)
	}
	if e.DataSchema != schema {
		if base := schema[:len(schema)-1]; strings.HasPrefix(e.DataSchema, base) {
			return e, fmt.Errorf("%w: schema is %q, this one knows %q", ErrNewer, e.DataSchema, schema)
		}
		return e, fmt.Errorf("%w: schema is %q, want %q", ErrForeign, e.DataSchema, schema)
	}
	return e, nil
}

// match compares attributes that say twice what the data says.
func match(name, got, want string) error {
	if got != want {
		return fmt.Errorf("%w: %s is %q, its data say %q", ErrForeign, name, got, want)
	}
	return nil
}

// DecodeEvent reads what EncodeEvent writes. Data fields that it does not know
// are ignored. Errors wrap ErrForeign or ErrNewer.
func DecodeEvent(msg []byte) (diff.Event, error) {
	var e diff.Event
	env, err := open(msg, SchemaEvent)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(env.Data, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if e.Sequence, err = sequence(env.Sequence); err != nil {
		return e, err
	}
	return e, cmp.Or(
		match("id", env.ID, e.ID()),
		match("type", env.Type, typeOfEvent(e.Kind)),
		match("source", env.Source, source(diff.VDN{CC: e.CC, ID: e.VDN})),
		match("subject", env.Subject, fmt.Sprint(e.WorkNo)),
		match("time", env.Time.String(), e.ObservedAt.String()),
	)
}

// DecodeFeed reads what EncodeFeed writes, as DecodeEvent does.
func DecodeFeed(msg []byte) (diff.Feed, error) {
	var f diff.Feed
	env, err := open(msg, SchemaFeed)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(env.Data, &f); err != nil {
		return f, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	f.ObservedAt = env.Time
	return f, cmp.Or(
		match("type", env.Type, typeFeed),
		match("source", env.Source, source(diff.VDN{CC: f.CC, ID: f.VDN})),
	)
}

// stored is the data of a snapshot message, or of a part of one.
type stored struct {
	diff.Snapshot
	// Poll is the id of the poll that the message was made by.
	Poll string `json:"poll"`
	// Part is the number of a part of a split snapshot, 0 in a main message.
	Part int `json:"part,omitempty"`
}

// DecodeSnapshot reads a snapshot message. One that is split has Parts > 0 and
// no agents; Reader.LastSnapshot puts such a one together. Data fields that it
// does not know are ignored. Errors wrap ErrForeign or ErrNewer.
func DecodeSnapshot(msg []byte) (diff.Snapshot, error) {
	s, err := decodeSnapshot(msg, false)
	return s.Snapshot, err
}

// decodeSnapshot refuses, if strict, fields that it does not know: the next
// snapshot is made from this one, and they would be lost.
func decodeSnapshot(msg []byte, strict bool) (stored, error) {
	var s stored
	env, err := open(msg, SchemaSnapshot)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(env.Data, &s, json.RejectUnknownMembers(strict))
	if errors.Is(err, json.ErrUnknownName) {
		return s, fmt.Errorf("%w: %w", ErrNewer, err)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	id := fmt.Sprintf("snapshot-%d", s.Revision)
	if s.Part > 0 {
		id += fmt.Sprintf("-%d", s.Part)
	}
	if err := cmp.Or(
		match("id", env.ID, id),
		match("type", env.Type, typeSnapshot),
		match("source", env.Source, source(diff.VDN{CC: s.CC, ID: s.VDN})),
	); err != nil {
		return s, err
	}
	if s.Revision < 1 || s.LastSequence < 0 || s.Parts < 0 || s.Part < 0 || s.Parts > 0 && len(s.Agents) > 0 {
		return s, fmt.Errorf("%w: impossible revision, sequence or parts", ErrForeign)
	}
	if s.Part == 0 {
		switch err := s.Validate(); {
		case errors.Is(err, diff.ErrFormat):
			return s, fmt.Errorf("%w: %w", ErrNewer, err)
		case err != nil:
			return s, fmt.Errorf("%w: %w", ErrForeign, err)
		}
	}
	if s.Parts == 0 && len(s.Agents) == 0 {
		s.Agents = nil // as an observation of nobody gives it
	}
	return s, nil
}

// assemble gives a split snapshot its agents. ok is false if the parts, in
// order, are not those of this very commit.
func assemble(main stored, parts []stored) (s diff.Snapshot, ok bool) {
	s = main.Snapshot
	if len(parts) != s.Parts {
		return s, false
	}
	for i, p := range parts {
		if p.Part != i+1 || p.Poll != main.Poll || p.Revision != main.Revision || p.CC != main.CC || p.VDN != main.VDN {
			return s, false
		}
		s.Agents = append(s.Agents, p.Agents...)
	}
	s.Parts = 0
	return s, s.Validate() == nil
}

// sequence reads the 20 digits of the attribute.
func sequence(s string) (int64, error) {
	if len(s) == 20 {
		n, ok := int64(0), true
		for _, c := range []byte(s) {
			d := int64(c) - '0'
			if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
				ok = false
				break
			}
			n = 10*n + d
		}
		if ok && n > 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: sequence %q: want 20 digits from 1", ErrForeign, s)
}

// pollOf finds the poll id in a snapshot message without decoding the rest: it
// is the last field of the data, which are the last attribute.
func pollOf(msg []byte) string {
	const field = `,"poll":"`
	i := bytes.LastIndex(msg, []byte(field))
	if i < 0 {
		return ""
	}
	rest := msg[i+len(field):]
	if end := bytes.IndexByte(rest, '"'); end >= 0 && string(rest[end:]) == `"}}` {
		return string(rest[:end])
	}
	return ""
}
