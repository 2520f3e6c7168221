package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// ConnectOptions say where NATS is and who we are there. All files are read by
// Connect and again at every reconnect, so that they can be renewed in place: a
// server that refuses the old credential drops the connection, and the next one
// is made with the new.
type ConnectOptions struct {
	// URLs are comma-separated. Ignored with InProcess.
	URLs string
	// Instance names this process among the replicas. The connection is
	// called restwatch-<instance>.
	Instance string
	// CredsFile, NKeyFile, or User with Password: at most one of the three.
	CredsFile, NKeyFile, User, Password string
	// PasswordNow is asked for the password at every connect, from several
	// goroutines, instead of Password. Nil: Password stays.
	PasswordNow func() string
	// CAFile replaces the system's roots. CertFile and KeyFile go together.
	CAFile, CertFile, KeyFile string
	// InProcess connects to an embedded server.
	InProcess nats.Option
	// Timeout of one attempt to connect; 0: 5 s.
	Timeout time.Duration
	// Log takes disconnects, reconnects and refused subjects. Nil discards.
	Log *slog.Logger
}

// Connect connects once: if no server can be reached now, that is an error.
// The connection that comes back reconnects for ever. While it is down, what
// is published fails at once instead of being kept and sent into a world that
// has moved on.
func Connect(ctx context.Context, o ConnectOptions) (*nats.Conn, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var made atomic.Pointer[nats.Conn]
	opts, err := o.auth(&made)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, min(timeout, time.Until(deadline)))
	}
	opts = append(opts,
		nats.Name("restwatch-"+o.Instance),
		nats.Timeout(timeout),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be mended while we run
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1),
		// A link that is dead in silence, or a server that hangs, is noticed in 6
		// to 9 s, about what a cluster takes to elect another leader.
		nats.PingInterval(3*time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we closed it
				o.Log.Warn("NATS connection lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			o.Log.Info("NATS reconnected", "url", nc.ConnectedUrlRedacted(), "times", nc.Stats().Reconnects)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				o.Log.Warn("NATS error", "subject", sub.Subject, "error", err)
				return
			}
			o.Log.Warn("NATS error", "error", err)
		}),
	)

	servers, shown, err := o.servers()
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	nc, err := connect(ctx, servers, opts)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", shown, plain(err))
	}
	made.Store(nc)
	return nc, nil
}

// connect gives up when ctx ends. The attempt itself cannot be interrupted,
// but is bounded by its time-out; a connection that comes too late is closed.
func connect(ctx context.Context, servers string, opts []nats.Option) (*nats.Conn, error) {
	type result struct {
		nc  *nats.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(servers, opts...)
		got <- result{nc, err}
	}()
	select {
	case r := <-got:
		return r.nc, r.err
	case <-ctx.Done():
		go func() {
			if r := <-got; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// servers returns the URLs for nats.go, and a form to show without passwords.
func (o *ConnectOptions) servers() (servers, shown string, err error) {
	if o.InProcess != nil {
		return "", "the embedded server", nil
	}
	var list, safe []string
	for s := range strings.SplitSeq(o.URLs, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		full := s
		if !strings.Contains(s, "://") {
			full = "nats://" + s
		}
		u, err := url.Parse(full)
		if err != nil || u.Host == "" {
			// The text itself may hold a password.
			return "", "", fmt.Errorf("URL %d of the list: want nats://host:port", len(list)+1)
		}
		list = append(list, full)
		safe = append(safe, u.Redacted())
	}
	if len(list) == 0 {
		return "", "", errors.New("no URL given")
	}
	return strings.Join(list, ","), strings.Join(safe, ", "), nil
}

// auth turns credentials and TLS files into options, after a look at each file.
// made is the connection, once it is there.
func (o *ConnectOptions) auth(made *atomic.Pointer[nats.Conn]) ([]nats.Option, error) {
	var opts []nats.Option
	ways := 0
	if o.InProcess != nil {
		opts = append(opts, o.InProcess)
		ways++
	}
	if o.CredsFile != "" {
		if err := readable(o.CredsFile); err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(o.CredsFile))
		ways++
	}
	if o.NKeyFile != "" {
		opt, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			// nats.go's text may quote the seed.
			if err := readable(o.NKeyFile); err != nil {
				return nil, fmt.Errorf("read nkey: %w", err)
			}
			return nil, fmt.Errorf("read nkey: %q holds no nkey seed", o.NKeyFile)
		}
		opts = append(opts, opt, renewNKey(o.NKeyFile, made))
		ways++
	}
	switch {
	case o.PasswordNow != nil:
		opts = append(opts, nats.UserInfoHandler(func() (string, string) { return o.User, o.PasswordNow() }))
		ways++
	case o.User != "" || o.Password != "":
		opts = append(opts, nats.UserInfo(o.User, o.Password))
		ways++
	}
	if ways > 1 {
		return nil, errors.New("credentials file, nkey file, user and password, embedded server: only one of them can be used")
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("client certificate and key: one is missing")
	}
	if o.CAFile != "" {
		opts = append(opts, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		opts = append(opts, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	return opts, nil
}

// renewNKey makes each reconnect tell the public key of what the file then
// holds. nats.go signs with that, but goes on telling the public key of the
// first time. It calls back before each attempt, with the connection's lock
// held, under which it also reads its options. The server to try is left to it.
func renewNKey(file string, made *atomic.Pointer[nats.Conn]) nats.Option {
	return nats.ReconnectToServer(func([]nats.Server, nats.ServerInfo) (*nats.Server, time.Duration) {
		seed, err := os.ReadFile(file)
		if err != nil {
			return nil, 0 // the attempt fails by it, and the next looks again
		}
		defer clear(seed)
		pair, err := nkeys.ParseDecoratedUserNKey(seed)
		if err != nil {
			return nil, 0
		}
		defer pair.Wipe()
		if public, err := pair.PublicKey(); err == nil && made.Load() != nil {
			made.Load().Opts.Nkey = public
		}
		return nil, 0
	})
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}

// plain drops the prefix that every error of nats.go has, and says in words
// what its shortest ones mean.
func plain(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("no server answers: %w", trimmed{err})
	case errors.Is(err, nats.ErrReconnectBufExceeded): // there is no such buffer
		return fmt.Errorf("there is no connection to NATS: %w", trimmed{err})
	}
	return trimmed{err}
}

// trimmed is an error of nats.go without its prefix and line breaks.
type trimmed struct{ err error }

func (t trimmed) Unwrap() error { return t.err }

func (t trimmed) Error() string {
	s := strings.TrimPrefix(t.err.Error(), "nats: ")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
