package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/publisher"
)

func newSnapshot(std stdio) *cobra.Command {
	var url string
	var raw bool
	cmd := &cobra.Command{
		Use:   "snapshot <ccId> <vdn>",
		Short: "Show who waits, may rest, rests and overruns",
		Long: `Show the newest stored snapshot of a VDN. If its feed says that the VDN is not watched as it should be just now,
that is told on standard error.`,
		Example: "  restwatch snapshot 1 170\n  restwatch snapshot 1 170 --json | jq '.agents[].state'",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cc, id, _, err := parseWho(args)
			if err != nil {
				return usageError{err}
			}
			vdn := diff.VDN{CC: cc, ID: id}
			reader, done, err := openReader(cmd.Context(), std, url)
			if err != nil {
				return err
			}
			defer done()
			feed, err := reader.LastFeed(cmd.Context(), vdn)
			if err != nil {
				return err
			}
			s, _, err := reader.LastSnapshot(cmd.Context(), vdn)
			switch {
			case errors.Is(err, publisher.ErrNoSnapshot) && feed != nil:
				return fmt.Errorf("VDN %s: no snapshot is stored yet; its feed is %s", vdn, feedStory(feed, time.Local))
			case errors.Is(err, publisher.ErrNoSnapshot):
				return fmt.Errorf("VDN %s: no snapshot is stored; is it among the VDNs that serve polls?", vdn)
			case err != nil:
				return err
			}
			if feed != nil && feed.Status != diff.OK {
				fmt.Fprintf(cmd.ErrOrStderr(), "restwatch snapshot: not up to date, the feed is %s\n", feedStory(feed, time.Local))
			}
			if raw {
				if s.Agents == nil {
					s.Agents = []diff.Agent{} // nobody, which is not null, as in the stored message
				}
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return writeSnapshot(cmd.OutOrStdout(), &s, time.Local)
		},
	}
	addNATS(cmd, &url)
	cmd.Flags().BoolVar(&raw, "json", false, "print the snapshot as JSON")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// writeSnapshot writes a table of the agents, by state.
func writeSnapshot(w io.Writer, s *diff.Snapshot, zone *time.Location) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "VDN %s at %s: %d waiting, %d approved, %d resting (revision %d, %s)\n\n",
		diff.VDN{CC: s.CC, ID: s.VDN}, s.ObservedAt.Time().In(zone).Format(time.DateTime),
		s.Counts.Waiting, s.Counts.Approved, s.Counts.Resting, s.Revision, s.Quality)
	if len(s.Agents) == 0 {
		fmt.Fprintln(t, "Nobody waits, may rest or rests.")
		return t.Flush()
	}
	fmt.Fprintln(t, "STATE\tAGENT\tNAME\tSINCE\tASKED FOR\t")
	for _, state := range []diff.State{diff.Waiting, diff.Approved, diff.Resting} {
		for _, a := range s.Agents {
			if a.State == state {
				fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", a.State, a.WorkNo, short(a.AgentName, 24),
					sinceOf(&a, zone), seconds(a.RequestedSeconds), remarks(&a))
			}
		}
	}
	return t.Flush()
}

func sinceOf(a *diff.Agent, zone *time.Location) string {
	if a.BeginAt == 0 {
		return "unknown"
	}
	return clock(a.BeginAt, zone)
}

func remarks(a *diff.Agent) string {
	var s string
	if a.WaitReason != nil {
		s = a.WaitReason.Name
	}
	if a.Overdue {
		s = "overdue"
	}
	if a.Certainty == diff.Inferred {
		if s != "" {
			s += ", "
		}
		s += "inferred"
		next := ": "
		for c := range a.Candidates.All() {
			s += next + c.String()
			next = " or "
		}
	}
	return s
}
