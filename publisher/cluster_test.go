package publisher

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

// cluster runs three servers, and returns them with the options that start each
// of them again at the same addresses.
func cluster(t *testing.T) (servers []*server.Server, options []*server.Options) {
	t.Helper()
	var routes []*url.URL // every server has to know all of them from the start
	for i := range 3 {
		port := freeport.Hold(t)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		options = append(options, &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Port: freeport.Hold(t), JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
		})
	}
	for _, o := range options {
		o.Routes = routes
		servers = append(servers, natsServer(t, o.Clone()))
	}
	return servers, options
}

// TestReplicated has two services work on a stream of three replicas, whose
// leader changes under way.
func TestReplicated(t *testing.T) {
	t.Parallel() // it mostly waits for elections
	servers, _ := cluster(t)
	o := Options{Replicas: 3}
	var buses []*Bus
	for i := range 2 {
		nc, err := Connect(t.Context(), ConnectOptions{URLs: servers[i].ClientURL(), Instance: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		eventually(t, "a leader of the cluster", func() bool {
			b, err := Open(t.Context(), nc, o)
			if err == nil {
				buses = append(buses, b)
				t.Cleanup(b.Close)
			}
			return err == nil
		})
	}
	const vdns, rounds = 6, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for id := 1; id <= vdns; id++ {
		for _, b := range buses {
			wg.Go(func() {
				v := diff.VDN{CC: 1, ID: id}
				for range rounds {
					prev, seq, err := b.Head(t.Context(), v)
					if err != nil {
						t.Log(err) // a new leader may need long on a busy machine
						continue
					}
					r := made(v, &prev, 2, 4)
					if prev.Revision == 0 {
						r = made(v, &prev, 0, 4)
					}
					_, err = b.Commit(t.Context(), seq, &prev, r)
					switch {
					case err == nil:
						mu.Lock()
						won += len(r.Events)
						mu.Unlock()
					case !errors.Is(err, ErrConflict):
						t.Log(err)
					}
				}
			})
		}
	}
	for turn := 1; turn <= 2; turn++ {
		eventually(t, "some commits", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return won >= turn*40
		})
		// In the middle of an election nobody answers.
		eventually(t, "a leader that steps down", func() bool {
			_, err := buses[0].nc.Request("$JS.API.STREAM.LEADER.STEPDOWN.REST", nil, 2*time.Second)
			return err == nil
		})
	}
	wg.Wait()
	// The last election may still be going on.
	eventually(t, "heads that can be checked", func() bool {
		return buses[1].Recheck(t.Context(), []diff.VDN{{CC: 1, ID: 1}}) == nil
	})
	// A commit may have been another's success that was taken for a conflict,
	// never the other way round.
	if got := audited(t, buses[0]); got < won || won == 0 {
		t.Errorf("got %d events stored, %d were acknowledged", got, won)
	}
	contiguous(t, all(t, buses[0]))
}
