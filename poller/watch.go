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

// bus is the category of a poll that CC-CMS answered and NATS did not take.
const bus cms.Category = "bus"

// watch is what a replica knows of one VDN between two polls. None of it need
// survive: what must is in the VDN's snapshot. Times that durations are measured
// by are local and have a monotonic reading, so that no clock's step matters;
// those of the bus go into messages.
type watch struct {
	vdn      diff.VDN
	schedule phased // of the VDN's group

	// polling is held during a poll: one at a time.
	polling sync.Mutex
	// reply identifies the last reply that the head was compared with.
	reply      cms.Fingerprint
	replyHead  uint64    // the head's stream sequence then
	quietUntil diff.Time // until when the same reply again has no effect

	// telling is held while a feed message is made and sent, so that an older
	// one never comes after a newer one. Taken before mu.
	telling sync.Mutex

	mu       sync.Mutex
	feed     diff.Feed    // as last published, by whichever replica; zero Status before the first
	fed      time.Time    // when it was published
	last     diff.Time    // last poll of any outcome, by whichever replica
	order    diff.Order   // of its tick
	lastAt   time.Time    // the same by the local clock
	mine     bool         // by this one
	seen     observation  // the last good one
	goodAt   time.Time    // when that was, or when this replica began
	polled   bool         // polled well since the service started
	failures int          // failed polls in a row
	retryAt  time.Time    // before it the VDN is left out
	retry    cron.EntryID // of ticks of its own, 0: it is polled with its group
}

// observation is a good poll that left the head as it was, or made it.
type observation struct {
	at    diff.Time
	age   diff.Time // as diff.Options.Age has it
	order diff.Order
	head  uint64 // stream sequence
}

func newWatch(vdn diff.VDN, s phased) *watch {
	return &watch{vdn: vdn, schedule: s, feed: diff.Feed{CC: vdn.CC, VDN: vdn.ID}}
}

// recall begins with what is stored of the time before: the head, and the last
// feed message, which tells how long the head was known to hold.
func (w *watch) recall(now time.Time, head *diff.Snapshot, seq uint64, last *diff.Feed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goodAt = now
	f := &w.feed
	f.LastGoodPollAt, f.LastSequence, f.Revision = head.ShownAt(), head.LastSequence, head.Revision
	if last != nil && last.Revision == head.Revision && last.LastGoodPollAt > head.ObservedAt && !tooEarly(last) {
		f.LastGoodPollAt = last.LastGoodPollAt
		later := head.Order
		later.Seq++ // or more: feeds do not tell
		w.seen = observation{last.LastGoodPollAt, 0, later, seq}
	}
}

// tooEarly reports whether a feed message was sent before what its last good poll
// found was stored: the one of a recovery is.
func tooEarly(f *diff.Feed) bool {
	return f.Gap != nil || f.Status == diff.OK && f.LastGoodPollAt <= f.Since
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

// detectedBy says whether a good poll now, on the bus's clock at, continues the
// one that it is compared with or comes after a time that nobody saw. The head
// may be older than the last good poll that this replica knows of, as when
// what that one found could not be stored, or was and nobody was told.
func (w *watch) detectedBy(now time.Time, at diff.Time, head *diff.Snapshot) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := now.Add(-time.Duration(at-head.ObservedAt) * time.Millisecond)
	if !w.polled || w.failures >= resyncAfter || w.silent(now) || w.tooLong(seen, now) {
		return diff.Resync
	}
	return diff.Poll
}

// silent reports whether more than downAfter intervals have passed since the
// last good poll, or since the start if there was none. The caller holds mu.
func (w *watch) silent(now time.Time) bool { return w.tooLong(w.goodAt, now) }

// tooLong reports whether more than downAfter intervals lie between the two.
func (w *watch) tooLong(since, now time.Time) bool {
	end := w.schedule.After(since, downAfter)
	return !end.IsZero() && now.After(end)
}

// recovery returns the feed message that must precede the events of a good
// poll, and whether one is due: if the feed was not ok, or after a time that
// nobody saw.
func (w *watch) recovery(at, age diff.Time, detectedBy string, head *diff.Snapshot) (f diff.Feed, due bool) {
	at = max(at, head.ObservedAt+1)
	w.mu.Lock()
	defer w.mu.Unlock()
	f = w.feed
	f.ObservedAt, f.Error, f.Gap = at, nil, nil
	if f.Status != diff.OK {
		f.Status, f.Since, due = diff.OK, at, true
	}
	if last := max(f.LastGoodPollAt, head.ObservedAt); detectedBy == diff.Resync && last != 0 {
		// After the bus's clock was set back, its length is not known.
		f.Gap, due = &diff.Gap{From: min(last, at), To: at}, true
	}
	f.LastGoodPollAt = at - age
	f.LastSequence, f.Revision = head.LastSequence, head.Revision
	return f, due
}

// recovered notes that the message of a recovery is out.
func (w *watch) recovered(f diff.Feed, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.Status, w.feed.Since, w.feed.Error, w.feed.ObservedAt, w.fed = f.Status, f.Since, nil, f.ObservedAt, now
}

// good notes a good poll, once all that it found is stored.
func (w *watch) good(now time.Time, s *diff.Snapshot, head uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = observation{s.ObservedAt, s.Memory.Age, s.Order, head}
	w.feed.LastGoodPollAt, w.feed.LastSequence, w.feed.Revision = s.ShownAt(), s.LastSequence, s.Revision
	w.polled, w.last, w.lastAt, w.mine, w.goodAt = true, s.ObservedAt, now, true, now
	w.reached(s.Order)
	w.failures, w.retryAt = 0, time.Time{}
}

// reached notes the order of a poll that has ended. One that took long may end
// after the next, of another replica: the others know of that one, and would take
// a lesser order for old news. The caller holds mu.
func (w *watch) reached(order diff.Order) {
	if order.Compare(w.order) > 0 {
		w.order = order
	}
}

// failed notes a failed poll for a tick of that order, and returns the status
// that the feed has now, whether that is news, and how long to leave the VDN
// alone.
func (w *watch) failed(at diff.Time, order diff.Order, now time.Time, err *cms.Error) (status diff.Status, changed bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	w.last, w.lastAt, w.mine = at, now, true
	w.reached(order)
	if err.Category != bus {
		wait = backoff(w.failures, w.schedule.Interval(now), err)
	}
	w.retryAt = now.Add(wait)
	status = diff.Degraded
	if w.silent(now) {
		status = diff.Down
	}
	w.feed.Error = feedError(err)
	return status, w.turn(status, at), wait
}

// check finds whether the VDN has gone down while no poll ended, or else its
// status was not published for a heartbeat, which it notes as done. Who polled
// last publishes it; should that replica be gone, another one does after as long
// again.
func (w *watch) check(at diff.Time, now time.Time, heartbeat time.Duration) (down, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.ObservedAt = at
	if w.feed.Status != diff.Paused && w.feed.Status != diff.Down && w.silent(now) {
		if w.feed.Error == nil {
			w.feed.Error = &diff.FeedError{Category: string(cms.Timeout), Message: "no poll ended within three intervals"}
		}
		return w.turn(diff.Down, at), false
	}
	since := now.Sub(w.fed)
	if !w.mine {
		since -= heartbeat
	}
	// Who has only just polled lets the replica before finish what it began, but
	// not for ever: polls and checks may keep in step.
	handover := min(heartbeat/20, w.schedule.Interval(now)/4)
	if w.feed.Status == "" || since < heartbeat || since < heartbeat*5/4 && now.Sub(w.lastAt) < handover {
		return false, false
	}
	w.fed = now
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
	return true
}

// message is the feed message as of now.
func (w *watch) message() diff.Feed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.feed
}

// sent notes that a feed message is out.
func (w *watch) sent(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed = now
}

// settled reports whether a poll of the VDN has ended, well or not, since this
// replica began.
func (w *watch) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.polled || w.failures > 0
}

func feedError(err *cms.Error) *diff.FeedError {
	return &diff.FeedError{Category: string(err.Category), Code: err.Code, Message: err.Message}
}
