package cmssim

import (
	"net/http"
	"testing"
	"time"
)

// BenchmarkPoll is one whole call over TLS, client included; an unchanged list
// of about 65 agents.
func BenchmarkPoll(b *testing.B) {
	c, _ := serve(b, Options{Now: func() time.Time { return start }})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.poll("")
		}
	})
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkHandler is the simulator's own part of it.
func BenchmarkHandler(b *testing.B) {
	c, _ := serve(b, Options{Now: func() time.Time { return start }})
	r := c.request("POST", pathRest, query170(""))
	c.sign(r, query170(""))
	r.RequestURI, r.Host, r.RemoteAddr = r.URL.RequestURI(), r.URL.Host, "127.0.0.1:1"
	b.ReportAllocs()
	for b.Loop() {
		r.Body, _ = r.GetBody()
		c.s.ServeHTTP(discard{http.Header{}}, r)
	}
}

// BenchmarkChanged renders a changed list of about 65 agents.
func BenchmarkChanged(b *testing.B) {
	w := NewWorld(Config{VDN: vdn170, Agents: 400, Start: start})
	out := newRenderer(Reply{})
	b.ReportAllocs()
	for b.Loop() {
		out.list(make([]byte, 0, 200+250*len(w.Rows())), w.Rows(), w.Counts())
	}
}
