package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"restwatch/config"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
)

func newDemo(std stdio) *cobra.Command {
	var sim simFlags
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a simulated contact centre, polled for real",
		Long: `Run everything on this machine, with nothing to set up: a simulated CC-CMS that wants signed
calls over TLS, a NATS server in a temporary folder, the service itself, and its events live
on the terminal, as a subscriber gets them. Agents live faster than real ones, so that there
is something to see. Nothing is left behind.`,
		Example: "  restwatch demo\n  restwatch demo --vdns 10 --agents 200 --for 1m",
		Args:    usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < 0 {
				return usageError{fmt.Errorf("--for %v: want a duration, or 0 for no end", length)}
			}
			opts, err := sim.options()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			return demo(ctx, opts, sim.speed, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	sim.add(cmd, 30)
	cmd.Flags().DurationVar(&length, "for", 0, "how long to run; 0 is until Ctrl-C")
	return cmd
}

// demo is serve with a simulated upstream and a terminal that subscribes.
func demo(ctx context.Context, opts cmssim.Options, speed float64, out, errOut io.Writer) error {
	dir, err := os.MkdirTemp("", "restwatch-demo-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)

	opts.AccessKey, opts.SecretKey = "demo", rand.Text()
	upstream, err := cmssim.Start(opts)
	if err != nil {
		return fmt.Errorf("start simulated CC-CMS: %w", err)
	}
	defer upstream.Close()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, upstream.CACert(), 0o600); err != nil {
		return fmt.Errorf("keep the certificate: %w", err)
	}
	cfg, err := config.Load([]string{
		"RESTWATCH_CMS_URL=" + upstream.URL().String(), "RESTWATCH_CMS_CA_FILE=" + ca,
		"RESTWATCH_CMS_ACCESS_KEY=" + opts.AccessKey, "RESTWATCH_CMS_SECRET_KEY=" + opts.SecretKey,
		"RESTWATCH_VDNS=" + vdnRange(upstream.VDNs()), "RESTWATCH_SCHEDULE=@every 500ms",
		"RESTWATCH_STORE_DIR=" + filepath.Join(dir, "nats"),
		"RESTWATCH_NATS_LISTEN=127.0.0.1:0", "RESTWATCH_HTTP_ADDR=127.0.0.1:0", "RESTWATCH_LOG_LEVEL=warn",
	})
	if err != nil {
		return badSettings(err)
	}
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: cfg.LogLevel}))
	terminal := &terminal{w: out}
	return serve(ctx, cfg, log, func(r running) {
		fmt.Fprintf(out, "Simulated CC-CMS  %s  (%d VDNs)\n", upstream.URL(), len(upstream.VDNs()))
		fmt.Fprintf(out, "NATS              %s  (nats sub '%s.>')\n", r.nats.url, cfg.SubjectPrefix)
		fmt.Fprintf(out, "Wallboard         http://%s/\n\n", r.http)
		fmt.Fprintf(out, "Agents live %g times faster than real ones. Each line is a change: when it was seen, VDN, agent, what\n"+
			"happened, and whether that is certain or inferred; a \"corrected\" takes back what was only inferred. Ctrl-C ends.\n\n", speed)
		if err := terminal.follow(r.nats.Conn, cfg.SubjectPrefix); err != nil {
			log.Error("events cannot be shown", "error", err)
		}
	})
}

// terminal shows events as a core NATS subscriber gets them.
type terminal struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *terminal) follow(nc *nats.Conn, prefix string) error {
	_, err := nc.Subscribe(prefix+".event.>", func(m *nats.Msg) {
		e, err := publisher.DecodeEvent(m.Data)
		t.mu.Lock()
		defer t.mu.Unlock()
		if err != nil {
			fmt.Fprintln(t.w, err)
			return
		}
		// A terminal that has gone away is noticed by whoever closed it.
		_ = writeLine(t.w, &e, time.Local)
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nc.Flush()
}
