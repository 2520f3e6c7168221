package tick

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// probationPending is how many ticks may be out at once, in all replicas
// together, until one of them proved that the reason for a pause is gone.
const probationPending = 1

// probationKey marks the consumer of a queue on probation; its MaxAckPending
// alone would not tell it from a queue so configured.
const probationKey = "probation"

func probationMark() map[string]string { return map[string]string{probationKey: "true"} }

func onProbation(info *jetstream.ConsumerInfo) bool { return info.Config.Metadata[probationKey] != "" }

// State says how freely ticks are given out, to all replicas alike.
type State struct {
	// PausedUntil is when the pause ends, by this machine's clock; zero if there
	// is none.
	PausedUntil time.Time
	// Probation: once any pause has ended, one tick at a time is given out until
	// Proven or Resume is called.
	Probation bool
}

// state is what this replica last knew.
type state struct {
	mu  sync.Mutex
	now State
	// of is when the consumer was created that the state is that of. A younger
	// one knows nothing of it.
	of time.Time
}

func (s *state) set(now State, of time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.of = now, of
}

func (s *state) get() (now State, of time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.now.PausedUntil.After(time.Now()) {
		s.now.PausedUntil = time.Time{}
	}
	return s.now, s.of
}

// expect notes a pause that is about to be made.
func (s *state) expect(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.now.PausedUntil) {
		s.now = State{PausedUntil: until, Probation: true}
	}
}

// carry says that a consumer just made has what is known.
func (s *state) carry(created time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = created
}

// lost reports whether what is known was that of an older consumer.
func (s *state) lost(created time.Time) bool {
	now, of := s.get()
	return now != State{} && !of.Equal(created)
}

// Paused returns until when no replica is given ticks, by this machine's clock;
// paused is false if they are. It asks the server.
func (q *Queue) Paused(ctx context.Context) (until time.Time, paused bool, err error) {
	s, err := q.State(ctx)
	return s.PausedUntil, !s.PausedUntil.IsZero(), err
}

// Probation reports whether only one tick at a time is given out, as far as
// this replica knows; it asks nobody.
func (q *Queue) Probation() bool {
	s, _ := q.state.get()
	return s.Probation
}

// State asks the server how freely ticks are given out.
func (q *Queue) State(ctx context.Context) (State, error) {
	info, err := q.consumerInfo(ctx)
	if err != nil {
		q.suspectIfGone(err)
		return State{}, err
	}
	return q.learn(info), nil
}

// learn keeps what a consumer's state says about pauses.
func (q *Queue) learn(info *jetstream.ConsumerInfo) State {
	s := State{Probation: onProbation(info)}
	if info.Paused {
		s.PausedUntil = time.Now().Add(info.PauseRemaining)
	}
	if q.state.lost(info.Created) {
		// Made by a replica that knew of no pause: it is to be put back.
		q.suspect()
	} else {
		q.state.set(s, info.Created)
	}
	return s
}

// inherit puts a pause and a probation back that this replica knows of and that
// were lost with the consumer before.
func (q *Queue) inherit(ctx context.Context, info *jetstream.ConsumerInfo) error {
	if !q.state.lost(info.Created) {
		return nil
	}
	known, _ := q.state.get()
	q.log.Info("pause put back", "until", known.PausedUntil, "probation", known.Probation)
	if err := q.hold(ctx, info, known.PausedUntil); err != nil {
		return fmt.Errorf("put pause back: %w", err)
	}
	return nil
}

// suspectIfGone has the consumer looked for if an error says that it is gone.
func (q *Queue) suspectIfGone(err error) {
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) || errors.Is(err, jetstream.ErrStreamNotFound) {
		q.suspect()
	}
}

// Pause stops the giving out of ticks to any replica until the time given, by
// this machine's clock, and puts the queue on probation for afterwards. Ticks
// being worked are not interrupted. It prolongs a pause but never shortens one.
func (q *Queue) Pause(ctx context.Context, until time.Time) error {
	// Kept first: if NATS is just losing the consumer, the next gets the pause.
	q.state.expect(until)
	info, err := q.consumerInfo(ctx)
	if err == nil {
		err = q.hold(ctx, info, until)
	}
	if err != nil {
		q.suspectIfGone(err)
		return fmt.Errorf("pause ticks: %w", err)
	}
	return nil
}

// hold puts the consumer on probation, and pauses it if the time is yet to come.
func (q *Queue) hold(ctx context.Context, info *jetstream.ConsumerInfo, until time.Time) (err error) {
	created := info.Created
	// Probation first: who dies between the two leaves a queue that is slow, and
	// not one that lets everybody loose when the pause ends.
	if !onProbation(info) {
		if info, err = q.setPending(ctx, probationPending, probationMark()); err != nil {
			return err
		}
	}
	s := State{Probation: true}
	switch left := time.Until(until); {
	case info.Paused && info.PauseRemaining >= left:
		s.PausedUntil = time.Now().Add(info.PauseRemaining)
	case left > 0:
		resp, err := q.js.PauseConsumer(ctx, q.opt.Stream, durable, q.clock.server(until))
		if err != nil {
			return fmt.Errorf("pause consumer: %w", err)
		}
		s.PausedUntil = time.Now().Add(resp.PauseRemaining)
	}
	q.state.set(s, created)
	return nil
}

// Resume ends pause and probation at once.
func (q *Queue) Resume(ctx context.Context) error {
	if _, err := q.js.ResumeConsumer(ctx, q.opt.Stream, durable); err != nil {
		return fmt.Errorf("resume ticks: %w", err)
	}
	info, err := q.setPending(ctx, q.opt.MaxAckPending, nil)
	if err != nil {
		return fmt.Errorf("resume ticks: %w", err)
	}
	q.state.set(State{}, info.Created)
	return nil
}

// Proven ends the probation after a success: ticks are given out as usual. It
// does nothing during a pause, as the success is one of before. It costs nothing
// while this replica knows of no probation; Sync tells it of others'.
func (q *Queue) Proven(ctx context.Context) error {
	if s, _ := q.state.get(); !s.Probation {
		return nil
	}
	info, err := q.consumerInfo(ctx)
	if err != nil {
		return fmt.Errorf("end probation: %w", err)
	}
	if s := q.learn(info); !s.Probation || !s.PausedUntil.IsZero() {
		return nil
	}
	info, err = q.setPending(ctx, q.opt.MaxAckPending, nil)
	if err != nil {
		return fmt.Errorf("end probation: %w", err)
	}
	if info.Paused {
		// Another replica paused in this very moment: its probation stands.
		if info, err = q.setPending(ctx, probationPending, probationMark()); err != nil {
			return fmt.Errorf("end probation: %w", err)
		}
	}
	q.learn(info)
	return nil
}

// setPending changes how many ticks may be out. The server leaves a pause as it
// is when other settings are updated.
func (q *Queue) setPending(ctx context.Context, pending int, mark map[string]string) (*jetstream.ConsumerInfo, error) {
	cfg := q.consumerConfig()
	cfg.MaxAckPending = pending
	cfg.Metadata = mark
	c, err := q.js.UpdateConsumer(ctx, q.opt.Stream, cfg)
	if err != nil {
		q.suspectIfGone(err)
		return nil, fmt.Errorf("update consumer: %w", err)
	}
	return c.CachedInfo(), nil
}

// restored adds to a new consumer what this replica knows of the lost one.
func (q *Queue) restored(cfg jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	s, _ := q.state.get()
	if !s.PausedUntil.IsZero() {
		// By the server's clock, as known before it was lost: after its restart
		// on another machine the pause may end sooner or later, but it ends.
		until := q.clock.server(s.PausedUntil)
		cfg.PauseUntil = &until
	}
	if s.Probation {
		cfg.MaxAckPending = probationPending
		cfg.Metadata = probationMark()
	}
	return cfg
}
