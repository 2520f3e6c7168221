package publisher

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

// TestReadingFromBehind has the consumer be with a replica of the stream that
// knows less than its leader: a reading must not end with what that one has.
func TestReadingFromBehind(t *testing.T) {
	for name, has := range map[string]int{"nothing": 0, "some": 2} {
		t.Run(name, func(t *testing.T) {
			const commits = 5
			// What is committed in the same order is stored under the same numbers.
			leader, replica := memoryBus(t), memoryBus(t)
			for i := range commits {
				commit(t, leader, vdn, min(i, 3), 3)
			}
			behind := has
			catchUp := func() {
				for ; behind < commits; behind++ {
					commit(t, replica, vdn, min(behind, 3), 3)
				}
			}
			for i := range has {
				commit(t, replica, vdn, min(i, 3), 3)
			}
			r := &Reader{js: replica.js, wire: newWire(leader.nc, "REST"), prefix: leader.prefix}
			r.wire.stall = 10 * time.Millisecond
			read := func() (list []uint64, err error) {
				for m, e := range r.Messages(t.Context(), Query{Snapshots: true}) {
					if err = e; err == nil {
						list = append(list, m.Sequence)
					}
				}
				return list, err
			}
			if list, err := read(); err == nil || !strings.Contains(err.Error(), "is stored, but none is given out") {
				t.Errorf("got %v and %v, want that messages are missing", list, err)
			}
			asked := 0
			inner := &faults{before: func(*nats.Msg) error {
				if asked++; asked == 3 {
					catchUp()
				}
				return nil
			}}
			inner.next = r.wire.request
			r.wire.request = inner.request
			got, err := read()
			var want []uint64
			for m, err := range leader.Reader().Messages(t.Context(), Query{Snapshots: true}) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, m.Sequence)
			}
			// What was read before the replica caught up may have been replaced since.
			if err != nil || len(want) == 0 || !strings.HasSuffix(fmt.Sprint(got), strings.TrimPrefix(fmt.Sprint(want), "[")) {
				t.Errorf("got messages %v, %v, want %v", got, err, want)
			}
		})
	}
}

// TestReadingUnheard has the server hear none of the requests for messages: the
// reading says so, instead of waiting for as long as the program runs.
func TestReadingUnheard(t *testing.T) {
	s := natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), NoLog: true, Users: []*server.User{
		{Username: "writer", Password: "w"},
		{Username: "unheard", Password: "u", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.MSG.NEXT.>"}},
		}},
	}})
	connect := func(user, password string) *nats.Conn {
		nc, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL(), User: user, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	commit(t, openBus(t, connect("writer", "w"), Options{}), vdn, 0, 3)
	r, err := NewReader(connect("unheard", "u"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	r.wire.stall = 10 * time.Millisecond
	for m, err := range r.Messages(t.Context(), Query{Snapshots: true}) {
		if err == nil || !strings.Contains(err.Error(), "is stored, but none is given out after message 0") {
			t.Errorf("got %v, %v, want an error", m, err)
		}
	}
}

// TestReadingUnanswered loses the question what has become of the consumer, and
// the connection with it: the reading asks again.
func TestReadingUnanswered(t *testing.T) {
	t.Parallel()
	options := server.Options{Port: freeport.Hold(t), JetStream: true, StoreDir: t.TempDir(), NoLog: true}
	reader := &server.User{Username: "reader", Password: "r"}
	writer := &server.User{Username: "writer", Password: "w"}
	options.Users = []*server.User{reader, writer}
	deaf := options.Clone()
	deaf.Users = []*server.User{writer, {Username: "reader", Password: "r", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.INFO.>"}},
	}}}
	s := natsServer(t, deaf)
	connect := func(user *server.User) *nats.Conn {
		nc, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL(), User: user.Username, Password: user.Password})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	commit(t, openBus(t, connect(writer), Options{}), vdn, 0, 3)
	nc := connect(reader)
	lost := make(chan struct{})
	once := sync.OnceFunc(func() { close(lost) })
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if strings.Contains(err.Error(), "CONSUMER.INFO") {
			once()
		}
	})
	r, err := NewReader(nc, "", "")
	if err != nil {
		t.Fatal(err)
	}
	r.wire.stall = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var restart sync.WaitGroup
	defer restart.Wait()
	restart.Go(func() {
		select {
		case <-lost:
			s.Shutdown()
			s.WaitForShutdown()
			natsServer(t, options.Clone())
		case <-ctx.Done():
		}
	})
	got := 0
	for _, err := range r.Messages(ctx, Query{Snapshots: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got++
	}
	if got != 1 || ctx.Err() != nil {
		t.Errorf("got %d messages, %v, want the snapshot", got, ctx.Err())
	}
}

// TestReadingWhileWriting reads again and again while batches of several
// commits are stored: each reading ends with a whole one.
func TestReadingWhileWriting(t *testing.T) {
	b := memoryBus(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for id := range 8 {
		v := diff.VDN{CC: 1, ID: id + 1}
		commit(t, b, v, 0, 20)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					commit(t, b, v, 15, 20)
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	for range 5 {
		audited(t, b)
	}
}

// TestReadingOutlivesAnOutage takes the server away in the middle of a reading,
// until the reading has asked for it in vain.
func TestReadingOutlivesAnOutage(t *testing.T) {
	options := server.Options{Port: freeport.Hold(t), JetStream: true, StoreDir: t.TempDir(), NoLog: true}
	s := natsServer(t, options.Clone())
	nc, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b := openBus(t, nc, Options{})
	for i := range 100 {
		commit(t, b, vdn, min(i, 1)*20, 1)
	}
	r := b.Reader()
	r.wire.stall = 50 * time.Millisecond
	missed := make(chan struct{}, 1)
	inner := &faults{next: r.wire.request, after: func(*nats.Msg) error {
		if !b.nc.IsConnected() {
			select {
			case missed <- struct{}{}:
			default:
			}
		}
		return nil
	}}
	r.wire.request = inner.request
	got := 0
	var restart sync.WaitGroup
	defer restart.Wait()
	for _, err := range r.Messages(t.Context(), Query{}) {
		if err != nil {
			t.Fatalf("after %d messages: %v", got, err)
		}
		if got++; got == 200 {
			s.Shutdown()
			s.WaitForShutdown()
			restart.Go(func() {
				select {
				case <-missed:
					natsServer(t, options.Clone())
				case <-t.Context().Done():
				}
			})
		}
	}
	if got != 99*20 {
		t.Errorf("got %d events, want %d", got, 99*20)
	}
}
