package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/publisher"
)

func newTail(std stdio) *cobra.Command {
	var (
		url   string
		since time.Duration
		kinds []string
		raw   bool
	)
	cmd := &cobra.Command{
		Use:   "tail [ccId [vdn [workNo]]]",
		Short: "Show changes as they happen",
		Long: `Show events as they are stored, one a line: when it was seen, VDN, agent, what happened, and whether that is
certain or inferred (then with what else it may have been). Lines with "-- feed" say that a VDN is not watched
as it should be, or is again. Ends with Ctrl-C.`,
		Example: "  restwatch tail\n" +
			"  restwatch tail 1 170 --since 1h --kind started,ended\n" +
			"  restwatch tail --json | jq .data",
		Args: usage(cobra.MaximumNArgs(3)),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := publisher.Query{Follow: true, New: since == 0}
		if since < 0 {
			return usageError{fmt.Errorf("--since %v: want a duration, as in 1h", since)}
		}
		if since > 0 {
			q.Since = time.Now().Add(-since)
		}
		var err error
		if q.CC, q.VDN, q.WorkNo, err = parseWho(args); err != nil {
			return usageError{err}
		}
		if q.Kinds, err = parseKinds(kinds); err != nil {
			return usageError{err}
		}
		// What a feed says is about a VDN, not about an agent or a kind.
		q.Feeds = !raw && q.WorkNo == 0 && len(q.Kinds) == 0
		return tail(cmd, std, url, q, raw)
	}
	flags := cmd.Flags()
	addNATS(cmd, &url)
	flags.DurationVar(&since, "since", 0, "begin this long ago, as in 1h; with what comes now if not given")
	flags.StringSliceVar(&kinds, "kind", nil, "only these kinds: "+strings.Join(kindNames(), ","))
	flags.BoolVar(&raw, "json", false, "print the CloudEvents as they are stored, one a line")
	return cmd
}

func addNATS(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "nats", "", "NATS servers to read from (default RESTWATCH_NATS_URL, else the address of an embedded server)")
}

func tail(cmd *cobra.Command, std stdio, url string, q publisher.Query, raw bool) error {
	ctx := cmd.Context()
	reader, done, err := openReader(ctx, std, url)
	if err != nil {
		return err
	}
	defer done()
	out := cmd.OutOrStdout()
	told := map[diff.VDN]diff.Status{} // heartbeats are not news
	for m, err := range reader.Messages(ctx, q) {
		var bad *publisher.MessageError
		switch {
		case errors.As(err, &bad):
			fmt.Fprintf(cmd.ErrOrStderr(), "restwatch tail: %v\n", err)
			continue
		case err != nil:
			return err
		case raw:
			_, err = fmt.Fprintf(out, "%s\n", m.Data)
		case m.Feed != nil:
			vdn := diff.VDN{CC: m.Feed.CC, ID: m.Feed.VDN}
			if before, known := told[vdn]; m.Feed.Gap != nil || before != m.Feed.Status && (known || m.Feed.Status != diff.OK) {
				err = writeFeedLine(out, m.Feed, time.Local)
			}
			told[vdn] = m.Feed.Status
		default:
			err = writeLine(out, m.Event, time.Local)
		}
		if err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return ctx.Err()
}

// parseWho reads [ccId [vdn [workNo]]]; what is left out is 0.
func parseWho(args []string) (cc, vdn, workNo int, err error) {
	for i, part := range []struct {
		name     string
		to       *int
		min, max int
	}{{"ccId", &cc, 1, 65535}, {"vdn", &vdn, 1, 5000}, {"workNo", &workNo, 1, 1<<31 - 1}} {
		if i >= len(args) {
			break
		}
		n, err := strconv.Atoi(args[i])
		if err != nil || n < part.min || n > part.max {
			return 0, 0, 0, fmt.Errorf("%s %q: want %d..%d", part.name, args[i], part.min, part.max)
		}
		*part.to = n
	}
	return cc, vdn, workNo, nil
}

func parseKinds(names []string) ([]diff.Kind, error) {
	kinds := make([]diff.Kind, len(names))
	for i, n := range names {
		if !slices.Contains(kindNames(), n) {
			return nil, fmt.Errorf("--kind %q: want some of %s", n, strings.Join(kindNames(), ","))
		}
		kinds[i] = diff.Kind(n)
	}
	return kinds, nil
}

func kindNames() []string {
	kinds := []diff.Kind{
		diff.KindRequested, diff.KindApproved, diff.KindStarted, diff.KindEnded,
		diff.KindCancelled, diff.KindUpdated, diff.KindOverdue, diff.KindCorrected,
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return names
}
