package poller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Those ahead may hang: the others follow before their slot is over.
func TestFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context, b *burst, interval time.Duration) time.Duration {
			begun := time.Now()
			b.follow(ctx, interval)
			return time.Since(begun)
		}
		for interval, want := range map[time.Duration]time.Duration{
			0: 0, time.Second: 250 * time.Millisecond, 4 * time.Second: time.Second, time.Minute: time.Second,
		} {
			if got := wait(t.Context(), newBurst(3), interval); got != want {
				t.Errorf("interval %v: waited %v, want %v", interval, got, want)
			}
		}
		b := newBurst(3)
		time.AfterFunc(20*time.Millisecond, b.hear)
		if got := wait(t.Context(), b, time.Minute); got != 20*time.Millisecond {
			t.Errorf("answered after 20 ms: waited %v", got)
		}
		if got := wait(t.Context(), b, time.Minute); got != 0 {
			t.Errorf("answered before: waited %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := wait(ctx, newBurst(3), time.Minute); got != 0 {
			t.Errorf("about to end: waited %v", got)
		}
	})
}
