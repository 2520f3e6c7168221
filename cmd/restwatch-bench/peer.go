package main

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/poller/cms"
)

var (
	//go:embed peers/telegraf/telegraf.conf
	telegrafConf string
	//go:embed peers/connect/connect.yaml
	connectConf string
)

// peer is another program, set up to do the job as near as it can. It publishes
// what changed, a message an agent, below a subject of its name.
type peer struct {
	name, product string
	conf          string   // template of its configuration
	args          []string // before the path of the configuration
	path          string   // of the program; empty: not compared
}

func newPeers() []*peer {
	return []*peer{
		{name: "telegraf", product: "Telegraf", conf: telegrafConf},
		{name: "connect", product: "Redpanda Connect", conf: connectConf, args: []string{"run"}},
	}
}

// stream is where the messages of a peer are stored, capped as the floor's is.
func (p *peer) stream() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: strings.ToUpper(p.name), Subjects: []string{p.name + ".>"}, MaxBytes: 256 << 20}
}

// peer is the one with a name, nil if there is none.
func (b *bench) peer(name string) *peer {
	for _, p := range b.peers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// stored is how many messages a peer's stream has been given so far, 0 for a
// program that is no peer.
func (b *bench) stored(ctx context.Context, program string, nc *nats.Conn) (int64, error) {
	p := b.peer(program)
	if p == nil {
		return 0, nil
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, p.stream().Name)
	if err != nil {
		return 0, err
	}
	return int64(s.CachedInfo().State.LastSeq), nil
}

// settle waits until a peer has published the lists that it began with, which
// may be every agent there is: until it stores no more than twice what changes.
// After two minutes it waits no longer; the table tells what is published.
func (b *bench) settle(ctx context.Context, program string, u *upstream, nc *nats.Conn) error {
	if b.peer(program) == nil {
		return nil
	}
	before, err := b.stored(ctx, program, nc)
	if err != nil {
		return err
	}
	for range 60 {
		changes := u.changes.Load()
		if err := wait(ctx, 2*time.Second); err != nil {
			return err
		}
		after, err := b.stored(ctx, program, nc)
		if err != nil {
			return err
		}
		if after-before <= 2*(u.changes.Load()-changes) {
			return nil
		}
		before = after
	}
	return nil
}

// startPeer runs a peer on the same load. It has no bursts: every peer polls
// whenever that is cheapest for it.
func (b *bench) startPeer(ctx context.Context, peer *peer, log string, u *upstream, nc *nats.Conn, d load) (*process, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	if _, err := js.CreateStream(ctx, peer.stream()); err != nil {
		return nil, err
	}
	ca := ""
	if !d.plain {
		if ca, err = b.authority(u); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(b.dir, peer.name+".conf")
	if err := peer.configure(path, u.URL().JoinPath(cms.Path).String(), nc.ConnectedUrl(), ca, d); err != nil {
		return nil, err
	}
	return begin(b.dir, log, nil, peer.path, append(peer.args, path)...)
}

// configure writes the configuration; without ca, the calls go without TLS.
func (p *peer) configure(path, url, nats, ca string, d load) error {
	conf, err := template.New(p.name).Parse(p.conf)
	if err != nil {
		return err
	}
	data := struct {
		URL, NATS, CA string
		Every         time.Duration
		VDNs          []int
	}{URL: url, NATS: nats, CA: ca, Every: d.interval()}
	for i := range d.vdns {
		data.VDNs = append(data.VDNs, i+1)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := conf.Execute(f, data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
