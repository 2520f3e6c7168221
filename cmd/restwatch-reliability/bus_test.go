package reliability

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
)

// TestNATSCrashes kills the NATS server under two replicas, and keeps it away
// for a while now and then.
func TestNATSCrashes(t *testing.T) {
	begin(t)
	const interval = 250 * time.Millisecond
	nats := startNATS(t, 1)[0]
	f := &fleet{interval: interval, site: open(t, 5, interval, nats.url(), 0)}
	f.truthful = true
	rng := rand.New(rand.NewPCG(*seed, 3))
	f.grow(t, 2)
	f.everywhere(t, diff.OK)
	kills := times(3, 20)
	var slowest, away time.Duration
	stray := int64(0)
	for i := range kills {
		let(time.Duration(rng.Int64N(int64(time.Second))))
		nats.kill(t)
		if i%3 == 0 {
			calls := f.quiet(t)
			d := either(time.Second, 4*time.Second)
			let(d)
			away += d
			stray += f.Calls() - calls
		}
		nats.start(t)
		up := time.Now()
		again := f.Calls()
		eventually(t, "polls again", func() bool { return f.Calls() > again+int64(2*len(f.truths)) })
		slowest = max(slowest, time.Since(up))
	}
	for i, p := range f.alive {
		if p.gone() {
			t.Errorf("replica %d has ended:\n%s", i, p.log())
		}
	}
	found := f.check(t)
	result(t, "NATS, kill -9 | %d kills, away for %v in all | %d calls while it was away; all VDNs polled twice again at most %v after it was up | %v",
		kills, away, stray, slowest.Round(time.Millisecond), found)
	if stray > 0 {
		t.Errorf("%d calls while NATS was away", stray)
	}
}

// TestStreamDeleted deletes the stream of events under a running service: it
// must say so, and never make a new one by itself, whose numbers would begin
// at 1 again.
func TestStreamDeleted(t *testing.T) {
	begin(t)
	const interval = 250 * time.Millisecond
	s := open(t, 3, interval, startNATS(t, 1)[0].url(), 0)
	p := s.serve(t)
	s.atWork(t, p)
	s.everywhere(t, diff.OK)
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := js.DeleteStream(ctx, "REST"); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	said := p.await(t, "stream not found")
	after := time.Since(deleted).Round(100 * time.Millisecond)
	eventually(t, "unreadiness", func() bool { return !p.ready(t) })
	let(either(time.Second, 15*time.Second))
	if _, err := js.Stream(ctx, "REST"); err == nil {
		t.Error("the stream was made anew")
	}
	ended := "goes on running"
	if p.gone() {
		ended = "ended"
	}
	result(t, "stream deleted under the service | 1 | the service %s, is not ready, and says after %v: %s", ended, after, strings.TrimSpace(said))
}
