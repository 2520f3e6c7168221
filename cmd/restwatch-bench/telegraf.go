package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/nats-io/nats.go"

	"restwatch/poller/cms"
)

//go:embed peers/telegraf/telegraf.conf
var telegrafConf string

// startTelegraf runs Telegraf on the same load. It has no bursts: all VDNs are
// collected at once, which is the cheapest way for it.
func (b *bench) startTelegraf(log string, u *upstream, nc *nats.Conn, d load) (*process, error) {
	conf, err := template.New("").Parse(telegrafConf)
	if err != nil {
		return nil, err
	}
	data := struct {
		URL, NATS, CA string
		Every         time.Duration
		VDNs          []int
	}{URL: u.URL().JoinPath(cms.Path).String(), NATS: nc.ConnectedUrl(), Every: d.every}
	if d.every == 0 {
		data.Every = 100 * time.Millisecond
	}
	for i := range d.vdns {
		data.VDNs = append(data.VDNs, i+1)
	}
	if !d.plain {
		if data.CA, err = b.authority(u); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(b.dir, "telegraf.conf")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := conf.Execute(f, data); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return begin(b.dir, log, nil, b.telegraf, path)
}
