package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// The programs that are always compared; the peers are beside them.
const (
	programFloor     = "floor"
	programRestwatch = "restwatch"
)

func runCompare(ctx context.Context, args []string) error {
	var b bench
	var d load
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	b.flags(flags)
	flags.IntVar(&d.vdns, "vdns", 200, "VDNs")
	flags.DurationVar(&d.every, "every", time.Second, "interval; 0: as fast as it goes")
	flags.BoolVar(&d.plain, "plain", false, "without TLS")
	agents := flags.String("agents", "10,200", "agents in a reply, a table row for each")
	changed := flags.String("changed", "10,1,100", "per cent of the replies that differ from the one before")
	rounds := flags.Int("rounds", 3, "runs of each program, in turn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ms, err := numbers(*agents)
	if err != nil {
		return fmt.Errorf("-agents: %w", err)
	}
	shares, err := numbers(*changed)
	if err != nil {
		return fmt.Errorf("-changed: %w", err)
	}
	cleanup, err := b.prepare()
	if err != nil {
		return err
	}
	defer cleanup()

	programs := []string{programFloor, programRestwatch}
	for _, p := range b.peers {
		if p.path != "" {
			programs = append(programs, p.name)
		}
	}
	compareHead(os.Stdout)
	n := 0
	for _, m := range ms {
		for _, share := range shares {
			d.agents, d.share = m, float64(share)/100
			runs := map[string][]window{}
			for range *rounds {
				for _, program := range programs {
					n++
					w, err := b.once(ctx, program, d, n)
					if err != nil {
						return fmt.Errorf("%s, %d agents, %d %%: %w", program, m, share, err)
					}
					runs[program] = append(runs[program], w)
				}
			}
			for _, program := range programs {
				compareRow(os.Stdout, d, program, runs[program], runs[programFloor])
			}
		}
	}
	return nil
}

func numbers(list string) ([]int, error) {
	var ns []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// once runs a program from a fresh upstream and a fresh server to its end.
func (b *bench) once(ctx context.Context, program string, d load, n int) (w window, err error) {
	u, err := newUpstream(d.vdns, d.agents, d.share, d.plain)
	if err != nil {
		return w, err
	}
	defer u.Close()
	server, nc, err := b.startNATS(ctx, n)
	if err != nil {
		return w, err
	}
	defer func() {
		nc.Close()
		err = errors.Join(err, server.end(), os.RemoveAll(filepath.Join(b.dir, fmt.Sprint("nats-", n))))
	}()
	l, err := listen(nc, u)
	if err != nil {
		return w, err
	}
	p, err := b.program(ctx, program, u, nc, d, n)
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := wait(ctx, b.warm); err != nil {
		return w, err
	}
	if err := b.settle(ctx, program, u, nc); err != nil {
		return w, err
	}
	before, err := b.stored(ctx, program, nc)
	if err != nil {
		return w, err
	}
	if w, err = b.measure(ctx, u, p, server, l); err != nil {
		return w, err
	}
	after, err := b.stored(ctx, program, nc)
	w.published += after - before
	return w, err
}

func (b *bench) program(ctx context.Context, name string, u *upstream, nc *nats.Conn, d load, n int) (*process, error) {
	log := fmt.Sprint(name, "-", n)
	switch name {
	case programFloor:
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		args := []string{"floor", "-url", u.URL().String(), "-nats", nc.ConnectedUrl(), "-vdns", fmt.Sprint(d.vdns),
			"-every", d.every.String(), "-in-flight", fmt.Sprint(b.inFlight)}
		if !d.plain {
			ca, err := b.authority(u)
			if err != nil {
				return nil, err
			}
			args = append(args, "-ca", ca)
		}
		return begin(b.dir, log, nil, self, args...)
	case programRestwatch:
		env, err := b.settings(u, d, "RESTWATCH_NATS_URL="+nc.ConnectedUrl(), "RESTWATCH_HTTP_ADDR=none")
		if err != nil {
			return nil, err
		}
		return begin(b.dir, log, env, b.restwatch, "serve")
	default:
		return b.startPeer(ctx, b.peer(name), log, u, nc, d)
	}
}
