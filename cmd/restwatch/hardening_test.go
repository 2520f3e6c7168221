package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The HTTP server answers what it is for, by GET, and ends whatever would hold
// it up.
func TestHTTPIsHardened(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	s := startService(t, u.settings(t))
	address := strings.TrimPrefix(s.http, "http://")
	// send writes a request as it is and returns the answer, nil if the server
	// just closed the connection.
	send := func(request string) *http.Response {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request) // the server may have had enough before the end
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatalf("the server waits for ever after %.40q", request)
		}
		if err != nil {
			return nil
		}
		res.Body.Close()
		return res
	}
	for request, want := range map[string]int{
		"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n":                                    http.StatusOK,
		"POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n":              http.StatusMethodNotAllowed,
		"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n":                                        http.StatusMethodNotAllowed,
		"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n":                                         http.StatusMethodNotAllowed,
		"GET /debug/pprof/ HTTP/1.1\r\nHost: h\r\n\r\n":                               http.StatusNotFound,
		"GET /debug/vars HTTP/1.1\r\nHost: h\r\n\r\n":                                 http.StatusNotFound,
		"GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n":                           http.StatusTemporaryRedirect, // to /etc/passwd, which is not there
		"GET /etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n":                                 http.StatusNotFound,
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n": http.StatusRequestHeaderFieldsTooLarge,
		"GET / HTTP/1.1\r\n\r\n":                                                      http.StatusBadRequest,
		"\x16\x03\x01\x02\x00":                                                        0, // TLS, and then nothing: closed after a while
		"GET / HTTP/1.1\r\nHost: h\r\n":                                               0, // headers that do not end
		fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n%s", strings.Repeat("x", 1<<10)): http.StatusMethodNotAllowed,
	} {
		t.Run(fmt.Sprintf("%.30q", request), func(t *testing.T) {
			t.Parallel()
			res := send(request)
			if want == 0 {
				return // that it ended is what counts
			}
			if res == nil || res.StatusCode != want {
				t.Errorf("got %+v, want %d", res, want)
				return
			}
			if want != http.StatusRequestHeaderFieldsTooLarge && want != http.StatusBadRequest {
				for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} {
					if res.Header.Get(h) == "" {
						t.Errorf("no %s: %v", h, res.Header)
					}
				}
			}
		})
	}
}
