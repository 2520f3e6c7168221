package poller

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"restwatch/diff"
)

// Target is one VDN and when it is to be polled.
type Target struct {
	VDN diff.VDN
	// Spec is the schedule as written in the settings; VDNs of equal Spec share
	// groups.
	Spec     string
	Schedule Schedule
}

// group is a set of VDNs that one tick polls: one cron entry, one message, one
// burst of calls and usually one commit. A tick costs about as much as an
// unchanged poll, and a wake-up more, so one tick per VDN would double the bill.
type group struct {
	name     string
	schedule phased
	watches  []*watch
}

// A wake-up of this process and of the NATS server costs more than the work of
// an unchanged poll, and changes that are found together are committed in one
// batch: polls in bursts take less than half of what they take one by one. So
// the groups of a schedule begin at least a slot apart, and in wide slots as long
// as that makes no group larger than a burst, which is what may be called at once
// by default.
const (
	slotWidth = 100 * time.Millisecond
	wideSlot  = 250 * time.Millisecond
	burstSize = 32
)

// plan splits the targets into at most perSchedule groups for each schedule,
// of which no two share a slot: that would be two ticks for the same burst. The
// same targets give the same names, members and phases in every replica and
// whatever the order of the list.
func plan(targets []Target, perSchedule int) []*group {
	bySpec := map[string][]Target{}
	for _, t := range targets {
		bySpec[t.Spec] = append(bySpec[t.Spec], t)
	}
	var groups []*group
	for spec, list := range bySpec {
		slices.SortFunc(list, func(a, b Target) int { return a.VDN.Compare(b.VDN) })
		for i, b := range Bursts(list[0].Schedule, len(list), perSchedule) {
			g := &group{schedule: phased{Schedule: list[0].Schedule, phase: b.Phase}}
			for _, t := range list[b.From:b.To] {
				g.watches = append(g.watches, newWatch(t.VDN, g.schedule))
			}
			g.name = groupName(spec, i, g.watches)
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.name, b.name) })
	return groups
}

// groupName is unique for a schedule and its members: during a rolling change
// of the settings, replicas with another list must not take these ticks for
// their own.
func groupName(spec string, i int, members []*watch) string {
	h := fnv.New32a()
	fmt.Fprint(h, spec)
	for _, w := range members {
		fmt.Fprint(h, " ", w.vdn)
	}
	return fmt.Sprintf("g%d-%08x", i, h.Sum32())
}

// span is the time that the groups of a schedule are spread over: the interval,
// or a second of a cron expression, which is the least between its firings.
func span(s Schedule) time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return time.Second
}

// Burst is a part of the VDNs of one schedule that is polled together.
type Burst struct {
	Phase    time.Duration // after the schedule's own times
	From, To int           // the VDNs, in order: from From to before To
}

// Bursts divides so many VDNs of a schedule into at most so many bursts, spread
// over the interval so that they do not strike the upstream together.
func Bursts(s Schedule, vdns, most int) []Burst {
	wanted := max(int(span(s)/wideSlot), (vdns+burstSize-1)/burstSize)
	n := min(most, vdns, max(1, min(wanted, int(span(s)/slotWidth))))
	list := make([]Burst, n)
	for i := range list {
		phase := (span(s) * time.Duration(i) / time.Duration(n)).Truncate(slotWidth)
		list[i] = Burst{Phase: phase, From: i * vdns / n, To: (i + 1) * vdns / n}
	}
	return list
}
