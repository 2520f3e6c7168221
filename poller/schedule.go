package poller

import (
	"time"

	"github.com/robfig/cron/v3"
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
// start and knows no interval below a second.)
type phased struct {
	Schedule
	phase time.Duration
}

// Next returns the first slot after t, the zero time if there is none. It keeps
// t's monotonic reading, so that cron wakes up in time whatever is done to the
// clock meanwhile: set back by an hour, it would otherwise sleep for an hour.
// An expression without CRON_TZ goes by this machine's time zone.
func (s phased) Next(t time.Time) time.Time {
	if s.Every > 0 {
		return t.Add(s.Slot(t).Add(s.Every).Sub(t.Round(0)))
	}
	next := s.Cron.Next(t.Add(-s.phase).Local())
	if next.IsZero() {
		return next
	}
	return t.Add(next.Add(s.phase).Sub(t.Round(0)))
}

// Slot returns the slot that t belongs to, the same in every replica: t itself
// if it is one. Cron expressions fire on whole seconds, so there the second is
// name enough.
func (s phased) Slot(t time.Time) time.Time {
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
func (s Schedule) Entry(phase time.Duration) cron.Schedule { return phased{s, phase} }
