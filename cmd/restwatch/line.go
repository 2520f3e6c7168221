package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"restwatch/diff"
)

// writeLine writes an event as one line for people, times in the given zone:
//
//	14:03:05  1:170    1042 Agent 1042     started    certain   rests for 10m, since 14:03:04
func writeLine(w io.Writer, e *diff.Event, zone *time.Location) error {
	_, err := fmt.Fprintf(w, "%s  %-8s %7d %-18s %-10s %-9s %s\n",
		clock(e.ObservedAt, zone), diff.VDN{CC: e.CC, ID: e.VDN}, e.WorkNo, short(e.AgentName, 18), e.Kind, e.Certainty,
		story(e, zone))
	return err
}

// story tells an event in words.
func story(e *diff.Event, zone *time.Location) string {
	var s string
	switch e.Kind {
	case diff.KindRequested:
		s = "asks for " + seconds(e.RequestedSeconds) + waitsFor(e)
	case diff.KindApproved:
		s = "may rest for " + seconds(e.RequestedSeconds)
	case diff.KindStarted:
		s = "rests for " + seconds(e.RequestedSeconds) + since(e.BeginAt, zone)
	case diff.KindEnded:
		s = "rested" + howLong(e) + overrun(e)
	case diff.KindCancelled:
		s = "no longer " + e.From.String()
	case diff.KindUpdated:
		s = updateStory(e)
	case diff.KindOverdue:
		s = "asked for " + seconds(e.RequestedSeconds) + beyond(e.OverdueSeconds)
	case diff.KindCorrected:
		s = correctionStory(e)
	}
	if len(e.Alternatives) > 0 {
		s += ", or else " + strings.Join(e.Alternatives, " or ")
	}
	return s
}

func updateStory(e *diff.Event) string {
	switch e.What {
	case "reason":
		return "still " + e.To.String() + waitsFor(e)
	case "prolong":
		return "prolonged to " + seconds(e.RequestedSeconds)
	}
	return "now for " + seconds(e.RequestedSeconds)
}

func correctionStory(e *diff.Event) string {
	if e.Correction == nil {
		return ""
	}
	if e.Now == "none" {
		return fmt.Sprintf("was told as %s, but nothing happened", e.Was)
	}
	return fmt.Sprintf("was told as %s, was %s", e.Was, e.Now)
}

func waitsFor(e *diff.Event) string {
	if e.WaitReason == nil {
		return ""
	}
	return ", " + e.WaitReason.Name
}

func since(t diff.Time, zone *time.Location) string {
	if t == 0 {
		return ""
	}
	return ", since " + clock(t, zone)
}

// howLong is as exact as the polls around the end allow.
func howLong(e *diff.Event) string {
	switch most, least := e.ElapsedSeconds, e.ElapsedSecondsMin; {
	case most == nil:
		return " for an unknown time"
	case least == nil || *least == *most:
		return " for " + seconds(*most)
	default:
		return " for " + seconds(*least) + " to " + seconds(*most)
	}
}

// overrun says "perhaps" where the least that the rest lasted is within what
// was asked for.
func overrun(e *diff.Event) string {
	if e.OverdueSeconds == nil || *e.OverdueSeconds == 0 {
		return ""
	}
	if e.ElapsedSecondsMin != nil && *e.ElapsedSecondsMin <= e.RequestedSeconds {
		return ", asked for " + seconds(e.RequestedSeconds) + ", perhaps too long"
	}
	return ", asked for " + seconds(e.RequestedSeconds) + ", too long"
}

func beyond(n *int) string {
	if n == nil || *n == 0 {
		return ""
	}
	return ", " + seconds(*n) + " too long"
}

// writeFeedLine writes a feed's status as a line that stands out among events:
//
//	14:03:20  1:170  -- feed down since 14:03:05: network: no connection
func writeFeedLine(w io.Writer, f *diff.Feed, zone *time.Location) error {
	_, err := fmt.Fprintf(w, "%s  %-8s -- feed %s\n", clock(f.ObservedAt, zone), diff.VDN{CC: f.CC, ID: f.VDN}, feedStory(f, zone))
	return err
}

func feedStory(f *diff.Feed, zone *time.Location) string {
	s := string(f.Status)
	if f.Gap != nil {
		s += fmt.Sprintf(", not watched from %s to %s", clock(f.Gap.From, zone), clock(f.Gap.To, zone))
	}
	if f.Status != diff.OK && f.LastGoodPollAt != 0 {
		s += ", last good poll " + clock(f.LastGoodPollAt, zone)
	}
	if f.Error != nil {
		s += ", " + f.Error.Category + ": " + short(f.Error.Message, 200)
	}
	return s
}

// seconds writes a length as people say it: 45s, 10m, 1h5m30s.
func seconds(n int) string {
	s := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func clock(t diff.Time, zone *time.Location) string {
	return t.Time().In(zone).Format(time.TimeOnly)
}

// short cuts s to n characters and keeps control characters off the terminal.
func short(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if n--; n < 0 {
			break
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			r = '·'
		}
		b.WriteRune(r)
	}
	return b.String()
}
