package poller

import (
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"restwatch/diff"
	"restwatch/poller/cms"
)

// downAfter is how many intervals without a good poll make a feed "down", and
// the next good poll a "resync"; resyncAfter, how many failures in a row do.
const (
	downAfter   = 3
	resyncAfter = 3
)

// watch is what a replica knows of one VDN between two polls. None of it need
// survive: what must is in the VDN's snapshot.
type watch struct {
	vdn      diff.VDN
	schedule phased // of the VDN's group

	// polling is held during a poll: one at a time.
	polling sync.Mutex
	// reply identifies the last reply that the head was compared with.
	reply      cms.Fingerprint
	replyHead  uint64    // the head's stream sequence then
	quietUntil diff.Time // until when the same reply again has no effect

	mu       sync.Mutex
	feed     diff.Feed    // as last published; zero Status before the first
	fed      diff.Time    // when it was published, by whichever replica
	started  diff.Time    // when this replica began to watch
	polled   bool         // polled well since the service started
	last     diff.Time    // last poll of any outcome, by whichever replica
	mine     bool         // by this one
	seen     observation  // the last good one
	failures int          // failed polls in a row
	retryAt  time.Time    // before it the VDN is left out
	retry    cron.EntryID // of ticks of its own, 0: it is polled with its group
}

// observation is a good poll that left the head as it was, or made it.
type observation struct {
	at    diff.Time
	order diff.Order
	head  uint64 // stream sequence
}

func newWatch(vdn diff.VDN, s phased) *watch {
	return &watch{vdn: vdn, schedule: s, feed: diff.Feed{CC: vdn.CC, VDN: vdn.ID}}
}

// alone reports whether the VDN has left its group: it failed, and is polled by
// ticks of its own until it is well, so that it cannot hold up its neighbours.
func (w *watch) alone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.retry != 0
}

// due reports whether the VDN's back-off is over.
func (w *watch) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !now.Before(w.retryAt)
}

// detectedBy says whether a good poll at this time continues the last one or
// comes after a time that nobody saw.
func (w *watch) detectedBy(at diff.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.polled || w.failures >= resyncAfter || w.silent(at) {
		return diff.Resync
	}
	return diff.Poll
}

// silent reports whether more than downAfter intervals have passed since the
// last good poll, or since the start if there was none. The caller holds mu.
func (w *watch) silent(at diff.Time) bool {
	last := max(w.feed.LastGoodPollAt, w.started)
	end := w.schedule.After(last.Time(), downAfter)
	return !end.IsZero() && at > diff.TimeOf(end)
}

// good notes a good poll before its changes are committed, and reports whether
// a feed message must precede them.
func (w *watch) good(at diff.Time, detectedBy string, head *diff.Snapshot) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &w.feed
	last := max(f.LastGoodPollAt, head.ObservedAt)
	f.Gap, f.Error = nil, nil
	changed = w.turn(diff.OK, at)
	if detectedBy == diff.Resync && last != 0 {
		f.Gap = &diff.Gap{From: last, To: at}
		changed = true
	}
	f.LastGoodPollAt = at
	f.LastSequence, f.Revision = head.LastSequence, head.Revision
	w.polled, w.last, w.mine = true, at, true
	w.failures, w.retryAt = 0, time.Time{}
	w.feed.ObservedAt = at
	return changed
}

// compared notes the head that the last good poll left.
func (w *watch) compared(s *diff.Snapshot, head uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = observation{s.ObservedAt, s.Order, head}
	w.feed.LastSequence, w.feed.Revision = s.LastSequence, s.Revision
}

// failed notes a failed poll, and returns the status that the feed has now,
// whether that is news, and how long to leave the VDN alone.
func (w *watch) failed(at diff.Time, now time.Time, err *cms.Error) (status diff.Status, changed bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	w.last, w.mine = at, true
	wait = backoff(w.failures, w.schedule.Interval(now), err)
	w.retryAt = now.Add(wait)
	status = diff.Degraded
	if w.silent(at) {
		status = diff.Down
	}
	w.feed.Error = feedError(err)
	return status, w.turn(status, at), wait
}

// check finds whether the VDN has gone down while no poll ended, or else its
// status was not published for a heartbeat, which it notes as done. Who polled
// last publishes it; should that replica be gone, another one does after as long
// again.
func (w *watch) check(at diff.Time, heartbeat time.Duration) (down, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.ObservedAt = at
	if w.feed.Status != diff.Paused && w.feed.Status != diff.Down && w.silent(at) {
		if w.feed.Error == nil {
			w.feed.Error = &diff.FeedError{Category: string(cms.Timeout), Message: "no poll ended within three intervals"}
		}
		return w.turn(diff.Down, at), false
	}
	// Who has only just polled lets the replica before finish what it began.
	if at.Sub(w.last) < min(heartbeat/20, w.schedule.Interval(at.Time())/4) {
		return false, false
	}
	if !w.mine {
		heartbeat *= 2
	}
	if w.feed.Status == "" || at.Sub(w.fed) < heartbeat {
		return false, false
	}
	w.fed = at
	return false, true
}

// paused and stopping force a status that has nothing to do with this VDN's own
// polls.
func (w *watch) paused(at diff.Time, err *cms.Error) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.Error = feedError(err)
	return w.turn(diff.Paused, at)
}

func (w *watch) stopping(at diff.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.Error = nil
	w.turn(diff.Stopping, at)
}

// turn changes the status; the caller holds mu.
func (w *watch) turn(to diff.Status, at diff.Time) (changed bool) {
	w.feed.ObservedAt = at
	if w.feed.Status == to {
		return false
	}
	w.feed.Status, w.feed.Since = to, at
	if to != diff.OK {
		w.feed.Gap = nil
	}
	return true
}

// message is the feed message as of now.
func (w *watch) message() diff.Feed {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.feed
	f.Interval = w.schedule.Interval(f.ObservedAt.Time()).Seconds()
	return f
}

// sent notes that a feed message is out, so that its gap is not told twice.
func (w *watch) sent(at diff.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed, w.feed.Gap = at, nil
}

func feedError(err *cms.Error) *diff.FeedError {
	return &diff.FeedError{Category: string(err.Category), Code: err.Code, Message: err.Message}
}
