package reliability

import (
	"testing"
	"time"

	"restwatch/diff"
)

// TestClocks has an upstream whose clock is minutes off, so that begin times
// lie in the future, or long ago.
func TestClocks(t *testing.T) {
	offsets := either([]time.Duration{3 * time.Minute}, []time.Duration{3 * time.Minute, -7 * time.Minute, 3 * time.Second})
	for _, ahead := range offsets {
		t.Run(ahead.String(), func(t *testing.T) {
			begin(t)
			s := open(t, 5, 250*time.Millisecond, "", ahead)
			p := s.serve(t)
			s.everywhere(t, diff.OK)
			let(either(5*time.Second, 15*time.Second))
			result(t, "upstream's clock %v ahead | %v | its skew is measured as %.0f s | %v", ahead, time.Since(p.started).Round(time.Second),
				p.metric(t, "restwatch_cms_clock_skew_seconds"), s.check(t))
		})
	}
	if !*long {
		return
	}
	// Only what the Date header says is off, now and then.
	t.Run("date", func(t *testing.T) {
		s := open(t, 5, 250*time.Millisecond, "", 0)
		s.fault(t, "skew=6m:0.3")
		s.serve(t)
		s.everywhere(t, diff.OK)
		let(15 * time.Second)
		result(t, "the Date header of 3 replies in 10 is 6 min off | 15 s | | %v", s.check(t))
	})
}
