package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// runLarge measures an installation as most have it, one process with the
// embedded server, and then how soon it polls again after a restart.
func runLarge(ctx context.Context, args []string) error {
	var b bench
	var d load
	flags := flag.NewFlagSet("large", flag.ContinueOnError)
	b.flags(flags)
	flags.IntVar(&d.vdns, "vdns", 5000, "VDNs")
	flags.IntVar(&d.agents, "agents", 20, "agents in a reply")
	flags.DurationVar(&d.every, "every", 5*time.Second, "interval")
	flags.BoolVar(&d.plain, "plain", false, "without TLS")
	changed := flags.Float64("changed", 10, "per cent of the replies that differ from the one before")
	restart := flags.Bool("restart", true, "restart it, and see when it polls again")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d.share = *changed / 100
	cleanup, err := b.prepare()
	if err != nil {
		return err
	}
	defer cleanup()
	u, err := newUpstream(d.vdns, d.agents, d.share, d.plain)
	if err != nil {
		return err
	}
	defer u.Close()

	s, err := b.startService(ctx, u, d, 1)
	if err != nil {
		return err
	}
	first, all, err := u.awaitPolls(ctx, s.begun)
	if err != nil {
		return errors.Join(err, s.end())
	}
	w, lost, err := b.measureService(ctx, u, s)
	if err = errors.Join(err, s.end()); err != nil {
		return err
	}
	largeHead(os.Stdout)
	largeRow(os.Stdout, d, w, lost)
	fmt.Printf("\nStart with nothing stored: first poll after %.2f s, all VDNs polled after %.2f s.\n", first.Seconds(), all.Seconds())
	if !*restart {
		return nil
	}
	u.forget()
	if s, err = b.startService(ctx, u, d, 2); err != nil {
		return err
	}
	first, all, err = u.awaitPolls(ctx, s.begun)
	if err = errors.Join(err, s.end()); err != nil {
		return err
	}
	fmt.Printf("Start with %d VDNs stored: first poll after %.2f s, all VDNs polled after %.2f s.\n", d.vdns, first.Seconds(), all.Seconds())
	return nil
}

// service is restwatch with its embedded server.
type service struct {
	*process
	begun   time.Time
	nats    string
	metrics string
}

func (b *bench) startService(ctx context.Context, u *upstream, d load, n int) (*service, error) {
	nats, err := freeAddress()
	if err != nil {
		return nil, err
	}
	http, err := freeAddress()
	if err != nil {
		return nil, err
	}
	env, err := b.settings(u, d, "RESTWATCH_NATS_LISTEN="+nats, "RESTWATCH_HTTP_ADDR="+http,
		"RESTWATCH_STORE_DIR="+filepath.Join(b.dir, "store"))
	if err != nil {
		return nil, err
	}
	s := &service{begun: time.Now(), nats: "nats://" + nats, metrics: "http://" + http + "/metrics"}
	s.process, err = begin(b.dir, fmt.Sprint("restwatch-", n), env, b.restwatch, "serve")
	return s, err
}

// measureService measures one window, and tells what was counted in it.
func (b *bench) measureService(ctx context.Context, u *upstream, s *service) (w window, lost string, err error) {
	nc, err := connect(ctx, s.nats)
	if err != nil {
		return w, "", err
	}
	defer nc.Close()
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Fprintln(os.Stderr, "subscriber:", err) })
	l, err := listen(nc, u)
	if err != nil {
		return w, "", err
	}
	// The first polls, all at once, may well make the next slot wait.
	if err := wait(ctx, b.warm); err != nil {
		return w, "", err
	}
	before, err := counters(ctx, s.metrics)
	if err != nil {
		return w, "", err
	}
	if w, err = b.measure(ctx, u, s.process, nil, l); err != nil {
		return w, "", err
	}
	after, err := counters(ctx, s.metrics)
	return w, since(before, after), err
}

// slotMetrics are the ways in which a tick is not worked when it is due.
var slotMetrics = map[string]string{
	`restwatch_slots_lost_total `:                     "not offered",
	`restwatch_tick_offers_total{result="occupied"} `: "occupied",
	`restwatch_tick_offers_total{result="failed"} `:   "failed",
	`restwatch_tick_offers_total{result="skipped"} `:  "skipped",
	`restwatch_ticks_redelivered_total `:              "redelivered",
	`restwatch_polls_total{outcome="uncommitted"} `:   "uncommitted",
	`restwatch_polls_total{outcome="timeout"} `:       "timeout",
	`restwatch_head_reloads_total{reason="doubt"} `:   "in doubt",
	`restwatch_commit_batch_size_count `:              "batches",
	`restwatch_commits_total{outcome="committed"} `:   "commits",
}

// counters reads those of them that are not 0.
func counters(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer res.Body.Close()
	found := map[string]float64{}
	s := bufio.NewScanner(res.Body)
	for s.Scan() {
		for name, what := range slotMetrics {
			if text, ok := strings.CutPrefix(s.Text(), name); ok {
				if found[what], err = strconv.ParseFloat(text, 64); err != nil {
					return nil, fmt.Errorf("read metrics: %w", err)
				}
			}
		}
	}
	return found, s.Err()
}

// since is what has been counted since, for people.
func since(before, after map[string]float64) string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(after)) {
		if n := after[what] - before[what]; n > 0 {
			list = append(list, fmt.Sprintf("%.0f %s", n, what))
		}
	}
	return strings.Join(list, ", ")
}

// awaitPolls waits until every VDN was polled, and returns after how long the
// first was and the last.
func (u *upstream) awaitPolls(ctx context.Context, begun time.Time) (first, all time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if u.seen.Load() == int64(len(u.vdns)-1) {
			return u.firstPoll().Sub(begun), time.Since(begun), nil
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return 0, 0, fmt.Errorf("%d of %d VDNs polled: %w", u.seen.Load(), len(u.vdns)-1, err)
		}
	}
}

func largeHead(w io.Writer) {
	fmt.Fprintln(w, "| VDNs | agents | every | changed | polls due | made | counted meanwhile | CPU ms per 1,000 polls | of one core | peak MB | latency p50 | p95 |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
}

func largeRow(out io.Writer, d load, w window, lost string) {
	due := float64(d.vdns) * w.took.Seconds() / d.every.Seconds()
	runs := []window{w}
	fmt.Fprintf(out, "| %d | %d | %v | %g %% | %.0f | %d | %s | %.1f | %.0f %% | %.0f | %s | %s |\n",
		d.vdns, d.agents, d.every, d.share*100, due, w.polls, lost, perPoll(w.cpu, w.polls),
		100*w.cpu.Seconds()/w.took.Seconds(), float64(w.peak)/(1<<20), latency(runs, 0.50), latency(runs, 0.95))
}
