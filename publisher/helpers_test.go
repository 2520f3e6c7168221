package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"restwatch/diff"
	"restwatch/publisher/embedded"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// start runs an embedded server with the options, its store in a
// temporary folder.
func start(t testing.TB, o embedded.Options) *embedded.Server {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func dial(t testing.TB, s *embedded.Server) *nats.Conn {
	t.Helper()
	nc, err := Connect(t.Context(), ConnectOptions{InProcess: s.InProcess(), Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// stranger connects without credentials over TCP.
func stranger(t testing.TB, s *embedded.Server) *nats.Conn {
	t.Helper()
	nc, err := Connect(t.Context(), ConnectOptions{URLs: s.URL(), Instance: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func openBus(t testing.TB, nc *nats.Conn, o Options) *Bus {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := Open(t.Context(), nc, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// memoryBus is a bus on a server of its own, with its stream in memory.
func memoryBus(t testing.TB) *Bus {
	t.Helper()
	return openBus(t, dial(t, start(t, embedded.Options{Listen: "127.0.0.1:0"})), Options{Storage: jetstream.MemoryStorage})
}

const begin = diff.Time(1_700_000_000_000)

// made is a result that follows prev, with so many events and agents. Agents
// stay the same but for their names.
func made(v diff.VDN, prev *diff.Snapshot, events, agents int) diff.Result {
	s := diff.Snapshot{
		CC: v.CC, VDN: v.ID,
		Revision:           prev.Revision + 1,
		LastSequence:       prev.LastSequence + int64(events),
		ObservedAt:         begin.Add(1000_000_000 * 5 * 1),
		PreviousObservedAt: prev.ObservedAt,
		Baseline:           prev.Revision == 0,
		Quality:            diff.Consistent,
		Counts:             diff.Counts{Resting: agents},
		Order:              diff.Order{Epoch: 1, Seq: prev.Order.Seq + 1},
		Memory:             diff.Memory{Format: diff.Format, Since: begin, SureAt: begin},
	}
	s.ObservedAt = begin + diff.Time(s.Revision)*5000
	for i := range agents {
		s.Agents = append(s.Agents, diff.Agent{
			WorkNo: 101 + i, AgentName: fmt.Sprintf("agent %d of %d", i, s.Revision), State: diff.Resting, Certainty: diff.Certain,
			RestID: diff.RestID{WorkNo: 101 + i, First: begin}, BeginAt: begin, RequestedSeconds: 900,
		})
	}
	r := diff.Result{Snapshot: s, Commit: true}
	for i := range events {
		r.Events = append(r.Events, diff.Event{
			CC: v.CC, VDN: v.ID, WorkNo: 101 + i, AgentName: "agent", Kind: diff.KindUpdated,
			RestID: diff.RestID{WorkNo: 101 + i, First: begin}, From: diff.Resting, To: diff.Resting, Certainty: diff.Certain,
			BeginAt: begin, RequestedSeconds: 900, OccurredAfter: prev.ObservedAt, OccurredBefore: s.ObservedAt,
			ObservedAt: s.ObservedAt, PreviousObservedAt: prev.ObservedAt, DetectedBy: diff.Poll,
			Revision: s.Revision, What: "duration", Sequence: prev.LastSequence + int64(i) + 1,
		})
	}
	return r
}

// commit commits a made result on top of the head, and returns it.
func commit(t testing.TB, b *Bus, v diff.VDN, events, agents int) (diff.Snapshot, uint64) {
	t.Helper()
	prev, seq, err := b.Head(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	r := made(v, &prev, events, agents)
	seq, err = b.Commit(t.Context(), seq, &prev, r)
	if err != nil {
		t.Fatal(err)
	}
	return r.Snapshot, seq
}

// all returns every message of the bus's stream.
func all(t testing.TB, b *Bus) []jetstream.Msg {
	t.Helper()
	var list []jetstream.Msg
	r := reading{js: b.js, wire: b.wire, until: []string{string(b.prefix) + ".>"},
		fn: func(m jetstream.Msg, _ *jetstream.MsgMetadata) bool { list = append(list, m); return true }}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return list
}

// faults stands between a bus and its connection's requests.
type faults struct {
	next func(context.Context, *nats.Msg) (*nats.Msg, error)
	// before and after may return an error in place of the request's outcome.
	before, after func(*nats.Msg) error
}

func (f *faults) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if f.before != nil {
		if err := f.before(m); err != nil {
			return nil, err
		}
	}
	answer, err := f.next(ctx, m)
	if f.after != nil {
		if err := f.after(m); err != nil {
			return nil, err
		}
	}
	return answer, err
}

func inject(b *Bus, f *faults) {
	f.next = b.wire.request
	b.wire.request = f.request
}
