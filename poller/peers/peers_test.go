package peers

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T) func() *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return func() *nats.Conn {
		nc, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
}

func join(t *testing.T, nc *nats.Conn, instance string, last []Poll) (*Peers, chan Note) {
	t.Helper()
	heard := make(chan Note, 10)
	p, err := Join(nc, Options{
		Prefix: "rest.v1", Instance: instance, Log: slog.New(slog.DiscardHandler),
		Hear: func(n Note) { heard <- n }, Last: func() Note { return Note{Polls: last} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Leave)
	if _, err := p.Meet(t.Context(), time.Minute, func(Note) {}, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return p, heard
}

// all waits for so many answers.
func all(n int) func(int) bool { return func(others int) bool { return others == n } }

var polls = []Poll{
	{CC: 1, VDN: 170, At: 1_700_000_000_123, Order: diff.Order{Epoch: 9, Seq: 4}, Head: 77},
	{CC: 1, VDN: 171, At: 1_700_000_000_124, Failed: 3, Retry: time.Second, Error: &diff.FeedError{Category: "http", Message: "503"}},
}

func TestOthersHearWhatOnePolled(t *testing.T) {
	nc := connect(t)
	a, heardA := join(t, nc(), "a", nil)
	_, heardB := join(t, nc(), "b", nil)
	a.Tell(Note{Polls: polls})
	select {
	case got := <-heardB:
		if !reflect.DeepEqual(got.Polls, polls) {
			t.Errorf("got %+v, want %+v", got.Polls, polls)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("b heard nothing")
	}
	if len(heardA) != 0 {
		t.Error("a heard itself")
	}
}

func TestHelloFindsTheOthers(t *testing.T) {
	nc := connect(t)
	join(t, nc(), "b", polls)
	leaving, _ := join(t, nc(), "c", nil)
	asking, err := Join(nc(), Options{Prefix: "rest.v1", Instance: "a", Log: slog.New(slog.DiscardHandler), Hear: func(Note) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Leave()
	var heard []Poll
	if n, err := asking.Hello(t.Context(), time.Minute, func(n Note) { heard = append(heard, n.Polls...) }, all(2)); n != 2 || err != nil {
		t.Errorf("of three: got %d others, %v", n, err)
	}
	if !reflect.DeepEqual(heard, polls) {
		t.Errorf("got %+v, want %+v", heard, polls)
	}
	leaving.Leave()
	if n, err := asking.Hello(t.Context(), LeaveTime, func(Note) {}, all(2)); n != 1 || err != nil {
		t.Errorf("after one left: got %d, %v", n, err)
	}
}

// One that is alone, at the start or at the end, need not wait to know it.
func TestHelloOfOneThatIsAlone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc := connect(t)
	a, _ := join(t, nc(), "a", nil)
	a.Leave()
	if n, err := a.Hello(ctx, time.Hour, func(Note) {}, all(1)); n != 0 || err != nil || ctx.Err() != nil {
		t.Errorf("got %d, %v", n, cmp.Or(err, ctx.Err()))
	}
}

// Who still waits for answers of others is there for those who ask: else the last
// but him to leave would think that nobody stays.
func TestWhoBeginsAnswers(t *testing.T) {
	nc := connect(t)
	leaving, _ := join(t, nc(), "a", nil)
	b, err := Join(nc(), Options{Prefix: "rest.v1", Instance: "b", Log: slog.New(slog.DiscardHandler), Hear: func(Note) {}, Last: func() (n Note) { return n }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Leave()
	stay := -1
	_, err = b.Meet(t.Context(), time.Minute, func(Note) {}, func(int) bool {
		if stay < 0 {
			leaving.Leave()
			stay, _ = leaving.Hello(t.Context(), time.Minute, func(Note) {}, all(1))
		}
		return true
	})
	if stay != 1 || err != nil {
		t.Errorf("%d stay, %v; want b", stay, err)
	}
}

// A busy replica answers when it gets to it.
func TestHelloWaitsForABusyReplica(t *testing.T) {
	nc := connect(t)
	free := make(chan struct{})
	b, err := Join(nc(), Options{
		Prefix: "rest.v1", Instance: "b", Log: slog.New(slog.DiscardHandler), Hear: func(Note) {},
		Last: func() Note { <-free; return Note{Polls: polls} },
	})
	if err == nil {
		_, err = b.Meet(t.Context(), time.Minute, func(Note) {}, func(int) bool { return true })
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.Leave()
	a, heard := join(t, nc(), "a", nil)
	looks, told := 0, false
	n, err := a.Hello(t.Context(), time.Minute, func(Note) {}, func(others int) bool {
		if looks++; looks == 3 {
			b.Tell(Note{Polls: polls}) // to all, which is as good
		}
		if len(heard) > 0 {
			told = true
		}
		if looks == 5 {
			close(free)
		}
		return told && others == 1
	})
	if n != 1 || err != nil || looks < 5 {
		t.Errorf("got %d, %v after %d looks", n, err, looks)
	}
}

// Thousands of VDNs, all failing, are more than a message may hold.
func TestHelloOfALargeInstallation(t *testing.T) {
	nc := connect(t)
	many := make([]Poll, 5000)
	for i := range many {
		many[i] = polls[1]
		many[i].VDN = i
		many[i].Error = &diff.FeedError{Category: "network", Message: strings.Repeat("x", 300)}
	}
	a, _ := join(t, nc(), "a", nil)
	join(t, nc(), "b", many)
	heard := 0
	if n, err := a.Hello(t.Context(), time.Minute, func(n Note) { heard += len(n.Polls) }, func(int) bool { return heard == len(many) }); n != 1 || err != nil || heard != len(many) {
		t.Errorf("got %d others, %d polls, %v; want 1 and %d", n, heard, err, len(many))
	}
}

// A replica that starts just as NATS goes away waits for it, and is then one of
// the others.
func TestJoinWhileNATSIsAway(t *testing.T) {
	port := freeport.Hold(t)
	listen := func() *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(30 * time.Second) {
			t.Fatal("NATS does not start")
		}
		return s
	}
	s := listen()
	lost := make(chan struct{}, 2) // the end of the test is a loss, too
	nc, err := nats.Connect(s.ClientURL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				lost <- struct{}{}
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s.Shutdown()
	s.WaitForShutdown()
	<-lost

	heard := make(chan Note, 10)
	a, err := Join(nc, Options{
		Prefix: "rest.v1", Instance: "a", Log: slog.New(slog.DiscardHandler),
		Hear: func(n Note) { heard <- n }, Last: func() Note { return Note{Polls: polls} },
	})
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	t.Cleanup(a.Leave)
	met := make(chan error, 1)
	go func() {
		others, err := a.Meet(t.Context(), time.Minute, func(Note) {}, func(int) bool { return false })
		if err == nil && others != 0 {
			err = fmt.Errorf("met %d", others)
		}
		met <- err
	}()
	select {
	case err := <-met:
		t.Fatalf("met nobody while NATS is away: %v", err)
	case <-time.After(3 * again):
	}
	s = listen()
	select {
	case err := <-met:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("did not come back")
	}
	other, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	b, _ := join(t, other, "b", nil)
	if others, err := b.Hello(t.Context(), time.Minute, func(Note) {}, all(1)); others != 1 || err != nil {
		t.Errorf("%d answered: %v", others, err)
	}
	b.Tell(Note{Polls: polls})
	select {
	case n := <-heard:
		if n.From != "b" {
			t.Errorf("heard %+v", n)
		}
	case <-time.After(30 * time.Second):
		t.Error("hears nothing of the others")
	}
}

// One that is stopped while it waits for NATS stops in order.
func TestMeetEnds(t *testing.T) {
	nc := connect(t)()
	p, err := Join(nc, Options{Prefix: "rest.v1", Instance: "a", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if others, err := p.Meet(ctx, time.Minute, nil, all(1)); others != 0 || err != nil {
		t.Errorf("stopped: %d, %v", others, err)
	}
	nc.Close()
	if _, err := p.Meet(t.Context(), time.Minute, nil, all(1)); err == nil {
		t.Error("met over a closed connection")
	}
}
