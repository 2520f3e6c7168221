package cms

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// transport makes the calls of HTTP/1.1 to one address. Framing is net/http's
// and the connections are crypto/tls's; what differs from http.Transport is
// that a call runs on the goroutine that makes it, from its first byte to its
// last. There, two goroutines of the connection take it over and hand it back,
// and as polls leave a process asleep most of the time, waking these up was
// half of what a poll cost.
//
// HTTP/1.1 only: the signature covers Host and Content-Length, which HTTP/2
// does not send under these names, so a gateway would have to make them up
// again. No proxy, whatever the environment says: a proxy set for something
// else must not carry signed requests, and the upstream is in the company's own
// network. No redirects: they would show the signature to whoever a reply names.
type transport struct {
	dialer net.Dialer
	tls    *tls.Config // nil: plain
	// renewed, if not nil, gives the settings of each new connection instead.
	renewed func() (*tls.Config, error)
	addr    string

	mu   sync.Mutex
	idle []*conn // guarded by mu; the one used last is the last
}

const (
	// maxIdle is how long a connection may lie unused: shorter than most
	// servers and balancers keep it.
	maxIdle = 90 * time.Second
	// maxHead bounds the status line and header of a reply, in bytes.
	maxHead = 64 << 10
	// maxInformational bounds the replies before the reply (1xx).
	maxInformational = 5
)

func newTransport(o Options) *transport {
	t := &transport{
		dialer: net.Dialer{KeepAlive: 15 * time.Second},
		addr:   address(o.URL),
	}
	if o.URL.Scheme == "https" {
		t.tls = o.TLS.Clone()
		if t.tls == nil {
			t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if t.tls.ServerName == "" {
			t.tls.ServerName = o.URL.Hostname()
		}
		if t.tls.ClientSessionCache == nil {
			t.tls.ClientSessionCache = tls.NewLRUClientSessionCache(o.MaxInFlight)
		}
	}
	return t
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = u.Scheme // a service's name is a port as well
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// post sends a call, all of its bytes, and reads the head of the reply. Closing
// the reply's body gives the connection back if the body was read to its end.
// Both are over at the deadline, or when ctx is cancelled.
//
// A server may close an idle connection just as the call goes out: then the
// call, a query, is sent again on a new connection. With once it goes out on a
// new one to begin with, and nothing is sent twice whatever happens.
func (t *transport) post(ctx context.Context, deadline time.Time, call []byte, once bool) (*http.Response, error) {
	if c := t.take(deadline); c != nil {
		if once {
			c.Close() // in its place comes a new one, so that there are not more than calls
		} else if res, err := c.exchange(ctx, call); err == nil || !c.stale(err) {
			return res, err
		}
	}
	c, err := t.dial(ctx, deadline)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, call)
}

func (t *transport) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	plain, err := t.dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: plain, t: t}
	if s, ok := plain.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	if t.tls != nil {
		cfg := t.tls
		if t.renewed != nil {
			if cfg, err = t.renewed(); err != nil {
				plain.Close()
				return nil, err
			}
		}
		secure := tls.Client(plain, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, err
		}
		c.Conn = secure
	}
	c.in = bufio.NewReader(limited{c})
	return c, c.SetDeadline(deadline)
}

// take returns an idle connection that can be used, nil if there is none.
func (t *transport) take(deadline time.Time) *conn {
	for {
		t.mu.Lock()
		n := len(t.idle)
		if n == 0 {
			t.mu.Unlock()
			return nil
		}
		c := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		if time.Since(c.used) < maxIdle && c.SetDeadline(deadline) == nil && silent(c.raw) {
			return c
		}
		c.Close()
	}
}

func (t *transport) put(c *conn) {
	c.used = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, c)
}

// closeIdle closes the connections that no call uses.
func (t *transport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.idle {
		c.Close()
	}
	t.idle = nil
}

// conn is a connection. One call at a time uses it.
type conn struct {
	net.Conn
	t    *transport
	raw  syscall.RawConn // of the TCP connection; nil if there is none
	in   *bufio.Reader
	left int // bytes that may still be read
	used time.Time
}

// limited is a conn as its buffer reads it.
type limited struct{ c *conn }

var errHead = errors.New("header of the reply is too large")

func (l limited) Read(b []byte) (int, error) {
	if l.c.left <= 0 {
		return 0, errHead
	}
	n, err := l.c.Conn.Read(b[:min(len(b), l.c.left)])
	l.c.left -= n
	return n, err
}

// stale says whether an exchange failed with err because the connection had
// been idle: it ended, not in time, without a byte of a reply.
func (c *conn) stale(err error) bool {
	var ne net.Error
	return c.left == maxHead && !(errors.As(err, &ne) && ne.Timeout())
}

var postRequest = &http.Request{Method: http.MethodPost}

// exchange is the call itself. On an error the connection is closed.
func (c *conn) exchange(ctx context.Context, call []byte) (*http.Response, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	c.left = maxHead
	res, err := c.head(call)
	if err != nil {
		stop()
		c.Close()
		return nil, err
	}
	c.left = math.MaxInt
	res.Body = &body{Reader: res.Body, conn: c, stop: stop, last: res.Close}
	return res, nil
}

func (c *conn) head(call []byte) (*http.Response, error) {
	if _, err := c.Write(call); err != nil {
		return nil, err
	}
	// A server that hangs up says so as io.EOF here, before there is a reply
	// that could be cut short.
	if _, err := c.in.Peek(1); err != nil {
		return nil, err
	}
	for range maxInformational {
		res, err := http.ReadResponse(c.in, postRequest)
		if err != nil || res.StatusCode >= 200 {
			return res, err
		}
	}
	return nil, errors.New("no reply after five informational ones")
}

// body is that of a reply. It gives its connection back when it is closed.
type body struct {
	io.Reader
	conn *conn
	stop func() bool // of what watches the call's context
	last bool        // the connection carries no other call after this
	read bool        // to its end
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read = b.read || err == io.EOF
	return n, err
}

// Close must be called once.
func (b *body) Close() error {
	if b.stop() && b.read && !b.last && b.conn.in.Buffered() == 0 {
		b.conn.t.put(b.conn)
		return nil
	}
	return b.conn.Close()
}
