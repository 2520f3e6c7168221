package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"restwatch/config"
	"restwatch/publisher"
	"restwatch/publisher/embedded"
)

// connection to NATS, wherever the server is.
type connection struct {
	*nats.Conn
	url    string           // for subscribers
	server *embedded.Server // nil: it is not ours
}

// close undoes all that connectBus did.
func (c connection) close() {
	c.Close()
	c.stop()
}

func (c connection) stop() {
	if c.server != nil {
		c.server.Shutdown()
	}
}

// watch returns when ctx is done, or with the reason when the embedded server
// can store nothing any more.
func (c connection) watch(ctx context.Context) (broken error) {
	if c.server == nil {
		<-ctx.Done()
		return nil
	}
	look := time.NewTicker(2 * time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		// Twice, as a stream may just be on its way.
		before := broken
		if broken = c.server.Broken(); broken != nil && before != nil {
			return broken
		}
	}
}

// connectBus connects to NATS: to the embedded server, which it starts, if the
// settings name no other.
func connectBus(ctx context.Context, cfg config.Config, instance string, log *slog.Logger) (connection, error) {
	opts := natsOptions(cfg, instance, log)
	c := connection{url: cfg.NATSURL}
	if cfg.NATSURL == "" {
		server, err := embedded.Start(ctx, embedded.Options{
			Dir: cfg.StoreDir, Listen: string(cfg.NATSListen), SyncAlways: true,
			Stream: cfg.Stream, Prefix: cfg.SubjectPrefix, Log: log,
		})
		if err != nil {
			return c, fmt.Errorf("start embedded NATS: %w", err)
		}
		log.Info("embedded NATS started", "subscribers", server.URL(), "store", server.Dir())
		opts.InProcess = server.InProcess()
		c.url, c.server = server.URL(), server
	}
	nc, err := publisher.Connect(ctx, opts)
	if err != nil {
		c.stop()
		return c, err
	}
	c.Conn = nc
	return c, nil
}

func natsOptions(cfg config.Config, instance string, log *slog.Logger) publisher.ConnectOptions {
	opts := publisher.ConnectOptions{
		URLs: cfg.NATSURL, Instance: instance,
		CredsFile: cfg.NATSCredsFile, NKeyFile: cfg.NATSNKeyFile,
		User: cfg.NATSUser, Password: string(cfg.NATSPassword),
		CAFile: cfg.NATSCAFile, CertFile: cfg.NATSCertFile, KeyFile: cfg.NATSKeyFile,
		Log: log,
	}
	if cfg.NATSPasswordFile != "" {
		password := &secretFile{path: cfg.NATSPasswordFile, last: cfg.NATSPassword, log: log}
		opts.PasswordNow = func() string { return string(password.now()) }
	}
	return opts
}

// openReader opens the bus for a command that only reads it: at the URL given,
// else where the settings say that serve is or publishes to.
func openReader(ctx context.Context, std stdio, url string) (_ *publisher.Reader, close func(), err error) {
	cfg, err := config.Bus(std.env)
	if err != nil {
		return nil, nil, err
	}
	cfg.NATSURL = cmp.Or(url, cfg.NATSURL, "nats://"+reachable(string(cfg.NATSListen)))
	nc, err := publisher.Connect(ctx, natsOptions(cfg, "reader", slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, fmt.Errorf("%w; is restwatch serve running, or are the servers others (--nats, RESTWATCH_NATS_URL)?", err)
	}
	reader, err := publisher.NewReader(nc, cfg.Stream, cfg.SubjectPrefix)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return reader, nc.Close, nil
}

// reachable makes an address to listen at one to connect to.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
