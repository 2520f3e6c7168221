package reliability

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

var limit = flag.String("memory", "", "GOMEMLIMIT of the soak's processes; none sets none")

// TestSoak has 200 VDNs polled every second for a while, and looks at what the
// process needs: with the NATS server in it, and without.
func TestSoak(t *testing.T) {
	if !*long {
		return
	}
	t.Run("embedded", func(t *testing.T) { soaked(t, nil) })
	t.Run("external", func(t *testing.T) {
		soaked(t, startNATS(t, 1, func(n *node) {
			if *limit != "" {
				n.env = append(n.env, "GOMEMLIMIT="+*limit)
			}
		})[0])
	})
}

func soaked(t *testing.T, bus *node) {
	url := ""
	if bus != nil {
		url = bus.url()
	}
	s := open(t, 200, time.Second, url, 0, "HEARTBEAT=30s")
	if *limit != "" {
		s.env = append(s.env, "GOMEMLIMIT="+*limit)
	}
	program, port := binary, freeport.Hold(t)
	if *profiles != "" {
		program = profiler(t)
		s.env = append(s.env, profiling+"="+strconv.Itoa(port))
	}
	p := spawn(t, s.env, program, "serve")
	s.everywhere(t, diff.OK)
	let(min(20*time.Second, *soak/4)) // what is filled once is filled
	looks := max(6, int(*soak/time.Minute)) + 1
	var rss, routines, heap, server, events []float64
	from := time.Now()
	for i := range looks {
		if i > 0 {
			let(*soak / time.Duration(looks-1))
		}
		rss = append(rss, p.metric(t, "process_resident_memory_bytes")/(1<<20))
		routines = append(routines, p.metric(t, "go_goroutines"))
		heap = append(heap, p.metric(t, "go_memstats_heap_inuse_bytes")/(1<<20))
		events = append(events, p.metric(t, "restwatch_events_total")/1000)
		if bus != nil {
			server = append(server, resident(t, bus.process))
		}
		if *profiles != "" {
			name := fmt.Sprintf("%s-%02d", strings.ReplaceAll(t.Name(), "/", "-"), i)
			profile(t, port, name)
			if bus != nil {
				profile(t, bus.spec.ProfPort, name+"-server")
			}
		}
	}
	calls := s.slots(from, time.Now(), time.Second)
	result(t, "soak | 200 VDNs every 1 s, %v, memory limit %q | %.0f s of CPU; resident MiB %.0f; heap MiB %.0f; goroutines %.0f; the external server's resident MiB %.0f; thousand events %.0f; %v | %v",
		*soak, *limit, p.metric(t, "process_cpu_seconds_total"), rss, heap, routines, server, events, calls, s.check(t))
	p.complain(t)
	// A busy moment makes for a burst now and then.
	if half := looks / 2; slices.Min(routines[half:]) > 1.5*slices.Min(routines[:half])+20 {
		t.Errorf("goroutines %v", routines)
	}
	// The embedded server's index grows with the subjects, and its cache with
	// what is written; the service itself must stay as it is.
	if middle := looks / 2; bus != nil && rss[looks-1] > 1.5*rss[middle]+16 {
		t.Errorf("resident memory %v MiB", rss)
	}
}

// resident is the memory of a process in MiB.
func resident(t *testing.T, p *process) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// complaints counts the warnings and errors in the log by their message.
func (p *process) complaints() map[string]int {
	n := map[string]int{}
	for l := range strings.Lines(p.log()) {
		if strings.Contains(l, "level=WARN") || strings.Contains(l, "level=ERROR") {
			_, rest, _ := strings.Cut(l, `msg="`)
			msg, _, _ := strings.Cut(rest, `"`)
			n[msg]++
		}
	}
	return n
}

// complain shows them, with the first of each kind.
func (p *process) complain(t *testing.T) {
	t.Helper()
	all := p.complaints()
	for _, msg := range slices.Sorted(maps.Keys(all)) {
		t.Logf("said %d times: %s", all[msg], p.line("level=", `msg="`+msg+`"`))
	}
}
