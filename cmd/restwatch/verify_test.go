package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher"
)

// What others have stored among restwatch's messages is named, whatever stands
// before and behind it, and how far the audit is can be seen.
func TestVerifyStrays(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, "", "", server.RANDOM_PORT)
	nc, err := publisher.Connect(t.Context(), publisher.ConnectOptions{URLs: nats.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	bus, err := publisher.Open(t.Context(), nc, publisher.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var progressed bytes.Buffer
	audit := func() (string, error) {
		var out bytes.Buffer
		progressed.Reset()
		err := verify(t.Context(), bus.Reader(), &out, progress{to: &progressed})
		return out.String(), err
	}
	baseline := diff.Compare(nil, &diff.Observation{VDN: vdn170, At: 1_700_000_000_000, DetectedBy: diff.Poll}, diff.Options{})
	if _, err := bus.Commit(t.Context(), 0, nil, baseline); err != nil {
		t.Fatal(err)
	}
	if out, err := audit(); err != nil || out != "ok: 0 events, 1 snapshots, 0 feed messages; 0 events stored twice\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if want := "restwatch verify: 1 messages read, 0 to go\n"; progressed.String() != want {
		t.Errorf("got %q, want %q", &progressed, want)
	}
	for _, subject := range []string{"x", "event.1.170", "x", "snapshot.1.170.started", "feed"} {
		if _, err := js.Publish(t.Context(), "ingest.rest.v1."+subject, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	want := "5 messages are stored on subjects that are none of restwatch's: " +
		"rest.v1.x (2), rest.v1.event.1.170 (1), rest.v1.snapshot.1.170.started (1), rest.v1.feed (1); all others are as they should be"
	if out, err := audit(); err == nil || err.Error() != want || out != "" {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	code, _, errOut := execute(t, t.Context(), nil, "", "verify", "--nats", nats.ClientURL())
	if code != exitFailure || !strings.Contains(errOut, want) {
		t.Errorf("exit %d: %s", code, errOut)
	}
	for i := range 20 {
		if _, err := js.Publish(t.Context(), "ingest.rest.v1."+strings.Repeat("a", i+1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := audit(); err == nil || !strings.Contains(err.Error(), "others (14)") {
		t.Errorf("got %v, want that only some are named", err)
	}
}
