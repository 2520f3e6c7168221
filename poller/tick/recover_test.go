package tick

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

// works offers slot after slot until one of them is worked, and returns its tick.
func works(t testing.TB, q *running, b *book, from int) (worked Tick) {
	t.Helper()
	slot := from
	eventually(t, "a tick after the outage", func() bool {
		for _, k := range b.all() {
			if !k.Slot.Before(slotAt(from)) {
				worked = k
				return true
			}
		}
		_ = q.Offer(t.Context(), "g", slotAt(slot))
		slot++
		return false
	})
	return worked
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	// The stream is in memory, so it is gone afterwards, and the pause with it.
	o := server.Options{Host: "127.0.0.1", Port: freeport.Hold(t), StoreDir: t.TempDir()}
	s := start(t, o)
	var b book
	qs := []*running{
		run(t, open(t, dial(t, s.ClientURL()), nil), b.note),
		run(t, open(t, dial(t, s.ClientURL()), nil), b.note),
	}
	first := works(t, qs[0], &b, 0)
	if err := qs[0].Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	halt(s)
	start(t, o)
	eventually(t, "the pause is put back", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		s, err := qs[1].State(ctx)
		return err == nil && !s.PausedUntil.IsZero() && s.Probation
	})
	if err := qs[1].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, q := range qs {
		k := works(t, q, &b, 100_000*(i+1))
		if k.Order.Epoch <= first.Order.Epoch {
			t.Errorf("got order %v after %v", k.Order, first.Order)
		}
		eventually(t, "taken up by both", func() bool { return q.bound.Load().epoch == k.Order.Epoch })
		if n := testutil.ToFloat64(q.metrics.renewed); n < 1 {
			t.Errorf("got %v renewals, want some", n)
		}
	}
	ordered(t, b.all())
}

// The server's clock was ahead when the stream was made, and is right after its
// restart: the stream made then is, by its clock, the older one.
func TestServerRestartWithAnEarlierClock(t *testing.T) {
	t.Parallel()
	o := server.Options{Host: "127.0.0.1", Port: freeport.Hold(t), StoreDir: t.TempDir()}
	s := start(t, o)
	ahead := diff.Order{Epoch: time.Now().Add(time.Hour).UnixNano()}
	var b book
	qs := []*running{
		run(t, open(t, dial(t, s.ClientURL()), func(o *Options) { o.After = ahead }), b.note),
		run(t, open(t, dial(t, s.ClientURL()), nil), b.note),
	}
	first := works(t, qs[0], &b, 0)
	halt(s)
	start(t, o)
	for i, q := range qs {
		k := works(t, q, &b, 100_000*(i+1))
		if k.Order.Epoch <= first.Order.Epoch {
			t.Errorf("got order %v after %v", k.Order, first.Order)
		}
		eventually(t, "taken up by both", func() bool { return q.bound.Load().epoch == k.Order.Epoch })
	}
	ordered(t, b.all())
}

func TestStreamDeleted(t *testing.T) {
	s := inProcess(t)
	var b book
	q := run(t, open(t, connect(t, s), nil), b.note)
	first := works(t, q, &b, 0)
	if err := q.js.DeleteStream(t.Context(), DefaultStream); err != nil {
		t.Fatal(err)
	}
	takesUp(t, q, &b, first)
}

func TestConsumerDeleted(t *testing.T) {
	s := inProcess(t)
	var b book
	q := run(t, open(t, connect(t, s), nil), b.note)
	first := works(t, q, &b, 0)
	if err := q.js.DeleteConsumer(t.Context(), DefaultStream, durable); err != nil {
		t.Fatal(err)
	}
	if k := works(t, q, &b, 100_000); k.Order.Epoch != first.Order.Epoch {
		t.Errorf("got order %v after %v, want the same stream", k.Order, first.Order)
	}
}

func TestSomebodyElseMadeTheStreamAnew(t *testing.T) {
	// Without a word: the ticks must be known for the new stream's.
	s := inProcess(t)
	var b book
	q := run(t, open(t, connect(t, s), nil), b.note)
	first := works(t, q, &b, 0)
	if err := q.js.DeleteStream(t.Context(), DefaultStream); err != nil {
		t.Fatal(err)
	}
	open(t, connect(t, s), nil)
	takesUp(t, q, &b, first)
}

// takesUp waits for a tick of a later stream than before's. None that was worked
// in the meantime may rank higher.
func takesUp(t testing.TB, q *running, b *book, before Tick) {
	t.Helper()
	for from := 100_000; ; from += 100_000 {
		if works(t, q, b, from).Order.Epoch > before.Order.Epoch {
			break
		}
		if from > 2_000_000 {
			t.Fatal("ticks keep the old epoch")
		}
	}
	epoch := before.Order.Epoch
	for _, k := range b.all() {
		if k.Order.Epoch < epoch {
			t.Errorf("got order %v after epoch %d", k.Order, epoch)
		}
		epoch = k.Order.Epoch
	}
}

func TestClusterRestart(t *testing.T) {
	t.Parallel()
	// In a cluster a memory stream comes back empty, with its old creation time
	// and sequences from 1. Orders must rise all the same.
	var options []*server.Options
	var routes []*url.URL
	for i := range 3 {
		port := freeport.Hold(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		options = append(options, &server.Options{ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: freeport.Hold(t),
			Cluster:   server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
			JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	}
	cluster := func() (nodes []*server.Server) {
		for _, o := range options {
			o.Routes = routes
			n, err := server.NewServer(o.Clone())
			if err != nil {
				t.Fatal(err)
			}
			n.Start()
			t.Cleanup(func() { halt(n) })
			nodes = append(nodes, n)
		}
		eventually(t, "a leader", func() bool {
			for _, n := range nodes {
				if n.JetStreamIsLeader() {
					return nodes[0].JetStreamIsCurrent()
				}
			}
			return false
		})
		return nodes
	}
	nodes := cluster()
	js := dial(t, nodes[0].ClientURL())
	var b book
	make3 := func(o *Options) {
		o.Ensure = func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, StreamConfig("", prefix, 3))
			return err
		}
	}
	eventually(t, "a stream", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, StreamConfig("", prefix, 3))
		return err == nil
	})
	q := run(t, open(t, js, make3), b.note)
	for i := range 20 {
		works(t, q, &b, 100_000*i)
	}
	before := b.all()
	created := before[0].Order.Epoch
	for _, n := range nodes {
		halt(n)
	}
	nodes = cluster()

	k := works(t, q, &b, 10_000_000)
	ordered(t, b.all())
	if k.Order.Epoch == created {
		t.Errorf("got order %v, want a new epoch", k.Order)
	}

	// A replica that starts after such a restart learns of it from the heads.
	info, err := q.stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head := diff.Order{Epoch: info.Created.UnixNano(), Seq: info.State.LastSeq + 1000}
	later := open(t, dial(t, nodes[0].ClientURL()), func(o *Options) { make3(o); o.After = head })
	if now := (diff.Order{Epoch: later.bound.Load().epoch, Seq: 1}); now.Compare(head) <= 0 {
		t.Errorf("got %v, want more than %v", now, head)
	}
}
