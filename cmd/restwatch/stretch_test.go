package main

import (
	"testing"
	"time"

	"restwatch/diff"
)

// Days follow each other without a gap, also where a day has no midnight.
func TestDaysOfAStretch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Asia/Shanghai", "Europe/Berlin", "Africa/Cairo", "America/Santiago", "America/Havana", "Pacific/Chatham"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == 2026; day = day.AddDate(0, 0, 1) {
			text, before := day.Format(time.DateOnly), day.AddDate(0, 0, -1).Format(time.DateOnly)
			from, err := instant("from", text, zone, 0)
			if err != nil {
				t.Fatal(err)
			}
			if first, last := from.Format(time.DateOnly), from.Add(-1).Format(time.DateOnly); first != text || last != before {
				t.Errorf("%s: %s begins at %v, on %s, after %s", name, text, from, first, last)
			}
			if to, err := instant("to", before, zone, 1); err != nil || !to.Equal(from) {
				t.Errorf("%s: %s ends at %v, %v, and %s begins at %v", name, before, to, err, text, from)
			}
		}
	}
}

// Whatever kinds are read, only what one commit holds is remembered.
func TestRepeats(t *testing.T) {
	t.Parallel()
	seen := repeats{}
	for revision := int64(2); revision < 5000; revision++ {
		for _, vdn := range []int{170, 171} {
			var batch [2]diff.Event
			for i := range batch {
				batch[i] = diff.Event{CC: 1, VDN: vdn, Kind: diff.KindEnded, Revision: revision, Sequence: revision*7 + int64(i)}
			}
			for n, want := range []bool{false, true} { // stored, and once more after a power cut
				for i := range batch {
					if got := seen.again(&batch[i]); got != want {
						t.Fatalf("revision %d, event %d, time %d: got %t", revision, i, n, got)
					}
				}
			}
		}
	}
	if n := len(seen[vdn170].ids); n != 2 || len(seen) != 2 {
		t.Errorf("remembers %d events of %d VDNs", n, len(seen))
	}
}
