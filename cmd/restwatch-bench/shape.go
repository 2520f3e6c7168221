package main

import (
	"time"

	"restwatch/poller"
)

// groups is restwatch's default of RESTWATCH_GROUPS.
const groups = 64

// slots spreads n VDNs over an interval as restwatch does. The floor gets the
// same bursts, because a wake-up costs more than the poll that it is for.
func slots(n int, every time.Duration) []poller.Burst {
	return poller.Bursts(poller.Schedule{Every: every}, n, groups)
}
