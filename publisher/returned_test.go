package publisher

import (
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// TestReadingFromReturned reads a stream of three replicas at once when a server
// is back that has missed a part of it, or all: wherever the server has the
// consumer be, all must be read.
func TestReadingFromReturned(t *testing.T) {
	t.Parallel() // it mostly waits for elections
	servers, options := cluster(t)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	nc, err := Connect(t.Context(), ConnectOptions{URLs: strings.Join(urls, ",")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var b *Bus
	eventually(t, "a leader of the cluster", func() bool {
		b, err = Open(t.Context(), nc, Options{Replicas: 3})
		return err == nil
	})
	t.Cleanup(b.Close)
	more := func() (events int) {
		for i := range 20 {
			v := diff.VDN{CC: 1, ID: 1 + i}
			eventually(t, "a commit", func() bool {
				prev, seq, err := b.Head(t.Context(), v)
				if err != nil {
					return false
				}
				r := made(v, &prev, 20, 20)
				if prev.Revision == 0 {
					r = made(v, &prev, 0, 20)
				}
				_, err = b.Commit(t.Context(), seq, &prev, r)
				return err == nil
			})
			// One whose answer was lost may have been stored as well.
			head, _, err := b.Head(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			events += int(head.LastSequence)
		}
		return events
	}
	more()
	for round := range 2 {
		away := round % 3
		servers[away].Shutdown()
		servers[away].WaitForShutdown()
		events := more()
		servers[away] = natsServer(t, options[away].Clone())
		eventually(t, "somebody who answers", func() bool {
			_, err := nc.Request("$JS.API.STREAM.INFO.REST", nil, time.Second)
			return err == nil
		})
		for range 5 {
			if got := audited(t, b); got != events {
				t.Errorf("round %d: got %d events, %d are stored", round, got, events)
			}
		}
	}
}
