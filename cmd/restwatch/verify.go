package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"restwatch/publisher"
)

func newVerify(std stdio) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Audit the stored stream",
		Long: `Read every stored message, and check what is promised of events, snapshots and feeds: each can be decoded and
stands under its own subject, event numbers and revisions have no gap and no double, transitions are legal, and what
the events of each agent lead to is what his VDN's snapshot says. Ends with the first offence, and exit code 1.

Messages on subjects that are none of restwatch's are named at the end, also with exit code 1. How far it is, is
told on standard error every few seconds.`,
		Example: "  restwatch verify\n  restwatch verify --nats nats://nats.example.com:4222",
		Args:    usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			reader, done, err := openReader(cmd.Context(), std, url)
			if err != nil {
				return err
			}
			defer done()
			return verify(cmd.Context(), reader, cmd.OutOrStdout(), progress{to: cmd.ErrOrStderr(), every: 5 * time.Second})
		},
	}
	addNATS(cmd, &url)
	return cmd
}

func verify(ctx context.Context, reader *publisher.Reader, out io.Writer, p progress) error {
	var audit publisher.Audit
	var strays strays
	p.told = time.Now()
	for m, err := range reader.Messages(ctx, publisher.Query{Everything: true}) {
		switch {
		case errors.Is(err, publisher.ErrStray):
			strays.add(m.Subject)
		case err != nil:
			return err
		default:
			if err := audit.Add(m); err != nil {
				return err
			}
		}
		p.read(m.Pending)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not finished: %w", err)
	}
	torn, err := reader.Torn(ctx, &audit)
	switch {
	case err != nil:
		return err
	case len(torn) > 0:
		return fmt.Errorf("VDN %s: the last events are in no snapshot", torn[0])
	case strays.messages > 0:
		return fmt.Errorf("%d messages are stored on subjects that are none of restwatch's: %s; all others are as they should be", strays.messages, &strays)
	}
	_, err = fmt.Fprintf(out, "ok: %d events, %d snapshots, %d feed messages; %d events stored twice\n",
		audit.Events, audit.Snapshots, audit.Feeds, audit.Repeats)
	return err
}

// progress tells now and then how far a long reading is.
type progress struct {
	to       io.Writer
	every    time.Duration
	told     time.Time
	messages int
}

// read counts a message, behind which so many wait.
func (p *progress) read(pending uint64) {
	p.messages++
	if now := time.Now(); now.Sub(p.told) >= p.every {
		p.told = now
		fmt.Fprintf(p.to, "restwatch verify: %d messages read, %d to go\n", p.messages, pending)
	}
}

// strays are messages where none should be, by subject.
type strays struct {
	messages int
	subjects []string // the first few
	count    map[string]int
}

func (s *strays) add(subject string) {
	const most = 10
	s.messages++
	if s.count == nil {
		s.count = make(map[string]int)
	}
	if s.count[subject] == 0 {
		if len(s.subjects) == most {
			return
		}
		s.subjects = append(s.subjects, subject)
	}
	s.count[subject]++
}

func (s *strays) String() string {
	list := make([]string, 0, len(s.subjects)+1)
	named := 0
	for _, subject := range s.subjects {
		list = append(list, fmt.Sprintf("%s (%d)", subject, s.count[subject]))
		named += s.count[subject]
	}
	if more := s.messages - named; more > 0 {
		list = append(list, fmt.Sprintf("others (%d)", more))
	}
	return strings.Join(list, ", ")
}
