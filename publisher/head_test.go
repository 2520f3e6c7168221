package publisher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

// eventually waits for a condition that something under way will bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come about", what)
		}
	}
}

// heads counts how often the head was read from the stream.
func countReads(b *Bus) *int {
	n := new(int)
	inject(b, &faults{before: func(m *nats.Msg) error {
		if strings.HasPrefix(m.Subject, "$JS.API.STREAM.MSG.GET.") {
			*n++
		}
		return nil
	}})
	return n
}

func TestHeadIsCached(t *testing.T) {
	b := memoryBus(t)
	reads := countReads(b)
	commit(t, b, vdn, 0, 3)
	if *reads != 1 {
		t.Errorf("got %d readings for the first commit, want 1", *reads)
	}
	for range 5 {
		commit(t, b, vdn, 1, 3)
	}
	if *reads != 1 {
		t.Errorf("got %d readings after own commits, want no more", *reads)
	}
	// Somebody else's commit is heard of.
	other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
	commit(t, other, vdn, 1, 3)
	eventually(t, "hearing of a commit", func() bool {
		_, ok := b.heads.current(vdn, b.wire.session())
		return !ok
	})
	if got, _, err := b.Head(t.Context(), vdn); err != nil || got.Revision != 7 || *reads != 2 {
		t.Errorf("got revision %d, %v after %d readings, want 7 after 2", got.Revision, err, *reads)
	}
	// A reconnect makes everything stale, but what was kept is not lost.
	kept, seq, err := b.Head(t.Context(), vdn)
	if err != nil {
		t.Fatal(err)
	}
	kept.ObservedAt += 5000
	b.Keep(vdn, seq, kept)
	if err := b.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reconnecting", func() bool { return b.wire.session() > 1 })
	if got, _, err := b.Head(t.Context(), vdn); err != nil || got.Revision != 7 || got.ObservedAt != kept.ObservedAt || *reads != 3 {
		t.Errorf("got revision %d of %s, %v after %d readings, want 7 of %s after 3", got.Revision, got.ObservedAt, err, *reads, kept.ObservedAt)
	}
	commit(t, b, vdn, 1, 3)
}

// deaf makes the bus miss what is republished, as a broken route would.
func deaf(t *testing.T, b *Bus) {
	t.Helper()
	if err := b.follow.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	b.follow = nil
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{})
	o := Options{Storage: jetstream.MemoryStorage}
	b, other := openBus(t, dial(t, s), o), openBus(t, dial(t, s), o)
	deaf(t, b)
	var vdns []diff.VDN
	for id := 1; id <= 1200; id++ { // two requests
		vdns = append(vdns, diff.VDN{CC: 1 + id%2, ID: id})
	}
	if err := b.Load(t.Context(), vdns); err != nil {
		t.Fatal(err)
	}
	if err := b.Recheck(t.Context(), vdns); err != nil {
		t.Fatal(err)
	}
	for _, v := range vdns[:20] {
		commit(t, b, v, 0, 2)
	}
	reads := countReads(b)
	changed := []diff.VDN{vdns[3], vdns[1100]} // one had a head, the other none
	for round := 1; round <= 3; round++ {
		for _, v := range changed {
			commit(t, other, v, 0, 2)
			if _, ok := b.heads.current(v, b.wire.session()); !ok {
				t.Fatal("the bus was told, the test is worth nothing")
			}
		}
		if err := b.Recheck(t.Context(), vdns); err != nil {
			t.Fatal(err)
		}
		for i, v := range vdns {
			want, _, err := other.Head(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := b.heads.current(v, b.wire.session())
			if !ok || got.snapshot.Revision != want.Revision {
				t.Errorf("round %d: VDN %s (%d): got revision %d, %t, want %d", round, v, i, got.snapshot.Revision, ok, want.Revision)
			}
		}
	}
	if *reads != 0 {
		t.Errorf("got %d single readings, want none", *reads)
	}
	// A recheck that fails leaves nothing that could be taken for current.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Recheck(ctx, vdns); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	if _, ok := b.heads.current(vdns[0], b.wire.session()); ok {
		t.Error("a head counts after a recheck that failed")
	}
}

func TestRecheckSplit(t *testing.T) {
	s := start(t, embedded.Options{})
	o := Options{Storage: jetstream.MemoryStorage}
	b, other := openBus(t, dial(t, s), o), openBus(t, dial(t, s), o)
	other.partBytes = 4 << 10
	commit(t, b, vdn, 0, 60)
	deaf(t, b)
	commit(t, other, vdn, 0, 60)
	if err := b.Recheck(t.Context(), []diff.VDN{vdn}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.Head(t.Context(), vdn); err != nil || got.Revision != 2 || len(got.Agents) != 60 {
		t.Errorf("got revision %d with %d agents, %v, want 2 with 60", got.Revision, len(got.Agents), err)
	}
}

// TestUnusableHead has something on the snapshot subject that is no snapshot of
// ours, or one of a later version: it is reported and never overwritten.
func TestUnusableHead(t *testing.T) {
	later := exampleSnapshot()
	later.Memory.Format++
	foreign := exampleSnapshot()
	foreign.VDN = 171
	tests := map[string]struct {
		data []byte
		want error
	}{
		"foreign":           {[]byte("hello"), ErrForeign},
		"newer":             {EncodeSnapshot(nil, later, "p"), ErrNewer},
		"of another VDN":    {EncodeSnapshot(nil, foreign, "p"), ErrForeign},
		"without its parts": {EncodeSnapshot(nil, &diff.Snapshot{CC: 1, VDN: 170, Revision: 1, Parts: 2, Memory: diff.Memory{Format: 1}}, "p"), ErrForeign},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := memoryBus(t)
			prev, seq := commit(t, b, vdn, 0, 1)
			ack, err := b.js.Publish(t.Context(), "ingest.rest.v1.snapshot.1.170", tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Load(t.Context(), []diff.VDN{vdn}); err != nil {
				t.Fatal(err)
			}
			_, _, err = b.Head(t.Context(), vdn)
			var m *MessageError
			if !errors.Is(err, tt.want) || !errors.As(err, &m) || m.Subject != "rest.v1.snapshot.1.170" ||
				name != "without its parts" && m.Sequence != ack.Sequence {
				t.Errorf("got %v, want %v with subject and sequence %d", err, tt.want, ack.Sequence)
			}
			if _, err := b.Commit(t.Context(), seq, &prev, made(vdn, &prev, 0, 1)); !errors.Is(err, ErrConflict) {
				t.Errorf("got %v, want a conflict", err)
			}
			st, err := b.js.Stream(t.Context(), "REST")
			if err != nil {
				t.Fatal(err)
			}
			if m, err := st.GetLastMsgForSubject(t.Context(), "rest.v1.snapshot.1.170"); err != nil || m.Sequence != ack.Sequence {
				t.Errorf("got message %v, %v, want that %d is still there", m, err, ack.Sequence)
			}
		})
	}
}

func TestLoadMany(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	var vdns []diff.VDN
	for id := 1; id <= 300; id++ {
		v := diff.VDN{CC: 1, ID: id}
		vdns = append(vdns, v)
		commit(t, b, v, 0, 3)
	}
	other := openBus(t, b.nc, Options{Storage: jetstream.MemoryStorage})
	reads := countReads(other)
	if err := other.Load(t.Context(), vdns[:200]); err != nil {
		t.Fatal(err)
	}
	for _, v := range vdns[:200] {
		if got, _, err := other.Head(t.Context(), v); err != nil || got.Revision != 1 {
			t.Errorf("VDN %s: got revision %d, %v, want 1", v, got.Revision, err)
		}
	}
	if *reads > 1 {
		t.Errorf("got %d single readings, want one, of the newest", *reads)
	}
	if got := len(other.heads.byVDN); got != 200 {
		t.Errorf("got %d heads kept, want only the 200 asked for", got)
	}
}

// BenchmarkLoad starts with 5,000 VDNs of 20 agents.
func BenchmarkLoad(b *testing.B) {
	s, err := embedded.Start(b.Context(), embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := Connect(b.Context(), ConnectOptions{InProcess: s.InProcess()})
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	bus, err := Open(b.Context(), nc, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	var vdns []diff.VDN
	done := make(chan error)
	for id := 1; id <= 5000; id++ {
		v := diff.VDN{CC: 1, ID: id}
		vdns = append(vdns, v)
		go func() {
			_, err := bus.Commit(b.Context(), 0, nil, made(v, &diff.Snapshot{}, 0, 20))
			done <- err
		}()
	}
	for range vdns {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if err := bus.Load(b.Context(), vdns); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("recheck", func(b *testing.B) {
		for b.Loop() {
			if err := bus.Recheck(b.Context(), vdns); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("recheck=80", func(b *testing.B) {
		for b.Loop() {
			if err := bus.Recheck(b.Context(), vdns[:80]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("head", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := bus.Head(b.Context(), vdns[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
