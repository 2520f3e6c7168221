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
}

func (s *state) set(now State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

func (s *state) get() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.now.PausedUntil.After(time.Now()) {
		s.now.PausedUntil = time.Time{}
	}
	return s.now
}

// Paused returns until when no replica is given ticks, by this machine's clock;
// paused is false if they are. It asks the server.
func (q *Queue) Paused(ctx context.Context) (until time.Time, paused bool, err error) {
	s, err := q.State(ctx)
	return s.PausedUntil, !s.PausedUntil.IsZero(), err
}

// State asks the server how freely ticks are given out.
func (q *Queue) State(ctx context.Context) (State, error) {
	info, err := q.consumerInfo(ctx)
	if err != nil {
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
	q.state.set(s)
	return s
}

// Pause stops the giving out of ticks to any replica until the time given, by
// this machine's clock, and puts the queue on probation for afterwards. Ticks
// being worked are not interrupted. It prolongs a pause but never shortens one.
func (q *Queue) Pause(ctx context.Context, until time.Time) error {
	// Kept first: if NATS is just losing the consumer, the new one is made with it.
	if s := q.state.get(); until.After(s.PausedUntil) {
		q.state.set(State{PausedUntil: until, Probation: true})
	}
	info, err := q.consumerInfo(ctx)
	if err != nil {
		return fmt.Errorf("pause ticks: %w", err)
	}
	// Probation first: who dies between the two leaves a queue that is slow, and
	// not one that lets everybody loose when the pause ends.
	if !onProbation(info) {
		if info, err = q.setPending(ctx, probationPending, probationMark()); err != nil {
			return fmt.Errorf("pause ticks: %w", err)
		}
	}
	if info.Paused && info.PauseRemaining >= time.Until(until) {
		q.learn(info)
		return nil
	}
	resp, err := q.js.PauseConsumer(ctx, q.opt.Stream, durable, q.clock.server(until))
	if err != nil {
		return fmt.Errorf("pause ticks: %w", err)
	}
	q.state.set(State{PausedUntil: time.Now().Add(resp.PauseRemaining), Probation: true})
	return nil
}

// Resume ends pause and probation at once.
func (q *Queue) Resume(ctx context.Context) error {
	if _, err := q.js.ResumeConsumer(ctx, q.opt.Stream, durable); err != nil {
		return fmt.Errorf("resume ticks: %w", err)
	}
	if _, err := q.setPending(ctx, q.opt.MaxAckPending, nil); err != nil {
		return fmt.Errorf("resume ticks: %w", err)
	}
	q.state.set(State{})
	return nil
}

// Proven ends the probation after a success: ticks are given out as usual. It
// does nothing during a pause, as the success is one of before. It costs nothing
// while this replica knows of no probation; Sync tells it of others'.
func (q *Queue) Proven(ctx context.Context) error {
	if !q.state.get().Probation {
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
		if errors.Is(err, jetstream.ErrConsumerDoesNotExist) || errors.Is(err, jetstream.ErrStreamNotFound) {
			q.suspect()
		}
		return nil, fmt.Errorf("update consumer: %w", err)
	}
	return c.CachedInfo(), nil
}

// restored adds to a new consumer what this replica knows of the lost one.
func (q *Queue) restored(cfg jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	s := q.state.get()
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
