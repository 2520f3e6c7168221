package cms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restwatch/diff"
)

var vdn = diff.VDN{CC: 1, ID: 170}

// query is the body of a call.
type query struct {
	CC     int  `json:"ccId"`
	VDN    int  `json:"vdn"`
	Offset *int `json:"offset"`
	Limit  *int `json:"limit"`
}

// upstream is a small CC-CMS: a list that a test changes between calls, and
// what the calls were. The simulator is another, written by another hand.
type upstream struct {
	*httptest.Server
	calls atomic.Int64
	conns atomic.Int64

	mu      sync.Mutex
	rows    []diff.Row // guarded by mu
	counts  diff.Counts
	queries []query
	// paging: as CTI 3.6 does; else the whole list is returned.
	paging bool
	// before runs, with mu held, before call n (from 1) is answered.
	before func(u *upstream, n int, q query)
	// answer, if set, takes over.
	answer http.HandlerFunc
}

func newUpstream(t testing.TB, agents int) *upstream {
	u := &upstream{}
	u.resize(agents)
	u.Server = httptest.NewUnstartedServer(u)
	u.Config.ErrorLog = discardLog
	u.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			u.conns.Add(1)
		}
	}
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

// resize makes the list n agents long, all resting.
func (u *upstream) resize(n int) {
	u.rows = nil
	for i := range n {
		u.rows = append(u.rows, agent(101+i))
	}
	u.counts = diff.Counts{Resting: n}
}

func agent(workNo int) diff.Row {
	return diff.Row{WorkNo: workNo, Name: fmt.Sprintf("agent %d", workNo), Begin: begin + diff.Time(workNo), Requested: 600}
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(u.calls.Add(1))
	if u.answer != nil {
		u.answer(w, r)
		return
	}
	var body struct{ QueryParam query }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	q := body.QueryParam
	u.queries = append(u.queries, q)
	if u.before != nil {
		u.before(u, n, q)
	}
	rows := u.rows
	if u.paging && q.Offset != nil {
		from := min(*q.Offset, len(rows))
		rows = rows[from:min(from+*q.Limit, len(rows))]
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(AppendReply(nil, rows, u.counts))
}

func (u *upstream) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *upstream) options(t testing.TB) Options {
	t.Helper()
	where, err := url.Parse(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if u.Certificate() != nil {
		roots.AddCert(u.Certificate())
	}
	return Options{URL: where, AccessKey: "AK", SecretKey: "hunter2", TLS: &tls.Config{RootCAs: roots}}
}

// client makes a client of u that is closed before u is.
func (u *upstream) client(t testing.TB, change func(*Options)) *Client {
	t.Helper()
	o := u.options(t)
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func read(t testing.TB, c *Client, last Fingerprint) Reading {
	t.Helper()
	begun := time.Now()
	r, err := c.Read(t.Context(), vdn, last)
	if err != nil {
		t.Fatal(err)
	}
	if since := time.Since(r.Received); since < 0 || since > time.Minute {
		t.Errorf("received %v ago", since)
	}
	if r.Sent.Before(begun) || r.Took() <= 0 {
		t.Errorf("sent %v after the reading began, took %v", r.Sent.Sub(begun), r.Took())
	}
	return r
}

// sortedRows returns what r lists, by workNo.
func sortedRows(rows []diff.Row) []diff.Row {
	return slices.SortedFunc(slices.Values(rows), byWorkNo)
}

func readFailing(t *testing.T, c *Client) *Error {
	t.Helper()
	r, err := c.Read(context.Background(), vdn, Fingerprint{})
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %+v, %v, want an Error", r, err)
	}
	if r.Rows != nil || r.Calls == 0 && e.Category != Canceled {
		t.Errorf("got %+v with an error, want only Calls", r)
	}
	return e
}

func (u *upstream) drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
