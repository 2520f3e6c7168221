package publisher

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// lock is one way to tell who is who at a server.
type lock struct {
	server *server.Server
	client ConnectOptions
	files  []string
	// change has the server refuse the credential that is in the file, and drop
	// whoever connected with it. renew puts the one into the file that the
	// server takes from then on.
	change, renew func()
}

// reload gives a server other options, but for where it listens.
func reload(t *testing.T, s *server.Server, o *server.Options) {
	t.Helper()
	o.Host, o.NoSigs, o.Port = "127.0.0.1", true, server.RANDOM_PORT
	if err := s.ReloadOptions(o); err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func passwordLock(t *testing.T) lock {
	file := filepath.Join(t.TempDir(), "password")
	accept := func(p string) *server.Options {
		return &server.Options{Users: []*server.User{{Username: "u", Password: p}}}
	}
	save(t, file, []byte("secret one"))
	s := natsServer(t, accept("secret one"))
	return lock{
		server: s, files: []string{file},
		client: ConnectOptions{User: "u", PasswordNow: func() string {
			b, _ := os.ReadFile(file) // there may be none for a while
			return string(b)
		}},
		change: func() { reload(t, s, accept("secret two")) },
		renew:  func() { save(t, file, []byte("secret two")) },
	}
}

func nkeyLock(t *testing.T) lock {
	file := filepath.Join(t.TempDir(), "nkey")
	pair := func() (seed []byte, o *server.Options) {
		k, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		if seed, err = k.Seed(); err != nil {
			t.Fatal(err)
		}
		return seed, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}}
	}
	seed, accept := pair()
	save(t, file, seed)
	s := natsServer(t, accept)
	next, acceptNext := pair()
	return lock{
		server: s, files: []string{file}, client: ConnectOptions{NKeyFile: file},
		change: func() { reload(t, s, acceptNext) },
		renew:  func() { save(t, file, next) },
	}
}

// credsLock is an account of an operator, which revokes a user.
func credsLock(t *testing.T) lock {
	key := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		k, err := make()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return k, public
	}
	operator, operatorName := key(nkeys.CreateOperator)
	account, accountName := key(nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(accountName)
	signed := func(c jwt.Claims, by nkeys.KeyPair) string {
		text, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	user := func() (name string, file []byte) {
		k, name := key(nkeys.CreateUser)
		seed, err := k.Seed()
		if err != nil {
			t.Fatal(err)
		}
		if file, err = jwt.FormatUserConfig(signed(jwt.NewUserClaims(name), account), seed); err != nil {
			t.Fatal(err)
		}
		return name, file
	}
	trusted, err := jwt.DecodeOperatorClaims(signed(jwt.NewOperatorClaims(operatorName), operator))
	if err != nil {
		t.Fatal(err)
	}
	accounts := &server.MemAccResolver{}
	if err := accounts.Store(accountName, signed(claims, operator)); err != nil {
		t.Fatal(err)
	}
	s := natsServer(t, &server.Options{TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: accounts})
	name, creds := user()
	_, next := user()
	file := filepath.Join(t.TempDir(), "creds")
	save(t, file, creds)
	return lock{
		server: s, files: []string{file}, client: ConnectOptions{CredsFile: file},
		change: func() {
			claims.Revoke(name)
			if err := accounts.Store(accountName, signed(claims, operator)); err != nil {
				t.Fatal(err)
			}
			a, err := s.LookupAccount(accountName)
			if err != nil {
				t.Fatal(err)
			}
			s.UpdateAccountClaims(a, claims)
		},
		renew: func() { save(t, file, next) },
	}
}

// certificateLock is mutual TLS whose authority is replaced by another, for the
// server's certificate and for the client's.
func certificateLock(t *testing.T) lock {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	issue := func(ca *authority) {
		cert, key := ca.issue(3)
		save(t, path("ca"), ca.pem)
		save(t, path("cert"), cert)
		save(t, path("key"), key)
	}
	accept := func(ca *authority) *server.Options {
		pair, err := tls.X509KeyPair(ca.issue(2))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		return &server.Options{TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}}
	}
	ca, next := newAuthority(t), newAuthority(t)
	issue(ca)
	s := natsServer(t, accept(ca))
	return lock{
		server: s, files: []string{path("ca"), path("cert"), path("key")},
		client: ConnectOptions{CAFile: path("ca"), CertFile: path("cert"), KeyFile: path("key")},
		change: func() {
			reload(t, s, accept(next))
			// A server asks for certificates at the beginning only.
			conns, err := s.Connz(nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range conns.Conns {
				if err := s.DisconnectClientByID(c.Cid); err != nil {
					t.Fatal(err)
				}
			}
		},
		renew: func() { issue(next) },
	}
}

// TestCredentialsAreRotated has the server refuse what it took before and drop
// the connection. It comes back by itself, with its subscriptions, once the
// files hold what the server takes; that they are missing in between does no
// harm. What they hold is not told.
func TestCredentialsAreRotated(t *testing.T) {
	for name, newLock := range map[string]func(*testing.T) lock{
		"password": passwordLock, "nkey": nkeyLock, "credentials": credsLock, "certificates": certificateLock,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLock(t)
			var log syncBuffer
			l.client.URLs, l.client.Log = l.server.ClientURL(), slog.New(slog.NewTextHandler(&log, nil))
			nc, err := Connect(t.Context(), l.client)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			sub, err := nc.SubscribeSync("a")
			if err != nil {
				t.Fatal(err)
			}
			held := l.contents(t)
			refused := func(why string) {
				// When the second of two attempts begins, the first has failed.
				before := l.attempts(t)
				eventually(t, why, func() bool { return l.attempts(t) >= before+2 })
				if nc.IsConnected() {
					t.Fatalf("connected: %s", why)
				}
			}
			l.change()
			eventually(t, "the end of the connection", func() bool { return !nc.IsConnected() })
			refused("with the old credential")
			for _, f := range l.files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			refused("without a file")
			l.renew()
			eventually(t, "the connection", nc.IsConnected)
			if err := nc.Publish("a", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := sub.NextMsg(10 * time.Second); err != nil {
				t.Error(err)
			}
			eventually(t, "a word of it", func() bool { return strings.Contains(log.String(), "NATS reconnected") })
			for _, s := range append(held, l.contents(t)...) {
				if strings.Contains(log.String(), s) {
					t.Errorf("the log tells what a file holds:\n%s", log.String())
				}
			}
		})
	}
}

// attempts counts the connections that the server was asked for so far.
func (l lock) attempts(t *testing.T) uint64 {
	t.Helper()
	v, err := l.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.TotalConnections
}

// contents are the lines of the files that nobody else could guess.
func (l lock) contents(t *testing.T) (lines []string) {
	t.Helper()
	for _, f := range l.files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
