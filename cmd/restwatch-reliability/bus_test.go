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
			// Polls under way may end; then nobody calls.
			let(500 * time.Millisecond)
			calls := f.Calls()
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

// TestCluster kills the nodes of a NATS cluster in turn under two replicas,
// streams on three nodes.
func TestCluster(t *testing.T) {
	if !*long {
		return // the short form has no time for elections
	}
	const interval = 500 * time.Millisecond
	nodes := startNATS(t, 3)
	urls := nodes[0].url() + "," + nodes[1].url() + "," + nodes[2].url()
	f := &fleet{interval: interval, site: open(t, 10, interval, urls, 0, "REPLICAS=3")}
	eventually(t, "a leader", func() bool {
		js, err := jetstream.New(f.nc)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = js.AccountInfo(ctx)
		return err == nil
	})
	f.grow(t, 2)
	f.everywhere(t, diff.OK)
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	leaders := 0
	var slowest time.Duration
	kills := times(0, 10)
	for i := range kills {
		let(time.Second)
		n := i % 3
		leader := ""
		eventually(t, "the leader's name", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			st, err := js.Stream(ctx, "REST")
			if err != nil || st.CachedInfo().Cluster == nil {
				return false
			}
			leader = st.CachedInfo().Cluster.Leader
			return leader != ""
		})
		if i%3 != 2 { // mostly the leader
			for k, nd := range nodes {
				if nd.spec.Name == leader {
					n = k
				}
			}
		}
		if nodes[n].spec.Name == leader {
			leaders++
		}
		nodes[n].kill(t)
		down := time.Now()
		before := f.Calls()
		eventually(t, "polls without the node", func() bool { return f.Calls() > before+int64(2*len(f.truths)) })
		slowest = max(slowest, time.Since(down))
		nodes[n].start(t)
		eventually(t, "the node's return", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			st, err := js.Stream(ctx, "REST")
			if err != nil || st.CachedInfo().Cluster == nil || len(st.CachedInfo().Cluster.Replicas) != 2 {
				return false
			}
			for _, r := range st.CachedInfo().Cluster.Replicas {
				if !r.Current || r.Offline {
					return false
				}
			}
			return true
		})
	}
	result(t, "3-node cluster, kill -9 of a node | %d kills, %d of the stream's leader | all VDNs polled twice again at most %v after | %v",
		kills, leaders, slowest.Round(time.Millisecond), f.check(t))
}
