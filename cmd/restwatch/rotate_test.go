package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// replace puts a file in the place of another, as tools do that write secrets.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// CC-CMS comes back from an outage with another secret key and a certificate of
// another authority. Both are files here, and are replaced: the service goes on
// without a restart.
func TestUpstreamSecretsAreRotated(t *testing.T) {
	t.Parallel()
	const newKey = "staple-battery-horse-correct"
	address := closedAddress(t)
	u := startUpstreamAt(t, address, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	file := filepath.Join(t.TempDir(), "secret-key")
	replace(t, file, secretKey+"\n")
	s := startService(t, u.settings(t, "CMS_SECRET_KEY=", "CMS_SECRET_KEY_FILE="+file))
	mark := s.polled(vdn170)
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	_, mark = s.bus.await(t, mark, "feed degraded", isFailing(vdn170))
	// A file that is missing for a while is no reason to send anything else.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	again, err := cmssim.Start(cmssim.Options{Addr: address, AccessKey: accessKey, SecretKey: newKey, Tenants: byHand(vdn170)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	next := nextRoster(first)
	again.SetList(vdn170, next.rows, next.counts)
	s.bus.awaitFor(t, patience+longestBackoff, mark, "a refused certificate", func(m *busMessage) bool {
		return m.feed != nil && m.feed.Error != nil && strings.Contains(m.feed.Error.Message, "RESTWATCH_CMS_CA_FILE")
	})
	replace(t, file, newKey+"\n")
	s.log.line(t, "secret was replaced") // until then, calls of the same second have the old key
	replace(t, u.caFile, string(again.CACert()))
	_, end := s.bus.awaitFor(t, patience+longestBackoff, mark, "the changes", isSnapshot(vdn170, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	checkChanges(t, eventsOf(s.bus.all()[mark:end], vdn170), diff.Certain, diff.Poll, diff.Resync)
	if n := again.BadSignatures(); n != 0 {
		t.Errorf("%d calls with the old key", n)
	}
	s.stop()
	if strings.Contains(s.log.String(), newKey) {
		t.Error("the log tells the new key")
	}
}

// The NATS server takes another password from now on and drops the connection.
// Once it is in the file, the service is back, and tells the gap.
func TestNATSPasswordIsRotated(t *testing.T) {
	t.Parallel()
	const newPassword = "correct-staple-horse-battery"
	dir := t.TempDir()
	nats := startNATS(t, dir, natsPassword, server.RANDOM_PORT)
	file := filepath.Join(t.TempDir(), "password")
	replace(t, file, natsPassword+"\n")
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	url := func(password string) string {
		return strings.Replace(nats.ClientURL(), "://", "://service:"+password+"@", 1)
	}
	var bus *listener
	s := launch(t, u.settings(t, "NATS_URL="+nats.ClientURL(), "NATS_USER=service", "NATS_PASSWORD_FILE="+file),
		func(*service) { bus = listen(t, url(natsPassword)) })
	bus.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	if err := nats.ReloadOptions(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "service", Password: newPassword}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reason for not being ready", func() bool {
		_, page := s.fetch("/readyz")
		return strings.Contains(page, "NATS") && strings.Contains(page, "Authorization Violation")
	})
	u.show(vdn170, nextRoster(first))
	replace(t, file, newPassword+"\n")
	again := listenStored(t, url(newPassword))
	_, mark := again.await(t, 0, "feed ok with the gap", func(m *busMessage) bool {
		return m.feed != nil && m.feed.Status == diff.OK && m.feed.Gap != nil
	})
	_, end := again.await(t, mark, "the changes", isSnapshot(vdn170, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	checkChanges(t, eventsOf(again.all()[:end], vdn170), diff.Certain, diff.Poll, diff.Resync)
	s.stop()
	for _, secret := range []string{natsPassword, newPassword} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log tells a password")
		}
	}
}
