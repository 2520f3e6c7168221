package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// runScale measures how several replicas share the work that one could do: what
// they cost together, and how even their shares are.
func runScale(ctx context.Context, args []string) error {
	var b bench
	var d load
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	b.flags(flags)
	flags.IntVar(&d.vdns, "vdns", 1000, "VDNs")
	flags.IntVar(&d.agents, "agents", 20, "agents in a reply")
	flags.DurationVar(&d.every, "every", time.Second, "interval")
	flags.BoolVar(&d.plain, "plain", false, "without TLS")
	changed := flags.Float64("changed", 10, "per cent of the replies that differ from the one before")
	replicas := flags.String("replicas", "1,2,4", "replicas, a table row for each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d.share = *changed / 100
	counts, err := numbers(*replicas)
	if err != nil {
		return fmt.Errorf("-replicas: %w", err)
	}
	cleanup, err := b.prepare()
	if err != nil {
		return err
	}
	defer cleanup()
	fmt.Println("| replicas | VDNs | agents | every | changed | polls due | made | busiest replica's CPU | CPU ms per 1,000 polls, all | with nats-server | peak MB each | latency p50 | p95 |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for i, n := range counts {
		s, err := b.share(ctx, d, n, i)
		if err != nil {
			return fmt.Errorf("%d replicas: %w", n, err)
		}
		scaleRow(os.Stdout, d, n, s)
	}
	return nil
}

// shared is what replicas did in one window.
type shared struct {
	window                // of all of them together
	busiest time.Duration // CPU of the one that used most
}

// share runs replicas of the service side by side, with a server of their own.
func (b *bench) share(ctx context.Context, d load, replicas, run int) (s shared, err error) {
	u, err := newUpstream(d.vdns, d.agents, d.share, d.plain)
	if err != nil {
		return s, err
	}
	defer u.Close()
	server, nc, err := b.startNATS(ctx, run)
	if err != nil {
		return s, err
	}
	defer func() {
		nc.Close()
		err = errors.Join(err, server.end(), os.RemoveAll(filepath.Join(b.dir, fmt.Sprint("nats-", run))))
	}()
	l, err := listen(nc, u)
	if err != nil {
		return s, err
	}
	procs := make([]*process, replicas)
	for i := range procs {
		if procs[i], err = b.program(ctx, programRestwatch, u, nc, d, run*100+i); err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, procs[i].end()) }()
	}
	if _, _, err := u.awaitPolls(ctx, time.Now()); err != nil {
		return s, err
	}
	if err := wait(ctx, b.warm); err != nil {
		return s, err
	}
	used := make([]time.Duration, replicas)
	for i, p := range procs {
		if used[i], err = p.cpu(); err != nil {
			return s, err
		}
	}
	if s.window, err = b.measure(ctx, u, procs[0], server, l); err != nil {
		return s, err
	}
	s.cpu = 0
	for i, p := range procs {
		now, err := p.cpu()
		if err != nil {
			return s, err
		}
		peak, err := p.peak()
		if err != nil {
			return s, err
		}
		s.cpu += now - used[i]
		s.busiest = max(s.busiest, now-used[i])
		s.peak = max(s.peak, peak)
	}
	return s, nil
}

func scaleRow(out io.Writer, d load, replicas int, s shared) {
	runs := []window{s.window}
	fmt.Fprintf(out, "| %d | %d | %d | %v | %g %% | %.0f | %d | %.0f %% | %.1f | %.1f | %.0f | %s | %s |\n",
		replicas, d.vdns, d.agents, d.every, d.share*100, float64(d.vdns)*s.took.Seconds()/d.every.Seconds(), s.polls,
		100*s.busiest.Seconds()/s.cpu.Seconds(), perPoll(s.cpu, s.polls), perPoll(s.cpu+s.nats, s.polls),
		float64(s.peak)/(1<<20), latency(runs, 0.50), latency(runs, 0.95))
}
