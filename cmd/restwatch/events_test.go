package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// sse is a client of the event stream.
type sse struct {
	body *bufio.Scanner
	stop context.CancelFunc
}

type sseEvent struct{ id, data string }

// hear asks for the events behind that number, for new ones if it is "".
func (s *service) hear(t *testing.T, lastID string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("events: %d %s", res.StatusCode, got)
	}
	return &sse{bufio.NewScanner(res.Body), cancel}
}

// next waits for an event; ok is false at the end of the stream.
func (c *sse) next() (e sseEvent, ok bool) {
	for c.body.Scan() {
		switch name, value, _ := strings.Cut(c.body.Text(), ": "); name {
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, true
			}
		}
	}
	return sseEvent{}, false
}

// begin waits for where the stream begins.
func (c *sse) begin() (id string) {
	for c.body.Scan() {
		if id, found := strings.CutPrefix(c.body.Text(), "id: "); found {
			return id
		}
	}
	return ""
}

// What is stored comes as it is stored; a client that comes back gets what it
// has missed, and one that is new what is new. The service's end is theirs.
func TestEvents(t *testing.T) {
	t.Parallel()
	s, u, now, history := serviceWithHistory(t)
	all, fresh := s.hear(t, "0"), s.hear(t, "")
	var seen []sseEvent
	for i, m := range history {
		e, ok := all.next()
		if !ok || e.data != string(m.data) {
			t.Fatalf("event %d: got %q, want %q", i, e.data, m.data)
		}
		seen = append(seen, e)
	}
	// Back again, after the first two.
	all.stop()
	again := s.hear(t, seen[1].id)
	for i, want := range seen[2:] {
		if e, ok := again.next(); !ok || e != want {
			t.Fatalf("event %d after coming back: got %+v, want %+v", i, e, want)
		}
	}
	// Cut off before there was anything to hear; and of a stream that was longer.
	cut, future := s.hear(t, ""), s.hear(t, "1000000")
	begun, ahead := cut.begin(), future.begin()
	cut.stop()
	future.stop()
	mark := s.bus.mark()
	now.rows[0].Requested = 4000
	u.show(vdn170, now)
	m, _ := s.bus.await(t, mark, "an update", func(m *busMessage) bool { return m.event != nil })
	late, anew := s.hear(t, begun), s.hear(t, ahead)
	for name, c := range map[string]*sse{"who came back": again, "who is new": fresh, "who was cut off": late, "who is of another stream": anew} {
		if e, ok := c.next(); !ok || e.data != string(m.data) {
			t.Errorf("%s: got %q, want %q", name, e.data, m.data)
		}
	}
	stopped := time.Now()
	s.stop()
	for _, c := range []*sse{again, fresh, late, anew} {
		if e, ok := c.next(); ok {
			t.Errorf("got %+v after the end", e)
		}
	}
	if took := time.Since(stopped); took > patience/2 {
		t.Errorf("the service waited %v for who listens", took)
	}
}

func TestEventsOfANonsensicalID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		r, err := http.NewRequest(http.MethodGet, "/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", id)
		w := httptest.NewRecorder()
		eventStream(t.Context(), nil, nil).ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d, want %d", id, w.Code, http.StatusBadRequest)
		}
	}
}

// Who only asks what /events is gets an answer that ends: the connection is free
// for the next request.
func TestHeadOfEvents(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	eventStream(t.Context(), nil, nil).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/events", nil))
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != "text/event-stream" {
		t.Errorf("got %d %s", w.Code, got)
	}
}
