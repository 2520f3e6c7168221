package main

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/publisher"
)

// stretch selects stored events by when they were observed, and by VDN.
type stretch struct {
	from, to string // as typed
	cc, vdn  int    // 0 is all
}

func (s *stretch) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.from, "from", "", "begin: a day, or a time as in 2026-03-01T08:00:00Z; with the oldest if not given")
	flags.StringVar(&s.to, "to", "", "end: a day, which belongs to it, or a time, which does not; with the newest if not given")
	flags.IntVar(&s.cc, "ccid", 0, "only this call centre")
	flags.IntVar(&s.vdn, "vdn", 0, "only VDNs of this number")
}

// parse returns the first instant and the one behind the last, zero where none
// is given. Days begin and end in the zone.
func (s *stretch) parse(cmd *cobra.Command, zone *time.Location) (from, to time.Time, err error) {
	for _, n := range []struct {
		name       string
		value, max int
	}{{"ccid", s.cc, 65535}, {"vdn", s.vdn, 5000}} {
		if cmd.Flags().Changed(n.name) && (n.value < 1 || n.value > n.max) {
			return from, to, fmt.Errorf("--%s %d: want 1..%d", n.name, n.value, n.max)
		}
	}
	if from, err = instant("from", s.from, zone, 0); err != nil {
		return from, to, err
	}
	if to, err = instant("to", s.to, zone, 1); err != nil {
		return from, to, err
	}
	if !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("--from %s --to %s: want the earlier first", s.from, s.to)
	}
	return from, to, nil
}

// instant reads a time, or a day: its begin in the zone, so many days later.
func instant(flag, text string, zone *time.Location, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return beginOfDay(day.AddDate(0, 0, days), zone), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %q: want a day or a time, as in 2026-03-01 or 2026-03-01T08:00:00Z", flag, text)
}

// beginOfDay is the first instant of a day in the zone: not midnight where the
// clocks are set ahead at midnight, as in Cairo or Santiago.
func beginOfDay(day time.Time, zone *time.Location) time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	if t.Day() != day.Day() { // the hour before the change
		_, t = t.ZoneBounds()
	}
	return t
}

// repeats are the events of each VDN's last revision: a power cut may leave these
// in the stream twice.
type repeats map[diff.VDN]revision

type revision struct {
	number int64
	ids    map[string]bool
}

// again reports whether an event has been there before, and notes it.
func (r repeats) again(e *diff.Event) bool {
	vdn, id := diff.VDN{CC: e.CC, ID: e.VDN}, e.ID()
	if r[vdn].number != e.Revision {
		r[vdn] = revision{e.Revision, map[string]bool{}}
	}
	before := r[vdn].ids[id]
	r[vdn].ids[id] = true
	return before
}

// events yields the events that were observed from the one instant to before
// the other, each once and in order. A message that cannot be used is told on
// standard error, and makes the end an error.
func (s *stretch) events(cmd *cobra.Command, reader *publisher.Reader, from, to time.Time, kinds ...diff.Kind) iter.Seq2[publisher.Message, error] {
	q := publisher.Query{CC: s.cc, VDN: s.vdn, Kinds: kinds}
	if !from.IsZero() {
		// Stored is later than observed, but for what the clocks differ by.
		q.Since = from.Add(-time.Minute)
	}
	return func(yield func(publisher.Message, error) bool) {
		seen := repeats{}
		unusable := 0
		for m, err := range reader.Messages(cmd.Context(), q) {
			var bad *publisher.MessageError
			switch {
			case errors.As(err, &bad):
				unusable++
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.CommandPath(), err)
				continue
			case err != nil:
				yield(m, err)
				return
			}
			at := m.Event.ObservedAt.Time()
			if seen.again(m.Event) || at.Before(from) || !to.IsZero() && !at.Before(to) {
				continue
			}
			if !yield(m, nil) {
				return
			}
		}
		switch err := cmd.Context().Err(); {
		case err != nil:
			yield(publisher.Message{}, fmt.Errorf("not finished: %w", err))
		case unusable > 0:
			yield(publisher.Message{}, fmt.Errorf("%d messages could not be used", unusable))
		}
	}
}
