package cms

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"restwatch/publisher/freeport"
)

func TestStatusErrors(t *testing.T) {
	said := `{"timestamp":1532142010247,"status":%d,"error":"Forbidden","message":"IP is locked\u001b[0m","path":"/x"}`
	tests := []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   Error
		text   []string
	}{
		{"401", 401, nil, fmt.Sprintf(said, 401), Error{Category: Refused}, []string{"IP is locked\ufffd[0m", "clocks agree", "RESTWATCH_CMS_SECRET_KEY"}},
		{"401, clock behind", 401, map[string]string{"Date": time.Now().Add(10*time.Minute + 30*time.Second).UTC().Format(http.TimeFormat)}, "",
			Error{Category: Refused}, []string{"the own clock is 10m", "behind", "NTP"}},
		{"401, clock ahead", 401, map[string]string{"Date": time.Now().Add(-10*time.Minute - 30*time.Second).UTC().Format(http.TimeFormat)}, "",
			Error{Category: Refused}, []string{"the own clock is 10m", "ahead", "NTP"}},
		{"403", 403, nil, fmt.Sprintf(said, 403), Error{Category: Locked}, []string{"HTTP 403", "IP is locked"}},
		{"404", 404, nil, "<html>secret page</html>", Error{Category: HTTP}, []string{"Not Found", "RESTWATCH_CMS_URL"}},
		{"429", 429, map[string]string{"Retry-After": "7"}, "", Error{Category: HTTP, RetryAfter: 7 * time.Second}, []string{"Too Many Requests"}},
		{"503, for ever", 503, map[string]string{"Retry-After": "999999999999"}, "", Error{Category: HTTP, RetryAfter: time.Hour}, nil},
		{"503, nonsense", 503, map[string]string{"Retry-After": "-5"}, "", Error{Category: HTTP}, nil},
		{"503, by the server's clock", 503, map[string]string{"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 00:02:00 GMT"}, "",
			Error{Category: HTTP, RetryAfter: 2 * time.Minute}, nil},
		{"500 with a code", 500, nil, `{"resultCode":"0100001","resultDesc":"down"}`, Error{Category: HTTP, Code: "0100001"}, []string{"down"}},
		{"redirect", 302, map[string]string{"Location": "https://user:pass@elsewhere:1/login?token=abc#f"}, "", Error{Category: HTTP}, []string{`"https://elsewhere:1/login"`, "RESTWATCH_CMS_URL"}},
		{"redirect to nowhere", 307, nil, "", Error{Category: HTTP}, []string{"not followed"}},
		{"204", 204, nil, "", Error{Category: HTTP}, []string{"No Content"}},
		{"odd status", 599, nil, "", Error{Category: HTTP}, []string{"no text"}},
		{"long body", 500, nil, strings.Repeat("x", 1<<20), Error{Category: HTTP}, []string{"Internal Server Error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t, 1)
			u.answer = func(w http.ResponseWriter, r *http.Request) {
				u.drain(r)
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}
			c := u.client(t, nil)
			got := readFailing(t, c)
			if got.Category != tt.want.Category || got.Status != tt.status || got.Code != tt.want.Code || got.RetryAfter != tt.want.RetryAfter {
				t.Errorf("got %+v", got)
			}
			for _, want := range tt.text {
				if !strings.Contains(got.Error(), want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			for _, never := range []string{"hunter2", "pass", "token", "secret page"} {
				if strings.Contains(got.Error(), never) {
					t.Errorf("got %q, with %q in it", got, never)
				}
			}
			if !isClean(got.Error()) || len(got.Error()) > 1000 {
				t.Errorf("got %q", got)
			}
			if n := u.calls.Load(); n != 1 {
				t.Errorf("%d calls, want one", n)
			}
			if ahead, known := c.Skew(); known && tt.want.Category == Refused && got.Skew != ahead {
				t.Errorf("skew %v in the error, %v measured", got.Skew, ahead)
			}
		})
	}
}

// Short error replies are read to their end, so that a row of failures does
// not cost a connection each.
func TestErrorsKeepConnection(t *testing.T) {
	u := newUpstream(t, 1)
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		u.drain(r)
		http.Error(w, "no", http.StatusInternalServerError)
	}
	c := u.client(t, nil)
	for range 5 {
		readFailing(t, c)
	}
	if n := u.conns.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

func TestNetworkErrors(t *testing.T) {
	u := newUpstream(t, 1)
	plain := newUpstream(t, 1)
	where := func(s string) func(*Options) {
		return func(o *Options) { o.URL, _ = url.Parse(s) }
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// A certificate as old tools make them: a common name, and no other.
	common := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cms"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, common, common, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	nameless := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	old := tlsServer(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	mutual := tlsServer(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	tests := []struct {
		name   string
		change func(*Options)
		want   Category
		text   string
	}{
		{"refused", where(fmt.Sprintf("https://127.0.0.1:%d", freeport.Hold(t))), Network, "nothing listens there"},
		{"no such name", where("https://no-such-name.invalid"), Network, "name service"},
		{"unknown authority", func(o *Options) { o.TLS = nil }, Network, "RESTWATCH_CMS_CA_FILE"},
		{"another name", func(o *Options) { o.TLS.ServerName = "cms.test" }, Network, "RESTWATCH_CMS_SERVER_NAME"},
		{"no name at all", where(nameless), Network, "subject alternative name"},
		{"TLS too old", where(old), Network, "refuses TLS as it is offered"},
		{"client certificate", where(mutual), Network, "without a client certificate"},
		{"not TLS", where("https://" + plainListener(t)), Network, "does not speak TLS"},
		{"TLS", where("http://" + plain.Listener.Addr().String()), HTTP, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := readFailing(t, u.client(t, tt.change))
			if e.Category != tt.want || !strings.Contains(e.Message, tt.text) {
				t.Errorf("got %v, want %s: %q", e, tt.want, tt.text)
			}
		})
	}
}

// tlsServer answers by these settings only.
func tlsServer(t *testing.T, cfg *tls.Config) (where string) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog, s.TLS = discardLog, cfg
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// plainListener answers whatever comes with a reply of HTTP.
func plainListener(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 512), 1)
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestLoadTLS(t *testing.T) {
	u := newUpstream(t, 1)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ca, name string
		insecure bool
	}{{ca, "", false}, {ca, "example.com", false}, {"", "", true}} {
		cfg, err := LoadTLS(tt.ca, tt.name, tt.insecure)
		if err != nil {
			t.Fatal(err)
		}
		read(t, u.client(t, func(o *Options) { o.TLS = cfg }), Fingerprint{})
	}
	for _, file := range []string{empty, filepath.Join(dir, "none.pem")} {
		if _, err := LoadTLS(file, "", false); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("got %v, want an error that names %s", err, file)
		}
	}
}

// New connections resume the TLS session of earlier ones.
func TestSessionReuse(t *testing.T) {
	u := newUpstream(t, 1)
	resumed := make(chan bool, 2)
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		resumed <- r.TLS.DidResume
		w.Header().Set("Connection", "close")
		_, _ = w.Write(AppendReply(nil, nil, Reply{}.Counts))
	}
	c := u.client(t, nil)
	read(t, c, Fingerprint{})
	read(t, c, Fingerprint{})
	if first, second := <-resumed, <-resumed; first || !second {
		t.Errorf("resumed %v, %v; want the second", first, second)
	}
}

func TestTimeouts(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang) // the servers wait for their handlers
	upstreamThat := func(answer http.HandlerFunc) *upstream {
		u := newUpstream(t, 1)
		u.answer = func(w http.ResponseWriter, r *http.Request) { u.drain(r); answer(w, r) }
		return u
	}
	phase := map[string]http.HandlerFunc{
		"no reply": func(w http.ResponseWriter, r *http.Request) { <-hang },
		"half a reply": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"resultCode":`)
			_ = http.NewResponseController(w).Flush()
			<-hang
		},
		"half an error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"message":`)
			_ = http.NewResponseController(w).Flush()
			<-hang
		},
	}
	for name, answer := range phase {
		want, within := Timeout, 50*time.Millisecond
		if name == "half an error" {
			want, within = Refused, 2*time.Second // in which the status must come
		}
		c := upstreamThat(answer).client(t, func(o *Options) { o.Timeout = within })
		if e := readFailing(t, c); e.Category != want {
			t.Errorf("%s: got %v", name, e)
		} else if want == Timeout && (!errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Message, "50ms")) {
			t.Errorf("%s: got %v", name, e)
		}
	}

	c := upstreamThat(phase["no reply"]).client(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Read(ctx, vdn, Fingerprint{}); CategoryOf(err) != Timeout {
		t.Errorf("the poll's own time: got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	c = upstreamThat(func(w http.ResponseWriter, r *http.Request) { cancel(); <-hang }).client(t, nil)
	if _, err := c.Read(ctx, vdn, Fingerprint{}); CategoryOf(err) != Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if _, err := c.Read(ctx, vdn, Fingerprint{}); CategoryOf(err) != Canceled {
		t.Errorf("cancelled before: got %v", err)
	}
	if len(c.slots) != 0 {
		t.Errorf("%d slots are still taken", len(c.slots))
	}
}

func TestConnectionBreaks(t *testing.T) {
	u := newUpstream(t, 1)
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		u.drain(r)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"resultCode":`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if e := readFailing(t, u.client(t, nil)); e.Category != Network || !strings.Contains(e.Message, "mid-reply") {
		t.Errorf("got %v", e)
	}
}

func TestBodies(t *testing.T) {
	good := bigReply(200, true)
	compress := func(w io.Writer, b []byte) {
		z := gzip.NewWriter(w)
		_, _ = z.Write(b)
		_ = z.Close()
	}
	tests := []struct {
		name   string
		max    int
		answer http.HandlerFunc
		want   string // of the error; "" for none
	}{
		{"gzip", 0, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			compress(w, good)
		}, ""},
		{"as large as may be", len(good), func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(good) }, ""},
		{"too large by its length", len(good) - 1, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			_, _ = w.Write(good)
		}, "larger than the limit"},
		{"too large, chunked", len(good) - 1, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(good)
		}, "larger than the limit"},
		{"bomb", 1 << 20, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			compress(w, make([]byte, 2<<20))
		}, "unpacked reply is larger"},
		{"no gzip", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(good)
		}, "is not"},
		{"damaged gzip", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			var b strings.Builder
			compress(&b, good)
			_, _ = io.WriteString(w, b.String()[:b.Len()-9])
		}, "is damaged"},
		{"another encoding", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write(good)
		}, `"br"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t, 1)
			u.answer = func(w http.ResponseWriter, r *http.Request) { u.drain(r); tt.answer(w, r) }
			c := u.client(t, func(o *Options) { o.MaxBody = tt.max })
			if tt.want != "" {
				if e := readFailing(t, c); e.Category != Malformed || !strings.Contains(e.Message, tt.want) {
					t.Errorf("got %v, want %q", e, tt.want)
				}
				return
			}
			r := read(t, c, Fingerprint{})
			if len(r.Rows) != 200 {
				t.Errorf("got %d rows", len(r.Rows))
			}
			if again := read(t, c, r.Fingerprint); !again.Same {
				t.Error("unchanged, but not Same")
			}
		})
	}
}

func TestHeadersBounded(t *testing.T) {
	u := newUpstream(t, 1)
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		u.drain(r)
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	}
	if e := readFailing(t, u.client(t, nil)); e.Category != Network {
		t.Errorf("got %v", e)
	}
}

func TestInFlight(t *testing.T) {
	u := newUpstream(t, 250)
	u.paging = true
	inside, peak := 0, 0
	entered := make(chan struct{}, 3)
	gate := make(chan struct{})
	inner := http.HandlerFunc(u.ServeHTTP)
	u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.set(func() { inside++; peak = max(peak, inside) })
		select {
		case entered <- struct{}{}:
		default:
		}
		<-gate
		u.set(func() { inside-- })
		inner(w, r)
	})
	c := u.client(t, func(o *Options) { o.PageSize, o.MaxInFlight = 10, 4 })
	done := make(chan error, 3)
	for range cap(done) {
		go func() {
			r, err := c.Read(t.Context(), vdn, Fingerprint{})
			if err == nil && len(r.Rows) != 250 {
				err = fmt.Errorf("%d rows", len(r.Rows))
			}
			done <- err
		}()
	}
	for range cap(entered) {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Read(ctx, vdn, Fingerprint{}); CategoryOf(err) != Canceled {
		t.Errorf("got %v", err)
	}
	close(gate)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if peak > 4 || peak < 3 || u.conns.Load() > 4 {
		t.Errorf("%d calls at once on %d connections, want at most 4", peak, u.conns.Load())
	}
}

func TestRate(t *testing.T) {
	u := newUpstream(t, 1)
	c := u.client(t, func(o *Options) { o.Rate = 0.001 })
	read(t, c, Fingerprint{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := c.Read(ctx, vdn, Fingerprint{})
	if CategoryOf(err) != Timeout || !strings.Contains(err.Error(), "RESTWATCH_CMS_RATE") {
		t.Errorf("got %v, want no slot before the minute is over", err)
	}
	if n := u.calls.Load(); n != 1 || len(c.slots) != 0 {
		t.Errorf("%d calls, %d slots taken", n, len(c.slots))
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.URL = nil }, "URL"},
		{func(o *Options) { o.URL.Scheme = "ftp" }, "URL"},
		{func(o *Options) { o.URL.Host = ":443" }, "URL"},
		{func(o *Options) { o.URL.User = url.UserPassword("u", "hunter2") }, "holds a user"},
		{func(o *Options) { o.URL.Host = "座席" }, "xn--"},
		{func(o *Options) { o.URL.Host = "[fe80::1%eth0]:1" }, "zone"},
		{func(o *Options) { o.URL.RawQuery = "a=b c" }, "query"},
		{func(o *Options) { o.UserAgent = "a\r\nX: y" }, "UserAgent"},
		{func(o *Options) { o.AccessKey = "" }, "AccessKey"},
		{func(o *Options) { o.AccessKey = "a\r\nX: y" }, "AccessKey"},
		{func(o *Options) { o.SecretKey = "" }, "SecretKey"},
		{func(o *Options) { o.CTI = "4" }, "CTI"},
		{func(o *Options) { o.PageSize = 101 }, "PageSize"},
		{func(o *Options) { o.PageSize = -1 }, "PageSize"},
		{func(o *Options) { o.Timeout = -1 }, "Timeout"},
		{func(o *Options) { o.MaxInFlight = -1 }, "MaxInFlight"},
		{func(o *Options) { o.Rate = -1 }, "Rate"},
		{func(o *Options) { o.MaxBody = -1 }, "MaxBody"},
		{func(o *Options) { o.BeginTime = "min" }, "BeginTime"},
		{func(o *Options) { o.PageSize, o.CTI = 101, "4" }, "PageSize"},
	}
	for _, tt := range tests {
		o := Options{URL: &url.URL{Scheme: "https", Host: "h"}, AccessKey: "AK", SecretKey: "hunter2"}
		tt.change(&o)
		if c, err := New(o); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, %v, want an error about %s", c, err, tt.want)
		}
	}
}

func TestSecretNeverPrinted(t *testing.T) {
	var logged strings.Builder
	log := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	u := newUpstream(t, 1)
	o := u.options(t)
	o.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	o.TLS = &tls.Config{InsecureSkipVerify: true}
	o.Log = log
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(t.Context(), vdn, Fingerprint{})
	type holder struct {
		Key Secret
		O   struct{ SecretKey Secret }
	}
	h := holder{Key: "hunter2"}
	h.O.SecretKey = "hunter2"
	o.TLS, o.URL, o.Log = nil, nil, nil
	var out strings.Builder
	for _, v := range []any{o, &o, o.SecretKey, h, &h, c, err, []Secret{"hunter2"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		log.Info("x", "v", v)
	}
	log.Info("x", "key", o.SecretKey)
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	out.WriteString(logged.String())
	for _, never := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprint([]byte("hunter2"))} {
		if strings.Contains(out.String(), never) {
			t.Errorf("%q was printed", never)
		}
	}
	if !strings.Contains(logged.String(), "without TLS") {
		t.Error("no warning of a plain connection")
	}
}

func TestMetrics(t *testing.T) {
	u := newUpstream(t, 250)
	u.paging = true
	reg := prometheus.NewPedanticRegistry()
	c := u.client(t, func(o *Options) { o.Metrics = reg })
	r := read(t, c, Fingerprint{})
	read(t, c, r.Fingerprint)
	u.set(func() { u.resize(2); u.rows[0].Begin = 0 })
	read(t, c, Fingerprint{})
	u.answer = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }
	readFailing(t, c)
	want := `
# HELP restwatch_cms_calls_total HTTP calls to CC-CMS by how they ended: ok or the category of the error.
# TYPE restwatch_cms_calls_total counter
restwatch_cms_calls_total{category="http"} 1
restwatch_cms_calls_total{category="ok"} 10
# HELP restwatch_cms_readings_total Readings of a VDN by result: same, changed, inconsistent or the category of the error.
# TYPE restwatch_cms_readings_total counter
restwatch_cms_readings_total{result="changed"} 2
restwatch_cms_readings_total{result="http"} 1
restwatch_cms_readings_total{result="same"} 1
# HELP restwatch_cms_unknown_begin_times_total Rows read whose beginTime was no usable time.
# TYPE restwatch_cms_unknown_begin_times_total counter
restwatch_cms_unknown_begin_times_total 1
# HELP restwatch_cms_calls_in_flight HTTP calls to CC-CMS under way.
# TYPE restwatch_cms_calls_in_flight gauge
restwatch_cms_calls_in_flight 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "restwatch_cms_calls_total", "restwatch_cms_readings_total", "restwatch_cms_unknown_begin_times_total", "restwatch_cms_calls_in_flight"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	o := u.options(t)
	o.Metrics = reg
	if _, err := New(o); err == nil {
		t.Error("two clients share a registry")
	}
}

func TestSkew(t *testing.T) {
	u := newUpstream(t, 1)
	c := u.client(t, nil)
	if _, known := c.Skew(); known {
		t.Error("known before the first call")
	}
	read(t, c, Fingerprint{})
	if ahead, known := c.Skew(); !known || ahead.Abs() > 5*time.Second {
		t.Errorf("got %v, %v of a server with the same clock", ahead, known)
	}
}
