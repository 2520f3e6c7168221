package poller_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/poller"
	"restwatch/poller/cms"
	"restwatch/poller/cmssim"
	"restwatch/poller/peers"
	"restwatch/poller/tick"
	"restwatch/publisher"
)

const (
	interval  = time.Second
	heartbeat = 2 * time.Second
	patience  = 30 * time.Second
)

// installation is a CC-CMS and a NATS server, for replicas to work between.
type installation struct {
	t     *testing.T
	nats  *server.Server
	cms   *cmssim.Server
	vdns  []diff.VDN
	busy  time.Duration // how long replicas take to get to a question
	mu    sync.Mutex
	calls []cmssim.Call
	feeds map[diff.VDN][]diff.Feed // in the order of the bus
}

func install(t *testing.T, vdns int) *installation {
	t.Helper()
	in := &installation{t: t, feeds: map[diff.VDN][]diff.Feed{}}
	var err error
	in.nats, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	in.nats.Start()
	t.Cleanup(func() { in.nats.Shutdown(); in.nats.WaitForShutdown() })
	if !in.nats.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	in.cms, err = cmssim.Start(cmssim.Options{
		AccessKey: "ak", SecretKey: "sk",
		Tenants: cmssim.Tenants(vdns, cmssim.Tenant{World: cmssim.Config{VDN: diff.VDN{CC: 1, ID: 1}, Agents: 30, Speed: 30}}),
		Trace: func(c cmssim.Call) {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.calls = append(in.calls, c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.cms.Close() })
	in.vdns = in.cms.VDNs()
	nc := in.connect()
	if _, err := nc.Subscribe("rest.v1.feed.>", func(m *nats.Msg) {
		f, err := publisher.DecodeFeed(m.Data)
		if err != nil {
			t.Error(err)
			return
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		v := diff.VDN{CC: f.CC, ID: f.VDN}
		in.feeds[v] = append(in.feeds[v], f)
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) connect() *nats.Conn {
	nc, err := nats.Connect(in.nats.ClientURL())
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(nc.Close)
	return nc
}

// replica runs a poller of its own until stop is called.
func (in *installation) replica(name string) (p *poller.Poller, stop func()) {
	in.t.Helper()
	return in.replicaFor(name, in.vdns)
}

// replicaFor is a replica that has these VDNs in its settings.
func (in *installation) replicaFor(name string, vdns []diff.VDN) (p *poller.Poller, stop func()) {
	t := in.t
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.DiscardHandler)
	nc := in.connect()
	bus, err := publisher.Open(ctx, nc, publisher.Options{Instance: name, Heartbeat: heartbeat})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ensure := func(ctx context.Context) error {
		return publisher.EnsureStream(ctx, js, tick.StreamConfig("", "rest.v1", 1), log)
	}
	if err := ensure(ctx); err != nil {
		t.Fatal(err)
	}
	if err := bus.Load(ctx, vdns); err != nil {
		t.Fatal(err)
	}
	queue, err := tick.Open(ctx, js, tick.Options{Prefix: "rest.v1", Ensure: ensure})
	if err != nil {
		t.Fatal(err)
	}
	client, err := cms.New(cms.Options{URL: in.cms.URL(), AccessKey: "ak", SecretKey: "sk", TLS: in.cms.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	var targets []poller.Target
	for _, v := range vdns {
		targets = append(targets, poller.Target{VDN: v, Spec: interval.String(), Schedule: poller.Schedule{Every: interval}})
	}
	p = poller.New(poller.Options{
		Upstream: client, Store: bus, Queue: queue, Targets: targets, GroupsPerSchedule: 64, Heartbeat: heartbeat, Log: log,
		Join: func(hear func(peers.Note), last func() peers.Note) (*peers.Peers, error) {
			return peers.Join(nc, peers.Options{Prefix: "rest.v1", Instance: name, Log: log, Hear: hear,
				Last: func() peers.Note { <-time.After(in.busy); return last() }})
		},
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("replica %s: %v", name, err)
		}
		bus.Close()
		client.Close()
	})
	t.Cleanup(stop)
	return p, stop
}

// wait returns once the condition holds; it is called with in.mu held.
func (in *installation) wait(what string, condition func() bool) {
	in.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		in.mu.Lock()
		ok := condition()
		in.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (in *installation) statuses(v diff.VDN) string {
	var s string
	for _, f := range in.feeds[v] {
		s += fmt.Sprint(f.Status, " ")
	}
	return s
}

func TestReplicasShareTheSlots(t *testing.T) {
	in := install(t, 6)
	_, stopA := in.replica("a")
	_, stopB := in.replica("b")
	_, stopC := in.replica("c")
	const rounds = 6
	in.wait("enough calls", func() bool { return len(in.calls) > rounds*len(in.vdns) })

	stopA()
	stopB()
	in.mu.Lock()
	for _, v := range in.vdns {
		for _, f := range in.feeds[v] {
			if f.Status == diff.Stopping {
				t.Errorf("VDN %s: feed says that it stops while a replica polls: %s", v, in.statuses(v))
			}
		}
	}
	in.mu.Unlock()
	stopC()
	in.wait("the last replica says that it stops", func() bool {
		for _, v := range in.vdns {
			if feeds := in.feeds[v]; len(feeds) == 0 || feeds[len(feeds)-1].Status != diff.Stopping {
				return false
			}
		}
		return true
	})

	in.mu.Lock()
	defer in.mu.Unlock()
	for _, v := range in.vdns {
		if most := in.cms.Stats(v).MaxInFlight; most > 1 {
			t.Errorf("VDN %s: %d calls at once", v, most)
		}
		// Three replicas that all told would tell three times as often.
		feeds := in.feeds[v]
		lasted := feeds[len(feeds)-1].ObservedAt.Sub(feeds[0].ObservedAt)
		if beats, most := len(feeds)-2, 2*int(lasted/heartbeat)+1; beats > most {
			t.Errorf("VDN %s: %d heartbeats in %v, want one each %v", v, beats, lasted, heartbeat)
		}
	}
	// Of the calls, the first of each replica is a probe, and each slot is
	// polled once: calls and slots differ by the start alone.
	first, last := in.calls[0].At, in.calls[len(in.calls)-1].At
	slots := int(last.Sub(first)/interval+1) * len(in.vdns)
	if extra := len(in.calls) - slots; extra > 3+2*len(in.vdns) {
		t.Errorf("%d calls in %d slots", len(in.calls), slots)
	}
}

// What the others watched until now is no gap for one that joins them, however
// busy they are.
func TestJoiningIsNoGap(t *testing.T) {
	in := install(t, 6)
	in.busy = time.Second
	a, _ := in.replica("a")
	in.wait("all VDNs polled", func() bool { return a.Ready() == nil })
	in.replica("b")
	rounds := in.cms.Calls() + int64(6*len(in.vdns))
	in.wait("enough calls", func() bool { return in.cms.Calls() > rounds })
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, v := range in.vdns {
		for _, f := range in.feeds[v] {
			if f.Gap != nil && f.Gap.To.Sub(f.Gap.From) <= 3*interval { // else it is one
				t.Errorf("VDN %s: feed %s with the gap %+v", v, f.Status, *f.Gap)
			}
		}
	}
}

// A VDN that was taken out of the settings is watched by nobody once the last
// replica with the old ones has left, though others stay.
func TestRemovedVDNStops(t *testing.T) {
	in := install(t, 3)
	a, stopA := in.replica("a")
	b, stopB := in.replicaFor("b", in.vdns[:2])
	in.wait("all VDNs polled", func() bool { return a.Ready() == nil && b.Ready() == nil })
	stopA()
	in.wait("the feed of the removed VDN stops", func() bool { return strings.HasSuffix(in.statuses(in.vdns[2]), "stopping ") })
	in.mu.Lock()
	for _, v := range in.vdns[:2] {
		if strings.Contains(in.statuses(v), "stopping") {
			t.Errorf("VDN %s: %s", v, in.statuses(v))
		}
	}
	in.mu.Unlock()
	stopB()
	in.wait("all stop", func() bool { return strings.HasSuffix(in.statuses(in.vdns[0]), "stopping ") })
}

// Of a burst, two calls go ahead: if they are refused the others are not made,
// which could be enough to lock the address.
func TestRefusalSparesTheRestOfABurst(t *testing.T) {
	in := install(t, 40) // ten to a burst, in the order of their numbers
	a, _ := in.replica("a")
	in.wait("all VDNs polled", func() bool { return a.Ready() == nil })
	if err := in.cms.SetFaults(fmt.Sprintf("vdn=%v,unauthorized,vdn=%v,unauthorized", in.vdns[0], in.vdns[1])); err != nil {
		t.Fatal(err)
	}
	in.wait("calls stopped", func() bool { until, _ := a.Paused(); return !until.IsZero() })
	in.mu.Lock()
	defer in.mu.Unlock()
	first := slices.IndexFunc(in.calls, func(c cmssim.Call) bool { return c.Fault != "" })
	if n := len(in.calls) - first; n > 2 {
		t.Errorf("%d calls from the first that was refused on: %v", n, in.calls[first:])
	}
}

// NATS may forget the queue, and with it a pause, while nobody is there who
// knows of it. The feeds do, unless somebody ended in peace.
func TestPauseOutlivesTheQueue(t *testing.T) {
	for _, c := range []struct {
		feed   diff.Feed
		paused bool
	}{
		{diff.Feed{Status: diff.Paused, Error: &diff.FeedError{Category: "locked"}}, true},
		{diff.Feed{Status: diff.Paused, Error: &diff.FeedError{Category: "refused"}}, false},
		{diff.Feed{Status: diff.Stopping}, false},
	} {
		in := install(t, 1)
		began := diff.TimeOf(time.Now().Add(-9 * time.Minute))
		c.feed.CC, c.feed.VDN, c.feed.Since, c.feed.ObservedAt = in.vdns[0].CC, in.vdns[0].ID, began, began
		bus, err := publisher.Open(t.Context(), in.connect(), publisher.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.PublishFeeds(t.Context(), []diff.Feed{c.feed}, false); err != nil {
			t.Fatal(err)
		}
		bus.Close()
		a, stop := in.replica("a")
		if !c.paused {
			in.wait("a call", func() bool { return in.cms.Calls() > 0 })
			stop()
			continue
		}
		in.wait("the pause", func() bool { return a.Ready() == nil })
		if until, _ := a.Paused(); time.Until(until) < 50*time.Second || time.Until(until) > time.Minute {
			t.Errorf("paused until %v, want the rest of ten minutes", until)
		}
		in.wait("its feed", func() bool { return len(in.feeds[in.vdns[0]]) > 1 })
		stop()
		in.mu.Lock()
		if f := in.feeds[in.vdns[0]][1]; f.Status != diff.Paused || f.Since != began || in.cms.Calls() != 0 {
			t.Errorf("%d calls, and a feed that is %s since %v", in.cms.Calls(), f.Status, f.Since)
		}
		in.mu.Unlock()
	}
}

func TestRefusedCredentialsStopAllReplicas(t *testing.T) {
	in := install(t, 6)
	a, _ := in.replica("a")
	b, _ := in.replica("b")
	in.wait("all VDNs polled", func() bool { return a.Ready() == nil && b.Ready() == nil })
	if err := in.cms.SetFaults("unauthorized"); err != nil {
		t.Fatal(err)
	}
	in.wait("all feeds paused", func() bool {
		for _, v := range in.vdns {
			if feeds := in.feeds[v]; len(feeds) == 0 || feeds[len(feeds)-1].Status != diff.Paused {
				return false
			}
		}
		return true
	})
	calls := in.cms.Calls()
	in.mu.Lock()
	beats := len(in.feeds[in.vdns[0]])
	in.mu.Unlock()
	in.wait("two heartbeats of the pause", func() bool { return len(in.feeds[in.vdns[0]]) >= beats+2 })
	if late := in.cms.Calls() - calls; late > 1 {
		t.Errorf("%d calls during the pause", late)
	}

	// A replica that starts now learns of the pause, and waits for its end too.
	c, _ := in.replica("c")
	in.wait("the new replica ready", func() bool { return c.Ready() == nil })
	if until, reason := c.Paused(); time.Until(until) <= 0 || reason == "" {
		t.Errorf("the new replica knows of no pause: %v, %q", until, reason)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, v := range in.vdns {
		statuses := in.statuses(v)
		if _, after, _ := strings.Cut(statuses, "paused"); strings.Trim(strings.ReplaceAll(after, "paused", ""), " ") != "" {
			t.Errorf("VDN %s: something else than paused in the pause: %s", v, statuses)
		}
	}
}
