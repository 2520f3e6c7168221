package main

import (
	"testing"
	"time"
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
