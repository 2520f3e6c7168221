package reliability

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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
		n := &node{spec: natsSpec{Name: "n", Dir: d.store(), Host: loopback, Port: freePort(t)}}
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
