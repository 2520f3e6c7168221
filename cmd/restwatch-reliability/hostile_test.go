package reliability

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
)

// TestHostileUpstream has most VDNs answered by somebody who means harm, in one
// way at a time and all at once, beside a few that are answered well. Nothing
// certain may come of it that did not happen, all must be well again afterwards,
// and what it costs the few and the process is told.
func TestHostileUpstream(t *testing.T) {
	begin(t)
	const interval, timeout, wells = 500 * time.Millisecond, 2 * time.Second, 4
	bad := either(8, 32)
	for _, fault := range either(
		[]string{"bomb", "endless"},
		[]string{"names", "numbers", "nested", "headers", "slow", "hang", "huge", "endless", "bomb"},
	) {
		t.Run(fault, func(t *testing.T) {
			s := open(t, wells+bad, interval, startNATS(t, 1)[0].url(), 0, fmt.Sprintf("CMS_TIMEOUT=%v", timeout), "CMS_MAX_IN_FLIGHT=64")
			p := s.serve(t)
			s.everywhere(t, diff.OK)
			var spec []string
			for id := wells + 1; id <= wells+bad; id++ {
				spec = append(spec, fmt.Sprintf("vdn=1:%d,%s", id, fault))
			}
			before := p.metric(t, "process_resident_memory_bytes") / (1 << 20)
			s.fault(t, strings.Join(spec, ","))
			from := time.Now()
			counted := func() (spoilt int, good slots) {
				good = s.slotsOf(from, time.Now(), interval, func(v diff.VDN) bool { return v.ID <= wells })
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, c := range s.calls {
					if c.Fault != "" {
						spoilt++
					}
				}
				return spoilt, good
			}
			let(either(3*time.Second, 15*time.Second))
			var spoilt int
			var good slots
			eventually(t, "calls of both kinds", func() bool {
				spoilt, good = counted()
				return spoilt > 0 && good.calls > 0
			})
			s.fault(t, "")
			s.everywhere(t, diff.OK)
			found := s.check(t)
			p.stop(t)
			most := float64(p.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
			result(t, "hostile CC-CMS: %s | %d VDNs at once, beside %d that are well | %d such replies; resident %.0f MiB before, %.0f at most; the well: %v | %v",
				fault, bad, wells, spoilt, before, most, good, found)
			if most > 1<<10 {
				t.Errorf("resident %.0f MiB", most)
			}
		})
	}
}
