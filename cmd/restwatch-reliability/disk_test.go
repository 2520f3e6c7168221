package reliability

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/publisher/freeport"
)

// disk is a small file system that can be filled.
type disk struct{ dir string }

// newDisk mounts one in memory, of so many MiB.
func newDisk(t *testing.T, mib int) *disk {
	t.Helper()
	needRoot(t, "it mounts a small file system in memory")
	d := &disk{t.TempDir()}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "restwatch-test", d.dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return d
}

func (d *disk) store() string { return filepath.Join(d.dir, "store") }

// fill leaves not a byte free.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// free gives back what fill took.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// TestDiskFull fills the disk of the NATS server: of one on its own, and of the
// embedded one. Either stores nothing more from then on, until it is started
// anew, and there is room.
func TestDiskFull(t *testing.T) {
	if !*long {
		return
	}
	const interval = 250 * time.Millisecond
	fills := times(0, 5)
	t.Run("external", func(t *testing.T) {
		d := newDisk(t, 64)
		n := &node{spec: natsSpec{Name: "n", Dir: d.store(), Host: loopback, Port: freeport.Hold(t)}}
		n.start(t)
		f := &fleet{interval: interval, site: open(t, 10, interval, n.url(), 0)}
		f.grow(t, 2)
		f.everywhere(t, "ok")
		var unready, well time.Duration
		for range fills {
			let(2 * time.Second)
			d.fill(t)
			from := time.Now()
			for _, p := range f.alive {
				eventually(t, "unreadiness", func() bool { return !p.ready(t) })
			}
			unready = max(unready, time.Since(from))
			d.free(t)
			if n.stop(t) != 0 {
				t.Errorf("nats-server ended so: %s", n.log())
			}
			n.start(t)
			from = time.Now()
			f.again(t)
			f.everywhere(t, "ok")
			for _, p := range f.alive {
				eventually(t, "readiness", func() bool { return p.ready(t) })
			}
			well = max(well, time.Since(from))
		}
		result(t, "disk full, nats-server, then room and a restart of it | %d | not ready after at most %v, ready again at most %v after the restart; %s | %v",
			fills, unready.Round(time.Millisecond), well.Round(time.Millisecond), f.commits(t), f.check(t))
	})
	t.Run("embedded", func(t *testing.T) {
		d := newDisk(t, 64)
		s := open(t, 10, interval, "", 0, "STORE_DIR="+d.store())
		p := s.serve(t)
		s.atWork(t, p)
		s.everywhere(t, "ok")
		var ended, refused, well time.Duration
		for range fills {
			let(2 * time.Second)
			d.fill(t)
			from := time.Now()
			if code := p.exit(t); code != 1 || p.line("restwatch: ", "no space left on device") == "" {
				t.Errorf("exit %d:\n%s", code, p.log())
			}
			ended = max(ended, time.Since(from))
			// A supervisor starts it again, room or no room.
			p = s.serve(t)
			if code := p.exit(t); code != 1 || p.line("restwatch: ", "no space left on device") == "" {
				t.Errorf("exit %d of a start on a full disk:\n%s", code, p.log())
			}
			refused = max(refused, time.Since(p.started))
			d.free(t)
			p = s.serve(t)
			well = max(well, s.atWork(t, p))
		}
		result(t, "disk full, embedded | %d | ended with the reason after at most %v, a start without room after at most %v; with room at work after at most %v | %v",
			fills, ended.Round(time.Millisecond), refused.Round(time.Millisecond), well.Round(time.Millisecond), s.check(t))
	})
}

// TestDiskOfNodeFull fills the disk of one node of a cluster under load, in turn
// of the stream's leader and of a follower, and makes room again. That node
// stores nothing more until it is started anew; the other two are enough.
func TestDiskOfNodeFull(t *testing.T) {
	if !*long {
		return
	}
	var disks []*disk
	c := startCluster(t, 20, 250*time.Millisecond, func(n *node) {
		d := newDisk(t, 64)
		n.spec.Dir = d.store()
		disks = append(disks, d)
	})
	rng := rand.New(rand.NewPCG(*seed, 8))
	const full, room = 15 * time.Second, 5 * time.Second
	fills := times(0, 4)
	var slowest, unready, whole time.Duration
	var said string
	seen := c.watched(t, 4, func() {
		for i := range fills {
			let(time.Duration(rng.Int64N(int64(2 * time.Second))))
			n := (c.leader(t) + i%2) % len(c.nodes)
			disks[n].fill(t)
			from := time.Now()
			slowest = max(slowest, c.again(t))
			c.nodes[n].await(t, "no space left on device")
			c.nodes[n].await(t, "JetStream out of resources, will be DISABLED")
			most, why := c.unready(t, from.Add(full))
			unready, said = max(unready, most), cmp.Or(said, why)
			disks[n].free(t)
			let(room)
			if c.has(t, n) {
				t.Errorf("node %d is back without a restart", n)
			}
			if code := c.nodes[n].stop(t); code != 0 {
				t.Errorf("node %d: exit %d", n, code)
			}
			from = time.Now()
			c.nodes[n].start(t)
			c.whole(t)
			whole = max(whole, time.Since(from))
			c.again(t)
		}
	})
	result(t, "3-node cluster, disk full under a node for %v | %d, in turn of the stream's leader and of a follower | all VDNs polled twice again at most %v after; a replica was not ready for at most %v (%q); %v; whole again at most %v after room and a restart of the node, without which it was not after %v; %s | %v",
		full, fills, slowest.Round(time.Millisecond), unready.Round(time.Millisecond), strings.TrimSpace(said), seen, whole.Round(time.Millisecond), room, c.commits(t), c.check(t))
	for _, p := range c.alive {
		p.complain(t)
	}
}

// unready is how long a replica was not ready at most, until then, and what the
// first one said.
func (f *fleet) unready(t *testing.T, until time.Time) (longest time.Duration, why string) {
	t.Helper()
	since := make([]time.Time, len(f.alive))
	for ; time.Now().Before(until); let(50 * time.Millisecond) {
		for i, p := range f.alive {
			asked := time.Now()
			status, body := p.fetch(t, "readyz")
			switch {
			case status == http.StatusOK:
				since[i] = time.Time{}
				continue
			case since[i].IsZero():
				since[i], why = asked, cmp.Or(why, body)
			}
			longest = max(longest, time.Since(since[i]))
		}
	}
	return longest, why
}

// has reports whether the stream's leader takes a node for one that has all of
// the stream.
func (c *cluster) has(t *testing.T, n int) bool {
	t.Helper()
	p := c.peers(t)
	if p == nil {
		return false
	}
	return p.Leader == c.nodes[n].spec.Name || slices.ContainsFunc(p.Replicas, func(r *jetstream.PeerInfo) bool {
		return r.Name == c.nodes[n].spec.Name && r.Current && !r.Offline
	})
}
