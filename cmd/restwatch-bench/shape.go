package main

import "time"

// groups and slotWidth are restwatch's: VDNs of one schedule form at most so
// many groups, and no two of them begin nearer to each other than the width.
const (
	groups    = 64
	slotWidth = 100 * time.Millisecond
)

// slot is a burst of polls: the VDNs that begin at one offset in the interval.
type slot struct {
	phase time.Duration
	vdns  []int // from 1
}

// slots spreads n VDNs over an interval as restwatch does. The floor gets the
// same bursts, because a wake-up costs more than the poll that it is for.
func slots(n int, every time.Duration) []slot {
	var list []slot
	parts := min(groups, n, max(1, int(every/slotWidth)))
	for i := range parts {
		phase := (every * time.Duration(i) / time.Duration(parts)).Truncate(slotWidth)
		s := slot{phase: phase}
		for v := i * n / parts; v < (i+1)*n/parts; v++ {
			s.vdns = append(s.vdns, v+1)
		}
		list = append(list, s)
	}
	return list
}
