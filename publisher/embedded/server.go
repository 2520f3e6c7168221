// Package embedded runs a nats-server with JetStream inside the process, so
// that one binary is a complete installation.
//
// Two users exist. The service connects in process with a password that is
// drawn anew at every start and never leaves it. Anybody else, connecting with
// no credentials at all, is the reader of Permissions: free to read, and unable
// to write anything that another subscriber would take for the service's word.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	serviceUser = "service"
	readerUser  = "reader"
	// inProcess is nats-server's name of connections that never left the
	// process. The service's user is good for no other kind.
	inProcess = "IN_PROCESS"
)

// Options of the embedded server. The zero value is a server without a
// listener that keeps its streams in a temporary folder, which is what a test
// wants.
type Options struct {
	// Dir is the store folder, made if it is not there. It belongs to one
	// server at a time. Losing it loses every stored event and the state that
	// the next poll is compared with. Empty: a temporary folder that Shutdown
	// removes.
	Dir string
	// Listen is the host:port for subscribers; port 0 takes a free one, see
	// URL. Empty: none, only this process can connect.
	Listen string
	// Stream and Prefix name what the reader may read; REST and rest.v1 if
	// empty.
	Stream, Prefix string
	// SyncAlways has each commit on the disk before it is acknowledged.
	// Without it a power cut (not a crash) may lose up to two minutes.
	SyncAlways bool
	// MaxStore caps what JetStream has on the disk, in bytes; 0 is what it has at
	// the start and three quarters of what is free.
	MaxStore int64
	// MaxPayload is the largest message in bytes; 0 is the server's default
	// of 1 MiB.
	MaxPayload int32
	// Log takes the server's warnings and errors, and its notices at debug
	// level. Nil discards them.
	Log *slog.Logger
}

// Server is a running embedded server.
type Server struct {
	ns       *server.Server
	password string
	lock     *lock
	mark     *mark // nil: dir is temporary
	dir      string
	remove   bool // dir is temporary
}

// Start runs a server and returns once it accepts connections. It fails,
// leaving nothing behind, if the folder is in use by another process, its disk
// is full, the address is taken, the stored streams cannot be read, or the newest
// snapshot is older than one that the stream is known to have held. ctx bounds the start
// only: end the server with Shutdown.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stream == "" {
		o.Stream = "REST"
	}
	if o.Prefix == "" {
		o.Prefix = "rest.v1"
	}
	s := &Server{dir: o.Dir, password: rand.Text()}
	defer func() {
		if err != nil {
			s.Shutdown()
		}
	}()

	host, port, err := listenAddress(o.Listen)
	if err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "restwatch-nats-"); err != nil {
			return nil, fmt.Errorf("make temporary store: %w", err)
		}
		s.remove = true
	}
	if s.lock, err = acquire(s.dir); err != nil {
		return nil, err
	}

	if o.MaxStore == 0 {
		if o.MaxStore, err = storeLimit(s.dir, free); err != nil {
			return nil, err
		}
	}
	service, readers, err := accounts(o.Stream, o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("configure embedded NATS server: %w", err)
	}
	log := &serverLog{log: o.Log, fatal: make(chan string, 1)}
	opts := &server.Options{
		ServerName: "restwatch-embedded",
		Host:       host,
		Port:       port,
		DontListen: o.Listen == "",
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   s.dir,
		SyncAlways: o.SyncAlways,
		MaxPayload: o.MaxPayload,
		Accounts:   []*server.Account{service, readers},
		Users: []*server.User{
			{
				Account:                service,
				Username:               serviceUser,
				Password:               s.password,
				AllowedConnectionTypes: map[string]struct{}{inProcess: {}},
			},
			{Account: readers, Username: readerUser, Permissions: Permissions(o.Stream, o.Prefix)},
		},
		NoAuthUser:        readerUser,
		JetStreamMaxStore: o.MaxStore,
	}
	if s.ns, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("configure embedded NATS server: %w", err)
	}
	s.ns.SetLoggerV2(log, false, false, false)
	if err := s.run(ctx, log); err != nil || s.remove {
		return s, err
	}
	s.mark, err = s.newMark(o.Stream, o.Prefix, o.Log)
	return s, err
}

// run starts the configured server and waits until it is ready or has given up.
func (s *Server) run(ctx context.Context, log *serverLog) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ns.Start() // reads the stored streams before it returns
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// Start cannot be interrupted; a shutdown makes what is left of it short.
		s.ns.Shutdown()
		<-done
		return fmt.Errorf("start embedded NATS server: %w", ctx.Err())
	}
	for {
		select {
		case reason := <-log.fatal:
			return fmt.Errorf("start embedded NATS server in %q: %s", s.dir, reason)
		case <-ctx.Done():
			return fmt.Errorf("start embedded NATS server: %w", ctx.Err())
		default:
		}
		if s.ns.ReadyForConnections(readyStep) {
			return s.enableJetStream()
		}
	}
}

// enableJetStream gives the service's account its streams, those that are
// stored included. Readers have none of their own.
func (s *Server) enableJetStream() error {
	account, err := s.ns.LookupAccount(serviceAccount)
	if err == nil {
		err = account.EnableJetStream(nil, nil)
	}
	if err != nil {
		return fmt.Errorf("start embedded NATS server in %q: %w", s.dir, err)
	}
	return nil
}

// listenAddress takes host:port apart and makes sure that it is free, since
// the server itself reports a taken port only in its log.
func listenAddress(listen string) (string, int, error) {
	if listen == "" {
		return "", 0, nil
	}
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: want host:port", listen)
	}
	port, err := strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: port: want 0..65535", listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, p))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which we name ourselves
		}
		return "", 0, fmt.Errorf("listen for NATS clients on %q: %w", listen, err)
	}
	return host, port, l.Close()
}

// InProcess connects the service itself, with its full rights.
func (s *Server) InProcess() nats.Option {
	return func(o *nats.Options) error {
		if err := nats.InProcessServer(s.ns)(o); err != nil {
			return err
		}
		// Not _INBOX, which readers see.
		if err := nats.CustomInboxPrefix("_SERVICE")(o); err != nil {
			return err
		}
		return nats.UserInfo(serviceUser, s.password)(o)
	}
}

// URL is where subscribers connect, with the port that was bound; empty
// without a listener.
func (s *Server) URL() string {
	addr, ok := s.ns.Addr().(*net.TCPAddr)
	if !ok || addr == nil {
		return ""
	}
	if addr.IP.IsUnspecified() {
		return "nats://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return "nats://" + addr.String()
}

// Broken says why the server can store nothing any more, nil while it can. It
// stays so until it is started anew: after a disk was full, for one, also when
// there is room again.
func (s *Server) Broken() error {
	if h := s.ns.Healthz(nil); h.Status != "ok" {
		return fmt.Errorf("embedded NATS server in %q: %s", s.dir, h.Error)
	}
	return nil
}

// Dir is the store folder.
func (s *Server) Dir() string { return s.dir }

// Shutdown ends the server in order: clients are disconnected, streams closed,
// and the folder is free for the next owner when it returns. More calls do
// nothing.
func (s *Server) Shutdown() {
	s.mark.end()
	if s.ns != nil {
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
	}
	s.lock.release()
	if s.remove {
		// What a temporary folder leaves behind hurts nobody.
		_ = os.RemoveAll(s.dir)
	}
}
