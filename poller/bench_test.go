package poller_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/diff"
	"restwatch/poller"
	"restwatch/poller/cms"
	"restwatch/poller/cmssim"
	"restwatch/poller/tick"
	"restwatch/publisher"
	"restwatch/publisher/embedded"
)

// BenchmarkPoll is whole polls of one VDN after the other, all the way from the
// tick to the commit in a stream in memory, the upstream over TLS and the NATS
// server in the same process included. CPU of the service alone is measured by
// cmd/restwatch-bench.
func BenchmarkPoll(b *testing.B) {
	for _, agents := range []int{10, 200} {
		for _, changed := range []bool{false, true} {
			name := fmt.Sprintf("M=%d/unchanged", agents)
			if changed {
				name = fmt.Sprintf("M=%d/changed", agents)
			}
			b.Run(name, func(b *testing.B) { benchmarkPoll(b, agents, changed) })
		}
	}
}

func benchmarkPoll(b *testing.B, agents int, changed bool) {
	const vdns = 64
	ctx := b.Context()
	lists := make([][]diff.Row, vdns+1)
	counts := diff.Counts{Resting: agents}
	for i := range lists {
		for n := range agents {
			lists[i] = append(lists[i], diff.Row{
				WorkNo: 1001 + n, Name: fmt.Sprint("agent ", n), Requested: 36_000,
				Begin: diff.TimeOf(time.Now()) - 60_000 - diff.Time(n)*137,
			})
		}
	}
	var upstream *cmssim.Server
	upstream, err := cmssim.New(cmssim.Options{
		AccessKey: "ak", SecretKey: "sk",
		Tenants: cmssim.Tenants(vdns, cmssim.Tenant{World: cmssim.Config{VDN: diff.VDN{CC: 1, ID: 1}, HistoryLimit: -1}}),
		Trace: func(c cmssim.Call) {
			if changed {
				// One poll of a VDN at a time, so nobody else touches its list.
				lists[c.VDN.ID][0].Requested ^= 1
				upstream.SetList(c.VDN, lists[c.VDN.ID], counts)
			}
		},
	})
	if err == nil {
		err = upstream.Listen()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer upstream.Close()
	for _, v := range upstream.VDNs() {
		upstream.SetList(v, lists[v.ID], counts)
	}

	server, err := embedded.Start(ctx, embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Shutdown()
	nc, err := publisher.Connect(ctx, publisher.ConnectOptions{InProcess: server.InProcess()})
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	bus, err := publisher.Open(ctx, nc, publisher.Options{Storage: jetstream.MemoryStorage})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if err := publisher.EnsureStream(ctx, js, tick.StreamConfig("", "rest.v1", 1), log); err != nil {
		b.Fatal(err)
	}
	queue, err := tick.Open(ctx, js, tick.Options{Prefix: "rest.v1"})
	if err != nil {
		b.Fatal(err)
	}
	client, err := cms.New(cms.Options{URL: upstream.URL(), AccessKey: "ak", SecretKey: "sk", TLS: upstream.ClientTLS()})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	// The shortest interval there is: the next slot begins when the last ends.
	var targets []poller.Target
	for _, v := range upstream.VDNs() {
		targets = append(targets, poller.Target{VDN: v, Spec: "x", Schedule: poller.Schedule{Every: time.Millisecond}})
	}
	p := poller.New(poller.Options{
		Upstream: client, Store: bus, Queue: queue, Targets: targets, GroupsPerSchedule: 1, Heartbeat: time.Minute, Log: log,
	})
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(run) }()
	for p.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	b.ResetTimer()
	for start := upstream.Calls(); upstream.Calls()-start < int64(b.N); {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "polls/s")
}
