package reliability

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPartition cuts off a replica, a node of the cluster, and the two together,
// for a short time and for one in which their connections are given up. All of
// them go on running, and reach CC-CMS.
func TestPartition(t *testing.T) {
	if !*long || !inNetwork(t) {
		return
	}
	c := startApart(t, 500*time.Millisecond)
	for _, kind := range []string{"a replica", "a node", "a replica with one node"} {
		var slowest, healed time.Duration
		cuts := times(0, 6)
		seen := c.watched(t, 4, func() {
			for i := range cuts {
				var off []string
				if strings.Contains(kind, "replica") {
					off = append(off, machines[3+i%2])
				}
				if strings.Contains(kind, "node") {
					off = append(off, machines[(c.leader(t)+i%3)%3]) // the leader, and others
				}
				for i := range c.alive {
					c.works(t, i)
				}
				c.splits++
				bridge(t, island, off...)
				from := time.Now()
				slowest = max(slowest, c.again(t))
				let([]time.Duration{12 * time.Second, 75 * time.Second}[i%2] - time.Since(from))
				bridge(t, mainBridge, off...)
				from = time.Now()
				c.whole(t)
				c.again(t)
				for i := range c.alive {
					c.works(t, i)
				}
				healed = max(healed, time.Since(from))
			}
		})
		result(t, "network partition, %s cut off | %d, in turn for 12 s and 75 s | all VDNs polled twice again at most %v after; all at work again at most %v after it was healed; %v |",
			kind, cuts, slowest.Round(time.Millisecond), healed.Round(time.Millisecond), seen)
	}
	result(t, "these together, read back | %s | %v", c.commits(t), c.check(t))
}

// works waits until a replica has ended a poll.
func (f *fleet) works(t *testing.T, i int) {
	t.Helper()
	const polls = "restwatch_poll_duration_seconds_count"
	before := f.alive[i].metric(t, polls)
	eventually(t, "a poll of each replica", func() bool { return f.alive[i].metric(t, polls) > before })
}

// startApart is startCluster in a network: each node and replica on a machine of
// its own, whose links a scenario can change before.
func startApart(t *testing.T, interval time.Duration) *cluster {
	t.Helper()
	name := os.Getenv(insideOf)
	c := &cluster{}
	for i := range 3 {
		c.nodes = append(c.nodes, &node{namespace: name + "-" + machines[i], spec: natsSpec{
			Name: machines[i], Dir: t.TempDir(), Host: natsAddress(i), Port: 4222, ClusterPort: 6222,
		}})
	}
	startAll(t, c.nodes)
	c.fleet = &fleet{interval: interval, site: openAt(t, cmsAddress, 20, interval, urls(c.nodes), 0, "REPLICAS=3")}
	c.truthful = true
	c.meet(t)
	for i := 3; i < len(machines); i++ {
		p := c.serveApart(t, i)
		p.await(t, "snapshots loaded")
		c.alive = append(c.alive, p)
	}
	c.everywhere(t, "ok")
	return c
}

// serveApart starts a replica on a machine.
func (c *cluster) serveApart(t *testing.T, machine int) *process {
	t.Helper()
	env := append(slices.Clone(c.env), "RESTWATCH_HTTP_ADDR="+serviceAddress(machine)+":8080")
	return spawnIn(t, os.Getenv(insideOf)+"-"+machines[machine], env, binary, "serve")
}
