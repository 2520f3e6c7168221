package poller

import (
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
)

func TestFeedStatus(t *testing.T) {
	const start = diff.Time(1_700_000_000_000)
	at := func(s int) diff.Time { return start.Add(time.Duration(s) * time.Second) }
	down := &cms.Error{Category: cms.HTTP, Message: "503"}

	w := newWatch(diff.VDN{CC: 1, ID: 170}, phased{Schedule: Schedule{Every: 5 * time.Second}})
	w.started = start
	head := &diff.Snapshot{}
	now := time.Now()

	changed := w.good(at(0), w.detectedBy(at(0)), head)
	if f := w.message(); f.Status != diff.OK || !changed || f.Gap != nil || f.Interval != 5 {
		t.Fatalf("first good poll: got %+v, changed %v", f, changed)
	}
	w.sent(at(0))
	if w.good(at(5), w.detectedBy(at(5)), head) {
		t.Fatal("second good poll changed the status")
	}
	if got := w.detectedBy(at(10)); got != diff.Poll {
		t.Fatalf("detected by: got %s, want poll", got)
	}

	_, changed, _ = w.failed(at(10), now, down)
	if f := w.message(); f.Status != diff.Degraded || !changed || f.Error.Category != "http" {
		t.Fatalf("first failure: got %+v, changed %v", f, changed)
	}
	if status, changed, _ := w.failed(at(15), now, down); status != diff.Degraded || changed {
		t.Fatalf("second failure: got %s, changed %v", status, changed)
	}
	if down, _ := w.check(at(20), time.Minute); down {
		t.Fatalf("three intervals after the last good poll: down")
	}
	changed, _ = w.check(at(21), time.Minute)
	if f := w.message(); f.Status != diff.Down || !changed || f.Since != at(21) || f.LastGoodPollAt != at(5) {
		t.Fatalf("more than three intervals: got %+v, changed %v", f, changed)
	}
	w.failed(at(25), now, down)

	by := w.detectedBy(at(30))
	if by != diff.Resync {
		t.Fatalf("recovery detected by: got %s, want resync", by)
	}
	changed = w.good(at(30), by, head)
	if f := w.message(); f.Status != diff.OK || !changed || f.Gap == nil || *f.Gap != (diff.Gap{From: at(5), To: at(30)}) || f.Error != nil {
		t.Fatalf("recovery: got %+v, changed %v", f, changed)
	}
	w.sent(at(30))
	_, silent := w.check(at(40), 10*time.Second)
	if f := w.message(); !silent || f.Gap != nil || f.Status != diff.OK {
		t.Fatalf("heartbeat: got %+v, silent %v", f, silent)
	}
}

func TestRestartTellsItsGap(t *testing.T) {
	const now = diff.Time(1_700_000_000_000)
	w := newWatch(diff.VDN{CC: 1, ID: 170}, phased{Schedule: Schedule{Every: 5 * time.Second}})
	w.started = now
	head := &diff.Snapshot{Revision: 7, LastSequence: 30, ObservedAt: now - 60_000}
	changed := w.good(now, w.detectedBy(now), head)
	if f := w.message(); !changed || f.Gap == nil || f.Gap.From != now-60_000 || f.Revision != 7 || f.LastSequence != 30 {
		t.Fatalf("got %+v, changed %v", f, changed)
	}
}
