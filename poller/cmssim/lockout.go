package cmssim

import (
	"sync"
	"time"
)

// lockout shuts out an IP after bad signatures in a row.
type lockout struct {
	limit int // 0 never locks
	span  time.Duration

	mu  sync.Mutex
	ips map[string]offender
}

type offender struct {
	bad   int
	until time.Time
}

func (l *lockout) locked(ip string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.ips[ip].until)
}

// bad counts a bad signature; the one that reaches the limit still gets its
// own answer, and the lock holds from the next call on.
func (l *lockout) bad(ip string, now time.Time) {
	if l.limit <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.ips[ip]
	o.bad++
	if o.bad >= l.limit {
		o = offender{until: now.Add(l.span)}
	}
	l.ips[ip] = o
}

func (l *lockout) good(ip string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ips) > 0 {
		delete(l.ips, ip)
	}
}

func (l *lockout) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ips)
}
