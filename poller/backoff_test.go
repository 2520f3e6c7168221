package poller

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"restwatch/poller/cms"
)

func TestBackoffSkipsWholeSlotsUpToAMinute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		interval := time.Duration(rapid.Int64Range(100, 120_000).Draw(t, "interval ms")) * time.Millisecond
		got := backoff(n, interval, &cms.Error{Category: cms.HTTP})
		if got < 0 || got > maxBackoff {
			t.Fatalf("got %v, want 0..1m", got)
		}
		if most := time.Duration(1<<min(n, 16)-1) * interval; got > most {
			t.Fatalf("got %v, want at most %v", got, most)
		}
		if got != maxBackoff && got%interval != 0 {
			t.Fatalf("got %v, no multiple of %v", got, interval)
		}
	})
}

func TestBackoffHonoursWhatTheUpstreamAsks(t *testing.T) {
	for _, c := range []struct {
		err      *cms.Error
		min, max time.Duration
	}{
		{&cms.Error{Category: cms.Config}, configRetry, configRetry},
		{&cms.Error{Category: cms.HTTP, RetryAfter: 2 * time.Minute}, 2 * time.Minute, 2 * time.Minute},
		{&cms.Error{Category: cms.HTTP, RetryAfter: time.Hour}, maxRetryAfter, maxRetryAfter},
		{&cms.Error{Category: cms.Timeout}, 0, time.Second},
	} {
		if got := backoff(1, time.Second, c.err); got < c.min || got > c.max {
			t.Errorf("%v: got %v, want %v..%v", c.err, got, c.min, c.max)
		}
	}
}

func TestBackoffSpreads(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		seen[backoff(3, time.Second, &cms.Error{Category: cms.Network})] = true
	}
	if len(seen) != 8 {
		t.Errorf("after 3 failures: %d different waits, want 0..7 intervals", len(seen))
	}
}
