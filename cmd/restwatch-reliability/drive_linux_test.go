package reliability

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	driveBytes = 512 << 20
	pageBytes  = 4096
	// flushTime is what a disk takes to flush.
	flushTime = 2 * time.Millisecond
)

// fileSystems are the kinds to try.
var fileSystems = []string{"ext4", "xfs"}

// drive is a disk with a volatile cache, whose power can be cut. The file system
// on it is a real one, on a loop device; the file under that is served by this
// test (FUSE), so that the drive knows what it was given and what it was told to
// flush.
type drive struct {
	fs.Inode
	kind string
	dir  string // where the file system is

	mu       sync.Mutex
	platter  *os.File         // what was flushed
	cache    map[int64][]byte // pages that were written and not flushed, by offset
	dark     chan struct{}    // not nil: no power; closed when requests fail and no longer hang
	flushing chan struct{}    // hears of the beginning of a flush
}

// newDrive makes one with a file system of that kind.
func newDrive(t *testing.T, kind string) *drive {
	t.Helper()
	needRoot(t, "it mounts a file system on a loop device")
	tmp := t.TempDir()
	d := &drive{kind: kind, dir: filepath.Join(tmp, "mnt"), cache: map[int64][]byte{}, flushing: make(chan struct{})}
	image, served := filepath.Join(tmp, "platter"), filepath.Join(tmp, "served")
	for _, dir := range []string{d.dir, served} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if d.platter, err = os.Create(image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.platter.Close() })
	if err := d.platter.Truncate(driveBytes); err != nil {
		t.Fatal(err)
	}
	do(t, "mkfs."+kind, "-q", image)
	root := &fs.Inode{}
	server, err := fs.Mount(served, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "restwatch-test", Name: "drive"},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	d.mount(t)
	t.Cleanup(func() { do(t, "umount", d.dir) })
	return d
}

func (d *drive) mount(t *testing.T) {
	t.Helper()
	do(t, "mount", "-t", d.kind, "-o", "loop", filepath.Join(d.dir, "..", "served", "disk"), d.dir)
}

// do runs a program of the system.
func do(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}

func (d *drive) store() string { return filepath.Join(d.dir, "store") }

// machine is a drive and what runs on it.
type machine struct {
	*drive
	p *process
}

// cut takes the power of some machines away at once, and gives it back: what ran
// is dead, and the file systems are as they are found then. Each page that was
// written and not flushed is kept with this chance. It returns how many were lost.
func cut(t *testing.T, rng *rand.Rand, kept float64, machines ...machine) (lost int) {
	t.Helper()
	for _, m := range machines {
		lost += m.darken(t, rng, kept)
	}
	for _, m := range machines {
		m.p.signal(t, syscall.SIGKILL)
	}
	for _, m := range machines {
		// What waits for the drive can end now. It is killed as it returns, and sees
		// nothing of the error.
		close(m.dark)
		<-m.p.ended
		do(t, "umount", m.dir)
		m.mu.Lock()
		m.dark = nil
		m.mu.Unlock()
		m.mount(t)
	}
	return lost
}

// darken has the drive answer nothing more.
func (d *drive) darken(t *testing.T, rng *rand.Rand, kept float64) (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dark = make(chan struct{})
	for at := range d.cache {
		if rng.Float64() >= kept {
			delete(d.cache, at)
			lost++
		}
	}
	if err := d.flush(); err != nil {
		t.Error(err)
	}
	return lost
}

// flush makes the cache permanent. d.mu is held.
func (d *drive) flush() error {
	for at, page := range d.cache {
		if _, err := d.platter.WriteAt(page, at); err != nil {
			return err
		}
	}
	clear(d.cache)
	return nil
}

// midFlush waits until a flush is under way.
func (d *drive) midFlush(t *testing.T, rng *rand.Rand) {
	t.Helper()
	select {
	case <-d.flushing:
		let(time.Duration(rng.Float64() * float64(flushTime)))
	case <-time.After(patience):
		t.Fatal("nothing is ever flushed")
	}
}

// powered answers a request of the file system. Without power that hangs, and
// fails in the end.
func (d *drive) powered(request func() error) syscall.Errno {
	d.mu.Lock()
	if dark := d.dark; dark != nil {
		d.mu.Unlock()
		<-dark
		return syscall.EIO
	}
	defer d.mu.Unlock()
	return fs.ToErrno(request())
}

func (d *drive) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, driveBytes
	return 0
}

// Open has nothing of the disk be cached above it.
func (d *drive) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (d *drive) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(dest), d.powered(func() error {
		if _, err := d.platter.ReadAt(dest, off); err != nil {
			return err
		}
		for at := off &^ (pageBytes - 1); at < off+int64(len(dest)); at += pageBytes {
			if page := d.cache[at]; page != nil {
				copy(dest[max(0, at-off):], page[max(0, off-at):])
			}
		}
		return nil
	})
}

func (d *drive) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	return uint32(len(data)), d.powered(func() error {
		for at := off &^ (pageBytes - 1); at < off+int64(len(data)); at += pageBytes {
			page := d.cache[at]
			if page == nil {
				page = make([]byte, pageBytes)
				if _, err := d.platter.ReadAt(page, at); err != nil {
					return err
				}
				d.cache[at] = page
			}
			copy(page[max(0, off-at):], data[max(0, at-off):])
		}
		return nil
	})
}

func (d *drive) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	select {
	case d.flushing <- struct{}{}:
	default:
	}
	let(flushTime)
	return d.powered(d.flush)
}

// TestDrive cuts the power of the drive itself: what was synced is there
// afterwards, and what was not is not.
func TestDrive(t *testing.T) {
	if !*long {
		return
	}
	for _, kind := range fileSystems {
		t.Run(kind, func(t *testing.T) {
			d := newDrive(t, kind)
			write := func(name string, sync bool) {
				f, err := os.Create(filepath.Join(d.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteString(name); err != nil {
					t.Fatal(err)
				}
				if sync {
					if err := f.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			write("synced", true)
			write("not", false)
			p := spawn(t, nil, "sleep", "1000")
			cut(t, rand.New(rand.NewPCG(*seed, 20)), 0, machine{d, p})
			if b, err := os.ReadFile(filepath.Join(d.dir, "synced")); err != nil || string(b) != "synced" {
				t.Errorf("what was synced reads %q, %v", b, err)
			}
			if b, err := os.ReadFile(filepath.Join(d.dir, "not")); err == nil && len(b) > 0 {
				t.Errorf("what was not synced reads %q", b)
			}
		})
	}
}
