package reliability

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// cluster is three NATS servers, the streams on all of them, and two replicas.
// Its scenarios are of the long form: the short one has no time for elections.
type cluster struct {
	*fleet
	nodes []*node
	js    jetstream.JetStream
}

func startCluster(t *testing.T, vdns int, interval time.Duration, change ...func(*node)) *cluster {
	t.Helper()
	c := &cluster{nodes: startNATS(t, 3, change...)}
	c.fleet = &fleet{interval: interval, site: open(t, vdns, interval, urls(c.nodes), 0, "REPLICAS=3")}
	c.truthful = true
	c.meet(t)
	c.grow(t, 2)
	c.everywhere(t, "ok")
	return c
}

func urls(nodes []*node) string {
	list := make([]string, len(nodes))
	for i, nd := range nodes {
		list[i] = nd.url()
	}
	return strings.Join(list, ",")
}

// meet waits until the cluster has a leader.
func (c *cluster) meet(t *testing.T) {
	t.Helper()
	var err error
	if c.js, err = jetstream.New(c.nc); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a leader of the cluster", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.js.AccountInfo(ctx)
		return err == nil
	})
}

// peers is the stream's cluster as its leader sees it, nil if it does not say.
func (c *cluster) peers(t *testing.T) *jetstream.ClusterInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	st, err := c.js.Stream(ctx, "REST")
	if err != nil || st.CachedInfo().Cluster == nil || st.CachedInfo().Cluster.Leader == "" {
		return nil
	}
	return st.CachedInfo().Cluster
}

// leader is the node that leads the stream of events.
func (c *cluster) leader(t *testing.T) (n int) {
	t.Helper()
	eventually(t, "the leader's name", func() bool {
		p := c.peers(t)
		if p == nil {
			return false
		}
		for i, nd := range c.nodes {
			if nd.spec.Name == p.Leader {
				n = i
				return true
			}
		}
		return false
	})
	return n
}

// whole waits until all nodes have the whole stream.
func (c *cluster) whole(t *testing.T) {
	t.Helper()
	eventually(t, "all nodes' return", func() bool { return c.isWhole(t) })
}

func (c *cluster) isWhole(t *testing.T) bool {
	t.Helper()
	p := c.peers(t)
	return p != nil && len(p.Replicas) == len(c.nodes)-1 &&
		!slices.ContainsFunc(p.Replicas, func(r *jetstream.PeerInfo) bool { return !r.Current || r.Offline })
}

// again waits until there were two calls for each VDN, on the average, and
// returns how long that took.
func (f *fleet) again(t *testing.T) time.Duration {
	t.Helper()
	from, before := time.Now(), f.Calls()
	eventually(t, "polls again", func() bool { return f.Calls() > before+int64(2*len(f.truths)) })
	return time.Since(from)
}

// quiet waits for the end of the polls that are under way, and returns how many
// calls there were. Those who go on to poll make several in the time without one.
func (f *fleet) quiet(t *testing.T) (calls int64) {
	t.Helper()
	eventually(t, "an end of the calls", func() bool {
		calls = f.Calls()
		let(2 * f.interval)
		return f.Calls() == calls
	})
	return calls
}

// commits tells what became of the commits of the replicas that live, and how
// many heads were read as the answer to one was lost.
func (f *fleet) commits(t *testing.T) string {
	t.Helper()
	sum := func(name string) (n float64) {
		for _, p := range f.alive {
			n += p.metric(t, name)
		}
		return n
	}
	return fmt.Sprintf("%.0f commits, %.0f lost to another's, %.0f undecided, %.0f failed; %.0f heads read in doubt",
		sum(`restwatch_commits_total{outcome="committed"}`), sum(`restwatch_commits_total{outcome="conflict"}`),
		sum(`restwatch_commits_total{outcome="undecided"}`), sum(`restwatch_commits_total{outcome="failed"}`),
		sum(`restwatch_head_reloads_total{reason="doubt"}`))
}

// TestLeaderKilled kills the node that leads the stream, again and again.
func TestLeaderKilled(t *testing.T) {
	if !*long {
		return
	}
	c := startCluster(t, 40, 250*time.Millisecond)
	var slowest time.Duration
	kills := times(0, 50)
	seen := c.watched(t, 4, func() {
		for range kills {
			let(time.Second)
			n := c.leader(t)
			c.nodes[n].kill(t)
			slowest = max(slowest, c.again(t))
			c.nodes[n].start(t)
			c.whole(t)
		}
	})
	result(t, "3-node cluster, kill -9 of the stream's leader | %d kills | all VDNs polled twice again at most %v after; %v; %s | %v",
		kills, slowest.Round(time.Millisecond), seen, c.commits(t), c.check(t))
}

// TestNodeAway has one node stopped for a minute, and killed for one: in turn
// the one that leads the stream and one that follows.
func TestNodeAway(t *testing.T) {
	if !*long {
		return
	}
	c := startCluster(t, 20, 500*time.Millisecond)
	for _, how := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		var slowest time.Duration
		away := times(0, 4)
		seen := c.watched(t, 4, func() {
			for i := range away {
				n := (c.leader(t) + i%2) % 3
				from := time.Now()
				if how == syscall.SIGSTOP {
					c.splits++
				}
				c.nodes[n].signal(t, how)
				slowest = max(slowest, c.again(t))
				let(time.Minute - time.Since(from))
				if how == syscall.SIGSTOP {
					c.nodes[n].signal(t, syscall.SIGCONT)
				} else {
					<-c.nodes[n].ended
					c.nodes[n].start(t)
				}
				c.whole(t)
				c.again(t)
			}
		})
		result(t, "3-node cluster, %v of a node, for a minute | %d, in turn of the stream's leader and a follower | all VDNs polled twice again at most %v after; %v |",
			how, away, slowest.Round(time.Millisecond), seen)
	}
	result(t, "these together, read back | %s | %v", c.commits(t), c.check(t))
}

// TestLameDuck ends nodes in the way that an operator does.
func TestLameDuck(t *testing.T) {
	if !*long {
		return
	}
	c := startCluster(t, 20, 500*time.Millisecond)
	ducks := times(0, 9)
	seen := c.watched(t, 4, func() {
		for i := range ducks {
			n := c.leader(t)
			if i%3 == 2 {
				n = (n + 1) % 3
			}
			c.nodes[n].signal(t, syscall.SIGUSR2)
			if code := c.nodes[n].exit(t); code != 0 {
				t.Errorf("node %d: exit %d", n, code)
			}
			c.again(t)
			c.nodes[n].start(t)
			c.whole(t)
		}
	})
	result(t, "3-node cluster, lame-duck shutdown of a node | %d, two in three of the stream's leader | %v; %s | %v", ducks, seen, c.commits(t), c.check(t))
}

// TestAway has all of NATS gone for a minute: a single server, and a cluster,
// whose tick stream is lost by that.
func TestAway(t *testing.T) {
	if !*long {
		return
	}
	t.Run("single", func(t *testing.T) {
		nodes := startNATS(t, 1)
		f := &fleet{interval: 500 * time.Millisecond, site: open(t, 20, 500*time.Millisecond, nodes[0].url(), 0)}
		f.grow(t, 2)
		f.everywhere(t, "ok")
		gone(t, "NATS", f, nodes)
	})
	t.Run("cluster", func(t *testing.T) {
		c := startCluster(t, 20, 500*time.Millisecond)
		gone(t, "3-node cluster, all nodes", c.fleet, c.nodes)
	})
}

func gone(t *testing.T, what string, f *fleet, nodes []*node) {
	t.Helper()
	const away = time.Minute
	var slowest time.Duration
	var stray int64
	n := times(0, 2)
	for range n {
		for _, nd := range nodes {
			nd.kill(t)
		}
		from := time.Now()
		calls := f.quiet(t)
		for _, p := range f.alive {
			if p.ready(t) {
				t.Error("ready without NATS")
			}
		}
		let(away - time.Since(from))
		stray += f.Calls() - calls
		startAll(t, nodes)
		slowest = max(slowest, f.again(t))
		for _, p := range f.alive {
			eventually(t, "readiness", func() bool { return p.ready(t) })
		}
	}
	if stray > 0 {
		t.Errorf("%d calls while NATS was away", stray)
	}
	gaps, _ := f.gaps()
	result(t, "%s, kill -9 and gone for %v | %d | %d calls meanwhile; all VDNs polled twice again at most %v after; %d feeds told of a gap; %s | %v",
		what, away, n, stray, slowest.Round(time.Millisecond), gaps, f.commits(t), f.check(t))
}
