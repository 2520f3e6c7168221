package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// A service that never had a good poll says so, and heals.
func TestFaultFromTheStart(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	u.show(vdn170, firstRoster())
	u.setFaults(t, "status=503")
	s := startService(t, u.settings(t))
	m, mark := s.bus.await(t, 0, "feed degraded", isFailing(vdn170))
	if m.feed.LastGoodPollAt != 0 || m.feed.Revision != 0 || m.feed.Error == nil {
		t.Errorf("feed: %s", m.data)
	}
	_, mark = s.bus.await(t, mark, "feed down", isFeed(vdn170, diff.Down))
	u.setFaults(t, "")
	ok, mark := s.bus.awaitFor(t, patience+longestBackoff, mark, "feed ok", isFeed(vdn170, diff.OK))
	if ok.feed.Gap != nil {
		t.Errorf("a gap since never: %s", ok.data)
	}
	snapshot, _ := s.bus.await(t, mark, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	if !snapshot.snapshot.Baseline || snapshot.snapshot.Revision != 1 {
		t.Errorf("the first snapshot is no baseline: %s", snapshot.data)
	}
	if events := eventsOf(s.bus.all(), diff.VDN{}); len(events) > 0 {
		t.Errorf("the baseline has events: %+v", events)
	}
}

// Credentials that are refused from the start cost one call, however many VDNs
// there are.
func TestRefusedFromTheStart(t *testing.T) {
	t.Parallel()
	var vdns []diff.VDN
	for i := range 12 {
		vdns = append(vdns, diff.VDN{CC: 1, ID: 170 + i})
	}
	u := startUpstream(t, byHand(vdns...)...)
	s := startService(t, u.settings(t, "CMS_SECRET_KEY="+secretKey+"-wrong"))
	for _, v := range vdns {
		_, mark := s.bus.await(t, 0, "feed paused", isFeed(v, diff.Paused))
		s.bus.await(t, mark, "its heartbeat", isFeed(v, diff.Paused))
	}
	if n := u.BadSignatures(); n != 1 {
		t.Errorf("%d calls with a bad signature, want 1", n)
	}
	if status, page := s.fetch("/readyz"); status != http.StatusOK || !strings.Contains(page, "refused") {
		t.Errorf("/readyz says %d %s", status, page)
	}
}

// A poll that was under way when calls were stopped, and ends well, does not
// make anybody believe that its VDN is watched.
func TestPauseOvertakesPoll(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170, vdn171)...)
	s := startService(t, u.settings(t))
	mark := s.polled(vdn170, vdn171)
	asked, release := u.holdUp(t, func(c cmssim.Call) bool { return c.VDN == vdn170 })
	<-asked
	u.setFaults(t, "vdn=1:171,unauthorized")
	for _, v := range []diff.VDN{vdn170, vdn171} {
		s.bus.await(t, mark, "feed paused", isFeed(v, diff.Paused))
	}
	mark = s.bus.mark()
	polls := func() float64 {
		ended, _ := s.metric("restwatch_poll_duration_seconds_count")
		given, _ := s.metric(`restwatch_polls_total{outcome="paused"}`) // up, as it wanted one more call
		return ended + given
	}
	n := polls()
	release()
	eventually(t, "the end of the poll", func() bool { return polls() > n })
	for range 2 {
		_, mark = s.bus.await(t, mark, "a heartbeat", isFeed(vdn170, diff.Paused))
	}
	if n, _ := s.metric(`restwatch_feed_status{cc="1",status="paused",vdn="170"}`); n != 1 {
		t.Errorf("no metric tells that the feed is paused")
	}
}

// An outage that strikes half of all calls is no reason to lose or make up
// anything, nor to stop calling.
func TestFlickeringUpstream(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	l := firstRoster()
	u.show(vdn170, l)
	u.setFaults(t, "status=503:0.3,reset=0.2")
	s := startService(t, u.settings(t))
	mark := s.polled(vdn170)
	for i := range 5 {
		l.rows = slices.Clone(l.rows)
		l.rows[0].Requested = 4000 + i
		u.show(vdn170, l)
		m, next := s.bus.await(t, mark, fmt.Sprint("update ", i), func(m *busMessage) bool { return m.event != nil })
		if m.event.Kind != diff.KindUpdated || m.event.WorkNo != 101 || m.event.RequestedSeconds != 4000+i {
			t.Fatalf("got %s of %d: %s", m.event.Kind, m.event.WorkNo, m.data)
		}
		mark = next
	}
}
