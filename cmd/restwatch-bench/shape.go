package main

import "time"

// These are restwatch's: VDNs of one schedule form at most so many groups, in
// wide slots as long as none is larger than a burst.
const (
	groups    = 64
	burstSize = 32
	slotWidth = 100 * time.Millisecond
	wideSlot  = 250 * time.Millisecond
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
	wanted := max(int(every/wideSlot), (n+burstSize-1)/burstSize)
	parts := min(groups, n, max(1, min(wanted, int(every/slotWidth))))
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
