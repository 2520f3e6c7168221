package main

import (
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
)

var (
	crashes   = flag.Int("crashes", 20, "how often the service is killed")
	crashSeed = flag.Uint64("crash-seed", 1, "chooses the moments at which it is killed")
)

// TestCrashes kills a service with -9 again and again, at start-up and at work,
// and then finds nothing lost, doubled or torn in what it stored.
func TestCrashes(t *testing.T) {
	t.Parallel()
	world := func(id int, grain time.Duration) cmssim.Config {
		return cmssim.Config{VDN: diff.VDN{CC: 1, ID: id}, Agents: 150, Seed: 3, Speed: worldSpeed, Grain: grain}
	}
	u := startUpstream(t, cmssim.Tenant{World: world(170, time.Millisecond)}, cmssim.Tenant{World: world(171, time.Second)})
	truths := map[diff.VDN]*lives{}
	for _, v := range u.VDNs() {
		truths[v] = begun(u, v)
	}
	env := u.settings(t, "SCHEDULE=@every 100ms", "HTTP_ADDR=none", "LOG_LEVEL=info")

	c := spawn(t, env, "serve")
	usual := c.atWork(t)
	bases := map[diff.VDN]diff.Snapshot{}
	for v := range truths {
		bases[v] = c.lastSnapshot(t, v, func(*diff.Snapshot) bool { return true })
	}
	rng := rand.New(rand.NewPCG(*crashSeed, 0))
	early := 0
	for i := range *crashes {
		// Every other moment lies before the first poll has ended.
		moment := time.Duration(rng.Float64() * float64(usual))
		if i%2 == 1 {
			moment = usual + time.Duration(rng.Float64()*float64(800*time.Millisecond))
		}
		life := time.NewTimer(time.Until(c.started.Add(moment)))
		select {
		case <-life.C:
		case <-c.ended:
			t.Fatalf("the service ended by itself:\n%s", c.errOut)
		}
		c.kill(t)
		if !slices.ContainsFunc(c.errOut.lines(), func(l string) bool { return containsAll(l, []string{"feed ok"}) }) {
			early++
		}
		c = spawn(t, env, "serve")
	}
	again := c.atWork(t)
	u.freeze()
	// The last but one of these polls has been stored.
	calls := map[diff.VDN]int64{}
	for v := range truths {
		calls[v] = u.Stats(v).Calls
	}
	eventually(t, "some polls after the last change", func() bool {
		return !slices.ContainsFunc(u.VDNs(), func(v diff.VDN) bool { return u.Stats(v).Calls < calls[v]+3 })
	})
	events := 0
	for v, h := range truths {
		h.learn(u)
		now := h.list(diff.TimeOf(u.now()))
		last := c.lastSnapshot(t, v, func(s *diff.Snapshot) bool { return maps.Equal(listOf(s), now) })
		h.states(t, &last, diff.TimeOf(u.now()))
		events += c.stored(t, u, h, bases[v])
	}
	t.Logf("seed %d: %d kills, %d before the first poll; %d events stored; at work after %v at first, %v after the last crash",
		*crashSeed, *crashes, early, events, usual.Round(time.Millisecond), again.Round(time.Millisecond))
}

// atWork waits for the first good poll of all VDNs and returns how long after
// the start of the process it came.
func (c *child) atWork(t *testing.T) time.Duration {
	t.Helper()
	for _, v := range []diff.VDN{vdn170, vdn171} {
		c.errOut.line(t, "feed ok", v.String())
	}
	return time.Since(c.started)
}

// reader reads what the child has stored.
func (c *child) reader(t *testing.T) *publisher.Reader {
	t.Helper()
	url := wordAfter(c.errOut.line(t, "embedded NATS started"), "subscribers=")
	r, err := publisher.NewReader(connectListener(t, url).nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lastSnapshot waits until the newest snapshot is as wanted.
func (c *child) lastSnapshot(t *testing.T, v diff.VDN, wanted func(*diff.Snapshot) bool) (s diff.Snapshot) {
	t.Helper()
	r := c.reader(t)
	eventually(t, "a snapshot of VDN "+v.String(), func() bool {
		var err error
		s, _, err = r.LastSnapshot(t.Context(), v)
		return err == nil && wanted(&s)
	})
	return s
}

// stored checks all that is stored of a VDN: in itself, from an early snapshot
// on, and against the truth. It returns the number of events.
func (c *child) stored(t *testing.T, u *upstream, h *lives, base diff.Snapshot) int {
	t.Helper()
	var audit publisher.Audit
	var events, since []diff.Event
	var last *diff.Snapshot
	// A commit may replace the snapshot while it is read; a torn batch stays one.
	eventually(t, "a reading that is not overtaken and finds no torn batch", func() bool {
		audit, events, since, last = publisher.Audit{}, nil, nil, nil
		ids := map[string]bool{}
		for m, err := range c.reader(t).Messages(t.Context(), publisher.Query{CC: h.vdn.CC, VDN: h.vdn.ID, Snapshots: true, Feeds: true}) {
			if err == nil {
				err = audit.Add(m)
			}
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Event != nil:
				e := *m.Event
				if ids[e.ID()] {
					t.Errorf("event %s is stored twice", e.ID())
				}
				ids[e.ID()] = true
				events = append(events, e)
				if e.Sequence != int64(len(events)) {
					t.Fatalf("sequence %d is the event %d", e.Sequence, len(events))
				}
				if e.Sequence > base.LastSequence {
					since = append(since, e)
				}
			case m.Snapshot != nil:
				last = m.Snapshot
			}
		}
		return last != nil && len(audit.Unfinished()) == 0
	})
	if audit.Repeats > 0 {
		t.Errorf("%d repeated events", audit.Repeats)
	}
	if last.LastSequence != int64(len(events)) {
		t.Errorf("the last snapshot has %d events, stored are %d", last.LastSequence, len(events))
	}
	checkFold(t, base.Agents, since, last.Agents)
	t.Logf("VDN %v: revision %d, %v", h.vdn, last.Revision, h.judge(t, events, u.age(h.vdn, events)))
	return len(events)
}
