package tick

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkTick is one tick all the way: offered by every replica, stored once,
// given to one replica, worked and acknowledged.
func BenchmarkTick(b *testing.B) {
	for _, replicas := range []int{1, 3} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			const groups = 256
			s := inProcess(b)
			var worked atomic.Int64
			free := make(chan int, groups)
			var qs []*running
			for range replicas {
				qs = append(qs, run(b, open(b, connect(b, s), nil), func(_ context.Context, k Tick) error {
					worked.Add(1)
					free <- int(k.Slot.Unix() % groups)
					return nil
				}))
			}
			b.ResetTimer()
			for n := range b.N {
				if n >= groups {
					<-free
				}
				// A group of its own for every tick, so that none is refused.
				g := fmt.Sprintf("g%d", n)
				for _, q := range qs {
					for q.Offer(b.Context(), g, slotAt(n)) != nil {
					}
				}
			}
			eventually(b, "all worked", func() bool { return worked.Load() == int64(b.N) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}

// BenchmarkOffer is the cost to the goroutine that offers.
func BenchmarkOffer(b *testing.B) {
	q := open(b, connect(b, inProcess(b)), nil)
	b.ReportAllocs()
	for n := range b.N {
		if q.Offer(b.Context(), "s1.12", slotAt(n)) != nil {
			b.StopTimer()
			for len(q.offers) > 0 {
				<-q.offers
			}
			b.StartTimer()
		}
	}
}
