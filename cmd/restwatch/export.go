package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/publisher"
)

func newExport(std stdio) *cobra.Command {
	var (
		url, format string
		which       stretch
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write stored events to a file, for an audit",
		Long: `Write the stored agent events of a stretch of time to standard output, in the order in which they are stored: of each VDN by
their numbers, without a gap as long as the retention has them. They are chosen by when they were observed. Days are
those of UTC.

As jsonl, each line is the CloudEvent as it is stored. As csv, each field has a column, and what has no value is empty; a
name that a spreadsheet would take for a formula gets a ' in front.`,
		Example: "  restwatch export --from 2026-03-01 --to 2026-03-31 --format csv > march.csv\n" +
			"  restwatch export --from 2026-03-01T08:00:00Z --to 2026-03-01T09:00:00Z --ccid 1 --vdn 170 --format jsonl",
		Args: usage(noArgs),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		write, known := exporters[format]
		if !known {
			return usageError{fmt.Errorf("--format %q: want csv or jsonl", format)}
		}
		from, to, err := which.parse(cmd, time.UTC)
		if err != nil {
			return usageError{err}
		}
		reader, done, err := openReader(cmd.Context(), std, url)
		if err != nil {
			return err
		}
		defer done()
		return write(cmd.OutOrStdout(), which.events(cmd, reader, from, to))
	}
	addNATS(cmd, &url)
	which.add(cmd)
	cmd.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	return cmd
}

// column is a field of an event, by its name in the CloudEvent.
type column struct {
	name string
	text func(*diff.Event) string
}

var columns = []column{
	{"id", (*diff.Event).ID},
	{"sequence", func(e *diff.Event) string { return strconv.FormatInt(e.Sequence, 10) }},
	{"ccId", func(e *diff.Event) string { return strconv.Itoa(e.CC) }},
	{"vdn", func(e *diff.Event) string { return strconv.Itoa(e.VDN) }},
	{"workNo", func(e *diff.Event) string { return strconv.Itoa(e.WorkNo) }},
	{"agentName", func(e *diff.Event) string { return plain(e.AgentName) }},
	{"kind", func(e *diff.Event) string { return string(e.Kind) }},
	{"restId", func(e *diff.Event) string { return e.RestID.String() }},
	{"from", func(e *diff.Event) string { return e.From.String() }},
	{"to", func(e *diff.Event) string { return e.To.String() }},
	{"certainty", func(e *diff.Event) string { return e.Certainty.String() }},
	{"alternatives", func(e *diff.Event) string { return strings.Join(e.Alternatives, " ") }},
	{"beginAt", func(e *diff.Event) string { return moment(e.BeginAt) }},
	{"requestedSeconds", func(e *diff.Event) string { return strconv.Itoa(e.RequestedSeconds) }},
	{"waitReason", func(e *diff.Event) string {
		if e.WaitReason == nil {
			return ""
		}
		return e.WaitReason.Name
	}},
	{"occurredAt", func(e *diff.Event) string { return moment(e.OccurredAt) }},
	{"occurredAfter", func(e *diff.Event) string { return moment(e.OccurredAfter) }},
	{"occurredBefore", func(e *diff.Event) string { return moment(e.OccurredBefore) }},
	{"observedAt", func(e *diff.Event) string { return moment(e.ObservedAt) }},
	{"previousObservedAt", func(e *diff.Event) string { return moment(e.PreviousObservedAt) }},
	{"detectedBy", func(e *diff.Event) string { return e.DetectedBy }},
	{"elapsedSeconds", func(e *diff.Event) string { return count(e.ElapsedSeconds) }},
	{"elapsedSecondsMin", func(e *diff.Event) string { return count(e.ElapsedSecondsMin) }},
	{"overdueSeconds", func(e *diff.Event) string { return count(e.OverdueSeconds) }},
	{"revision", func(e *diff.Event) string { return strconv.FormatInt(e.Revision, 10) }},
	{"what", func(e *diff.Event) string { return e.What }},
	{"corrects", func(e *diff.Event) string {
		if e.Correction == nil || e.Corrects == nil {
			return ""
		}
		return *e.Corrects
	}},
	{"was", func(e *diff.Event) string {
		if e.Correction == nil {
			return ""
		}
		return string(e.Was)
	}},
	{"now", func(e *diff.Event) string {
		if e.Correction == nil {
			return ""
		}
		return string(e.Now)
	}},
}

// exporters write events in a form.
var exporters = map[string]func(io.Writer, iter.Seq2[publisher.Message, error]) error{
	"csv":   exportCSV,
	"jsonl": exportLines,
}

func exportLines(to io.Writer, events iter.Seq2[publisher.Message, error]) error {
	out := bufio.NewWriter(to)
	for m, err := range events {
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if _, err := fmt.Fprintf(out, "%s\n", m.Data); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

func exportCSV(to io.Writer, events iter.Seq2[publisher.Message, error]) error {
	out := csv.NewWriter(to)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	_ = out.Write(row) // Error tells
	for m, err := range events {
		if err != nil {
			out.Flush()
			return err
		}
		for i, c := range columns {
			row[i] = c.text(m.Event)
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// plain keeps a name from being taken for a formula. Some spreadsheets take the
// wide forms for the same, and look behind a tab or the end of a line.
func plain(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}

func moment(t diff.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

func count(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}
