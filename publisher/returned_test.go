package publisher

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
)

// TestReadingFromReturned reads a stream of three replicas at once when a server
// is back that has missed a part of it, or all: wherever the server has the
// consumer be, all must be read.
func TestReadingFromReturned(t *testing.T) {
	t.Parallel() // it mostly waits for elections
	var routes []*url.URL
	var options []*server.Options
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		options = append(options, &server.Options{
			ServerName: fmt.Sprintf("n%d", i), JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port},
		})
		l.Close()
	}
	var servers []*server.Server
	var urls string
	for i, o := range options {
		o.Routes = routes
		servers = append(servers, natsServer(t, o.Clone()))
		o.Port = servers[i].Addr().(*net.TCPAddr).Port
		urls += servers[i].ClientURL() + ","
	}
	nc, err := Connect(t.Context(), ConnectOptions{URLs: urls[:len(urls)-1]})
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
		for range 5 {
			if got := audited(t, b); got != events {
				t.Errorf("round %d: got %d events, %d are stored", round, got, events)
			}
		}
	}
}
