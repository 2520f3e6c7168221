package cms

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// BenchmarkRead is a whole reading over TLS, the server's half in the same
// process included, against the least that net/http can do: post and read.
func BenchmarkRead(b *testing.B) {
	for _, m := range []int{10, 200} {
		body := bigReply(m, true)
		other := bytes.Replace(body, []byte(`"restDuration":600`), []byte(`"restDuration":601`), -1)
		turn := 0
		u := newUpstream(b, 0)
		u.answer = func(w http.ResponseWriter, r *http.Request) {
			u.drain(r)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			if turn++; turn%2 == 0 {
				_, _ = w.Write(other)
				return
			}
			_, _ = w.Write(body)
		}
		c := u.client(b, nil)
		b.Run(fmt.Sprintf("M=%d/changed", m), func(b *testing.B) {
			b.ReportAllocs()
			var last Fingerprint
			for b.Loop() {
				r := read(b, c, last)
				if last = r.Fingerprint; r.Same {
					b.Fatal("unchanged")
				}
			}
		})
		other = body
		b.Run(fmt.Sprintf("M=%d/same", m), func(b *testing.B) {
			b.ReportAllocs()
			last := read(b, c, Fingerprint{}).Fingerprint
			for b.Loop() {
				if !read(b, c, last).Same {
					b.Fatal("changed")
				}
			}
		})
		b.Run(fmt.Sprintf("M=%d/net-http", m), func(b *testing.B) {
			h := &http.Client{Transport: &http.Transport{TLSClientConfig: c.transport.tls.Clone()}}
			defer h.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				res, err := h.Post(u.URL, contentType, bytes.NewReader(body[:56]))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadAll(res.Body); err != nil {
					b.Fatal(err)
				}
				res.Body.Close()
			}
		})
	}
}
