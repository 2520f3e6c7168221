package tick

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"restwatch/diff"
)

// trio are three replicas on one server, each with its own connection.
func trio(t testing.TB, handle func(i int) Handler, change func(*Options)) []*running {
	s := inProcess(t)
	var qs []*running
	for i := range 3 {
		qs = append(qs, run(t, open(t, connect(t, s), change), handle(i)))
	}
	return qs
}

func TestOnePollPerSlot(t *testing.T) {
	const groups, slots = 8, 40
	var b book
	qs := trio(t, func(int) Handler { return b.note }, nil)
	for slot := range slots {
		done := b.len() + groups
		for g := range groups {
			for _, q := range qs {
				q.mustOffer(t, group(g), slotAt(slot))
			}
		}
		eventually(t, "slot worked", func() bool { return b.len() >= done && stored(t, qs[0].js) == 0 })
	}
	for _, q := range qs {
		eventually(t, "all offers answered", func() bool { return q.answeredOffers() == groups*slots })
	}
	type key struct {
		group string
		slot  int64
	}
	seen := map[key]int{}
	for _, k := range b.all() {
		seen[key{k.Group, k.Slot.UnixNano()}]++
		if k.Redelivered {
			t.Errorf("tick %v: redelivered", k)
		}
		if k.Order.Epoch == 0 || k.Offered == 0 {
			t.Errorf("tick %v: no order or time", k)
		}
	}
	for k, n := range seen {
		if n != 1 {
			t.Errorf("slot %v: worked %d times", k, n)
		}
	}
	if len(seen) != groups*slots {
		t.Errorf("got %d slots worked, want %d", len(seen), groups*slots)
	}
	ordered(t, b.all())
	offered := 0
	for _, q := range qs {
		offered += q.counted(resultOffered)
	}
	if offered != groups*slots {
		t.Errorf("got %d ticks stored, want %d", offered, groups*slots)
	}
}

func TestSlotKeepsItsNanoseconds(t *testing.T) {
	var b book
	q := run(t, open(t, connect(t, inProcess(t)), nil), b.note)
	slot := time.Unix(1_700_000_000, 123456789).In(time.FixedZone("x", 3600))
	q.mustOffer(t, "sched-1.g2", slot)
	eventually(t, "tick", func() bool { return b.len() == 1 })
	if k := b.all()[0]; k.Group != "sched-1.g2" || !k.Slot.Equal(slot) {
		t.Errorf("got %v, want slot %v", k, slot)
	}
}

func TestSkipWhileRunning(t *testing.T) {
	var b book
	begun, finish := make(chan struct{}, 10), make(chan struct{})
	qs := trio(t, func(int) Handler {
		return func(ctx context.Context, k Tick) error {
			begun <- struct{}{}
			<-finish
			return b.note(ctx, k)
		}
	}, nil)
	qs[0].mustOffer(t, "g", slotAt(0))
	<-begun
	for i, q := range qs {
		q.mustOffer(t, "g", slotAt(1))
		eventually(t, "refusal", func() bool { return q.counted(resultOccupied) == 1 })
		_ = i
	}
	close(finish)
	js := qs[0].js
	eventually(t, "acknowledged", func() bool { return stored(t, js) == 0 })
	// The slot that was refused is not remembered as a duplicate.
	qs[1].mustOffer(t, "g", slotAt(2))
	eventually(t, "next slot", func() bool { return b.len() == 2 })
	if k := b.all()[1]; !k.Slot.Equal(slotAt(2)) {
		t.Errorf("got slot %v, want %v", k.Slot, slotAt(2))
	}
}

func TestKilledWorker(t *testing.T) {
	s := inProcess(t)
	q := open(t, connect(t, s), func(o *Options) { o.AckWait = 300 * time.Millisecond })
	js := connect(t, s)
	if _, err := js.Publish(t.Context(), subject(prefix, "g"), nil, jetstream.WithMsgID(messageID("g", slotAt(0)))); err != nil {
		t.Fatal(err)
	}
	// A replica that takes the tick and is never heard of again.
	dead, err := js.Consumer(t.Context(), DefaultStream, durable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Next(); err != nil {
		t.Fatal(err)
	}
	var b book
	run(t, q, b.note)
	eventually(t, "redelivery", func() bool { return b.len() == 1 })
	if k := b.all()[0]; !k.Redelivered || k.Group != "g" {
		t.Errorf("got %+v, want g redelivered", k)
	}
}

func TestLongWorkIsKept(t *testing.T) {
	// The work lasts several AckWaits; nobody else may get the tick. Where the
	// machine stands still for as long as an AckWait somebody must, so that is
	// tried again with a longer one.
	for wait := 150 * time.Millisecond; ; wait *= 2 {
		calls, longest := longWork(t, wait)
		if calls == 1 {
			return
		}
		if longest < wait/2 || wait > 2*time.Second {
			t.Fatalf("got %d calls, want 1; AckWait is %v, signs of life came every %v at most", calls, wait, longest)
		}
	}
}

// longWork lets a tick's work last for three times AckWait. It returns how often
// it was begun, and the longest time without a sign of life.
func longWork(t *testing.T, wait time.Duration) (calls int, longest time.Duration) {
	var mu sync.Mutex
	var signs []time.Time // of life: the begin, and what the server is told
	alive := 0
	sign := func(counter *int) {
		mu.Lock()
		defer mu.Unlock()
		*counter++
		signs = append(signs, time.Now())
	}
	finish := make(chan struct{})
	qs := trio(t, func(int) Handler {
		return func(context.Context, Tick) error {
			sign(&calls)
			<-finish
			return nil
		}
	}, func(o *Options) { o.AckWait = wait })
	sub, err := qs[0].nc.Subscribe("$JS.ACK."+DefaultStream+".>", func(m *nats.Msg) {
		if string(m.Data) == ackProgress {
			sign(&alive)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	qs[0].mustOffer(t, "g", slotAt(0))
	// Three signs of life are an AckWait.
	eventually(t, "three AckWaits pass", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return alive >= 9
	})
	close(finish)
	eventually(t, "acknowledged", func() bool { return stored(t, qs[0].js) == 0 })
	mu.Lock()
	defer mu.Unlock()
	for i := range signs[1:] {
		longest = max(longest, signs[i+1].Sub(signs[i]))
	}
	return calls, longest
}

func TestErrorGivesTheTickToAnother(t *testing.T) {
	var refused atomic.Int32
	var took book
	qs := trio(t, func(i int) Handler {
		return func(ctx context.Context, k Tick) error {
			if i != 2 {
				refused.Add(1)
				return errors.New("unknown group")
			}
			return took.note(ctx, k)
		}
	}, func(o *Options) { o.AckWait = 100 * time.Millisecond })
	for i := range 6 {
		qs[0].mustOffer(t, group(i), slotAt(0))
	}
	eventually(t, "work by the one that can", func() bool {
		groups := map[string]bool{} // on a busy machine one may come twice
		for _, k := range took.all() {
			groups[k.Group] = true
		}
		return len(groups) == 6
	})
	if refused.Load() == 0 {
		t.Log("the third replica was given all ticks at once")
	}
}

func TestPanicEndsTheTick(t *testing.T) {
	var b book
	q := run(t, open(t, connect(t, inProcess(t)), nil), func(ctx context.Context, k Tick) error {
		if k.Group == "bad" {
			panic("nil map")
		}
		return b.note(ctx, k)
	})
	q.mustOffer(t, "bad", slotAt(0))
	q.mustOffer(t, "good", slotAt(0))
	eventually(t, "both over", func() bool {
		return b.len() == 1 && testutil.ToFloat64(q.metrics.worked) == 2 && stored(t, q.js) == 0
	})
	if n := testutil.ToFloat64(q.metrics.panics); n != 1 {
		t.Errorf("got %v panics, want 1", n)
	}
}

func TestForeignMessageIsDropped(t *testing.T) {
	var b book
	q := run(t, open(t, connect(t, inProcess(t)), nil), b.note)
	for _, id := range []string{"", "g", "g@yesterday", "h@2026-01-01T00:00:00Z"} {
		var opts []jetstream.PublishOpt
		if id != "" {
			opts = append(opts, jetstream.WithMsgID(id))
		}
		if _, err := q.js.Publish(t.Context(), subject(prefix, "g"), nil, opts...); err != nil {
			t.Fatal(err)
		}
		eventually(t, "dropped", func() bool { return stored(t, q.js) == 0 })
	}
	if n := b.len(); n != 0 {
		t.Errorf("got %d ticks, want 0", n)
	}
}

func TestShutdownGivesTicksBack(t *testing.T) {
	// One replica works a tick and is told to stop while it still can take
	// more; whatever comes then is worked by the other one at once, although
	// AckWait is an hour.
	s := inProcess(t)
	hour := func(o *Options) { o.AckWait = time.Hour; o.Concurrency = 2 }
	begun, finish := make(chan string, 10), make(chan struct{})
	a := run(t, open(t, connect(t, s), hour), func(_ context.Context, k Tick) error {
		begun <- k.Group
		<-finish
		return nil
	})
	a.mustOffer(t, "first", slotAt(0))
	<-begun
	js := connect(t, s)
	a.stop()
	for i := range 20 {
		if _, err := js.Publish(t.Context(), subject(prefix, group(i)), nil, jetstream.WithMsgID(messageID(group(i), slotAt(0)))); err != nil {
			t.Fatal(err)
		}
	}
	var b book
	run(t, open(t, js, hour), b.note)
	// What A could still begin before it saw the stop is A's.
	eventually(t, "the other works the rest", func() bool { return b.len()+len(begun) == 20 })
	select {
	case <-a.done:
		t.Error("Run returned while a tick was being worked")
	default:
	}
	close(finish)
	if err := a.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	eventually(t, "all acknowledged", func() bool { return stored(t, js) == 0 })
}

func TestEvenLoad(t *testing.T) {
	const groups, slots = 10, 90
	var counts [3]atomic.Int32
	qs := trio(t, func(i int) Handler {
		return func(context.Context, Tick) error { counts[i].Add(1); return nil }
	}, nil)
	total := func() int { return int(counts[0].Load() + counts[1].Load() + counts[2].Load()) }
	for slot := range slots {
		for g := range groups {
			qs[slot%3].mustOffer(t, group(g), slotAt(slot))
		}
		eventually(t, "slot worked", func() bool { return total() == (slot+1)*groups && stored(t, qs[0].js) == 0 })
	}
	want := groups * slots / 3
	for i := range counts {
		if n := int(counts[i].Load()); n < want*8/10 || n > want*12/10 {
			t.Errorf("replica %d: got %d ticks, want %d within 20 %%", i, n, want)
		}
	}
}

func TestTakesOnlyWhatItCanBegin(t *testing.T) {
	// A busy replica leaves all other ticks to an idle one.
	s := inProcess(t)
	one := func(o *Options) { o.AckWait = time.Hour; o.Concurrency = 1 }
	begun, finish := make(chan struct{}), make(chan struct{})
	busy := run(t, open(t, connect(t, s), one), func(context.Context, Tick) error {
		close(begun)
		<-finish
		return nil
	})
	defer close(finish)
	busy.mustOffer(t, "long", slotAt(0))
	<-begun
	var b book
	idle := run(t, open(t, connect(t, s), one), b.note)
	for i := range 50 {
		idle.mustOffer(t, group(i), slotAt(0))
	}
	eventually(t, "the idle one works them", func() bool { return b.len() == 50 })
}

func TestOfferNeverBlocks(t *testing.T) {
	s := start(t, server.Options{Host: "127.0.0.1", Port: -1})
	q := open(t, dial(t, s.ClientURL()), nil)
	// Nobody sends yet: the buffer takes what it holds, the rest is skipped.
	var err error
	n := 0
	for ; err == nil; n++ {
		err = q.Offer(t.Context(), "g", slotAt(n))
	}
	if !errors.Is(err, ErrSkipped) || n != offersKept+1 {
		t.Errorf("got %v after %d offers, want ErrSkipped after %d", err, n, offersKept+1)
	}
	halt(s)
	eventually(t, "disconnection noticed", func() bool { return !q.nc.IsConnected() })
	if err := q.Offer(t.Context(), "g", slotAt(0)); !errors.Is(err, ErrSkipped) {
		t.Errorf("without a server: got %v, want ErrSkipped", err)
	}
	if got := q.counted(resultSkipped); got != 2 {
		t.Errorf("got %d skipped, want 2", got)
	}
	for _, bad := range []string{"", "a b", "a.*", ">", "a..b", ".a", "a@b", "a\n"} {
		if err := q.Offer(t.Context(), bad, slotAt(0)); err == nil || errors.Is(err, ErrSkipped) {
			t.Errorf("group %q: got %v, want a refusal", bad, err)
		}
	}
}

func TestOpenRefusals(t *testing.T) {
	js := connect(t, inProcess(t))
	if _, err := Open(t.Context(), js, Options{}); err == nil || !strings.Contains(err.Error(), "prefix") {
		t.Errorf("without a prefix: got %v", err)
	}
	_, err := Open(t.Context(), js, Options{Prefix: prefix})
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("without a stream: got %v, want ErrStreamNotFound", err)
	}
	away := errors.New("no leader")
	_, err = Open(t.Context(), js, Options{Prefix: prefix, Ensure: func(context.Context) error { return away }})
	if !errors.Is(err, away) {
		t.Errorf("with a failing Ensure: got %v, want its error", err)
	}
}

func TestOpenAdjustsTheConsumer(t *testing.T) {
	js := connect(t, inProcess(t))
	open(t, js, nil)
	q := open(t, js, func(o *Options) { o.AckWait = 20 * time.Second; o.MaxAckPending = 7 })
	info, err := q.consumerInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Config.AckWait != 20*time.Second || info.Config.MaxAckPending != 7 || info.Config.MaxDeliver != -1 {
		t.Errorf("got %+v", info.Config)
	}
}

func TestStreamName(t *testing.T) {
	for rest, want := range map[string]string{"": "TICK", "REST": "TICK", "X": "X_TICK"} {
		if got := StreamName(rest); got != want {
			t.Errorf("StreamName(%q) = %q, want %q", rest, got, want)
		}
	}
	if got := StreamConfig("", "rest.v1", 3); got.Name != "TICK" || got.Subjects[0] != "tick.rest.v1.>" || got.Replicas != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestRunEndsWithItsConnection(t *testing.T) {
	s := inProcess(t)
	q := open(t, connect(t, s), nil)
	done := make(chan error, 1)
	go func() { done <- q.Run(context.Background(), func(context.Context, Tick) error { return nil }) }()
	q.nc.Close()
	if err := <-done; err == nil {
		t.Error("got nil, want the connection's end")
	}
}

func TestOutrank(t *testing.T) {
	js := connect(t, inProcess(t))
	q := open(t, js, nil)
	first := q.bound.Load().epoch
	for i := range 5 {
		if _, err := js.Publish(t.Context(), subject(prefix, group(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	// Orders of the past, of this stream and of an earlier one, are outranked.
	for _, o := range []diff.Order{{}, {Epoch: first - 1, Seq: 1 << 40}, {Epoch: first, Seq: 5}} {
		if err := q.Outrank(t.Context(), o); err != nil {
			t.Errorf("order %v: %v", o, err)
		}
	}
	if got := q.bound.Load().epoch; got != first {
		t.Fatal("the stream was made anew without need")
	}
	// A head of this stream with a sequence that it has not reached: it began
	// anew while nobody looked.
	after := diff.Order{Epoch: first, Seq: 6}
	q = open(t, js, func(o *Options) { o.After = after })
	b := q.bound.Load()
	if (diff.Order{Epoch: b.epoch, Seq: 1}).Compare(after) <= 0 {
		t.Errorf("got epoch %d, want one after %v", b.epoch, after)
	}
	var worked book
	run(t, q, worked.note)
	q.mustOffer(t, "g", slotAt(0))
	eventually(t, "tick", func() bool { return worked.len() == 1 })
	if got := worked.all()[0].Order; got.Compare(after) <= 0 {
		t.Errorf("got order %v, want one after %v", got, after)
	}
}

// A head may carry an epoch that the server's clock, once ahead, has not
// reached since. Ticks must outrank it all the same, in every replica alike.
func TestOutrankTheFuture(t *testing.T) {
	js := connect(t, inProcess(t))
	ahead := diff.Order{Epoch: time.Now().Add(24 * time.Hour).UnixNano(), Seq: 1000}
	var worked book
	old := run(t, open(t, js, nil), worked.note)
	works(t, old, &worked, 0)
	q := open(t, js, func(o *Options) { o.After = ahead })
	raised := q.bound.Load().epoch
	if raised <= ahead.Epoch {
		t.Fatalf("got epoch %d, want one after %d", raised, ahead.Epoch)
	}
	// The replica that ran already learns of it, at the latest by its heartbeat.
	if err := old.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the raised epoch", func() bool { return old.bound.Load().epoch == raised })
	if k := works(t, old, &worked, 100_000); k.Order.Compare(ahead) <= 0 {
		t.Errorf("got order %v, want one after %v", k.Order, ahead)
	}
	// Who comes later finds it raised, and with a head of its own does not raise
	// it again.
	head := diff.Order{Epoch: raised, Seq: 1}
	if got := open(t, js, func(o *Options) { o.After = head }).bound.Load().epoch; got != raised {
		t.Errorf("got epoch %d, want %d as before", got, raised)
	}
	ordered(t, worked.all())
}
