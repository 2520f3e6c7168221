package main

import (
	"net/http"
	"strings"
	"testing"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// Not ready before every VDN was polled; alive all the time.
func TestReadiness(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170, vdn171)...)
	_, release := u.holdUp(t, func(c cmssim.Call) bool { return c.VDN == vdn171 })
	s := startService(t, u.settings(t))
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"/healthz":  {http.StatusOK, "ok"},
		"/readyz":   {http.StatusServiceUnavailable, "of 2 VDNs not polled yet"},
		"/nonsense": {http.StatusNotFound, ""},
	} {
		if status, page := s.fetch(path); status != want.status || !strings.Contains(page, want.says) {
			t.Errorf("%s before the first poll: %d %q, want %d %q", path, status, page, want.status, want.says)
		}
	}
	release()
	s.polled(vdn170, vdn171)
	eventually(t, "readiness", func() bool {
		status, page := s.fetch("/readyz")
		return status == http.StatusOK && strings.TrimSpace(page) == "ready"
	})
	for path, want := range map[string]string{"/": "text/html", "/metrics": "text/plain"} {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.http + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
		if res.Header.Get("Content-Security-Policy") == "" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
	}
}

// A VDN that cannot be polled does not keep the service from being ready.
func TestReadyWithFailingVDN(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170, vdn171)...)
	u.setFaults(t, "vdn=1:171,code=0101003")
	s := startService(t, u.settings(t))
	s.polled(vdn170)
	s.bus.await(t, 0, "feed degraded", isFailing(vdn171))
	eventually(t, "readiness", func() bool {
		status, _ := s.fetch("/readyz")
		return status == http.StatusOK
	})
}

// What an operator needs: is it polling, how do the calls end, which VDN is
// stale, what is published, does the disk keep up, has somebody locked us out.
func TestMetrics(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170, vdn171)...)
	first := firstRoster()
	u.show(vdn170, first)
	u.setFaults(t, "vdn=1:171,status=503")
	s := startService(t, u.settings(t))
	mark := s.polled(vdn170)
	u.show(vdn170, nextRoster(first))
	s.bus.await(t, mark, "the changes", isSnapshot(vdn170, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	s.bus.await(t, 0, "feed down", isFeed(vdn171, diff.Down))
	eventually(t, "three commits", func() bool {
		n, _ := s.metric(`restwatch_commits_total{outcome="committed"}`)
		return n >= 2
	})
	_, page := s.fetch("/metrics")
	for _, name := range []string{
		`restwatch_polls_total{outcome="changed"}`, `restwatch_polls_total{outcome="http"}`,
		`restwatch_poll_duration_seconds_count`,
		`restwatch_feed_status{cc="1",status="ok",vdn="170"}`, `restwatch_feed_status{cc="1",status="down",vdn="171"}`,
		`restwatch_last_good_poll_timestamp_seconds{cc="1",vdn="170"}`,
		`restwatch_cms_calls_total{category="http"}`, `restwatch_cms_call_duration_seconds_count`,
		`restwatch_events_total{certainty="certain",kind="started"}`, `restwatch_events_total{certainty="certain",kind="ended"}`,
		`restwatch_commit_duration_seconds_count`, `restwatch_ticks_worked_total`,
		`go_goroutines`, `process_resident_memory_bytes`,
	} {
		if n, found := s.metric(name); !found || n <= 0 {
			t.Errorf("metric %s is %v (%t)", name, n, found)
		}
	}
	for _, name := range []string{`restwatch_paused_until_timestamp_seconds`, `restwatch_last_good_poll_timestamp_seconds{cc="1",vdn="171"}`} {
		if n, found := s.metric(name); !found || n != 0 {
			t.Errorf("metric %s is %v (%t), want 0", name, n, found)
		}
	}
	// Agents are never labels, and neither are messages.
	for _, bad := range []string{`"101"`, "Agent 1", "Service Unavailable"} {
		if strings.Contains(page, bad) {
			t.Errorf("/metrics holds %s", bad)
		}
	}
	if status, _ := s.metric(`restwatch_feed_status{cc="1",status="ok",vdn="171"}`); status != 0 {
		t.Errorf("a feed that is down is ok as well")
	}
}

// Without an address there is no HTTP.
func TestNoHTTP(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	s := startService(t, u.settings(t, "HTTP_ADDR=none"))
	s.polled(vdn170)
	if s.http != "" || strings.Contains(s.log.String(), "http://") {
		t.Errorf("HTTP at %q", s.http)
	}
}
