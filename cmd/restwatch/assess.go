package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"restwatch/diff"
	"restwatch/diff/assess"
)

// assessPolls writes what recorded polls tell of the assumptions.
func assessPolls(in io.Reader, out io.Writer, opt replayOptions, asJSON bool) error {
	a := assess.New(opt.diff)
	err := eachPoll(in, opt, func(obs *diff.Observation, r *diff.Result) error {
		if r == nil {
			a.Failed(obs.VDN, obs.At)
		} else {
			a.Observe(obs, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	report := a.Report()
	if asJSON {
		return writeJSON(out, report)
	}
	w := bufio.NewWriter(out)
	writeReport(w, &report)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// reportWidth is where lines of a report are broken.
const reportWidth = 110

func writeReport(w io.Writer, r *assess.Report) {
	n := &r.Facts
	if n.Polls == 0 {
		fmt.Fprintln(w, "No polls in the input.")
		return
	}
	fmt.Fprintf(w, "From %s to %s (%v). VDNs: %d. Polls: %d, of each VDN every %v, 19 of 20 within %v.\n",
		n.From, n.To, n.To.Sub(n.From).Round(time.Second), n.VDNs, n.Polls, n.Interval, n.LongInterval)
	fmt.Fprintf(w, "Failed polls: %d. Gaps: %d. Longest time without a good poll: %v.\n", n.Failed, n.Gaps, n.LongestGap)
	fmt.Fprintf(w, "Rows: %d, with reason 0 to 4 and others: %s.\n\n", n.Rows, strings.Trim(fmt.Sprint(n.Reasons), "[]"))
	for i := range r.Findings {
		writeFinding(w, &r.Findings[i])
	}
	writeTellings(w, r.Events)
	writeList(w, "Odd", r.Oddities)
	writeList(w, "What this means", r.Meaning)
}

func writeFinding(w io.Writer, f *assess.Finding) {
	verdict := strings.ToUpper(string(f.Verdict))
	switch f.Verdict {
	case assess.Held:
		verdict += fmt.Sprintf(", tests: %d", f.Tested)
	case assess.Broken:
		verdict += fmt.Sprintf(", counter-examples: %d", f.Against)
	}
	fmt.Fprintf(w, "%s  %s\n", f.Assumption, verdict)
	writeText(w, "    ", "    ", f.Claim+":")
	writeText(w, "    ", "    ", f.Why+".")
	for _, note := range f.Notes {
		writeText(w, "    - ", "      ", note)
	}
	for i := range f.Examples {
		writeExample(w, &f.Examples[i])
	}
	fmt.Fprintln(w)
}

func writeExample(w io.Writer, x *assess.Example) {
	agent := ""
	if x.WorkNo != 0 {
		agent = fmt.Sprintf(" agent %d", x.WorkNo)
	}
	writeText(w, "    ! ", "      ", fmt.Sprintf("%s at %s%s: %s%s",
		diff.VDN{CC: x.CC, ID: x.VDN}, x.ObservedAt, agent, x.What, totals(x.Previous, x.Counts)))
	for _, row := range x.Rows {
		fmt.Fprintf(w, "        %s  workNo %d, cantRestReason %d, beginTime %s, restDuration %d\n",
			row.ObservedAt, row.WorkNo, row.Reason, row.Begin, row.Requested)
	}
}

// totals are waiting/approved/resting, before and now.
func totals(before, now *diff.Counts) string {
	if now == nil {
		return ""
	}
	one := func(n *diff.Counts) string { return fmt.Sprintf("%d/%d/%d", n.Waiting, n.Approved, n.Resting) }
	if before == nil {
		return " (totals " + one(now) + ")"
	}
	return " (totals " + one(before) + ", then " + one(now) + ")"
}

func writeTellings(w io.Writer, list []assess.Telling) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "Events        certain  inferred")
	for _, t := range list {
		fmt.Fprintf(w, "  %-10s  %7d  %8d\n", t.Kind, t.Certain, t.Inferred)
	}
	fmt.Fprintln(w)
}

func writeList(w io.Writer, title string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for _, text := range list {
		writeText(w, "  - ", "    ", text)
	}
	fmt.Fprintln(w)
}

// writeText writes a paragraph, broken between words.
func writeText(w io.Writer, first, next, text string) {
	line := first
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > reportWidth:
			fmt.Fprintln(w, line)
			line = next + word
		default:
			line += " " + word
		}
	}
	fmt.Fprintln(w, line)
}
