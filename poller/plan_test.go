package poller

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"restwatch/diff"
)

func targets(n int, spec string, every time.Duration) []Target {
	list := make([]Target, n)
	for i := range list {
		list[i] = Target{VDN: diff.VDN{CC: 1, ID: i + 1}, Spec: spec, Schedule: Schedule{Every: every}}
	}
	return list
}

func TestPlanIsTheSameInEveryReplica(t *testing.T) {
	list := append(targets(1000, "@every 5s", 5*time.Second), Target{
		VDN: diff.VDN{CC: 2, ID: 1}, Spec: "@every 1s", Schedule: Schedule{Every: time.Second},
	})
	groups := plan(list, 64)
	if len(groups) != 33 {
		t.Fatalf("groups: got %d, want 32 of 32 VDNs or fewer, and one", len(groups))
	}
	seen := map[diff.VDN]bool{}
	for _, g := range groups {
		if g.schedule.phase < 0 || g.schedule.phase >= g.schedule.Every || g.schedule.phase%slotWidth != 0 {
			t.Errorf("group %s: phase %v", g.name, g.schedule.phase)
		}
		for _, w := range g.watches {
			if seen[w.vdn] {
				t.Errorf("VDN %v is in two groups", w.vdn)
			}
			seen[w.vdn] = true
		}
	}
	if len(seen) != len(list) {
		t.Errorf("VDNs: got %d, want %d", len(seen), len(list))
	}

	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	again := plan(list, 64)
	if !slices.EqualFunc(groups, again, func(a, b *group) bool {
		return a.name == b.name && a.schedule.Schedule == b.schedule.Schedule && a.schedule.phase == b.schedule.phase && slices.Equal(vdnsOf(a.watches), vdnsOf(b.watches))
	}) {
		t.Error("another order of the settings gives another plan")
	}
}

func TestGroupsOfOtherMembersHaveOtherNames(t *testing.T) {
	before, after := plan(targets(3, "@every 5s", 5*time.Second), 1), plan(targets(4, "@every 5s", 5*time.Second), 1)
	if before[0].name == after[0].name {
		t.Errorf("group of 3 and group of 4 VDNs share the name %s", before[0].name)
	}
}

// Two groups in one slot would be two ticks for one burst; more slots than
// needed are wake-ups for nothing.
func TestFewBurstsUntilTheyGetLarge(t *testing.T) {
	for _, c := range []struct {
		vdns        int
		every       time.Duration
		most, wants int
	}{
		{5000, 5 * time.Second, 64, 50}, {1000, 5 * time.Second, 64, 32}, {50, 5 * time.Second, 64, 20},
		{5000, time.Minute, 64, 64}, {5000, time.Minute, 7, 7},
		{1000, time.Second, 64, 10}, {200, time.Second, 64, 7}, {60, time.Second, 64, 4}, {3, time.Second, 64, 3},
		{1000, 100 * time.Millisecond, 64, 1}, {1000, 250 * time.Millisecond, 64, 2}, {10, 250 * time.Millisecond, 64, 1},
	} {
		groups := plan(targets(c.vdns, "x", c.every), c.most)
		phases := map[time.Duration]bool{}
		for _, g := range groups {
			phases[g.schedule.phase] = true
		}
		if len(groups) != c.wants || len(phases) != c.wants {
			t.Errorf("%d VDNs every %v, %d groups at most: got %d in %d slots, want %d", c.vdns, c.every, c.most, len(groups), len(phases), c.wants)
		}
	}
}

func TestSmallInstallationHasOneVDNAGroup(t *testing.T) {
	for _, g := range plan(targets(5, "@every 5s", 5*time.Second), 64) {
		if len(g.watches) != 1 {
			t.Errorf("group %s: %d VDNs, want 1", g.name, len(g.watches))
		}
	}
}
