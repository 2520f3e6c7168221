//go:build unix

package publisher

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

// BenchmarkCommit commits 3 kB snapshots with two events each, for so many
// VDNs at once, on a disk that syncs each batch.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("vdns=%d", n), func(b *testing.B) {
			s, err := embedded.Start(b.Context(), embedded.Options{SyncAlways: true})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown()
			nc, err := Connect(b.Context(), ConnectOptions{InProcess: s.InProcess()})
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
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
			for i := range n {
				wg.Go(func() {
					v := diff.VDN{CC: 1, ID: i + 1}
					for left.Add(-1) >= 0 {
						prev, seq, err := bus.Head(b.Context(), v)
						if err == nil {
							_, err = bus.Commit(b.Context(), seq, &prev, made(v, &prev, 2, 17))
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
		})
	}
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
