package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSlotsHoldEveryVDNOnce(t *testing.T) {
	for _, c := range []struct {
		vdns  int
		every time.Duration
		slots int
	}{{1, time.Second, 1}, {200, time.Second, 7}, {1000, time.Second, 10}, {5000, 5 * time.Second, 50}, {5000, time.Minute, 64}, {7, 100 * time.Millisecond, 1}} {
		seen := map[int]bool{}
		list := slots(c.vdns, c.every)
		for i, s := range list {
			if s.Phase < 0 || s.Phase >= c.every || i > 0 && s.Phase-list[i-1].Phase < 100*time.Millisecond {
				t.Errorf("%d VDNs every %v: slot %d at %v", c.vdns, c.every, i, s.Phase)
			}
			for v := s.From; v < s.To; v++ {
				seen[v] = true
			}
		}
		if len(list) != c.slots || len(seen) != c.vdns {
			t.Errorf("%d VDNs every %v: got %d slots of %d VDNs, want %d slots", c.vdns, c.every, len(list), len(seen), c.slots)
		}
	}
}

// TestFloorPollsAndPublishes has the floor poll a real upstream and publish to
// a real server, paced and as fast as it goes.
func TestFloorPollsAndPublishes(t *testing.T) {
	const vdns = 3
	for _, every := range []time.Duration{0, 200 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			u, err := newUpstream(vdns, 10, 0.5, true)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			defer func() { s.Shutdown(); s.WaitForShutdown() }()
			nc, err := connect(t.Context(), s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			bodies, err := nc.SubscribeSync("floor.*")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- run(ctx, []string{"floor", "-url", u.URL().String(), "-nats", s.ClientURL(), "-vdns", fmt.Sprint(vdns), "-every", every.String()})
			}()
			seen := map[string]bool{}
			for len(seen) < vdns {
				m, err := bodies.NextMsg(time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				seen[m.Subject] = true
				if !bytes.Contains(m.Data, []byte(`"agentsRestDetails":[{`)) {
					t.Errorf("got %q, want a list", m.Data)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChangesAreConsistent holds the upstream to what the inference needs to be
// certain: totals that fit the list, and no stage skipped.
func TestChangesAreConsistent(t *testing.T) {
	v := newVDN(1, 10, 1)
	for range 100 {
		v.change()
		if v.counts.Sum() != len(v.rows) {
			t.Fatalf("got %d agents, totals %+v", len(v.rows), v.counts)
		}
	}
	if len(v.rows) != 10 {
		t.Errorf("got %d agents, want the 10 of the start", len(v.rows))
	}
}

func TestTableHasMediansAndRatios(t *testing.T) {
	of := func(cpu time.Duration) window {
		return window{polls: 1000, cpu: cpu, nats: cpu, took: 10 * time.Second, resident: 15 << 20, peak: 20 << 20, changes: 100, published: 75, latencies: []time.Duration{cpu}}
	}
	ms := time.Millisecond
	floor := []window{of(100 * ms), of(200 * ms), of(100 * ms)}
	runs := []window{of(90 * ms), of(160 * ms), of(110 * ms)}
	var b strings.Builder
	compareRow(&b, load{agents: 10, share: 0.01}, "restwatch", runs, floor)
	want := "| 10 | 1 % | restwatch | 100 | 110.0 (90.0-160.0) | 220.0 | 0.90 | 0.90 | 15 | 20 | 0.75 | 110.0 ms | 110.0 ms |\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

func TestPathsAreAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	b := bench{dir: "out", restwatch: "./restwatch", natsServer: "nats-server", peers: newPeers()}
	b.peers[1].path = filepath.Join("bin", "peer")
	cleanup, err := b.prepare()
	if err != nil {
		t.Fatal(err)
	}
	cleanup() // removes no folder that was given
	if _, err := os.Stat(filepath.Join(dir, "out")); err != nil {
		t.Error(err)
	}
	for got, want := range map[string]string{
		b.dir: filepath.Join(dir, "out"), b.restwatch: filepath.Join(dir, "restwatch"), b.natsServer: "nats-server",
		b.peers[0].path: "", b.peers[1].path: filepath.Join(dir, "bin", "peer"),
	} {
		if got != want {
			t.Errorf("got path %q, want %q", got, want)
		}
	}
}

// TestPeersPollEachVDN reads the configurations as far as they say what is
// polled, how often and to where.
func TestPeersPollEachVDN(t *testing.T) {
	const vdns = 3
	for _, p := range newPeers() {
		for _, ca := range []string{"", "/ca.pem"} {
			path := filepath.Join(t.TempDir(), "conf")
			if err := p.configure(path, "http://upstream/x", "nats://bus", ca, load{vdns: vdns}); err != nil {
				t.Fatal(err)
			}
			conf, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for text, want := range map[string]int{
				`"vdn":1}`: 1, `"vdn":2}`: 1, `"vdn":3}`: 1, `"vdn":4}`: 0, `"nats://bus"`: 1, `"http://upstream/x"`: vdns,
				`"/ca.pem"`: vdns * len(ca) / len("/ca.pem"), p.name + ".": 1, "<no value>": 0,
			} {
				if got := strings.Count(string(conf), text); got != want {
					t.Errorf("%s, ca %q: %q is there %d times, want %d", p.name, ca, text, got, want)
				}
			}
			if !strings.Contains(string(conf), "100ms") {
				t.Errorf("%s: no interval", p.name)
			}
			if p.name == "connect" {
				if err := yaml.Unmarshal(conf, &map[string]any{}); err != nil {
					t.Errorf("%s: %v", p.name, err)
				}
			}
		}
	}
}
