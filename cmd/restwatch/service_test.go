package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"restwatch/config"
	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// The key pair of all tests. Nothing that the service writes may hold the
// secret one; every helper looks for it.
const (
	accessKey = "tester"
	secretKey = "correct-horse-battery-staple"
)

// allowance is what an event's window is exact to by contract: the age of a
// reply.
const allowance = diff.Time(300)

// clockError is by how much the bus's clock may be behind this machine's.
const clockError = diff.Time(20)

var (
	vdn170 = diff.VDN{CC: 1, ID: 170}
	vdn171 = diff.VDN{CC: 1, ID: 171}
)

// upstream is a simulated CC-CMS that wants signed calls over TLS.
type upstream struct {
	*cmssim.Server
	caFile string

	mu     sync.Mutex
	calls  []cmssim.Call
	hold   func(cmssim.Call) // called before an answer goes out, if not nil
	frozen time.Time         // since when nothing happens any more; zero: all goes on
}

// startUpstream serves these VDNs until the test ends.
func startUpstream(t *testing.T, tenants ...cmssim.Tenant) *upstream {
	t.Helper()
	return startUpstreamAt(t, "", tenants...)
}

// startUpstreamAt does so at an address, "" for any.
func startUpstreamAt(t *testing.T, address string, tenants ...cmssim.Tenant) *upstream {
	t.Helper()
	u := &upstream{caFile: filepath.Join(t.TempDir(), "ca.pem")}
	server, err := cmssim.Start(cmssim.Options{
		Addr: address, AccessKey: accessKey, SecretKey: secretKey, Tenants: tenants, Trace: u.trace, Now: u.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	u.Server = server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(u.caFile, server.CACert(), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// byHand is a VDN whose list is set by hand.
func byHand(vdns ...diff.VDN) []cmssim.Tenant {
	var list []cmssim.Tenant
	for _, v := range vdns {
		list = append(list, cmssim.Tenant{World: cmssim.Config{VDN: v}})
	}
	return list
}

func (u *upstream) trace(c cmssim.Call) {
	u.mu.Lock()
	u.calls = append(u.calls, c)
	hold := u.hold
	u.mu.Unlock()
	if hold != nil {
		hold(c)
	}
}

// holdUp keeps back the answers to the calls that are wanted until they are
// released, at the latest when the test ends. asked is closed by the first.
func (u *upstream) holdUp(t *testing.T, wanted func(cmssim.Call) bool) (asked <-chan struct{}, release func()) {
	t.Helper()
	came, free := make(chan struct{}), make(chan struct{})
	come := sync.OnceFunc(func() { close(came) })
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hold = func(c cmssim.Call) {
		if wanted(c) {
			come()
			<-free
		}
	}
	return came, release
}

func (u *upstream) now() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.frozen.IsZero() {
		return u.frozen
	}
	return time.Now()
}

// freeze stops the lives of all agents, and the upstream's clock.
func (u *upstream) freeze() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.frozen = time.Now()
}

// callsOf are the calls answered for a VDN, by the instant that they show.
func (u *upstream) callsOf(v diff.VDN) []cmssim.Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []cmssim.Call
	for _, c := range u.calls {
		if c.VDN == v {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b cmssim.Call) int { return a.At.Compare(b.At) })
	return list
}

// age is how old the oldest reply was on which events rest, and at least what
// the contract allows for: on a machine that is busy replies grow older, and
// the windows of events less exact.
func (u *upstream) age(v diff.VDN, events []diff.Event) diff.Time {
	calls := u.callsOf(v)
	var reading, oldest diff.Time // the longest reading; the longest time after one
	begin := 0
	for i, c := range calls {
		if c.Offset == 0 {
			begin = i
		}
		reading = max(reading, diff.TimeOf(c.At)-diff.TimeOf(calls[begin].At))
	}
	for _, e := range events {
		for _, at := range []diff.Time{e.ObservedAt, e.PreviousObservedAt} {
			i, _ := slices.BinarySearchFunc(calls, at+clockError, func(c cmssim.Call, t diff.Time) int {
				return int(diff.TimeOf(c.At) - t)
			})
			if i > 0 {
				oldest = max(oldest, at-diff.TimeOf(calls[i-1].At))
			}
		}
	}
	return max(allowance, reading+oldest+clockError)
}

// settings that watch this upstream; more override them.
func (u *upstream) settings(t *testing.T, more ...string) []string {
	t.Helper()
	vdns := make([]string, 0, 4)
	for _, v := range u.VDNs() {
		vdns = append(vdns, v.String())
	}
	return environOf(append([]string{
		"CMS_URL=" + u.URL().String(), "CMS_CA_FILE=" + u.caFile,
		"CMS_ACCESS_KEY=" + accessKey, "CMS_SECRET_KEY=" + secretKey,
		"VDNS=" + strings.Join(vdns, ","), "SCHEDULE=@every 200ms", "HEARTBEAT=1s",
		"STORE_DIR=" + filepath.Join(t.TempDir(), "store"),
		"NATS_LISTEN=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
	}, more...)...)
}

// environOf makes variables of settings, of which the last of a name counts. One
// without a value is left out.
func environOf(settings ...string) []string {
	var env []string
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		name = config.Prefix + name + "="
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name) })
		if value != "" {
			env = append(env, name+value)
		}
	}
	return env
}

// service is restwatch serve in this process, with somebody who listens.
type service struct {
	t    *testing.T
	log  *console
	json bool // the log's format
	vdns []diff.VDN
	bus  *listener // since before the first poll; nil: the test has its own
	nats string
	http string // without the slash at the end; "" if there is none

	cancel  context.CancelFunc
	ended   chan struct{}
	err     error // once ended
	stopped bool
}

// startService starts serve with somebody who listens from before the first
// poll on. At the end of the test it is stopped, and what it published and
// logged is checked.
func startService(t *testing.T, env []string) *service {
	t.Helper()
	return launch(t, env, func(s *service) { s.bus = listen(t, s.nats) })
}

// launch starts serve and calls ready, if not nil, just before the first poll.
func launch(t *testing.T, env []string, ready func(*service)) *service {
	t.Helper()
	cfg, err := config.Load(alternateFormat(t, env))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{t: t, log: newConsole(), json: cfg.LogFormat == "json", vdns: vdnsOf(cfg), cancel: cancel, ended: make(chan struct{})}
	in, begin := make(chan running), make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = serve(ctx, cfg, newLogger(s.log, cfg), func(r running) {
			in <- r
			<-begin
		})
	}()
	select {
	case <-s.ended:
		cancel()
		t.Fatalf("serve: %v\n%s", s.err, s.log)
	case r := <-in:
		s.nats = r.nats.url
		if r.http != nil {
			s.http = "http://" + r.http.String()
		}
	}
	// Registered first, so done last, when all else has ended.
	t.Cleanup(s.checkLog)
	t.Cleanup(s.stop) // if ready fails
	defer close(begin)
	if ready != nil {
		ready(s)
		t.Cleanup(s.stop) // before the subscriber that ready may have made goes
	}
	return s
}

// alternateFormat logs half of all tests as text and half as JSON, so that both
// are looked at for secrets.
func alternateFormat(t *testing.T, env []string) []string {
	sum := sha256.Sum256([]byte(t.Name()))
	return append([]string{"RESTWATCH_LOG_FORMAT=" + []string{"text", "json"}[sum[0]%2]}, env...)
}

// polled waits until every VDN was polled well.
func (s *service) polled(vdns ...diff.VDN) (mark int) {
	s.t.Helper()
	for _, v := range vdns {
		_, m := s.bus.await(s.t, 0, "the first snapshot of VDN "+v.String(), isSnapshot(v, func(*diff.Snapshot) bool { return true }))
		mark = max(mark, m)
	}
	return mark
}

// stop ends the service as Ctrl-C does, once.
func (s *service) stop() {
	s.t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	s.cancel()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-s.ended:
	case <-late.C:
		s.t.Fatalf("serve does not end:\n%s", s.log)
	}
	if s.err != nil {
		s.t.Errorf("serve: %v", s.err)
	}
	if s.bus != nil {
		s.checkLastWord()
		s.bus.check(s.t)
	}
}

// checkLastWord makes sure that the last that subscribers hear of every VDN is
// that nobody watches it any more.
func (s *service) checkLastWord() {
	s.t.Helper()
	for _, v := range s.vdns {
		last, end := s.bus.await(s.t, 0, "feed stopping", isFeed(v, diff.Stopping))
		if f := last.feed; f.Error != nil || f.Gap != nil {
			s.t.Errorf("feed stopping tells more than that: %s", last.data)
		}
		for _, m := range s.bus.all()[end:] {
			// The same once more does no harm: its answer was lost, or too late on a
			// busy machine.
			if m.vdn() == v && !bytes.Equal(m.data, last.data) {
				s.t.Errorf("after the last word on VDN %v came %s", v, m.data)
			}
		}
	}
}

func (s *service) checkLog() {
	log := s.log.String()
	for _, secret := range []string{secretKey, hex.EncodeToString([]byte(secretKey)), "auth-v2/"} {
		if strings.Contains(log, secret) {
			s.t.Errorf("the log holds %q", secret)
		}
	}
	if strings.Contains(log, "panic") && !strings.Contains(log, "tick_panics") {
		s.t.Errorf("something panicked:\n%s", log)
	}
	if s.t.Failed() {
		s.t.Logf("the service logged, among others:\n%s", tailOf(withoutServer(log), 6_000))
	}
}

// withoutServer leaves out what the embedded server says of itself.
func withoutServer(log string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(log, "\n"), func(l string) bool {
		return strings.Contains(l, "nats-server: ")
	}), "")
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

// fetch gets a page of the service.
func (s *service) fetch(path string) (status int, body string) {
	s.t.Helper()
	return fetchPage(s.t, s.http+path)
}

func fetchPage(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), secretKey) {
		t.Errorf("%s tells the secret key:\n%s", url, b)
	}
	return res.StatusCode, string(b)
}

// metric is the value of one line of /metrics; name with its labels as they
// are written there. found is false if there is no such line.
func (s *service) metric(name string) (value float64, found bool) {
	s.t.Helper()
	_, page := s.fetch("/metrics")
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				s.t.Fatalf("metric %s: %v", name, err)
			}
			return v, true
		}
	}
	return 0, false
}
