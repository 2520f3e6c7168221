package publisher

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
	"restwatch/publisher/freeport"
)

// TestServerAway stops and starts the server under a bus.
func TestServerAway(t *testing.T) {
	t.Parallel()
	o := server.Options{Port: freeport.Hold(t), JetStream: true, StoreDir: t.TempDir()}
	first := natsServer(t, o.Clone())
	nc, err := Connect(t.Context(), ConnectOptions{URLs: first.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := openBus(t, nc, Options{})
	prev, seq := commit(t, b, vdn, 0, 3)
	first.Shutdown()
	first.WaitForShutdown()
	eventually(t, "noticing that the server is gone", func() bool { return !nc.IsConnected() })

	if err := b.Check(t.Context()); err == nil {
		t.Error("got no error from Check without a connection")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := b.Head(ctx, vdn); err == nil {
		t.Error("a head counts while there is no connection")
	}
	b.answerWithin = 50 * time.Millisecond
	_, err = b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 2, 3))
	if err == nil || errors.Is(err, ErrUndecided) || !strings.Contains(err.Error(), "there is no connection to NATS") {
		t.Errorf("got %v, want that there is no connection, and that nothing was stored", err)
	}
	b.answerWithin = answerTime
	// A commit that has begun sits out an absence that is not long.
	done := make(chan error)
	go func() {
		_, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 2, 3))
		done <- err
	}()
	natsServer(t, o.Clone())
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	commit(t, b, vdn, 1, 3)
	if got := audited(t, b); got != 3 {
		t.Errorf("got %d events stored, want 3", got)
	}
}

// proxy forwards connections, and cuts each after so many bytes in one
// direction.
type proxy struct {
	net.Listener
	backend string
	budget  func() (up, down int64) // bytes until the cut

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func (p *proxy) run() {
	for {
		c, err := p.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.backend)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, c, s)
		p.mu.Unlock()
		up, down := p.budget()
		forward := func(to, from net.Conn, n int64) {
			_, _ = io.CopyN(to, from, n) // ends in whatever way
			c.Close()
			s.Close()
		}
		p.wg.Go(func() { forward(s, c, up) })
		p.wg.Go(func() { forward(c, s, down) })
	}
}

func (p *proxy) stop() {
	p.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// TestConnectionCut cuts the connection again and again, in the midst of
// batches and of their acknowledgements.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	s := natsServer(t, &server.Options{JetStream: true, StoreDir: t.TempDir()})
	var urls []string
	for range 2 { // with two addresses there is no waiting before a reconnect
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &proxy{Listener: l, backend: s.Addr().String(), budget: func() (up, down int64) {
			if rand.N(2) == 0 {
				return 8000 + rand.N[int64](20000), 1 << 40
			}
			return 1 << 40, 8000 + rand.N[int64](20000)
		}}
		p.wg.Go(p.run)
		t.Cleanup(p.stop)
		urls = append(urls, l.Addr().String())
	}
	nc, err := Connect(t.Context(), ConnectOptions{URLs: strings.Join(urls, ",")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b := openBus(t, nc, Options{})
	b.ackWithin = 300 * time.Millisecond
	const vdns, rounds = 3, 25
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // it takes seconds
	defer cancel()
	var wg sync.WaitGroup
	for id := 1; id <= vdns; id++ {
		wg.Go(func() {
			v := diff.VDN{CC: 1, ID: id}
			for done := 0; done < rounds && ctx.Err() == nil; {
				prev, seq, err := b.Head(ctx, v)
				if err != nil {
					continue // the next try, on the next connection
				}
				if prev.LastSequence != int64(2*max(0, prev.Revision-1)) {
					t.Errorf("got last sequence %d in revision %d", prev.LastSequence, prev.Revision)
				}
				r := made(v, &prev, 2, 4)
				if prev.Revision == 0 {
					r = made(v, &prev, 0, 4)
				}
				switch _, err := b.Commit(ctx, seq, &prev, r); {
				case err == nil:
					done++
				case errors.Is(err, ErrConflict):
					t.Errorf("got %v, but there is nobody else", err)
				}
			}
		})
	}
	wg.Wait()
	if n := nc.Stats().Reconnects; n < 3 {
		t.Errorf("got %d reconnects: the test is worth nothing", n)
	}
	direct, err := Connect(t.Context(), ConnectOptions{URLs: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	auditor := openBus(t, direct, Options{})
	if got, want := audited(t, auditor), vdns*2*(rounds-1); got < want {
		t.Errorf("got %d events stored, want %d at least", got, want)
	}
	contiguous(t, all(t, auditor))
}
