package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/publisher"
)

func newDiff(std stdio) *cobra.Command {
	var opt replayOptions
	var judging, asJSON bool
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Find the changes in recorded polls, offline",
		Long: `Read polls from standard input, one JSON object a line:

  {"observedAt":"2026-03-01T08:00:00.000Z","ccId":1,"vdn":170,"reply":{…what CC-CMS replied…}}
  {"observedAt":"2026-03-01T08:00:05.000Z","ccId":1,"vdn":170,"failed":true}

and write the agent events that follow from them, as serve would have published
them, one CloudEvent a line. VDNs may be mixed. A reply that is an error, or none
that can be understood, counts as failed. observedAt is when the reply had arrived. A
reply may have "askedAt", when it was asked for, as record writes it: then a slow one is
taken to be as old as that, as serve does; without it, each is taken for fresh.

With --assess, write instead what the polls tell of the platform: which of the
assumptions hold there that the inference rests on, and what that means.`,
		Example: "  restwatch diff < polls.jsonl > events.jsonl\n  restwatch diff --assess < polls.jsonl",
		Args:    usage(fromStdin),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, done := interruptible(cmd.Context(), std.in)
			defer done()
			switch {
			case opt.diff.GapLimit <= 0:
				return usageError{fmt.Errorf("--gap-limit %v: want a duration above 0", opt.diff.GapLimit)}
			case opt.diff.Slack <= 0:
				return usageError{fmt.Errorf("--slack %v: want a duration above 0", opt.diff.Slack)}
			case asJSON && !judging:
				return usageError{errors.New("--json: is for --assess; events are JSON anyway")}
			case judging:
				return assessPolls(in, cmd.OutOrStdout(), opt, asJSON)
			}
			return replay(in, cmd.OutOrStdout(), cmd.ErrOrStderr(), opt)
		},
	}
	cmd.Flags().StringVar(&opt.unit, "begin-time", cms.UnitAuto, "unit of beginTime: auto, ms or s")
	cmd.Flags().DurationVar(&opt.diff.GapLimit, "gap-limit", diff.DefaultGapLimit, "shortest gap between polls into which a whole rest may fit")
	cmd.Flags().DurationVar(&opt.diff.Slack, "slack", diff.DefaultSlack, "by how much the age of a reply may vary")
	cmd.Flags().BoolVar(&judging, "assess", false, "tell which assumptions of the inference hold, instead of the events")
	cmd.Flags().BoolVar(&asJSON, "json", false, "with --assess, as JSON")
	return cmd
}

type replayOptions struct {
	unit string
	diff diff.Options
}

// maxLine bounds a recorded poll: a VDN of 100,000 agents in both copies fits.
const maxLine = 64 << 20

// recorded is a line of the input.
type recorded struct {
	ObservedAt *time.Time `json:"observedAt"`
	// AskedAt is when the reply was asked for, and so the earliest that it may
	// show; nil: it shows ObservedAt.
	AskedAt *time.Time      `json:"askedAt"`
	CC      int             `json:"ccId"`
	VDN     int             `json:"vdn"`
	Reply   json.RawMessage `json:"reply"`
	Failed  bool            `json:"failed"`
	// Torn marks a reading of several pages that never agreed.
	Torn bool `json:"torn"`
}

// history is what is known of one VDN of the input.
type history struct {
	last      diff.Snapshot
	polled    diff.Time // the last poll, good or not
	failures  int
	intervals median
}

// replay writes the events of recorded polls.
func replay(in io.Reader, out, errOut io.Writer, opt replayOptions) error {
	var lines []byte // of one poll, written at once: the input may be a live one
	polls, failed := 0, 0
	err := eachPoll(in, opt, func(_ *diff.Observation, r *diff.Result) error {
		polls++
		if r == nil {
			failed++
			return nil
		}
		if len(r.Events) == 0 {
			return nil
		}
		lines = lines[:0]
		for i := range r.Events {
			lines = append(publisher.EncodeEvent(lines, &r.Events[i]), '\n')
		}
		if _, err := out.Write(lines); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if failed > 0 {
		fmt.Fprintf(errOut, "restwatch diff: %d of %d polls had failed\n", failed, polls)
	}
	return nil
}

// eachPoll hands every recorded poll to fn with what follows from it, nil for a
// failed one. It keeps one snapshot a VDN, however long the input is.
func eachPoll(in io.Reader, opt replayOptions, fn func(*diff.Observation, *diff.Result) error) error {
	if opt.unit != cms.UnitAuto && opt.unit != cms.UnitMilliseconds && opt.unit != cms.UnitSeconds {
		return usageError{fmt.Errorf("--begin-time %q: want auto, ms or s", opt.unit)}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	histories := map[diff.VDN]*history{}
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		obs, good, err := readPoll(line, opt)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		h := histories[obs.VDN]
		if h == nil {
			h = &history{}
			histories[obs.VDN] = h
		}
		if err := fn(&obs, h.take(&obs, good, opt.diff)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read polls: %w", err)
	}
	return nil
}

// readPoll understands one line. good is false for a failed poll.
func readPoll(line []byte, opt replayOptions) (obs diff.Observation, good bool, err error) {
	var r recorded
	if err := json.Unmarshal(line, &r); err != nil {
		return obs, false, fmt.Errorf("want a JSON object with observedAt, ccId, vdn and reply or failed: %w", err)
	}
	obs.VDN = diff.VDN{CC: r.CC, ID: r.VDN}
	if err := obs.VDN.Validate(); err != nil {
		return obs, false, err
	}
	if r.ObservedAt == nil {
		return obs, false, errors.New("observedAt: want an RFC 3339 time, as in 2026-03-01T08:00:00.000Z")
	}
	if r.AskedAt != nil && r.AskedAt.After(*r.ObservedAt) {
		return obs, false, errors.New("askedAt: want a time that is not after observedAt")
	}
	obs.At = diff.TimeOf(*r.ObservedAt)
	if r.Failed {
		return obs, false, nil
	}
	if len(r.Reply) == 0 {
		return obs, false, errors.New(`reply: want the upstream's reply, or "failed":true`)
	}
	reply, err := cms.Decode(r.Reply, opt.unit)
	if err != nil {
		return obs, false, nil
	}
	if r.AskedAt != nil {
		obs.Took = r.ObservedAt.Sub(*r.AskedAt)
	}
	obs.Rows, obs.Counts, obs.Torn = reply.Rows, reply.Counts, r.Torn
	return obs, true, nil
}

// resyncAfter is how many failed polls in a row, and how many intervals
// without a poll, make the next one a resync.
const resyncAfter = 3

// take compares a poll with those before it. The result is nil for a failed one,
// and empty for one that is not newer, which changes nothing.
func (h *history) take(obs *diff.Observation, good bool, opt diff.Options) *diff.Result {
	if obs.At <= h.polled {
		if !good {
			return nil
		}
		return &diff.Result{Snapshot: h.last}
	}
	usual := h.intervals.value()
	if h.polled != 0 {
		h.intervals.add(obs.At.Sub(h.polled))
	}
	h.polled = obs.At
	if !good {
		h.failures++
		return nil
	}
	obs.DetectedBy = diff.Poll
	gap := obs.At.Sub(h.last.ObservedAt)
	if h.failures >= resyncAfter || usual > 0 && h.last.ObservedAt != 0 && gap > resyncAfter*usual {
		obs.DetectedBy = diff.Resync
	}
	h.failures = 0
	r := diff.Compare(&h.last, obs, opt)
	h.last = r.Snapshot
	return &r
}

// median of the intervals so far, exact while there are no more than
// maxIntervals different ones.
type median struct {
	counted []interval // by length
	n       int
}

type interval struct {
	length time.Duration
	n      int
}

const maxIntervals = 4096

func (m *median) add(d time.Duration) {
	i, found := slices.BinarySearchFunc(m.counted, d, func(i interval, d time.Duration) int { return int(i.length - d) })
	if found {
		m.counted[i].n++
	} else {
		m.counted = slices.Insert(m.counted, i, interval{d, 1})
	}
	m.n++
	if len(m.counted) > maxIntervals {
		m.halve()
	}
}

// halve joins neighbours, keeping the length of the more frequent one.
func (m *median) halve() {
	half := m.counted[:0]
	for pair := range slices.Chunk(m.counted, 2) {
		joined := pair[0]
		for _, other := range pair[1:] {
			if other.n > joined.n {
				joined.length = other.length
			}
			joined.n += other.n
		}
		half = append(half, joined)
	}
	m.counted = half
}

// value is the lower median, 0 before the first interval.
func (m *median) value() time.Duration {
	rest := (m.n + 1) / 2
	for _, i := range m.counted {
		if rest -= i.n; rest <= 0 {
			return i.length
		}
	}
	return 0
}

func fromStdin(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("reads standard input only, as in restwatch diff < %s", args[0])
	}
	return nil
}

// interruptible ends the input when ctx does, since the read of a terminal or a
// pipe goes on whatever happens. done lets go of what is left.
func interruptible(ctx context.Context, in io.Reader) (_ io.Reader, done func()) {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.Close() })
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err) // nil is the end of the input
	}()
	return r, func() { stop(); r.Close() }
}
