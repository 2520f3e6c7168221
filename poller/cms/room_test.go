package cms

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"restwatch/diff"
)

// TestLargeRepliesShareRoom has eight VDNs answered with 60 MiB at once, of
// which three find room. A small list is read beside them as ever, and when they
// are gone their room is free again.
func TestLargeRepliesShareRoom(t *testing.T) {
	u := newUpstream(t, 1)
	var small bool
	arrived, answer := make(chan struct{}, 8), make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release) // or the server would wait for its handlers
	pad := []byte(strings.Repeat(" ", 1<<20))
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		u.drain(r)
		u.mu.Lock()
		plain := small
		u.mu.Unlock()
		if !plain {
			for range 60 {
				if _, err := w.Write(pad); err != nil {
					break
				}
			}
			arrived <- struct{}{}
			<-answer
		}
		_, _ = w.Write(AppendReply(nil, nil, Reply{}.Counts))
	}
	c := u.client(t, func(o *Options) { o.Timeout = time.Minute })
	var wg sync.WaitGroup
	var mu sync.Mutex
	full, good := 0, 0
	for id := range 8 {
		wg.Go(func() {
			_, err := c.Read(t.Context(), diff.VDN{CC: 1, ID: 1 + id}, Fingerprint{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				good++
			case CategoryOf(err) == Malformed && strings.Contains(err.Error(), "no room"):
				full++
			default:
				t.Error(err)
			}
		})
	}
	for range 8 { // sent, or refused
		<-arrived
	}
	u.set(func() { small = true })
	read(t, c, Fingerprint{})
	release()
	wg.Wait()
	if good < 2 || full < 4 || good+full != 8 {
		t.Errorf("got %d read and %d without room", good, full)
	}
	if got := c.large.Load(); got != 0 {
		t.Errorf("%d bytes stay taken", got)
	}
}
