package cms

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restwatch/diff"
)

var discardLog = log.New(io.Discard, "", 0)

// listen answers every connection to l with an empty list and gives the bytes
// of the requests to got.
func listen(t *testing.T, l net.Listener, got chan<- []byte) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			got <- capture(conn)
			conn.Close()
		}
	}()
}

// capture reads one request by hand, byte for byte.
func capture(conn net.Conn) []byte {
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &raw))
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "content-length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "\r\n" {
			break
		}
	}
	_, _ = io.CopyN(io.Discard, in, int64(length))
	body := AppendReply(nil, nil, diff.Counts{})
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	return raw.Bytes()
}

// What is signed is what is on the wire: the signature is computed again from
// the bytes received, the plain way.
func TestSignedIsSent(t *testing.T) {
	certified := newUpstream(t, 0) // for its certificate
	tests := []struct {
		name, scheme, path, wantPath, wantQuery string
		host                                    func(addr string) string
	}{
		{name: "tls", scheme: "https", wantPath: Path},
		{name: "plain", scheme: "http", wantPath: Path},
		{name: "slash", scheme: "http", path: "/", wantPath: Path},
		{name: "own path, escaped", scheme: "http", path: "/a%2Fb/%E5%BA%A7%20x", wantPath: "/a%2Fb/%E5%BA%A7%20x"},
		{name: "query", scheme: "http", path: "/p?b=x+y&a=1", wantPath: "/p", wantQuery: "a=1&b=x%20y"},
		{name: "capitals", scheme: "http", wantPath: Path, host: func(addr string) string { return strings.Replace(addr, "127.0.0.1", "LOCALHOST", 1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			host := l.Addr().String()
			if tt.scheme == "https" {
				l = tls.NewListener(l, certified.TLS)
			}
			got := make(chan []byte, 1)
			listen(t, l, got)
			if tt.host != nil {
				host = tt.host(host)
			}
			where, err := url.Parse(tt.scheme + "://" + host + tt.path)
			if err != nil {
				t.Fatal(err)
			}
			c := certified.client(t, func(o *Options) { o.URL = where })
			before := time.Now().Truncate(time.Second)
			read(t, c, Fingerprint{})
			verify(t, <-got, host, tt.wantPath, tt.wantQuery, before)
		})
	}
}

func verify(t *testing.T, raw []byte, host, path, canonicalQuery string, notBefore time.Time) {
	t.Helper()
	head, body, ok := strings.Cut(string(raw), "\r\n\r\n")
	if !ok {
		t.Fatalf("no request in %q", raw)
	}
	lines := strings.Split(head, "\r\n")
	method, target, _ := strings.Cut(lines[0], " ")
	target, version, _ := strings.Cut(target, " ")
	wirePath, _, _ := strings.Cut(target, "?")
	headers := map[string]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		headers[strings.ToLower(name)] = value
	}
	if method != "POST" || version != "HTTP/1.1" || wirePath != path || headers["host"] != host {
		t.Errorf("got %s %s %s to host %s, want POST %s to %s", method, target, version, headers["host"], path, host)
	}
	if headers["content-type"] != "application/json; charset=UTF-8" {
		t.Errorf("content type %q", headers["content-type"])
	}
	if headers["content-length"] != strconv.Itoa(len(body)) {
		t.Errorf("content length %s, body of %d bytes", headers["content-length"], len(body))
	}
	if _, ok := headers["idempotency-key"]; ok {
		t.Error("an idempotency key was sent")
	}
	encode := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		return b.String()
	}
	parts := strings.Split(headers["authorization"], "/")
	if len(parts) != 5 || parts[0] != "auth-v2" || parts[1] != "AK" || parts[3] != "content-length;content-type;host" {
		t.Fatalf("authorization %q", headers["authorization"])
	}
	at, err := time.Parse("2006-01-02T15:04:05Z", parts[2])
	if err != nil || at.Before(notBefore) || at.After(time.Now()) {
		t.Errorf("timestamp %q: %v, sent after %v", parts[2], err, notBefore)
	}
	canonical := "POST\n" + wirePath + "\n"
	if canonicalQuery != "" {
		canonical += canonicalQuery + "\n"
	}
	canonical += parts[3] + "\n"
	for _, name := range strings.Split(parts[3], ";") {
		canonical += name + ":" + encode(headers[name]) + "\n"
	}
	canonical += encode(body)
	if want := authorization("AK", "hunter2", at, parts[3], canonical); headers["authorization"] != want {
		t.Errorf("got %q, want %q", headers["authorization"], want)
	}
}

// serverByHand lets requests be answered by hand: answer gets the connection, its
// number and that of the request on it, both from 0, and says whether to go on.
func serverByHand(t *testing.T, answer func(w io.Writer, conn, request int) (more bool)) (c *Client, requests func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for k := 0; ; k++ {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					n.Add(1)
					if !answer(conn, i, k) {
						return
					}
				}
			})
		}
	})
	c, err = New(Options{URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, AccessKey: "AK", SecretKey: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); l.Close(); wg.Wait() })
	return c, func() int { return int(n.Load()) }
}

var emptyReply = func() string {
	body := AppendReply(nil, nil, diff.Counts{})
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// send ignores that the client may have gone.
func send(w io.Writer, text string) bool {
	_, err := io.WriteString(w, text)
	return err == nil
}

// An idle connection that the server closes as the next call goes out costs no
// reading: the call is sent again on a new one. A probe goes out on a new one,
// and once only.
func TestStaleConnection(t *testing.T) {
	c, requests := serverByHand(t, func(w io.Writer, conn, request int) bool {
		return request != 1 && conn != 3 && send(w, emptyReply)
	})
	read(t, c, Fingerprint{}) // the connection is used now
	read(t, c, Fingerprint{}) // hangs up, is sent again
	if n := requests(); n != 3 {
		t.Errorf("got %d requests, want 3", n)
	}
	if _, err := c.Probe(t.Context(), vdn); err != nil {
		t.Errorf("probe on the third connection: %v", err)
	}
	if _, err := c.Probe(t.Context(), vdn); CategoryOf(err) != Network {
		t.Errorf("probe: got %v, want the hang-up", err)
	}
	if n := requests(); n != 5 {
		t.Errorf("got %d requests, want two more", n)
	}
}

// What a server sends without being asked is not taken for the next reply.
func TestUnaskedReply(t *testing.T) {
	const unasked = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
	t.Run("with the reply before", func(t *testing.T) {
		c, _ := serverByHand(t, func(w io.Writer, _, _ int) bool { return send(w, emptyReply+unasked) })
		read(t, c, Fingerprint{})
		read(t, c, Fingerprint{})
	})
	t.Run("while idle", func(t *testing.T) {
		conns := make(chan io.Writer, 2)
		c, _ := serverByHand(t, func(w io.Writer, _, _ int) bool { conns <- w; return send(w, emptyReply) })
		read(t, c, Fingerprint{})
		if !send(<-conns, unasked) {
			t.Fatal("the connection is gone")
		}
		read(t, c, Fingerprint{})
		if len(conns) != 1 {
			t.Error("not called again")
		}
	})
}

// Replies before the reply are passed over, but not without end.
func TestInformationalReplies(t *testing.T) {
	const early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	c, _ := serverByHand(t, func(w io.Writer, _, request int) bool {
		if request > 0 {
			return send(w, strings.Repeat(early, 100))
		}
		return send(w, early+emptyReply)
	})
	read(t, c, Fingerprint{})
	if e := readFailing(t, c); e.Category != Network {
		t.Errorf("got %v", e)
	}
}
