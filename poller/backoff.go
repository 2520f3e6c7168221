package poller

import (
	"math/rand/v2"
	"time"

	"restwatch/poller/cms"
)

const (
	// configRetry is how often a VDN is asked whose settings the upstream
	// refuses: nothing heals by itself there.
	configRetry = 5 * time.Minute
	maxBackoff  = time.Minute
	// maxRetryAfter bounds what a Retry-After header may ask of us.
	maxRetryAfter = 15 * time.Minute
)

// backoff returns the least time to wait after a VDN's n-th failure in a row
// (n from 1): up to 2^n-1 intervals, drawn evenly so that VDNs that failed
// together do not come back together, and at most a minute.
func backoff(n int, interval time.Duration, err *cms.Error) time.Duration {
	if err.Category == cms.Config {
		return configRetry
	}
	slots := rand.Int64N(int64(1) << min(n, 16))
	wait := maxBackoff
	if interval <= 0 || slots <= int64(maxBackoff/interval) {
		wait = time.Duration(slots) * interval
	}
	return max(wait, min(err.RetryAfter, maxRetryAfter))
}
