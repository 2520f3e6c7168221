package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"restwatch/publisher"
)

func newVerify(std stdio) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Audit the stored stream",
		Long: `Read every stored event, snapshot and feed message, and check what is promised of them: each can be decoded and
stands under its own subject, event numbers and revisions have no gap and no double, transitions are legal, and what
the events of each agent lead to is what his VDN's snapshot says. Ends with the first offence, and exit code 1.`,
		Example: "  restwatch verify\n  restwatch verify --nats nats://nats.example.com:4222",
		Args:    usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			reader, done, err := openReader(cmd.Context(), std, url)
			if err != nil {
				return err
			}
			defer done()
			var audit publisher.Audit
			for m, err := range reader.Messages(cmd.Context(), publisher.Query{Snapshots: true, Feeds: true}) {
				if err != nil {
					return err
				}
				if err := audit.Add(m); err != nil {
					return err
				}
			}
			if err := cmd.Context().Err(); err != nil {
				return fmt.Errorf("not finished: %w", err)
			}
			if torn := audit.Unfinished(); len(torn) > 0 {
				return fmt.Errorf("VDN %s: the last events are in no snapshot", torn[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d events, %d snapshots, %d feed messages; %d events stored twice\n",
				audit.Events, audit.Snapshots, audit.Feeds, audit.Repeats)
			return err
		},
	}
	addNATS(cmd, &url)
	return cmd
}
