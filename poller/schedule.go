package poller

import (
	"time"

	"github.com/robfig/cron/v3"

	"restwatch/diff"
)

// Schedule says when a VDN is polled: at a fixed interval, or by a cron
// expression. Exactly one of the fields is set.
type Schedule struct {
	// Every is the interval of an "@every" schedule; it may be below a second.
	Every time.Duration
	// Cron is a parsed cron expression.
	Cron cron.Schedule
}

// phased is a Schedule moved by a group's phase. It is the cron.Schedule that
// the group's entry runs by.
//
// An interval is aligned to the epoch, not to the start of the process, so that
// replicas and restarts agree on the slots. (cron's own "@every" counts from the
// start and knows no interval below a second.) For the same reason slots, and
// the times of a cron expression, are those of the bus's clock: one that is set
// back would name slots that have been, and nothing is polled twice for a slot.
type phased struct {
	Schedule
	phase time.Duration
	// bus is the bus's time at a reading of time.Now; nil: this machine's.
	bus func(time.Time) diff.Time
}

// at is the time that slots go by at t. What cron hands over has no monotonic
// reading; its time of day is by this machine's clock as it is now.
func (s phased) at(t time.Time) time.Time {
	if s.bus == nil {
		return t.Round(0)
	}
	if now := time.Now(); t == t.Round(0) {
		t = now.Add(t.Sub(now.Round(0)))
	}
	return s.bus(t).Time()
}

// Next returns when the first slot after t is, by t's clock, and the zero time
// if there is none. It keeps t's monotonic reading. An expression without
// CRON_TZ goes by this machine's time zone.
func (s phased) Next(t time.Time) time.Time {
	at := s.at(t)
	if s.Every > 0 {
		return t.Add(s.slot(at).Add(s.Every).Sub(at))
	}
	next := s.Cron.Next(at.Add(-s.phase).Local())
	if next.IsZero() {
		return next
	}
	return t.Add(next.Add(s.phase).Sub(at))
}

// Slot returns the slot that t belongs to, the same in every replica. Cron
// expressions fire on whole seconds, so there the second is name enough.
func (s phased) Slot(t time.Time) time.Time { return s.slot(s.at(t)) }

// slot is the last one that is not after t: t itself if it is one.
func (s phased) slot(t time.Time) time.Time {
	step := s.Every
	if step <= 0 {
		step = time.Second
	}
	since := t.UnixNano() - int64(s.phase)
	into := since % int64(step)
	if into < 0 {
		into += int64(step)
	}
	return time.Unix(0, t.UnixNano()-into).In(t.Location())
}

// After returns the end of n intervals from t: t itself moved, for a fixed
// interval; one second into the n-th firing after t, for a cron expression,
// whose intervals differ. Zero if the schedule ends before.
func (s phased) After(t time.Time, n int) time.Time {
	if s.Every > 0 {
		return t.Add(time.Duration(n) * s.Every)
	}
	for range n {
		if t = s.Next(t); t.IsZero() {
			return t
		}
	}
	return t.Add(time.Second)
}

// Interval returns the time between the next two slots after t.
func (s phased) Interval(t time.Time) time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	first := s.Next(t)
	second := s.Next(first)
	if first.IsZero() || second.IsZero() {
		return 0
	}
	return second.Sub(first)
}

// Entry returns the schedule as cron runs it, moved by a phase.
func (s Schedule) Entry(phase time.Duration) cron.Schedule { return phased{Schedule: s, phase: phase} }
