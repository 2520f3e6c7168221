package reliability

import (
	"testing"
	"time"

	"restwatch/diff"
)

// TestLoss has the links of the replicas to NATS, those to CC-CMS, and all links,
// those between the nodes of the cluster too, lose frames, and hold up the others
// so that they overtake one another. In the middle of it a replica is killed, and
// started as often as it takes.
func TestLoss(t *testing.T) {
	if !*long {
		return
	}
	const late, jitter = 50 * time.Millisecond, 40 * time.Millisecond
	for _, links := range []struct {
		to       string
		bridges  []string
		machines []int
		wears    []wear
	}{
		{"NATS", []string{mainBridge}, []int{3, 4}, []wear{{0.05, late, jitter}, {0.20, late, jitter}}},
		{"CC-CMS", []string{cmsBridge}, []int{3, 4}, []wear{{0.05, late, jitter}, {0.20, late, jitter}}},
		// What nodes tell one another crosses two of them.
		{"all", []string{mainBridge, cmsBridge}, []int{0, 1, 2, 3, 4}, []wear{{0.01, late / 10, jitter / 10}, {0.05, late, jitter}}},
	} {
		t.Run(links.to, func(t *testing.T) {
			if !inNetwork(t) {
				return
			}
			var all cables
			for _, b := range links.bridges {
				for _, m := range links.machines {
					all = append(all, newCable(t, m, b))
				}
			}
			lossy(t, links.to, all, links.wears)
		})
	}
}

func lossy(t *testing.T, to string, links cables, wears []wear) {
	t.Helper()
	c := startApart(t, time.Second)
	half := time.Duration(*scale * float64(30*time.Second))
	for _, w := range wears {
		carried, lost := links.frames()
		gaps, downs := first(c.gaps()), c.downs()
		var starts int
		began := "not in that time"
		seen := c.watched(t, 0, func() {
			links.put(w)
			let(half)
			c.alive[1].kill(t)
			killed := time.Now()
			for end := killed.Add(half); time.Now().Before(end); let(10 * time.Millisecond) {
				starts += c.supervise(t, 1)
				if began[0] == 'n' && c.alive[1].line("msg=replicas") != "" {
					began = "after " + time.Since(killed).Round(time.Millisecond).String()
				}
			}
		})
		carriedNow, lostNow := links.frames()
		result(t, "links to %s: %v | %v, one kill -9 of a replica in it | %d of %d frames lost; %v; the replica was back %s, with %d starts; %d feeds told of a gap, %d were down, %d not ok at the end |",
			to, w, 2*half, lostNow-lost, carriedNow-carried+lostNow-lost, seen, began, starts, first(c.gaps())-gaps, c.downs()-downs, len(c.truths)-c.told(diff.OK))
	}
	links.put(wear{})
	from := time.Now()
	eventually(t, "all replicas at work", func() bool {
		c.supervise(t, 1)
		return c.alive[1].line("msg=replicas") != ""
	})
	c.whole(t)
	c.everywhere(t, diff.OK)
	for _, p := range c.alive {
		eventually(t, "readiness", func() bool { return p.ready(t) })
	}
	well := time.Since(from)
	result(t, "links to %s, well again | all nodes whole, feeds ok and replicas ready after %v; %s | %v", to, well.Round(time.Millisecond), c.commits(t), c.check(t))
	for _, p := range c.alive {
		p.complain(t)
	}
}

// cables are some that wear alike.
type cables []*cable

func (all cables) put(w wear) {
	for _, c := range all {
		c.wear.Store(&w)
	}
}

func (all cables) frames() (carried, lost int64) {
	for _, c := range all {
		carried, lost = carried+c.carried.Load(), lost+c.lost.Load()
	}
	return carried, lost
}

// supervise starts a replica in the place of one that has ended, as one does that
// cannot get at its streams. It returns how many it started.
func (c *cluster) supervise(t *testing.T, replica int) int {
	t.Helper()
	if !c.alive[replica].gone() {
		return 0
	}
	c.alive[replica] = c.serveApart(t, len(c.nodes)+replica)
	return 1
}
