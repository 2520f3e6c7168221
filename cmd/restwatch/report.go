package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
)

func newReport(std stdio) *cobra.Command {
	var (
		url, format, tz string
		which           stretch
	)
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Add up each agent's rests, day by day",
		Long: `Add up from stored events, for each agent and day: how many rests, how long they were together and the longest, how long
beyond what was asked for, and how many requests were cancelled (withdrawn, refused, or the agent signed out).

A rest counts once it has ended, on the day on which it began, with the most that it can have lasted, or with no time if
CC-CMS gave no begin; one that still runs is left out. Days, and times without a zone, are those of --tz. What was inferred and then proved wrong is not
counted. How many of a day's rests and cancellations rest on what is still inferred is told, and marked with a ~ in the table;
so is every rest that was prolonged in a way that may have been its end and a new one.`,
		Example: "  restwatch report --from 2026-03-01 --to 2026-03-31 --tz Asia/Shanghai\n" +
			"  restwatch report --from 2026-03-01 --to 2026-03-31 --tz Asia/Shanghai --format csv > march.csv",
		Args: usage(noArgs),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		write, known := reporters[format]
		if !known {
			return usageError{fmt.Errorf("--format %q: want table, csv or json", format)}
		}
		zone, err := time.LoadLocation(tz)
		if err != nil {
			return usageError{fmt.Errorf("--tz %q: want a time zone, as in Asia/Shanghai", tz)}
		}
		from, to, err := which.parse(cmd, zone)
		if err != nil {
			return usageError{err}
		}
		reader, done, err := openReader(cmd.Context(), std, url)
		if err != nil {
			return err
		}
		defer done()
		t := newTally(zone, from, to)
		// To the newest: a rest that began in time may have ended, or been corrected, later.
		for m, err := range which.events(cmd, reader, from, time.Time{},
			diff.KindStarted, diff.KindUpdated, diff.KindEnded, diff.KindCancelled, diff.KindCorrected) {
			if err != nil {
				return err
			}
			t.add(m.Event)
		}
		if err := write(cmd.OutOrStdout(), t.days()); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	addNATS(cmd, &url)
	which.add(cmd)
	cmd.Flags().StringVar(&tz, "tz", "Local", "time zone of the days, as in Asia/Shanghai; this machine's if not given")
	cmd.Flags().StringVar(&format, "format", "table", "table, csv or json")
	return cmd
}

// reporters write days in a form.
var reporters = map[string]func(io.Writer, []workday) error{
	"table": reportTable,
	"csv":   reportCSV,
	"json":  func(w io.Writer, days []workday) error { return writeJSON(w, days) },
}

func reportTable(to io.Writer, days []workday) error {
	if len(days) == 0 {
		_, err := fmt.Fprintln(to, "No rest ended, and no request was cancelled.")
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DAY\tVDN\tAGENT\tNAME\tRESTS\tRESTING\tLONGEST\tOVERDUE\tCANCELLED\t")
	inferred := false
	for _, d := range days {
		mark := ""
		if d.Inferred > 0 {
			inferred = true
			mark = fmt.Sprintf("~ %d inferred", d.Inferred)
		}
		fmt.Fprintf(w, "%s\t%d:%d\t%d\t%s\t%d\t%s\t%s\t%s\t%d\t%s\n", d.Day, d.CC, d.VDN, d.WorkNo, short(d.AgentName, 24),
			d.Rests, seconds(d.RestingSeconds), seconds(d.LongestSeconds), seconds(d.OverdueSeconds), d.RequestsCancelled, mark)
	}
	if inferred {
		fmt.Fprintln(w, "\n~ so many of the rests and cancellations rest on inferred events")
	}
	return w.Flush()
}

func reportCSV(to io.Writer, days []workday) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{"day", "ccId", "vdn", "workNo", "agentName", "rests", "restingSeconds", "longestSeconds", "overdueSeconds", "requestsCancelled", "inferred"})
	for _, d := range days {
		row := []string{d.Day, strconv.Itoa(d.CC), strconv.Itoa(d.VDN), strconv.Itoa(d.WorkNo), plain(d.AgentName)}
		for _, n := range []int{d.Rests, d.RestingSeconds, d.LongestSeconds, d.OverdueSeconds, d.RequestsCancelled, d.Inferred} {
			row = append(row, strconv.Itoa(n))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}
