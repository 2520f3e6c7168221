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

// TestDiskFull fills the disk of the NATS server, and frees it after a while:
// of a server on its own, and of the embedded one.
func TestDiskFull(t *testing.T) {
	if !*long {
		return
	}
	const interval = 250 * time.Millisecond
	t.Run("external", func(t *testing.T) {
		d := newDisk(t, 64)
		n := &node{spec: natsSpec{Name: "n", Dir: d.store(), Host: loopback, Port: freePort(t)}}
		n.start(t)
		f := &fleet{interval: interval, site: open(t, 10, interval, n.url(), 0)}
		f.grow(t, 2)
		filled(t, "nats-server", f, d)
	})
	t.Run("embedded", func(t *testing.T) {
		d := newDisk(t, 64)
		f := &fleet{interval: interval, site: open(t, 10, interval, "", 0, "STORE_DIR="+d.store())}
		f.grow(t, 1)
		filled(t, "embedded", f, d)
	})
}

func filled(t *testing.T, what string, f *fleet, d *disk) {
	t.Helper()
	f.everywhere(t, "ok")
	times := times(0, 5)
	var told, well time.Duration
	for range times {
		let(2 * time.Second)
		d.fill(t)
		from := time.Now()
		eventually(t, "uncommitted polls", func() bool { return f.alive[0].line("poll not stored") != "" })
		told = max(told, time.Since(from))
		let(5 * time.Second)
		d.free(t)
		from = time.Now()
		f.everywhere(t, "ok")
		well = max(well, time.Since(from))
	}
	result(t, "disk full, %s | %d | said after %v at most; all feeds ok again %v after there was room | %v; %s", what, times, told, well, f.check(t), f.commits(t))
}
