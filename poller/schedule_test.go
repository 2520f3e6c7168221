package poller

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"restwatch/diff"
)

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

func expression(t testing.TB, spec string) Schedule {
	t.Helper()
	s, err := parser.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return Schedule{Cron: s}
}

// Replicas start at different times and must name the same slots.
func TestSlotsAreAlignedWhateverTheStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(1, 100_000).Draw(t, "every ms")) * time.Millisecond
		s := phased{Schedule: Schedule{Every: every}, phase: time.Duration(rapid.Int64Range(0, int64(every)-1).Draw(t, "phase"))}
		now := time.Unix(0, rapid.Int64Range(0, 4e18).Draw(t, "now"))
		slot, next := s.Slot(now), s.Next(now)
		if slot.After(now) || !next.After(now) || next.Sub(slot) != every {
			t.Fatalf("at %v: slot %v, next %v, every %v", now, slot, next, every)
		}
		if got := (slot.UnixNano() - int64(s.phase)) % int64(every); got != 0 {
			t.Fatalf("slot %v is %dns off the epoch", slot, got)
		}
		if got := s.Slot(next); !got.Equal(next) {
			t.Fatalf("slot of %v is %v", next, got)
		}
	})
}

func TestCronExpressionKeepsItsZoneAndPhase(t *testing.T) {
	s := phased{Schedule: expression(t, "CRON_TZ=Asia/Shanghai 0 */10 8-20 * * *"), phase: 250 * time.Millisecond}
	evening := time.Date(2026, 3, 1, 12, 50, 1, 0, time.UTC) // 20:50:01 in Shanghai
	next := s.Next(evening)
	if want := time.Date(2026, 3, 2, 0, 0, 0, 250e6, time.UTC); !next.Equal(want) {
		t.Fatalf("next after %v: got %v, want %v", evening, next.UTC(), want)
	}
	if got := s.Slot(next.Add(100 * time.Millisecond)); !got.Equal(next) {
		t.Errorf("slot: got %v, want %v", got, next)
	}
	if got := s.Interval(evening); got != 10*time.Minute {
		t.Errorf("interval: got %v, want 10m", got)
	}
	// The night has no slots, so nothing is missed in it.
	if got, want := s.After(evening, 3), time.Date(2026, 3, 2, 0, 20, 1, 250e6, time.UTC); !got.Equal(want) {
		t.Errorf("after three: got %v, want %v", got.UTC(), want)
	}
}

// CRON_TZ is not set, so it is this machine's evening, whatever zone the time
// asked about is in.
func TestCronExpressionGoesByLocalTime(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("test", 8*3600)
	s := phased{Schedule: expression(t, "0 0 9 * * *")}
	want := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	for _, zone := range []*time.Location{time.UTC, time.Local} {
		if got := s.Next(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).In(zone)); !got.Equal(want) {
			t.Errorf("in %s: got %s, want %s", zone, got.UTC(), want)
		}
	}
}

// Replicas whose clocks differ wake up at the same moments and name the same
// slots, those of the bus. cron hands over times without a monotonic reading.
func TestSlotsAreTheBuss(t *testing.T) {
	for name, s := range map[string]phased{
		"interval":   {Schedule: Schedule{Every: 5 * time.Second}, phase: time.Second},
		"expression": {Schedule: expression(t, "*/5 * * * * *"), phase: time.Second},
	} {
		for _, ahead := range []time.Duration{0, -20*time.Second - 300*time.Millisecond, time.Hour + time.Second} {
			s.bus = func(t time.Time) diff.Time { return diff.TimeOf(t.Add(-ahead)) }
			for _, now := range []time.Time{time.Now(), time.Now().Round(0)} {
				next := s.Next(now)
				if bus := diff.TimeOf(next.Add(-ahead)) / 1000 * 1000; bus%5000 != 1000 || !next.After(now) || next.Sub(now) > 5*time.Second+time.Millisecond {
					t.Errorf("%s, %v ahead: next after %v is %v, by the bus's clock %v", name, ahead, now, next, bus)
				}
				slot := (&group{schedule: s}).slot(next)
				if d := slot.Sub(next.Add(-ahead)).Abs(); d > 2*time.Millisecond {
					t.Errorf("%s, %v ahead: the slot of %v is %v", name, ahead, next, slot)
				}
			}
		}
	}
}

// cron makes its plan by times of day: after a step of the clock the plan is as
// far off.
func TestOversleeping(t *testing.T) {
	s := phased{Schedule: Schedule{Every: 5 * time.Second}}
	now := time.Now()
	for _, set := range []time.Duration{0, -20 * time.Second, -time.Hour, time.Hour} {
		planned := s.Next(now.Round(0).Add(-set)) // before the clock was set
		got := oversleeps([]cron.Entry{{Schedule: s, Next: planned}}, now)
		if want := max(0, -set); (got-want).Abs() > 5*time.Second || set == 0 && got != 0 {
			t.Errorf("set by %v: oversleeps by %v", set, got)
		}
	}
}
