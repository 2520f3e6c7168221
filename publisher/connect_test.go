package publisher

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"restwatch/publisher/freeport"
)

// natsServer runs a server of our own making, on a free port unless one is
// given.
func natsServer(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs = "127.0.0.1", true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	return s
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestConnectReconnects(t *testing.T) {
	port := freeport.Hold(t)
	s := natsServer(t, &server.Options{Port: port})
	var log syncBuffer
	nc, err := Connect(t.Context(), ConnectOptions{
		URLs: " 127.0.0.1:1 , " + s.ClientURL() + ",", Instance: "one", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got := nc.Opts.Name; got != "restwatch-one" {
		t.Errorf("got name %q", got)
	}
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "noticing that the server is gone", func() bool { return !nc.IsConnected() })
	if err := nc.Publish("a", nil); err == nil {
		t.Error("a message was taken while there is no connection")
	}
	natsServer(t, &server.Options{Port: port})
	eventually(t, "a reconnect in the log", func() bool { return strings.Contains(log.String(), "NATS reconnected") })
	if !strings.Contains(log.String(), "NATS connection lost") {
		t.Errorf("got log\n%s", log.String())
	}
}

func TestConnectErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	locked := natsServer(t, &server.Options{Username: "u", Password: "secret"})
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := map[string]struct {
		o    ConnectOptions
		want string
	}{
		"no URL":        {ConnectOptions{URLs: " , "}, "no URL given"},
		"odd URL":       {ConnectOptions{URLs: "nats://a:secret@%zz"}, "URL 1 of the list: want nats://host:port"},
		"nobody there":  {ConnectOptions{URLs: "nats://u:secret@127.0.0.1:1"}, "connect to NATS at nats://u:xxxxx@127.0.0.1:1: no server answers"},
		"nobody at all": {ConnectOptions{URLs: "127.0.0.1:1,127.0.0.1:2"}, "no server answers"},
		"silent":        {ConnectOptions{URLs: l.Addr().String(), Timeout: 50 * time.Millisecond}, "i/o timeout"},
		"bad password":  {ConnectOptions{URLs: locked.ClientURL(), User: "u", Password: "secre"}, "Authorization Violation"},
		"two ways":      {ConnectOptions{URLs: "a", User: "u", CredsFile: file("x", "")}, "only one of them"},
		"no creds file": {ConnectOptions{URLs: "a", CredsFile: filepath.Join(dir, "none")}, "read credentials: open"},
		"no nkey file":  {ConnectOptions{URLs: "a", NKeyFile: filepath.Join(dir, "none")}, "read nkey: open"},
		"no nkey in it": {ConnectOptions{URLs: "a", NKeyFile: file("n", "secret")}, "holds no nkey seed"},
		"key alone":     {ConnectOptions{URLs: "a", KeyFile: "k"}, "client certificate and key: one is missing"},
		"no CA file":    {ConnectOptions{URLs: "a", CAFile: filepath.Join(dir, "none")}, "no such file"},
		"no CA in it":   {ConnectOptions{URLs: "a", CAFile: file("ca", "nothing")}, "failed to parse root certificate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			nc, err := Connect(t.Context(), tt.o)
			if err == nil {
				nc.Close()
				t.Fatal("got no error")
			}
			s := err.Error()
			if !strings.Contains(s, tt.want) || strings.Contains(s, "secret") || strings.Contains(s, "\n") || strings.Count(s, "nats: ") > 0 {
				t.Errorf("got %q, want one line with %q and no secret", s, tt.want)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, ConnectOptions{URLs: l.Addr().String()}); err == nil {
		t.Error("got no error from a context that ended")
	}
}

func TestConnectNKey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	s := natsServer(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
	nc, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL(), NKeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// authority issues certificates for 127.0.0.1.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) issue(serial int64) (cert, key []byte) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder})
}

// TestConnectTLS renews the client certificate in place.
func TestConnectTLS(t *testing.T) {
	ca := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	pair, err := tls.X509KeyPair(ca.issue(2))
	if err != nil {
		t.Fatal(err)
	}
	serials := make(chan int64, 10)
	s := natsServer(t, &server.Options{TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(c tls.ConnectionState) error {
			serials <- c.PeerCertificates[0].SerialNumber.Int64()
			return nil
		},
	}})
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(serial int64) {
		cert, key := ca.issue(serial)
		write("cert", cert)
		write("key", key)
	}
	write("ca", ca.pem)
	renew(10)
	nc, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL(), CAFile: path("ca"), CertFile: path("cert"), KeyFile: path("key")})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got := <-serials; got != 10 {
		t.Errorf("got certificate %d, want 10", got)
	}
	renew(11)
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	if got := <-serials; got != 11 {
		t.Errorf("got certificate %d after a reconnect, want 11", got)
	}
}

// TestConnectionSilent has the network swallow what is sent, as a firewall does
// that forgot a connection, or a switch that fails: nobody says that it is gone.
func TestConnectionSilent(t *testing.T) {
	t.Parallel() // it mostly waits for answers that do not come
	s := natsServer(t, &server.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{}) // closed: the first connection is
	never := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for quiet := silent; ; quiet = never {
			c, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() { forward(back, c, quiet) })
			wg.Go(func() { forward(c, back, quiet) })
		}
	})
	nc, err := Connect(t.Context(), ConnectOptions{URLs: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		nc.Close()
		s.Shutdown() // ends what is left of the silent connection
		wg.Wait()
	})
	back := nc.StatusChanged(nats.CONNECTED)
	close(silent)
	const soon = 30 * time.Second // it is a third of that, and was a minute
	select {
	case <-back:
	case <-time.After(soon):
		t.Fatalf("still on the silent connection after %v", soon)
	}
	if err := nc.FlushTimeout(soon); err != nil {
		t.Error(err)
	}
}

// forward copies until one of the two ends, and nothing once it is quiet.
func forward(to, from net.Conn, quiet <-chan struct{}) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		select {
		case <-quiet:
		default:
			_, _ = to.Write(b[:n]) // if it has ended, so will from
		}
		if err != nil {
			return
		}
	}
}
