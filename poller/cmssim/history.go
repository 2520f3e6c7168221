package cmssim

import (
	"time"

	"restwatch/diff"
)

// Cause of a change.
type Cause string

// The causes. Asked and Forced begin a rest, Withdrawn, Refused, Ended and
// SignedOut end one.
const (
	Asked        Cause = "asked"
	Withdrawn    Cause = "withdrawn"
	Refused      Cause = "refused"
	Approved     Cause = "approved"     // by a supervisor
	AutoApproved Cause = "autoApproved" // by the platform, at the instant of the request
	Forced       Cause = "forced"       // rests without having asked
	Started      Cause = "started"
	Prolonged    Cause = "prolonged" // from resting to resting
	Ended        Cause = "ended"
	SignedOut    Cause = "signedOut"
)

// Change of an agent's stage: the truth that no list tells. Several changes of
// an agent may share an instant (asked, approved and started at once); no list
// falls between those.
type Change struct {
	At       time.Time // exact, a whole millisecond
	WorkNo   int
	From, To diff.State
	Cause    Cause
	// Begin is the beginTime listed for the stage entered, Left the one listed
	// for the stage left; 0 where that is none.
	Begin, Left diff.Time
	// Requested is the length in seconds from this change on; of a departure,
	// up to it.
	Requested int
	// Rest numbers the VDN's rests from 1: all changes of one share it.
	Rest int
}

// History returns the changes since Start in order of time, or as many of the
// last of them as Config.HistoryLimit keeps. What the list held at Start did
// not change since. The slice is the World's own: valid until Advance.
func (w *World) History() []Change { return w.history }

func (w *World) record(c Change) {
	limit := w.cfg.HistoryLimit
	if limit < 0 {
		return
	}
	if limit > 0 && len(w.history) >= 2*limit {
		w.history = append(w.history[:0], w.history[len(w.history)-limit:]...)
	}
	w.history = append(w.history, c)
}
