package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"restwatch/config"
	"restwatch/diff"
	"restwatch/poller"
	"restwatch/poller/cms"
	"restwatch/poller/peers"
	"restwatch/poller/tick"
	"restwatch/publisher"
)

func newServe(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Poll CC-CMS and publish every change (the main job)",
		Long: "Poll CC-CMS on schedule and publish every change of an agent's rest to NATS.\n\n" +
			"Settings are environment variables:\n\n" + settingsHelp(),
		Example: "  RESTWATCH_CMS_URL=https://cms.example.com:28443 \\\n" +
			"  RESTWATCH_CMS_ACCESS_KEY=... RESTWATCH_CMS_SECRET_KEY_FILE=/etc/restwatch/secret-key \\\n" +
			"  RESTWATCH_VDNS=1:170,1:200-204 restwatch serve",
		Args: usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(std.env)
			if err != nil {
				return badSettings(err)
			}
			return serve(cmd.Context(), cfg, newLogger(cmd.ErrOrStderr(), cfg), nil)
		},
	}
}

// badSettings puts the faults of the settings under one heading.
func badSettings(err error) error {
	return fmt.Errorf("settings:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

func settingsHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range config.Settings() {
		form := s.Form
		if s.Default != "" {
			form += " (" + s.Default + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\n  \t  %s\n", s.Name, form, s.Help)
	}
	w.Flush()
	return b.String()
}

func newLogger(w io.Writer, cfg config.Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// running is what demo and tests want to know of a service that has started.
type running struct {
	nats connection
	http net.Addr // nil: none
}

// serve runs the service until ctx is done. started, if not nil, is called once
// everything is in place and before the first poll. Each step needs the one
// before it; they are undone in reverse.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger, started func(running)) (err error) {
	defer func() {
		// Told to stop before it had begun, it has nothing to end and no fault.
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			log.Info("restwatch stopped during its start")
			err = nil
		}
	}()
	instance := instanceName()
	log.Info("restwatch starts", "version", version, "instance", instance, "settings", cfg)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	client, err := newClient(cfg, log, reg)
	if err != nil {
		return err
	}
	defer client.Close()

	var listener net.Listener
	if cfg.HTTPAddr != "" {
		if listener, err = listenHTTP(string(cfg.HTTPAddr)); err != nil {
			return err
		}
		defer listener.Close()
		log.Info("HTTP", "url", "http://"+listener.Addr().String()+"/")
	}

	nats, err := connectBus(ctx, cfg, instance, log)
	if err != nil {
		return err
	}
	defer nats.close()
	// Only a new start mends a store that broke, and whoever supervises the
	// service sees to that.
	broken := make(chan error, 1)
	ctx, end := context.WithCancel(ctx)
	go func() {
		err := nats.watch(ctx)
		if err != nil {
			log.Error("nothing can be stored any more, restwatch ends", "error", err)
		}
		end()
		broken <- err
	}()
	defer func() { end(); err = errors.Join(err, <-broken) }()

	bus, err := publisher.Open(ctx, nats.Conn, publisher.Options{
		Stream: cfg.Stream, Prefix: cfg.SubjectPrefix, Replicas: cfg.Replicas, Retention: cfg.Retention,
		Heartbeat: cfg.Heartbeat, Instance: instance, Log: log, Metrics: reg,
	})
	if err != nil {
		return err
	}
	defer bus.Close()
	vdns := vdnsOf(cfg)
	begun := time.Now()
	if err := bus.Load(ctx, vdns); err != nil {
		return err
	}
	log.Info("snapshots loaded", "vdns", len(vdns), "seconds", time.Since(begun).Seconds())

	queue, err := openQueue(ctx, nats.Conn, bus, cfg, log, reg)
	if err != nil {
		return err
	}
	snapshots, err := bus.Serve(version)
	if err != nil {
		return err
	}
	defer snapshots.Stop()

	p := poller.New(poller.Options{
		Upstream: client, Store: bus, Queue: queue, Targets: targetsOf(cfg),
		GroupsPerSchedule: cfg.GroupsPerSchedule, Heartbeat: cfg.Heartbeat,
		Diff:  diff.Options{GapLimit: cfg.DiffGapLimit, Slack: cfg.DiffSlack},
		Grace: cfg.CMSTimeout + 5*time.Second,
		Join:  replicas(nats, cfg, instance, log),
		Log:   log, Metrics: reg,
	})
	var http chan error
	if listener != nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		http = make(chan error, 1)
		pages := newHandler(reg, readinessOf(bus, p), &wallboard{bus: bus, heartbeat: cfg.Heartbeat}, eventStream(ctx, bus, log))
		go func() { http <- serveHTTP(ctx, listener, pages) }()
		// Health and metrics answer to the end of the shutdown.
		defer func() { cancel(); err = errors.Join(err, <-http) }()
	}
	if started != nil {
		r := running{nats: nats}
		if listener != nil {
			r.http = listener.Addr()
		}
		started(r)
	}
	defer collectSooner()()
	if cfg.NATSURL != "" {
		// An embedded server works on while this process waits for replies.
		defer spareProcessors()()
	}
	if err := p.Run(ctx); err != nil {
		return err
	}
	log.Info("restwatch stopped")
	return nil
}

// newClient makes the CC-CMS client, and warns of what makes it insecure. Its
// files are read again while it is in use.
func newClient(cfg config.Config, log *slog.Logger, reg prometheus.Registerer) (*cms.Client, error) {
	secure, err := cms.LoadTLS(cfg.CMSCAFile, cfg.CMSServerName, cfg.CMSInsecure)
	if err != nil {
		return nil, fmt.Errorf("%sCMS_CA_FILE: %w", config.Prefix, err)
	}
	client, err := cms.New(cms.Options{
		URL: cfg.CMSURL.URL, AccessKey: cfg.CMSAccessKey, SecretKey: cms.Secret(cfg.CMSSecretKey), TLS: secure,
		CTI: cfg.CMSCTI, PageSize: cfg.CMSPageSize, Timeout: cfg.CMSTimeout,
		MaxInFlight: cfg.CMSMaxInFlight, Rate: cfg.CMSRate, BeginTime: cfg.CMSBeginTime,
		UserAgent: "restwatch/" + version, Log: log, Metrics: reg,
	})
	if err != nil {
		return nil, err
	}
	if cfg.CMSSecretKeyFile != "" {
		key := &secretFile{path: cfg.CMSSecretKeyFile, last: cfg.CMSSecretKey, log: log}
		client.SecretKeyFrom(func() cms.Secret { return cms.Secret(key.now()) })
	}
	if cfg.CMSCAFile != "" {
		client.TLSFrom(func() (*tls.Config, error) {
			return cms.LoadTLS(cfg.CMSCAFile, cfg.CMSServerName, cfg.CMSInsecure)
		})
	}
	return client, nil
}

// openQueue makes sure of the tick stream and opens it.
func openQueue(ctx context.Context, nc *nats.Conn, bus *publisher.Bus, cfg config.Config, log *slog.Logger, reg prometheus.Registerer) (*tick.Queue, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open tick queue: %w", err)
	}
	stream := tick.StreamName(cfg.Stream)
	ensure := func(ctx context.Context) error {
		return publisher.EnsureStream(ctx, js, tick.StreamConfig(stream, cfg.SubjectPrefix, cfg.Replicas), log)
	}
	if err := ensure(ctx); err != nil {
		return nil, err
	}
	return tick.Open(ctx, js, tick.Options{
		Stream: stream, Prefix: cfg.SubjectPrefix, Concurrency: max(32, cfg.CMSMaxInFlight),
		After: newestOrder(ctx, bus, cfg), Ensure: ensure, Log: log, Metrics: reg,
	})
}

// replicas is how to join the other replicas; nil with the embedded server,
// which serves only one.
func replicas(nats connection, cfg config.Config, instance string, log *slog.Logger) func(hear func(peers.Note), last func() peers.Note) (*peers.Peers, error) {
	if cfg.NATSURL == "" {
		return nil
	}
	return func(hear func(peers.Note), last func() peers.Note) (*peers.Peers, error) {
		return peers.Join(nats.Conn, peers.Options{Prefix: cfg.SubjectPrefix, Instance: instance, Hear: hear, Last: last, Log: log})
	}
}

// newestOrder is the order of the newest observation that is stored. One that
// cannot be read is reported at its VDN's poll.
func newestOrder(ctx context.Context, bus *publisher.Bus, cfg config.Config) (newest diff.Order) {
	for _, v := range vdnsOf(cfg) {
		if s, _, err := bus.Head(ctx, v); err == nil && s.Order.Compare(newest) > 0 {
			newest = s.Order
		}
	}
	return newest
}

// readinessOf is ready while the bus can be used and every VDN was polled or,
// with a reason, may not be.
func readinessOf(bus *publisher.Bus, p *poller.Poller) readiness {
	return func(ctx context.Context) (string, error) {
		if err := bus.Check(ctx); err != nil {
			return "", err
		}
		if until, reason := p.Paused(); !until.IsZero() {
			return fmt.Sprintf("ready, but calls are paused until %s: %s", until.UTC().Format(time.RFC3339), reason), nil
		}
		return "ready", p.Ready()
	}
}

func vdnsOf(cfg config.Config) []diff.VDN {
	vdns := make([]diff.VDN, len(cfg.VDNs))
	for i, v := range cfg.VDNs {
		vdns[i] = diff.VDN(v)
	}
	return vdns
}

func targetsOf(cfg config.Config) []poller.Target {
	targets := make([]poller.Target, len(cfg.VDNs))
	for i, v := range cfg.VDNs {
		s, own := cfg.VDNSchedules[v]
		if !own {
			s = cfg.Schedule
		}
		targets[i] = poller.Target{VDN: diff.VDN(v), Spec: s.Spec, Schedule: poller.Schedule{Every: s.Every, Cron: s.Cron}}
	}
	return targets
}

// instanceName tells this process from all others, also from the one that ran
// here before.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "restwatch"
	}
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + strings.ToLower(rand.Text()[:6])
}
