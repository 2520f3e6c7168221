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

// Slots of this length share a wake-up; see slotPhase.
const slotWidth = 50 * time.Millisecond

// plan splits the targets into at most perSchedule groups for each schedule.
// The same targets give the same names, members and phases in every replica
// and whatever the order of the list.
func plan(targets []Target, perSchedule int) []*group {
	bySpec := map[string][]Target{}
	for _, t := range targets {
		bySpec[t.Spec] = append(bySpec[t.Spec], t)
	}
	var groups []*group
	for spec, list := range bySpec {
		slices.SortFunc(list, func(a, b Target) int { return a.VDN.Compare(b.VDN) })
		n := min(perSchedule, len(list))
		for i := range n {
			g := &group{schedule: phased{list[0].Schedule, slotPhase(list[0].Schedule, i, n)}}
			for _, t := range list[i*len(list)/n : (i+1)*len(list)/n] {
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

// slotPhase is the offset of group i of n. The groups are spread over the
// interval (over a second, for a cron expression) so that they do not strike
// the upstream together, but in slots, as a wake-up costs more than the work of
// an unchanged poll.
func slotPhase(s Schedule, i, n int) time.Duration {
	span := s.Every
	if span <= 0 {
		span = time.Second
	}
	return (span * time.Duration(i) / time.Duration(n)).Truncate(slotWidth)
}
