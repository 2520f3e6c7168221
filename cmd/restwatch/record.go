package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/spf13/cobra"

	"restwatch/config"
	"restwatch/diff"
	"restwatch/poller"
	"restwatch/poller/cms"
)

func newRecord(std stdio) *cobra.Command {
	var length time.Duration
	var anonymize bool
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Poll CC-CMS and write down what it says, for diff",
		Long: `Poll CC-CMS with the settings of serve, and write every reading to standard output as a line that
restwatch diff reads, with when it was asked for and when it had arrived: what it shows
is of some instant between. Nothing is published. Progress is told on standard error.

If the credentials are refused the recording ends: repeated bad signatures lock the
caller's address.`,
		Example: "  restwatch record --for 1h --anonymize > polls.jsonl\n  restwatch diff --assess < polls.jsonl",
		Args:    usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < 0 {
				return usageError{fmt.Errorf("--for %v: want a duration, or 0 for no end", length)}
			}
			cfg, err := config.Load(std.env)
			if err != nil {
				return badSettings(err)
			}
			ctx := cmd.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			log := newLogger(cmd.ErrOrStderr(), cfg)
			client, err := newClient(cfg, log, nil)
			if err != nil {
				return err
			}
			defer client.Close()
			r := &recorder{client: client, out: bufio.NewWriter(cmd.OutOrStdout()), anonymize: anonymize, log: log}
			return r.run(ctx, targetsOf(cfg))
		},
	}
	cmd.Flags().DurationVar(&length, "for", time.Hour, "how long to record; 0 is until Ctrl-C")
	cmd.Flags().BoolVar(&anonymize, "anonymize", false, "leave out the agents' names; their numbers stay")
	return cmd
}

// recorder writes readings down as they come.
type recorder struct {
	client    *cms.Client
	anonymize bool
	log       *slog.Logger
	stop      context.CancelCauseFunc

	mu            sync.Mutex // guards all below
	out           *bufio.Writer
	line          []byte
	polls, failed int
}

// run records until ctx is done. It returns an error if the credentials are
// refused or the lines cannot be written.
func (r *recorder) run(ctx context.Context, targets []poller.Target) error {
	ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	// One after the other until one was answered: until then each could be one
	// more call with a bad signature.
	for _, t := range targets {
		if answered := r.poll(ctx, t.VDN); answered || ctx.Err() != nil {
			break
		}
	}
	jobs := cron.New(cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	if ctx.Err() == nil {
		for _, t := range targets {
			jobs.Schedule(t.Schedule.Entry(0), cron.FuncJob(func() { r.poll(ctx, t.VDN) }))
		}
		jobs.Schedule(poller.Schedule{Every: time.Minute}.Entry(0), cron.FuncJob(r.progress))
		jobs.Start()
		<-ctx.Done()
	}
	<-jobs.Stop().Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Info("recording ends", "polls", r.polls, "failed", r.failed)
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(err, r.out.Flush())
}

func (r *recorder) progress() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Info("recording", "polls", r.polls, "failed", r.failed)
	if err := r.out.Flush(); err != nil {
		r.stop(fmt.Errorf("write recording: %w", err))
	}
}

// poll reads one VDN and writes what it got. answered says that CC-CMS took the
// credentials.
func (r *recorder) poll(ctx context.Context, vdn diff.VDN) (answered bool) {
	reading, err := r.client.Read(ctx, vdn, cms.Fingerprint{})
	if ctx.Err() != nil {
		return false // stopped: the upstream did not fail
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.polls++
	at := reading.Received
	if err != nil {
		at = time.Now()
		r.failed++
		r.log.Warn("poll failed", "vdn", vdn.String(), "error", err)
		if c := cms.CategoryOf(err); c == cms.Refused || c == cms.Locked {
			r.stop(err)
		}
	}
	r.line = append(r.line[:0], `{"observedAt":`...)
	r.line = diff.TimeOf(at).AppendJSON(r.line)
	r.line = append(r.line, `,"ccId":`...)
	r.line = strconv.AppendInt(r.line, int64(vdn.CC), 10)
	r.line = append(r.line, `,"vdn":`...)
	r.line = strconv.AppendInt(r.line, int64(vdn.ID), 10)
	r.line = appendOutcome(r.line, &reading, err, r.anonymize)
	if _, err := r.out.Write(r.line); err != nil {
		r.stop(fmt.Errorf("write recording: %w", err))
	}
	switch cms.CategoryOf(err) {
	case cms.Timeout, cms.Network, cms.Refused, cms.Locked:
		return false
	}
	return true
}

func appendOutcome(line []byte, reading *cms.Reading, err error, anonymize bool) []byte {
	if err != nil {
		return append(line, ",\"failed\":true}\n"...)
	}
	if anonymize {
		for i := range reading.Rows {
			reading.Rows[i].Name = ""
		}
	}
	// By the monotonic clock, so that it fits observedAt whatever the other does.
	line = append(line, `,"askedAt":`...)
	line = diff.TimeOf(reading.Received.Add(-reading.Took())).AppendJSON(line)
	if reading.Torn {
		line = append(line, `,"torn":true`...)
	}
	line = append(line, `,"reply":`...)
	line = cms.AppendReply(line, reading.Rows, reading.Counts)
	return append(line, "}\n"...)
}
