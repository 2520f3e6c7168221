package reliability

import (
	"slices"
	"testing"
	"time"

	"restwatch/diff"
)

// TestSoak has 200 VDNs polled every second for a while, and looks at what the
// process needs: with the NATS server in it, and without.
func TestSoak(t *testing.T) {
	if !*long {
		return
	}
	t.Run("embedded", func(t *testing.T) { soaked(t, "") })
	t.Run("external", func(t *testing.T) { soaked(t, startNATS(t, 1)[0].url()) })
}

func soaked(t *testing.T, bus string) {
	s := open(t, 200, time.Second, bus, 0)
	p := s.serve(t)
	s.everywhere(t, diff.OK)
	let(min(20*time.Second, *soak/4)) // what is filled once is filled
	const looks = 7
	var rss, routines, heap []float64
	from := time.Now()
	for i := range looks {
		if i > 0 {
			let(*soak / (looks - 1))
		}
		rss = append(rss, p.metric(t, "process_resident_memory_bytes")/(1<<20))
		routines = append(routines, p.metric(t, "go_goroutines"))
		heap = append(heap, p.metric(t, "go_memstats_heap_inuse_bytes")/(1<<20))
	}
	calls := s.slots(from, time.Now(), time.Second)
	result(t, "soak | 200 VDNs every 1 s, %v | resident MiB %.0f; heap MiB %.0f; goroutines %.0f; %v | %v", *soak, rss, heap, routines, calls, s.check(t))
	if least, greatest := slices.Min(routines), slices.Max(routines); greatest > 1.5*least+50 {
		t.Errorf("goroutines %v", routines)
	}
	// The embedded server's index grows with the subjects, and its cache with
	// what is written; the service itself must stay as it is.
	if middle := looks / 2; bus != "" && rss[looks-1] > 1.5*rss[middle]+16 {
		t.Errorf("resident memory %v MiB", rss)
	}
}
