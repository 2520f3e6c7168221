package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher"
)

// Somebody else's message, or one of a newer version, in the place of a VDN's
// snapshot stops this VDN, by name, and no other. It is not overwritten, also
// not by a start, and verify names it. Once it is removed all goes on where it
// was.
func TestForeignSnapshot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data func(*diff.Snapshot) []byte
		says string
	}{
		"foreign": {func(*diff.Snapshot) []byte { return []byte("\x00{") }, publisher.ErrForeign.Error()},
		"newer": {func(s *diff.Snapshot) []byte {
			later := *s
			later.Memory.Format++
			return publisher.EncodeSnapshot(nil, &later, "p")
		}, publisher.ErrNewer.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats := startNATS(t, "", "", server.RANDOM_PORT)
			u := startUpstream(t, byHand(vdn170, vdn171)...)
			first := firstRoster()
			u.show(vdn170, first)
			u.show(vdn171, first)
			env := u.settings(t, "NATS_URL="+nats.ClientURL())
			s := launch(t, env, nil)
			bus := listenStored(t, nats.ClientURL())
			isBaseline := func(*diff.Snapshot) bool { return true }
			baseline, _ := bus.await(t, 0, "the baseline", isSnapshot(vdn170, isBaseline))
			bus.await(t, 0, "the baseline", isSnapshot(vdn171, isBaseline))
			js, err := jetstream.New(bus.nc)
			if err != nil {
				t.Fatal(err)
			}
			ack, err := js.Publish(t.Context(), "ingest.rest.v1.snapshot.1.170", c.data(baseline.snapshot))
			if err != nil {
				t.Fatal(err)
			}
			message := fmt.Sprintf("message %d on", ack.Sequence)
			s.log.line(t, message, "rest.v1.snapshot.1.170", c.says)
			bus.await(t, 0, "feed degraded", func(m *busMessage) bool {
				return isFailing(vdn170)(m) && m.feed.Error != nil && m.feed.Error.Category == "bus"
			})

			s.stop()
			again := launch(t, env, nil)
			again.log.line(t, message, "rest.v1.snapshot.1.170", c.says)
			u.show(vdn170, nextRoster(first))
			u.show(vdn171, nextRoster(first))
			changed := func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }
			bus.await(t, 0, "the neighbour's changes", isSnapshot(vdn171, changed))
			stream, err := js.Stream(t.Context(), "REST")
			if err != nil {
				t.Fatal(err)
			}
			if m, err := stream.GetLastMsgForSubject(t.Context(), "rest.v1.snapshot.1.170"); err != nil || m.Sequence != ack.Sequence {
				t.Errorf("message %d was overwritten: %+v, %v", ack.Sequence, m, err)
			}
			code, out, errOut := execute(t, t.Context(), nil, "", "verify", "--nats", nats.ClientURL())
			if code != exitFailure || !strings.Contains(errOut, message) {
				t.Errorf("verify: exit %d\n%s%s", code, out, errOut)
			}
			if err := stream.DeleteMsg(t.Context(), ack.Sequence); err != nil {
				t.Fatal(err)
			}
			bus.awaitFor(t, patience+longestBackoff, 0, "the changes", isSnapshot(vdn170, changed))
		})
	}
}

// What is no message of ours on the subjects of ticks, replicas and the stream
// is told where it matters and stops nobody.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, "", "", server.RANDOM_PORT)
	u := startUpstream(t, byHand(vdn170)...)
	first := firstRoster()
	u.show(vdn170, first)
	s := launch(t, u.settings(t, "NATS_URL="+nats.ClientURL()), nil)
	bus := listenStored(t, nats.ClientURL())
	bus.await(t, 0, "the baseline", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	junk := [][]byte{nil, []byte("{"), []byte("\xff\x00"), []byte(strings.Repeat("[", 100_000)), []byte(`{"at":1e400}`)}
	for _, subject := range []string{"tick.rest.v1.g0", "tick.rest.v1.s0-1-170", "peer.rest.v1.polled", "peer.rest.v1.hello", "peer.rest.v1.x",
		"svc.rest.v1.snapshot.1.170", "svc.rest.v1.snapshot.x.y.z", "rest.v1.snapshot.1.170", "rest.v1.x"} {
		for _, data := range junk {
			if err := bus.nc.Publish(subject, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	js, err := jetstream.New(bus.nc)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), "ingest.rest.v1.event.1.170.started.101", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	u.show(vdn170, nextRoster(first))
	bus.await(t, 0, "the changes", isSnapshot(vdn170, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	code, out, errOut := execute(t, t.Context(), nil, "", "verify", "--nats", nats.ClientURL())
	if code != exitFailure || !strings.Contains(errOut, fmt.Sprintf("message %d on", ack.Sequence)) {
		t.Errorf("verify: exit %d\n%s%s", code, out, errOut)
	}
	s.stop()
	if strings.Contains(s.log.String(), "panic") {
		t.Errorf("it panicked:\n%s", s.log)
	}
}
