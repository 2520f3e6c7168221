//go:build unix

package publisher

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

// BenchmarkCommit commits 3 kB snapshots with two events each, for so many
// VDNs at once, on a disk that syncs each batch.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("vdns=%d", n), func(b *testing.B) { benchmarkCommits(b, n, 17, jetstream.NoCompression) })
	}
}

// BenchmarkCompression has the server compress what it stores, or not, of
// 38 kB snapshots with two events each.
func BenchmarkCompression(b *testing.B) {
	for _, c := range []jetstream.StoreCompression{jetstream.NoCompression, jetstream.S2Compression} {
		b.Run(c.String(), func(b *testing.B) { benchmarkCommits(b, 64, 200, c) })
	}
}

func benchmarkCommits(b *testing.B, vdns, agents int, compression jetstream.StoreCompression) {
	dir := b.TempDir()
	s, err := embedded.Start(b.Context(), embedded.Options{SyncAlways: true, Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := Connect(b.Context(), ConnectOptions{InProcess: s.InProcess()})
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	cfg := StreamConfig(Options{})
	cfg.Compression = compression
	if _, err := js.CreateStream(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	bus, err := Open(b.Context(), nc, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	cpu := cpuTime(b)
	var wg sync.WaitGroup
	for i := range vdns {
		wg.Go(func() {
			v := diff.VDN{CC: 1, ID: i + 1}
			for left.Add(-1) >= 0 {
				prev, seq, err := bus.Head(b.Context(), v)
				if err == nil {
					_, err = bus.Commit(b.Context(), seq, &prev, made(v, &prev, 2, agents))
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/commit")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(sizeOf(b, dir))/float64(b.N), "disk-B/commit")
}

// sizeOf is what the files below a folder hold.
func sizeOf(b *testing.B, dir string) (bytes int64) {
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

// cpuTime is what this process, server and all, has used so far. Unlike the
// rate it hardly depends on what else the machine does.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
