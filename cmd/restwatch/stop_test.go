package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"restwatch/diff"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
	"restwatch/publisher/embedded"
)

// A signal ends a service in order: exit code 0, and its last word on every
// VDN is that nobody watches any more.
func TestSignalStopsInOrder(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, byHand(vdn170, vdn171)...)
			store := filepath.Join(t.TempDir(), "store")
			c := spawn(t, u.settings(t, "STORE_DIR="+store, "LOG_LEVEL=info"), "serve")
			c.atWork(t)
			c.signal(t, signal)
			if code := c.exit(t); code != exitOK || c.out.String() != "" {
				t.Errorf("exit %d, wrote %q; said:\n%s", code, c.out, c.errOut)
			}
			for v, f := range storedFeeds(t, store) {
				if f.Status != diff.Stopping || f.LastGoodPollAt == 0 || f.Revision != 1 || f.Error != nil || f.Gap != nil {
					t.Errorf("the last feed of VDN %v is %+v", v, f)
				}
			}
		})
	}
}

// storedFeeds are the last feed messages in a store that nobody uses.
func storedFeeds(t *testing.T, store string) map[diff.VDN]*diff.Feed {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: store, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	r, err := publisher.NewReader(connectListener(t, server.URL()).nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[diff.VDN]*diff.Feed{}
	for m, err := range r.Messages(t.Context(), publisher.Query{Feeds: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Feed != nil {
			feeds[diff.VDN{CC: m.Feed.CC, ID: m.Feed.VDN}] = m.Feed
		}
	}
	if len(feeds) != 2 {
		t.Errorf("feeds of %d VDNs are stored, want 2", len(feeds))
	}
	return feeds
}

// A poll that is under way when the service is stopped ends, and what it found
// is published before the last word.
func TestStopWaitsForPolls(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	s := startService(t, u.settings(t))
	mark := s.polled(vdn170)
	u.show(vdn170, nextRoster(first))
	asked, release := u.holdUp(t, func(cmssim.Call) bool { return true })
	<-asked
	s.cancel()
	release()
	s.stop()
	_, end := s.bus.await(t, mark, "feed stopping", isFeed(vdn170, diff.Stopping))
	checkChanges(t, eventsOf(s.bus.all()[mark:end], vdn170), diff.Certain, diff.Poll, diff.Resync)
	if end != s.bus.mark() {
		t.Errorf("more came after the last word:\n%s", briefly(s.bus.all()[end:]))
	}
}

// A restart takes up where the service stopped: the gap is told, changes that
// fell into it are found, after the last poll that was made, and no number is used
// twice.
func TestRestart(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	env := u.settings(t)
	s := startService(t, env)
	baseline, mark := s.bus.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	s.bus.await(t, mark, "the heartbeat of a later poll", func(m *busMessage) bool {
		return m.feed != nil && m.feed.LastGoodPollAt > baseline.snapshot.ObservedAt
	})
	s.stop()
	stopped := s.bus.all()[s.bus.mark()-1]
	u.show(vdn170, nextRoster(first))
	s = startService(t, env)
	s.bus.knows = map[diff.VDN]*diff.Snapshot{vdn170: baseline.snapshot}
	ok, mark := s.bus.await(t, 0, "feed ok", isFeed(vdn170, diff.OK))
	if g := ok.feed.Gap; g == nil || g.From != stopped.feed.LastGoodPollAt || g.To <= stopped.feed.Since {
		t.Errorf("the gap since %v is told as %s", stopped.feed.LastGoodPollAt, ok.data)
	}
	snapshot, end := s.bus.await(t, mark, "the snapshot after the restart", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	if s := snapshot.snapshot; s.Revision != 2 || s.Baseline || s.LastSequence != 3 {
		t.Errorf("snapshot after the restart: revision %d, sequence %d", s.Revision, s.LastSequence)
	}
	events := eventsOf(s.bus.all()[:end], vdn170)
	checkChanges(t, events, diff.Certain, diff.Resync)
	for _, e := range events {
		if e.PreviousObservedAt != ok.feed.Gap.From {
			t.Errorf("%s: the last good poll was at %v, not %v", e.ID(), ok.feed.Gap.From, e.PreviousObservedAt)
		}
	}
}

// A signal during the start is obeyed too.
func TestSignalDuringTheStart(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	// A server that takes the connection and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan net.Conn, 1)
	go func() {
		defer close(taken)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken <- c
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for c := range taken {
			c.Close()
		}
	})
	c := spawn(t, u.settings(t, "NATS_URL=nats://"+l.Addr().String(), "LOG_LEVEL=info"), "serve")
	conn := <-taken
	defer conn.Close()
	c.signal(t, syscall.SIGTERM)
	if code := c.exit(t); code != exitOK {
		t.Errorf("exit %d:\n%s", code, c.errOut)
	}
	if said := c.errOut.lines(); slices.ContainsFunc(said, func(l string) bool { return strings.HasPrefix(l, "restwatch: ") }) {
		t.Errorf("an error is said: %q", said)
	}
}

// The snapshot service answers with the stored message, byte for byte.
func TestSnapshotService(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	u.show(vdn170, firstRoster())
	s := startService(t, u.settings(t))
	m, _ := s.bus.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := s.bus.nc.RequestWithContext(ctx, "svc.rest.v1.snapshot.1.170", nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(answer.Data) != string(m.data) || answer.Header.Get("Content-Type") != publisher.ContentType {
		t.Errorf("answered\n%s, published was\n%s", answer.Data, m.data)
	}
	for subject, code := range map[string]string{"svc.rest.v1.snapshot.1.171": "404", "svc.rest.v1.snapshot.1.x": "400"} {
		answer, err := s.bus.nc.RequestWithContext(ctx, subject, nil)
		if err != nil || answer.Header.Get("Nats-Service-Error-Code") != code {
			t.Errorf("%s: %v, %+v; want error %s", subject, err, answer, code)
		}
	}
	// Readers cannot make the service say what it did not.
	for _, subject := range []string{"rest.v1.event.1.170.ended.101", "ingest.rest.v1.event.1.170.ended.101"} {
		mark := s.bus.mark()
		if err := s.bus.nc.Publish(subject, []byte(`{"forged":true}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.bus.nc.FlushWithContext(ctx); err != nil {
			t.Fatal(err)
		}
		s.bus.await(t, mark, "a heartbeat after the forgery", func(m *busMessage) bool { return m.feed != nil })
		if err := s.bus.nc.LastError(); err == nil || !strings.Contains(err.Error(), "Permissions Violation") {
			t.Errorf("publishing to %s: %v", subject, err)
		}
	}
}
