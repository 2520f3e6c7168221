package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Difference is one setting in which a stream is not as wanted.
type Difference struct {
	Name string // as in nats-server's API, "max_age"
	Have string
	Want string
	// Change says that EnsureStream brings the stream to Want; without it and
	// without Keep, the stream cannot be used.
	Change bool
	// Keep says that the stream is as good as it is.
	Keep bool
}

func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, want %s", d.Name, d.Have, d.Want)
}

// StreamError says that a stream of the wanted name exists and does not do.
type StreamError struct {
	Stream      string
	Differences []Difference // those that cannot be changed
}

func (e *StreamError) Error() string {
	s := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		s[i] = d.String()
	}
	return fmt.Sprintf("stream %q exists with settings that do not fit: %s; use another stream name, or mend it by hand",
		e.Stream, strings.Join(s, ", "))
}

// EnsureStream creates the stream, or sees to it that the one that exists has
// the wanted settings. It changes what loses nothing that the settings did not
// ask to lose, and says so in the log: max_age, more replicas, switching on
// allow_direct, allow_rollup_hdrs, allow_msg_ttl and allow_atomic, and the
// duplicate window. More replicas than wanted, and settings that only an
// operator can judge (placement, compression, description, consumer limits),
// stay as they are. Anything else is a *StreamError; nothing is ever recreated.
func EnsureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, log *slog.Logger) error {
	_, err := ensure(ctx, js, want, log)
	return err
}

// ensure is EnsureStream, and returns the stream.
func ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, log *slog.Logger) (jetstream.Stream, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// A replica starting at the same time may create or change the stream
	// between our look and our step; then look again.
	for attempt := 1; ; attempt++ {
		stream, again, err := ensureOnce(ctx, js, want, log)
		if err == nil || !again || attempt == 3 {
			return stream, err
		}
	}
}

func ensureOnce(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, log *slog.Logger) (stream jetstream.Stream, again bool, err error) {
	stream, err = js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return create(ctx, js, want, log)
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up stream %q: %w", want.Name, jetStreamError(err))
	}
	have := stream.CachedInfo().Config
	if err := unfit(have, want); err != nil {
		return nil, false, err
	}
	changed := have
	for _, d := range CompareStream(have, want) {
		switch {
		case d.Keep:
			log.Info("stream setting kept", "stream", want.Name, "setting", d.Name, "have", d.Have, "want", d.Want)
		case d.Change:
			level := slog.LevelInfo
			if d.Name == "max_age" && want.MaxAge > 0 && (have.MaxAge == 0 || want.MaxAge < have.MaxAge) {
				level = slog.LevelWarn // older messages go
			}
			log.Log(ctx, level, "stream setting changed", "stream", want.Name, "setting", d.Name, "have", d.Have, "want", d.Want)
			changeable[d.Name](&changed, &want)
		}
	}
	if reflect.DeepEqual(changed, have) {
		return stream, false, nil
	}
	stream, err = js.UpdateStream(ctx, changed)
	if err != nil {
		return nil, true, fmt.Errorf("change stream %q: %w", want.Name, jetStreamError(err))
	}
	return stream, false, honoured(stream.CachedInfo().Config, want, js.Conn())
}

// unfit returns a *StreamError with the differences that cannot be changed, nil
// if there are none.
func unfit(have, want jetstream.StreamConfig) error {
	var refused []Difference
	for _, d := range CompareStream(have, want) {
		if !d.Keep && !d.Change {
			refused = append(refused, d)
		}
	}
	if refused == nil {
		return nil
	}
	return &StreamError{Stream: want.Name, Differences: refused}
}

func create(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, log *slog.Logger) (stream jetstream.Stream, again bool, err error) {
	stream, err = js.CreateStream(ctx, want)
	var api *jetstream.APIError
	switch {
	case err == nil:
		log.Info("stream created", "stream", want.Name, "subjects", strings.Join(want.Subjects, " "))
		return stream, false, honoured(stream.CachedInfo().Config, want, js.Conn())
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		return nil, true, fmt.Errorf("create stream %q: %w", want.Name, err)
	case errors.As(err, &api) && api.ErrorCode == codeSubjectOverlap:
		return nil, false, fmt.Errorf("create stream %q: %s; use another subject prefix, or remove the other stream",
			want.Name, overlap(ctx, js, want))
	}
	return nil, false, fmt.Errorf("create stream %q: %w", want.Name, jetStreamError(err))
}

const codeSubjectOverlap jetstream.ErrorCode = 10065

// overlap says which stream has the subjects.
func overlap(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) string {
	for _, subject := range want.Subjects {
		names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
		for name := range names.Name() {
			if name != want.Name {
				return fmt.Sprintf("subject %q overlaps those of stream %q", subject, name)
			}
		}
	}
	return "its subjects overlap those of another stream"
}

// honoured finds what the server has silently dropped: an older one ignores
// the fields that it does not know.
func honoured(have, want jetstream.StreamConfig, nc *nats.Conn) error {
	for _, d := range CompareStream(have, want) {
		if !d.Keep {
			return fmt.Errorf("set up stream %q: nats-server %s does not take %s, 2.12 or later is needed",
				want.Name, nc.ConnectedServerVersion(), d.Name)
		}
	}
	return nil
}

// jetStreamError puts the commonest causes into words.
func jetStreamError(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled on this server or account, or the user may not use it: %w", trimmed{err})
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer (is JetStream up, and may the user call $JS.API?): %w", trimmed{err})
	}
	return plain(err)
}

// changeable are the settings that can be brought from have to want.
var changeable = map[string]func(have, want *jetstream.StreamConfig){
	"max_age":           func(h, w *jetstream.StreamConfig) { h.MaxAge = w.MaxAge; h.Duplicates = duplicates(w) },
	"num_replicas":      func(h, w *jetstream.StreamConfig) { h.Replicas = w.Replicas },
	"allow_direct":      func(h, w *jetstream.StreamConfig) { h.AllowDirect = w.AllowDirect },
	"allow_rollup_hdrs": func(h, w *jetstream.StreamConfig) { h.AllowRollup = w.AllowRollup },
	"allow_msg_ttl":     func(h, w *jetstream.StreamConfig) { h.AllowMsgTTL = w.AllowMsgTTL },
	"allow_atomic":      func(h, w *jetstream.StreamConfig) { h.AllowAtomicPublish = w.AllowAtomicPublish },
	"duplicate_window":  func(h, w *jetstream.StreamConfig) { h.Duplicates = duplicates(w) },
}

// CompareStream lists the settings in which have is not as wanted, without
// those that are an operator's own affair.
func CompareStream(have, want jetstream.StreamConfig) []Difference {
	var list []Difference
	add := func(name string, h, w any) {
		if reflect.DeepEqual(h, w) {
			return
		}
		d := Difference{Name: name, Have: show(h), Want: show(w)}
		switch on, isSwitch := w.(bool); {
		case name == "num_replicas":
			d.Change = h.(int) < w.(int)
			d.Keep = !d.Change // taking copies away is an operator's decision
		case name == "allow_direct" && isSwitch && !on:
			d.Keep = true
		case isSwitch:
			d.Change = on && changeable[name] != nil
		default:
			d.Change = changeable[name] != nil
		}
		list = append(list, d)
	}
	add("subjects", have.Subjects, want.Subjects)
	add("subject_transform", deref(have.SubjectTransform), deref(want.SubjectTransform))
	add("republish", deref(have.RePublish), deref(want.RePublish))
	add("storage", have.Storage, want.Storage)
	add("retention", have.Retention, want.Retention)
	add("discard", have.Discard, want.Discard)
	add("discard_new_per_subject", have.DiscardNewPerSubject, want.DiscardNewPerSubject)
	add("max_msgs", limit(have.MaxMsgs), limit(want.MaxMsgs))
	add("max_bytes", limit(have.MaxBytes), limit(want.MaxBytes))
	add("max_msgs_per_subject", limit(have.MaxMsgsPerSubject), limit(want.MaxMsgsPerSubject))
	add("max_msg_size", limit(int64(have.MaxMsgSize)), limit(int64(want.MaxMsgSize)))
	add("no_ack", have.NoAck, want.NoAck)
	add("sealed", have.Sealed, want.Sealed)
	add("deny_purge", have.DenyPurge, want.DenyPurge)
	add("mirror", have.Mirror != nil, want.Mirror != nil)
	add("sources", len(have.Sources), len(want.Sources))
	add("persist_mode", have.PersistMode, want.PersistMode)
	add("allow_msg_counter", have.AllowMsgCounter, want.AllowMsgCounter)

	add("max_age", have.MaxAge, want.MaxAge)
	add("num_replicas", max(have.Replicas, 1), max(want.Replicas, 1))
	add("allow_direct", have.AllowDirect, want.AllowDirect)
	add("allow_rollup_hdrs", have.AllowRollup, want.AllowRollup)
	add("allow_msg_ttl", have.AllowMsgTTL, want.AllowMsgTTL)
	add("allow_atomic", have.AllowAtomicPublish, want.AllowAtomicPublish)
	add("duplicate_window", have.Duplicates, duplicates(&want))
	return list
}

// duplicates is the window that the server makes of an unset one.
func duplicates(c *jetstream.StreamConfig) time.Duration {
	if c.Duplicates != 0 {
		return c.Duplicates
	}
	const serverDefault = 2 * time.Minute
	if c.MaxAge > 0 {
		return min(c.MaxAge, serverDefault)
	}
	return serverDefault
}

// limit makes the two ways of saying "none" one.
func limit(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func show(v any) string {
	switch v := v.(type) {
	case []string:
		return fmt.Sprintf("%q", v)
	case jetstream.SubjectTransformConfig:
		if v == (jetstream.SubjectTransformConfig{}) {
			return "none"
		}
		return fmt.Sprintf("%q to %q", v.Source, v.Destination)
	case jetstream.RePublish:
		if v == (jetstream.RePublish{}) {
			return "none"
		}
		return fmt.Sprintf("%q to %q (headers only: %t)", v.Source, v.Destination, v.HeadersOnly)
	case int64:
		if v < 0 {
			return "unlimited"
		}
	case time.Duration:
		if v == 0 {
			return "unlimited"
		}
	}
	return fmt.Sprint(v)
}
