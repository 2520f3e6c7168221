package reliability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cable is the link between a machine and its bridge, carried frame by frame by
// this test, so that frames can be lost, late, and overtake one another. The
// kernel's netem does the same, but not every kernel has it.
type cable struct {
	wear     atomic.Pointer[wear]
	carriers sync.WaitGroup
	carried  atomic.Int64
	lost     atomic.Int64
}

// wear is what a cable does to each frame, in either direction. The zero value
// does nothing.
type wear struct {
	loss   float64       // share of the frames that are lost
	delay  time.Duration // of each frame, on the average
	jitter time.Duration // by how much more or less it may be
}

func (w wear) String() string {
	return fmt.Sprintf("%.0f %% of the frames lost, each %v ± %v late", 100*w.loss, w.delay, w.jitter)
}

// newCable puts one in the place of what links a machine of the network that
// this test is in to a bridge. It goes with the test.
func newCable(t *testing.T, machine int, bridge string) *cable {
	t.Helper()
	port, address := machines[machine], natsAddress(machine)
	if bridge == cmsBridge {
		port, address = port+"c", serviceAddress(machine)
	}
	space := os.Getenv(insideOf) + "-" + machines[machine]
	ip(t, "link", "delete", port)
	hub, far := newTap(t, port), newTap(t, port+"-far")
	ip(t, "link", "set", port, "master", bridge, "up")
	ip(t, "link", "set", port+"-far", "netns", space, "name", bridge)
	ip(t, "-n", space, "address", "add", address+"/24", "dev", bridge)
	ip(t, "-n", space, "link", "set", bridge, "up")
	c := &cable{}
	c.wear.Store(&wear{})
	for i, ends := range [][2]*os.File{{hub, far}, {far, hub}} {
		rng := rand.New(rand.NewPCG(*seed, uint64(100+10*machine+i)))
		c.carriers.Go(func() { c.carry(ends[0], ends[1], rng) })
	}
	t.Cleanup(func() {
		hub.Close()
		far.Close()
		c.carriers.Wait()
	})
	return c
}

// carry ends when an end of the cable is closed.
func (c *cable) carry(from, to *os.File, rng *rand.Rand) {
	for {
		frame := make([]byte, 2048) // the largest is 1,514 bytes
		n, err := from.Read(frame)
		if err != nil {
			return
		}
		w := c.wear.Load()
		if rng.Float64() < w.loss {
			c.lost.Add(1)
			continue
		}
		c.carried.Add(1)
		late := w.delay + time.Duration((2*rng.Float64()-1)*float64(w.jitter))
		if late <= 0 {
			_, _ = to.Write(frame[:n]) // what an end does not take is lost, as on any wire
			continue
		}
		c.carriers.Add(1)
		time.AfterFunc(late, func() {
			defer c.carriers.Done()
			_, _ = to.Write(frame[:n])
		})
	}
}

// newTap makes a network interface whose wire is the file.
func newTap(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/net/tun: %v", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		t.Fatalf("make interface %s: %v", name, err)
	}
	return os.NewFile(uintptr(fd), name)
}
