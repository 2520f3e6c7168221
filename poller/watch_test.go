package poller

import (
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/peers"
)

// timeline is a VDN polled every 5 s, and its time in seconds: by the bus's
// clock, and by ours.
type timeline struct {
	*watch
	bus   diff.Time
	local time.Time
}

func newTimeline() timeline {
	t := timeline{
		watch: newWatch(diff.VDN{CC: 1, ID: 170}, phased{Schedule: Schedule{Every: 5 * time.Second}}),
		bus:   1_700_000_000_000, local: time.Now(),
	}
	t.recall(t.local, &diff.Snapshot{}, 0, nil)
	return t
}

func (t timeline) at(s int) diff.Time  { return t.bus.Add(time.Duration(s) * time.Second) }
func (t timeline) now(s int) time.Time { return t.local.Add(time.Duration(s) * time.Second) }

// by is how a good poll at s would say that its changes were found, if the head
// is as new as the last good poll.
func (t timeline) by(s int) string {
	return t.detectedBy(t.now(s), t.at(s), &diff.Snapshot{ObservedAt: t.seen.at})
}

// poll is a good poll whose messages are all stored.
func (t timeline) poll(s int) (f diff.Feed, told bool) {
	f, told = t.recovery(t.at(s), 0, t.by(s), &diff.Snapshot{})
	if told {
		t.recovered(f, t.now(s))
	}
	t.good(t.now(s), &diff.Snapshot{ObservedAt: t.at(s)}, 1)
	return f, told
}

var unavailable = &cms.Error{Category: cms.HTTP, Message: "503"}

func TestFeedStatus(t *testing.T) {
	w := newTimeline()
	if f, told := w.poll(0); f.Status != diff.OK || !told || f.Gap != nil {
		t.Fatalf("first good poll: got %+v, told %v", f, told)
	}
	if _, told := w.poll(5); told {
		t.Fatal("second good poll told something")
	}
	if got := w.by(10); got != diff.Poll {
		t.Fatalf("detected by: got %s, want poll", got)
	}

	_, changed, _ := w.failed(w.at(10), diff.Order{}, w.now(10), unavailable)
	if f := w.message(); f.Status != diff.Degraded || !changed || f.Error.Category != "http" {
		t.Fatalf("first failure: got %+v, changed %v", f, changed)
	}
	if status, changed, _ := w.failed(w.at(15), diff.Order{}, w.now(15), unavailable); status != diff.Degraded || changed {
		t.Fatalf("second failure: got %s, changed %v", status, changed)
	}
	if down, _ := w.check(w.at(20), w.now(20), time.Minute); down {
		t.Fatal("three intervals after the last good poll: down")
	}
	changed, _ = w.check(w.at(21), w.now(21), time.Minute)
	if f := w.message(); f.Status != diff.Down || !changed || f.Since != w.at(21) || f.LastGoodPollAt != w.at(5) {
		t.Fatalf("more than three intervals: got %+v, changed %v", f, changed)
	}
	w.failed(w.at(25), diff.Order{}, w.now(25), unavailable)

	if by := w.by(30); by != diff.Resync {
		t.Fatalf("recovery detected by: got %s, want resync", by)
	}
	f, told := w.poll(30)
	if f.Status != diff.OK || !told || f.Gap == nil || *f.Gap != (diff.Gap{From: w.at(5), To: w.at(30)}) || f.Error != nil {
		t.Fatalf("recovery: got %+v, told %v", f, told)
	}
	_, due := w.check(w.at(41), w.now(41), 10*time.Second)
	if f := w.message(); !due || f.Gap != nil || f.Status != diff.OK {
		t.Fatalf("heartbeat: got %+v, due %v", f, due)
	}
}

// Until its events are stored, a poll is not a good one: the next that is must
// still tell of the gap.
func TestRecoveryHoldsOnlyOnceStored(t *testing.T) {
	w := newTimeline()
	w.poll(0)
	for _, s := range []int{5, 10, 15} {
		w.failed(w.at(s), diff.Order{}, w.now(s), unavailable)
	}
	f, _ := w.recovery(w.at(20), 0, w.by(20), &diff.Snapshot{})
	w.recovered(f, w.now(20))
	if status, changed, wait := w.failed(w.at(20), diff.Order{}, w.now(20), &cms.Error{Category: bus, Message: "disk full"}); status == diff.OK || !changed || wait != 0 {
		t.Errorf("not stored: got %s, changed %v, wait %v", status, changed, wait)
	}
	if f, told := w.poll(25); !told || f.Gap == nil || f.Gap.From != w.at(0) {
		t.Errorf("stored: got %+v, told %v; want the gap since the last poll that was", f, told)
	}
}

func TestRestartTellsItsGap(t *testing.T) {
	w := newTimeline()
	head := &diff.Snapshot{Revision: 7, LastSequence: 30, ObservedAt: w.at(-3600), Order: diff.Order{Epoch: 1, Seq: 40}}
	for _, c := range []struct {
		last *diff.Feed
		from diff.Time
	}{
		{nil, w.at(-3600)},
		{&diff.Feed{Revision: 6, LastGoodPollAt: w.at(-20)}, w.at(-3600)}, // of another head
		{&diff.Feed{Revision: 7, LastGoodPollAt: w.at(-10)}, w.at(-10)},
		{&diff.Feed{Revision: 7, Status: diff.OK, Since: w.at(-90), LastGoodPollAt: w.at(-10)}, w.at(-10)},
		// The service was killed before it stored what this poll found.
		{&diff.Feed{Revision: 7, Status: diff.OK, Since: w.at(-10), LastGoodPollAt: w.at(-12)}, w.at(-3600)},
		{&diff.Feed{Revision: 7, Status: diff.OK, Since: w.at(-90), LastGoodPollAt: w.at(-10), Gap: &diff.Gap{From: w.at(-80), To: w.at(-10)}}, w.at(-3600)},
	} {
		w := newTimeline()
		w.recall(w.local, head, 5, c.last)
		f, told := w.recovery(w.at(0), 0, w.by(0), head)
		if !told || f.Gap == nil || f.Gap.From != c.from || f.Revision != 7 || f.LastSequence != 30 {
			t.Errorf("last feed %+v: got %+v, want a gap from %s", c.last, f, c.from)
		}
		if got := w.uptodate(*head, 5); got.ObservedAt != c.from {
			t.Errorf("last feed %+v: the head holds until %s, want %s", c.last, got.ObservedAt, c.from)
		}
	}
}

// A slow reply may show what was so when it was asked for: so much is known of
// the head, here, by other replicas and after a restart.
func TestSlowReplyIsOlder(t *testing.T) {
	w := newTimeline()
	slow := &diff.Snapshot{Revision: 7, ObservedAt: w.at(10), Memory: diff.Memory{Age: 3000}}
	w.good(w.now(10), slow, 5)
	other := newTimeline()
	if !other.heard(w.note(w.now(11)), other.now(11)) {
		t.Fatal("not heard")
	}
	for _, w := range []timeline{w, other} {
		old := diff.Snapshot{Revision: 7, ObservedAt: w.at(0)}
		if got := w.uptodate(old, 5); got.ObservedAt != w.at(10) || got.ShownAt() != w.at(7) {
			t.Errorf("the head is of %s, and shows %s", got.ObservedAt, got.ShownAt())
		}
		feed := w.message()
		if feed.LastGoodPollAt != w.at(7) {
			t.Errorf("last good poll at %s", feed.LastGoodPollAt)
		}
		again := newTimeline()
		again.recall(again.local, &old, 5, &diff.Feed{Revision: 7, LastGoodPollAt: feed.LastGoodPollAt})
		if got := again.uptodate(old, 5); got.ShownAt() != w.at(7) {
			t.Errorf("after a restart the head shows %s", got.ShownAt())
		}
	}
	if f, _ := w.recovery(w.at(20), 4000, diff.Resync, slow); f.LastGoodPollAt != w.at(16) || f.Gap.From != w.at(10) || f.Gap.To != w.at(20) {
		t.Errorf("got %+v with the gap %+v", f, f.Gap)
	}
}

// Whatever phase the checks have to the polls, a heartbeat comes.
func TestHeartbeatComesInEveryPhase(t *testing.T) {
	const heartbeat = 10 * time.Second
	for phase := range 20 {
		w := newTimeline()
		w.schedule.Every = time.Second
		w.poll(0)
		beats := 0
		for s := 1; s <= 60; s++ {
			w.poll(s)
			at := time.Duration(phase) * 50 * time.Millisecond
			if down, due := w.check(w.at(s).Add(at), w.now(s).Add(at), heartbeat); due {
				beats++
			} else if down {
				t.Fatalf("phase %v: down", at)
			}
		}
		if beats < 4 {
			t.Errorf("phase %d: %d heartbeats in a minute, want about 5", phase, beats)
		}
	}
}

// What another replica watches is neither a gap nor silence here.
func TestOthersPollsCount(t *testing.T) {
	w := newTimeline()
	w.poll(0)
	other := newTimeline()
	other.poll(0)
	other.good(w.now(60), &diff.Snapshot{ObservedAt: w.at(60)}, 1)
	if !w.heard(other.note(w.now(61)), w.now(61)) {
		t.Fatal("not heard")
	}
	if down, _ := w.check(w.at(62), w.now(62), time.Minute); down || w.by(65) != diff.Poll {
		t.Error("another replica's polls were taken for silence")
	}
	if w.heard(peers.Poll{At: w.at(30)}, w.now(62)) {
		t.Error("an older poll was taken for news")
	}
}

// After the bus's clock was set back by an hour, what is news is told by the order
// of the ticks, and the last good poll is of the time that it now is.
func TestOthersPollsCountAfterTheClockWasSetBack(t *testing.T) {
	w, other := newTimeline(), newTimeline()
	tick := func(seq uint64) diff.Order { return diff.Order{Epoch: 1, Seq: seq} }
	w.good(w.now(0), &diff.Snapshot{ObservedAt: w.at(0), Order: tick(1)}, 1)
	other.good(w.now(5), &diff.Snapshot{ObservedAt: w.at(5), Order: tick(2)}, 1)
	late := other.note(w.now(5))
	if !w.heard(late, w.now(5)) || w.heard(late, w.now(6)) {
		t.Error("a poll is news, and is so once")
	}
	const hour = 3600
	other.good(w.now(60), &diff.Snapshot{ObservedAt: w.at(60 - hour), Order: tick(3)}, 1)
	if !w.heard(other.note(w.now(60)), w.now(60)) {
		t.Error("a poll by a clock that was set back was not taken for news")
	}
	if down, _ := w.check(w.at(62-hour), w.now(62), time.Minute); down || w.feed.LastGoodPollAt != w.at(60-hour) {
		t.Errorf("down: %t, last good poll at %s", down, w.feed.LastGoodPollAt)
	}
	if w.heard(late, w.now(63)) {
		t.Error("a note that was long on its way was taken for news")
	}
	other.failed(w.at(65-hour), tick(4), w.now(65), unavailable)
	if !w.heard(other.note(w.now(65)), w.now(65)) || w.failures != 1 {
		t.Error("a failed poll was not taken for news")
	}
}

// A poll that ends after a later one of another replica is news to that one all
// the same: the two would else tell subscribers different things.
func TestAPollThatTookLongIsNews(t *testing.T) {
	tick := func(seq uint64) diff.Order { return diff.Order{Epoch: 1, Seq: seq} }
	a, b := newTimeline(), newTimeline()
	b.good(b.now(6), &diff.Snapshot{ObservedAt: b.at(6), Order: tick(2)}, 1)
	a.heard(b.note(b.now(6)), a.now(6))
	a.failed(a.at(9), tick(1), a.now(9), unavailable)
	if !b.heard(a.note(a.now(9)), b.now(9)) || b.failures != 1 {
		t.Error("a slow failure was taken for old news")
	}
	b.failed(b.at(11), tick(3), b.now(11), unavailable)
	a.heard(b.note(b.now(11)), a.now(11))
	a.good(a.now(14), &diff.Snapshot{ObservedAt: a.at(14), Order: tick(2)}, 1)
	if !b.heard(a.note(a.now(14)), b.now(14)) || b.failures != 0 {
		t.Error("a slow success was taken for old news")
	}
}

// A head that is older than what was polled since is not continued by the next
// poll: nobody compared with it what happened in between.
func TestOldHeadIsResync(t *testing.T) {
	w := newTimeline()
	for s := 0; s <= 60; s += 5 {
		w.poll(s)
	}
	for _, c := range []struct {
		head int
		want string
	}{{60, diff.Poll}, {55, diff.Poll}, {20, diff.Resync}} {
		if got := w.detectedBy(w.now(65), w.at(65), &diff.Snapshot{ObservedAt: w.at(c.head)}); got != c.want {
			t.Errorf("head of second %d, poll at 65: got %s, want %s", c.head, got, c.want)
		}
	}
}
