package reliability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher"
)

// survival is the chance of a page that was not flushed: all, half or none of
// them are kept.
func survival(rng *rand.Rand) float64 { return float64(rng.IntN(3)) / 2 }

// moment waits for one that is worth a cut: in turn any, one at which the disk
// flushes, and the one at which a core subscriber heard of an event, which the
// disk may not have yet.
func (s *site) moment(t *testing.T, rng *rand.Rand, i int, d *drive) {
	t.Helper()
	let(time.Duration(rng.Int64N(int64(time.Second))))
	switch i % 3 {
	case 1:
		d.midFlush(t, rng)
	case 2:
		sub, err := s.nc.SubscribeSync("rest.v1.event.>")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sub.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}
}

// TestPowerCuts cuts the power of the service with its embedded server: a third
// of the times before the first poll, a third at work, a third while it shuts
// down.
func TestPowerCuts(t *testing.T) {
	if !*long {
		return
	}
	for _, kind := range fileSystems {
		t.Run(kind, func(t *testing.T) {
			d := newDrive(t, kind)
			s := open(t, 40, 250*time.Millisecond, "", 0, "STORE_DIR="+d.store())
			s.truthful = true
			rng := rand.New(rand.NewPCG(*seed, 21))
			p := s.serve(t)
			first := s.atWork(t, p)
			eventually(t, "the first snapshots", func() bool {
				s.heard.Lock()
				defer s.heard.Unlock()
				return len(s.trail) == len(s.truths)
			})
			cuts := times(0, 90)
			moments := [3]int{}
			lost, ended := 0, 0
			var starts []time.Duration
			for i := range cuts {
				switch i % 3 {
				case 0:
					let(time.Duration(rng.Float64() * float64(first)))
				case 1:
					starts = append(starts, s.atWork(t, p))
					s.moment(t, rng, i/3, d)
				case 2:
					starts = append(starts, s.atWork(t, p))
					p.signal(t, syscall.SIGTERM)
					let(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
					if p.gone() {
						ended++ // it was faster
					}
				}
				moments[i%3]++
				lost += cut(t, rng, survival(rng), machine{d, p})
				p = s.serve(t)
			}
			starts = append(starts, s.atWork(t, p))
			result(t, "embedded, power cut, %s | %d cuts: %d before the first poll, %d at work, %d in the shutdown (%d had ended by then); %d pages lost that the disk had been given | at work after %v at first, after a cut %v | %v",
				kind, cuts, moments[0], moments[1], moments[2], ended, lost, first.Round(time.Millisecond), spread(starts), s.check(t))
		})
	}
}

// TestFirstStartPowerCuts cuts the power of the very first start on a fresh
// store.
func TestFirstStartPowerCuts(t *testing.T) {
	if !*long {
		return
	}
	for _, kind := range fileSystems {
		t.Run(kind, func(t *testing.T) {
			d := newDrive(t, kind)
			rng := rand.New(rand.NewPCG(*seed, 22))
			s := open(t, 2, 250*time.Millisecond, "", 0)
			p := s.serve(t) // on a store of its own, to learn how long it takes
			first := s.atWork(t, p)
			p.kill(t)
			cuts := times(0, 60)
			lost := 0
			var starts []time.Duration
			for i := range cuts {
				// The last setting of a name counts.
				env := append(slices.Clone(s.env), "RESTWATCH_STORE_DIR="+filepath.Join(d.dir, fmt.Sprint("store-", i)))
				p := spawn(t, env, binary, "serve")
				let(time.Duration(rng.Float64() * 2 * float64(first)))
				lost += cut(t, rng, survival(rng), machine{d, p})
				starts = append(starts, s.startAgain(t, env, i))
			}
			result(t, "embedded, power cut in the first start on a fresh store, %s | %d cuts; %d pages lost that the disk had been given | the next start at work after %v |",
				kind, cuts, lost, spread(starts))
		})
	}
}

// TestNATSPowerCuts cuts the power of a NATS server of its own under two
// replicas, which syncs each commit.
func TestNATSPowerCuts(t *testing.T) {
	const interval = 250 * time.Millisecond
	if !*long {
		return
	}
	for _, kind := range fileSystems {
		t.Run(kind, func(t *testing.T) {
			d := newDrive(t, kind)
			nats := startNATS(t, 1, func(n *node) { n.spec.Dir = d.store() })[0]
			f := &fleet{interval: interval, site: open(t, 40, interval, nats.url(), 0)}
			f.truthful = true
			rng := rand.New(rand.NewPCG(*seed, 23))
			f.grow(t, 2)
			f.everywhere(t, "ok")
			cuts := times(0, 45)
			lost := 0
			var slowest time.Duration
			for i := range cuts {
				f.moment(t, rng, i, d)
				lost += cut(t, rng, survival(rng), machine{d, nats.process})
				nats.start(t)
				slowest = max(slowest, f.again(t))
			}
			result(t, "NATS, power cut, %s | %d cuts; %d pages lost that the disk had been given | all VDNs polled twice again at most %v after it was up; %s | %v",
				kind, cuts, lost, slowest.Round(time.Millisecond), f.commits(t), f.check(t))
		})
	}
}

// TestNodePowerCuts cuts the power of one node of a cluster, in turn the stream's
// leader and a follower.
func TestNodePowerCuts(t *testing.T) {
	if !*long {
		return
	}
	c, drives := poweredCluster(t, false)
	rng := rand.New(rand.NewPCG(*seed, 24))
	cuts := times(0, 15)
	lost := 0
	var slowest time.Duration
	seen := c.watched(t, 4, func() {
		for i := range cuts {
			n := (c.leader(t) + i%2) % len(c.nodes)
			c.moment(t, rng, i, drives[n])
			lost += cut(t, rng, survival(rng), machine{drives[n], c.nodes[n].process})
			slowest = max(slowest, c.again(t))
			c.nodes[n].start(t)
			c.whole(t)
		}
	})
	result(t, "3-node cluster, power cut of a node, %s | %d, in turn of the stream's leader and of a follower; %d pages lost that the disks had been given | all VDNs polled twice again at most %v after; %v; %s | %v",
		syncs(false), cuts, lost, slowest.Round(time.Millisecond), seen, c.commits(t), c.check(t))
}

// TestClusterPowerCuts cuts the power of all nodes of a cluster at once, which
// sync each commit.
func TestClusterPowerCuts(t *testing.T) {
	if !*long {
		return
	}
	c, drives := poweredCluster(t, false)
	rng := rand.New(rand.NewPCG(*seed, 25))
	cuts := times(0, 9)
	lost := 0
	var slowest time.Duration
	for i := range cuts {
		c.moment(t, rng, i, drives[i%3])
		lost += cut(t, rng, survival(rng), c.machines(drives)...)
		startAll(t, c.nodes)
		slowest = max(slowest, c.again(t))
		c.whole(t)
	}
	result(t, "3-node cluster, power cut of all nodes, %s | %d; %d pages lost that the disks had been given | all VDNs polled twice again at most %v after they were up; %s | %v",
		syncs(false), cuts, lost, slowest.Round(time.Millisecond), c.commits(t), c.check(t))
}

// TestUnsynced cuts the power of servers that sync every two minutes, as is
// nats-server's default, soon after the streams were made and later, and counts
// what is lost by it.
func TestUnsynced(t *testing.T) {
	if !*long {
		return
	}
	const interval = 250 * time.Millisecond
	rng := rand.New(rand.NewPCG(*seed, 26))
	for _, age := range []time.Duration{15 * time.Second, 75 * time.Second} {
		for range times(0, 1) {
			t.Run(fmt.Sprint("single, ", age), func(t *testing.T) {
				d := newDrive(t, "ext4")
				nats := startNATS(t, 1, func(n *node) { n.spec.Dir, n.spec.SyncLater = d.store(), true })[0]
				f := &fleet{interval: interval, site: open(t, 20, interval, nats.url(), 0)}
				f.grow(t, 2)
				let(age)
				from := time.Now()
				cut(t, rng, 0, machine{d, nats.process})
				nats.start(t)
				result(t, "NATS, power cut %v after the streams were made, %s | %v", age, syncs(true), f.forgotten(t, from))
			})
			t.Run(fmt.Sprint("cluster, ", age), func(t *testing.T) {
				c, drives := poweredCluster(t, true)
				let(age)
				from := time.Now()
				cut(t, rng, 0, c.machines(drives)...)
				startAll(t, c.nodes)
				result(t, "3-node cluster, power cut of all nodes %v after the streams were made, %s | %v", age, syncs(true), c.forgotten(t, from))
			})
		}
	}
	t.Run("nodes in turn", func(t *testing.T) {
		c, drives := poweredCluster(t, true)
		cuts := times(0, 20)
		for i := range cuts {
			n := (c.leader(t) + i%2) % len(c.nodes)
			c.moment(t, rng, 0, nil)
			calls := c.Calls()
			cut(t, rng, survival(rng), machine{drives[n], c.nodes[n].process})
			goesOn := within(patience, func() bool { return c.Calls() > calls+int64(2*len(c.truths)) })
			c.nodes[n].start(t)
			if within(patience, func() bool { return c.isWhole(t) }) {
				continue
			}
			for _, nd := range c.nodes {
				nd.kill(t)
			}
			startAll(t, c.nodes)
			healed := within(patience, func() bool { return c.isWhole(t) })
			result(t, "3-node cluster, power cuts of a node, %s | %d, in turn of the stream's leader and of a follower | after the last the other two went on: %v; with the node back the stream was not whole for %v; whole after a restart of all nodes: %v",
				syncs(true), i+1, goesOn, patience, healed)
			return
		}
		result(t, "3-node cluster, power cuts of a node, %s | %d, in turn of the stream's leader and of a follower | whole again after each | %v",
			syncs(true), cuts, c.check(t))
	})
}

// syncs names the setting of nats-server.
func syncs(later bool) string {
	if later {
		return "sync_interval as by default"
	}
	return "sync_interval: always"
}

// poweredCluster is a cluster with a drive for each node.
func poweredCluster(t *testing.T, later bool) (*cluster, []*drive) {
	t.Helper()
	var drives []*drive
	c := startCluster(t, 20, 250*time.Millisecond, func(n *node) {
		d := newDrive(t, "ext4")
		n.spec.Dir, n.spec.SyncLater = d.store(), later
		drives = append(drives, d)
	})
	return c, drives
}

func (c *cluster) machines(drives []*drive) (all []machine) {
	for i, d := range drives {
		all = append(all, machine{d, c.nodes[i].process})
	}
	return all
}

// forgotten tells how much of what core subscribers heard before a cut is not
// stored after it. The replicas must notice, and store nothing more until they
// are started again, as they are then; from there on numbers are given out again.
func (f *fleet) forgotten(t *testing.T, cut time.Time) string {
	t.Helper()
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	if !within(patience/4, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = js.Stream(ctx, "REST")
		return err == nil
	}) {
		for _, p := range f.alive {
			p.await(t, "stream not found")
		}
		return fmt.Sprintf("the stream is gone (%v)", err)
	}
	for _, p := range f.alive {
		p.await(t, publisher.ErrLost.Error())
		eventually(t, "unreadiness", func() bool { return !p.ready(t) })
		p.stop(t)
	}
	f.alive = nil
	f.grow(t, 2)
	f.everywhere(t, "ok")
	f.again(t)
	r, err := publisher.NewReader(f.nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, numbers := map[string]string{}, map[string]bool{}
	number := func(e *diff.Event) string { return fmt.Sprint(e.CC, e.VDN, e.Sequence) }
	id := func(e *diff.Event) string { return fmt.Sprint(e.CC, e.VDN, e.ID()) }
	for m, err := range r.Messages(t.Context(), publisher.Query{Everything: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Event != nil {
			stored[id(m.Event)], numbers[number(m.Event)] = string(m.Data), true
		}
	}
	var all, gone, other, reused int
	first := diff.TimeOf(cut)
	f.heard.Lock()
	defer f.heard.Unlock()
	for _, tr := range f.trail {
		for _, h := range tr.events {
			if h.at > diff.TimeOf(cut) {
				continue
			}
			e, err := publisher.DecodeEvent([]byte(h.data))
			if err != nil {
				t.Fatal(err)
			}
			all++
			switch data := stored[id(&e)]; {
			case data == h.data:
				continue
			case data != "":
				other++
			case numbers[number(&e)]:
				reused++
			}
			gone++
			first = min(first, h.at)
		}
	}
	if gone == 0 {
		t.Error("nothing is lost: then the other scenarios prove nothing either")
	}
	return fmt.Sprintf("%d of %d events heard are not stored, the first of them heard %v before. The replicas noticed, and stored nothing more until they were started again; all feeds ok after that, the ids of %d tell something else, and the numbers of %d others are another event's",
		gone, all, diff.TimeOf(cut).Sub(first), other, reused)
}
