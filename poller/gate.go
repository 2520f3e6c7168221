package poller

import (
	"context"
	"errors"
	"sync"
	"time"

	"restwatch/poller/cms"
)

// How long calls stop after the upstream refused the credentials. Repeated bad
// signatures lock the caller's address, so every further call does harm.
const (
	firstRefusedPause = time.Minute
	maxRefusedPause   = 15 * time.Minute
	lockedPause       = 10 * time.Minute
)

// leastPause is how long calls stop after a first refusal of this category.
func leastPause(c cms.Category) time.Duration {
	if c == cms.Refused {
		return firstRefusedPause
	}
	return lockedPause
}

// errPaused is returned for a call that the gate did not let through: calls are
// paused, or come to their end.
var errPaused = errors.New("calls are paused")

// gate lets calls through while the credentials are known to be good. Before
// the first result, and after a pause, it lets one call through as a probe and
// makes the others wait for its outcome; after a 401 or 403 it lets none through
// until the pause is over. All VDNs share it, as they share the credentials.
type gate struct {
	now func() time.Time

	mu      sync.Mutex
	proven  bool
	probe   *probe // the probe call on its way, or nil
	until   time.Time
	reason  *cms.Error
	refused int // 401s in a row
	closed  bool
}

type probe struct {
	done chan struct{}
	err  error // set before done is closed; nil if the credentials are good
}

// pass is a call that the gate let through; exactly one of its leave methods
// must be called.
type pass struct {
	gate  *gate
	probe *probe
}

// enter waits until a call may be made. It returns errPaused while calls are
// paused, and if the probe after a pause told nothing about the credentials, as
// they are as doubtful as before; the probe's own error if one at the start did
// (the upstream is out of reach, so this call need not be tried); and ctx's error.
func (g *gate) enter(ctx context.Context) (pass, error) {
	for {
		g.mu.Lock()
		switch {
		case g.closed || g.now().Before(g.until):
			g.mu.Unlock()
			return pass{}, errPaused
		case g.proven:
			g.mu.Unlock()
			return pass{gate: g}, nil
		case g.probe == nil:
			g.probe = &probe{done: make(chan struct{})}
			p := pass{gate: g, probe: g.probe}
			g.mu.Unlock()
			return p, nil
		}
		probe := g.probe
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return pass{}, ctx.Err()
		case <-probe.done:
			if probe.err != nil {
				return pass{}, probe.err
			}
		}
	}
}

// probing reports whether the call is to find out about the credentials, so
// that others wait for it.
func (p pass) probing() bool { return p.probe != nil }

// leave reports a call's outcome. It returns true if the call started a pause:
// everybody has to be told.
func (p pass) leave(err error) (pausing bool) {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	var e *cms.Error
	errors.As(err, &e)
	verdict := err // what the callers that wait for a probe are told
	if g.reason != nil {
		verdict = errPaused
	}
	switch {
	case e != nil && (e.Category == cms.Refused || e.Category == cms.Locked):
		// Calls that were under way together are refused together: one step.
		if pausing = !g.now().Before(g.until); pausing {
			g.pause(e)
		}
		verdict = errPaused
	case g.now().Before(g.until):
		// An answer to a call from before the pause says nothing about now.
	case err == nil || e != nil && e.Code != "":
		// Only who has taken the signature gives a result.
		g.proven, g.refused, g.reason = true, 0, nil
		verdict = nil
	case e != nil && answered(e):
		// What stands before CC-CMS, or this VDN's own trouble: the next call is
		// a probe, too.
		verdict = nil
	}
	if p.probe != nil {
		p.probe.err = verdict
		close(p.probe.done)
		g.probe = nil
	}
	return pausing
}

// pause starts a pause; the caller holds mu.
func (g *gate) pause(e *cms.Error) {
	wait := leastPause(e.Category)
	if e.Category == cms.Refused {
		wait = min(wait<<min(g.refused, 10), maxRefusedPause)
		g.refused++
	}
	g.proven, g.reason = false, e
	g.until = g.now().Add(wait)
}

// hold takes over a pause that another replica ran into, and reports whether it
// is news.
func (g *gate) hold(until time.Time, refused int, reason *cms.Error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A second more or less is the notes' way here.
	if !until.After(g.now()) || !until.After(g.until.Add(time.Second)) {
		return false
	}
	g.proven, g.until, g.reason, g.refused = false, until, reason, max(g.refused, refused)
	return true
}

// close lets no further call through.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// doubt makes the next call a probe: another replica was refused.
func (g *gate) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proven = false
}

// paused returns when the pause ends and why it began; zero when calls may be
// made.
func (g *gate) paused() (until time.Time, reason *cms.Error) {
	until, reason, _ = g.state()
	return until, reason
}

// state is paused, and how many 401s there were in a row.
func (g *gate) state() (until time.Time, reason *cms.Error, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.now().Before(g.until) {
		return time.Time{}, nil, g.refused
	}
	return g.until, g.reason, g.refused
}

// answered reports whether a failed call reached CC-CMS, or what stands before
// it, and was not refused there.
func answered(e *cms.Error) bool {
	switch e.Category {
	case cms.Timeout, cms.Network, cms.Canceled:
		return false
	}
	return true
}
