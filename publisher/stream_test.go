package publisher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestStreamLost has an operator do to the stream, under a running service, what
// takes numbers away that subscribers have seen. None may be given out again
// by this process; the next one begins with what there is.
func TestStreamLost(t *testing.T) {
	recreate := func(t *testing.T, b *Bus) {
		t.Helper()
		if err := b.js.DeleteStream(t.Context(), "REST"); err != nil {
			t.Fatal(err)
		}
		if err := EnsureStream(t.Context(), b.js, StreamConfig(b.options), nil); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		do   func(t *testing.T, b *Bus)
		want string
	}{
		"deleted": {func(t *testing.T, b *Bus) {
			if err := b.js.DeleteStream(t.Context(), "REST"); err != nil {
				t.Fatal(err)
			}
		}, `look up stream "REST": API error: code=404 err_code=10059 description=stream not found`},
		"made anew": {recreate, `stream "REST" was created at `},
		"made anew and used": {func(t *testing.T, b *Bus) {
			recreate(t, b)
			other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
			commit(t, other, vdn, 0, 2)
		}, `stream "REST" was created at `},
		"purged": {func(t *testing.T, b *Bus) {
			s, err := b.js.Stream(t.Context(), "REST")
			if err == nil {
				err = s.Purge(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "snapshot of VDN 1:170 was message 5 of the stream, and now is 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := memoryBus(t)
			for i := range 3 {
				commit(t, b, vdn, min(i, 1), 2)
			}
			prev, seq, err := b.Head(t.Context(), vdn)
			if err != nil {
				t.Fatal(err)
			}
			tt.do(t, b)

			told := make(chan error, 1)
			go func() {
				_, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 1, 2))
				told <- err
			}()
			select {
			case err = <-told:
			case <-time.After(answerTime): // it used to be tried for three times as long
				t.Fatal("the commit is tried for ever")
			}
			if errors.Is(err, ErrConflict) {
				_, _, err = b.Head(t.Context(), vdn) // whoever loses looks who won
			}
			for range 2 { // and again, not only once
				if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				b.heads.drop(vdn)
				_, _, err = b.Head(t.Context(), vdn)
				if name == "deleted" {
					err = b.Check(t.Context()) // there is no leader to say what it has
				}
			}
			if err := b.Check(t.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("got %v from Check, want that messages are lost", err)
			}
			if name != "purged" {
				if err := b.Recheck(t.Context(), nil); !errors.Is(err, ErrLost) {
					t.Errorf("got %v from Recheck, want that the stream is lost", err)
				}
			}
			next := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
			commit(t, next, vdn, 1, 2)
			if err := next.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if name == "purged" { // a newer snapshot is there by now, which the next poll finds
				if _, _, err := b.Head(t.Context(), vdn); err != nil {
					t.Error(err)
				}
				if err := b.Check(t.Context()); err != nil {
					t.Errorf("got %v from Check, want that it is ready again", err)
				}
			}
		})
	}
}

// TestStreamChanged has an operator change settings that the service needs.
func TestStreamChanged(t *testing.T) {
	b := memoryBus(t)
	prev, seq := commit(t, b, vdn, 0, 2)
	change := func(do func(*jetstream.StreamConfig)) {
		t.Helper()
		c := StreamConfig(b.options)
		do(&c)
		if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	commitWithin := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), answerTime)
		defer cancel()
		_, err := b.Commit(ctx, seq, &prev, made(vdn, &prev, 1, 2))
		return err
	}
	change(func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere.>"}; c.SubjectTransform = nil })
	var unfit *StreamError
	if err := commitWithin(); !errors.As(err, &unfit) || !strings.Contains(err.Error(), `subjects is ["elsewhere.>"], want ["ingest.rest.v1.>"]`) {
		t.Errorf("got %v, want that the subjects are others", err)
	}
	change(func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	if err := commitWithin(); err == nil || !strings.Contains(err.Error(), "atomic publish is disabled") {
		t.Errorf("got %v, want the server's refusal", err)
	}
	change(func(c *jetstream.StreamConfig) { c.RePublish = nil })
	for name, err := range map[string]error{"Check": b.Check(t.Context()), "Recheck": b.Recheck(t.Context(), nil)} {
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), "republish is none") {
			t.Errorf("got %v from %s, want that subscribers would hear nothing", err, name)
		}
	}
	change(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }) // an operator's affair
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := commitWithin(); err != nil {
		t.Error(err)
	}
}

// TestStuck has the server answer nothing that is to be stored, as it does on a
// disk that is full, while it answers questions.
func TestStuck(t *testing.T) {
	b := memoryBus(t)
	prev, seq := commit(t, b, vdn, 0, 2)
	b.answerWithin = 300 * time.Millisecond // for the questions, which are answered
	full := true
	inject(b, &faults{before: func(m *nats.Msg) error {
		if full && strings.HasPrefix(m.Subject, ingest) {
			return context.DeadlineExceeded
		}
		return nil
	}})
	if _, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 1, 2)); !errors.Is(err, ErrUndecided) {
		t.Errorf("got %v, want that it is not known", err)
	}
	if err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be stored") {
		t.Errorf("got %v, want that nothing can be stored", err)
	}
	full = false
	commit(t, b, vdn, 1, 2)
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
