package reliability

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"restwatch/diff"
	"restwatch/publisher"
	"restwatch/publisher/freeport"
)

// site is an installation: agents, a bus, and somebody who listens.
type site struct {
	*upstream
	env    []string
	bus    string
	binary string // the restwatch that serve starts
	truths map[diff.VDN]*lives
	// splits is how often NATS could not carry messages to this test, with no
	// connection lost.
	splits uint64
	// truthful is a CC-CMS that never lies: each poll's list is looked for in the
	// truth.
	truthful bool
	// apart is by how much the bus's clock is at times another than this
	// machine's, until it is settled: windows, and the time at which a rest is
	// overdue, are then off as much. Zero: never.
	apart   time.Duration
	settled time.Time

	nc    *nats.Conn
	heard sync.Mutex // guards all below
	trail map[diff.VDN]*trail
	feeds map[diff.VDN][]diff.Feed
	odd   []string // what must not have been heard
	twice int      // events and snapshots that were heard once more
}

// trail is what a core subscriber heard of one VDN.
type trail struct {
	first    *diff.Snapshot
	last     []byte           // the last snapshot, as it was heard
	events   map[string]heard // by id
	sequence int64
	revision int64
	// How often something is missing. The bus may go away with what it has not
	// sent yet, once a time.
	eventGaps, snapshotGaps uint64
}

// heard is a message as a core subscriber got it, and when, by this machine's
// clock, which no scenario touches.
type heard struct {
	data string
	at   diff.Time
}

// open prepares an installation at a NATS server; "" is the embedded one.
func open(t *testing.T, vdns int, interval time.Duration, bus string, ahead time.Duration, more ...string) *site {
	t.Helper()
	return openAt(t, loopback, vdns, interval, bus, ahead, more...)
}

// openAt has CC-CMS at that address.
func openAt(t *testing.T, address string, vdns int, interval time.Duration, bus string, ahead time.Duration, more ...string) *site {
	t.Helper()
	s := &site{upstream: startUpstream(t, address, vdns, ahead), bus: bus, binary: binary, truths: map[diff.VDN]*lives{},
		trail: map[diff.VDN]*trail{}, feeds: map[diff.VDN][]diff.Feed{}}
	for _, v := range s.VDNs() {
		s.truths[v] = begun(s.upstream, v)
	}
	settings := []string{
		"CMS_URL=" + s.URL().String(), "CMS_CA_FILE=" + s.caFile, "CMS_ACCESS_KEY=" + accessKey, "CMS_SECRET_KEY=" + secretKey,
		"CMS_CTI=3.8", fmt.Sprintf("VDNS=1:1-%d", vdns), "SCHEDULE=@every " + interval.String(), "HEARTBEAT=2s", "HTTP_ADDR=127.0.0.1:0",
	}
	if bus == "" {
		s.bus = fmt.Sprintf("nats://127.0.0.1:%d", freeport.Hold(t))
		settings = append(settings, "NATS_LISTEN="+strings.TrimPrefix(s.bus, "nats://"), "STORE_DIR="+filepath.Join(t.TempDir(), "store"))
	} else {
		settings = append(settings, "NATS_URL="+bus)
	}
	for _, set := range append(settings, more...) {
		s.env = append(s.env, "RESTWATCH_"+set)
	}
	s.listen(t)
	return s
}

// serve starts one more restwatch.
func (s *site) serve(t *testing.T) *process {
	t.Helper()
	return spawn(t, s.env, s.binary, "serve")
}

// atWork waits until a restwatch knows all VDNs, and returns how long that took.
func (s *site) atWork(t *testing.T, p *process) time.Duration {
	t.Helper()
	p.await(t, "snapshots loaded")
	p.await(t, "feed ok")
	return time.Since(p.started)
}

// listen hears what core subscribers hear, from now on.
func (s *site) listen(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(s.bus, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.heard.Lock()
			defer s.heard.Unlock()
			if strings.Contains(err.Error(), "slow consumer") {
				s.odd = append(s.odd, err.Error())
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s.nc = nc
	sub, err := nc.Subscribe("rest.v1.>", func(m *nats.Msg) {
		s.heard.Lock()
		defer s.heard.Unlock()
		s.hear(m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
}

func (s *site) trailOf(v diff.VDN) *trail {
	if s.trail[v] == nil {
		s.trail[v] = &trail{events: map[string]heard{}}
	}
	return s.trail[v]
}

// hear checks the order of what comes. s.heard is held.
func (s *site) hear(m *nats.Msg) {
	wrong := func(format string, a ...any) {
		if len(s.odd) < 20 {
			s.odd = append(s.odd, m.Subject+": "+fmt.Sprintf(format, a...))
		}
	}
	switch {
	case strings.HasPrefix(m.Subject, "rest.v1.event."):
		e, err := publisher.DecodeEvent(m.Data)
		if err != nil {
			wrong("%v", err)
			return
		}
		tr := s.trailOf(diff.VDN{CC: e.CC, ID: e.VDN})
		if before, again := tr.events[e.ID()]; again {
			if before.data != string(m.Data) {
				wrong("id %s says two things:\n%s\n%s", e.ID(), before.data, m.Data)
			}
			s.twice++
			return
		}
		tr.events[e.ID()] = heard{string(m.Data), diff.TimeOf(time.Now())}
		if e.Sequence <= tr.sequence {
			wrong("sequence %d follows %d", e.Sequence, tr.sequence)
		}
		if tr.first != nil && e.Sequence > tr.sequence+1 {
			tr.eventGaps++
		}
		tr.sequence = e.Sequence
	case strings.HasPrefix(m.Subject, "rest.v1.snapshot."):
		snap, err := publisher.DecodeSnapshot(m.Data)
		if err != nil {
			wrong("%v", err)
			return
		}
		tr := s.trailOf(diff.VDN{CC: snap.CC, ID: snap.VDN})
		switch {
		case tr.first == nil:
			tr.first = &snap
		case bytes.Equal(m.Data, tr.last):
			// A leader may have published what its successor publishes again.
			s.twice++
			return
		case snap.Revision <= tr.revision || snap.LastSequence < tr.sequence:
			wrong("revision %d of sequence %d follows %d of %d", snap.Revision, snap.LastSequence, tr.revision, tr.sequence)
		default:
			if snap.Revision > tr.revision+1 {
				tr.snapshotGaps++
			}
			if snap.LastSequence > tr.sequence {
				tr.eventGaps++
			}
		}
		tr.last, tr.revision, tr.sequence = m.Data, snap.Revision, snap.LastSequence
	case strings.HasPrefix(m.Subject, "rest.v1.feed."):
		f, err := publisher.DecodeFeed(m.Data)
		if err != nil {
			wrong("%v", err)
			return
		}
		v := diff.VDN{CC: f.CC, ID: f.VDN}
		s.feeds[v] = append(s.feeds[v], f)
	default:
		wrong("nobody publishes there")
	}
}

// told counts the VDNs whose last heard feed is as wanted.
func (s *site) told(status diff.Status) (n int) {
	s.heard.Lock()
	defer s.heard.Unlock()
	for _, list := range s.feeds {
		if list[len(list)-1].Status == status {
			n++
		}
	}
	return n
}

// everywhere waits until every VDN's last heard feed has this status.
func (s *site) everywhere(t *testing.T, status diff.Status) {
	t.Helper()
	eventually(t, "feeds "+string(status), func() bool { return s.told(status) == len(s.truths) })
}

// downs counts the feeds that said so.
func (s *site) downs() (n int) {
	s.heard.Lock()
	defer s.heard.Unlock()
	for _, list := range s.feeds {
		for i, f := range list {
			if f.Status == diff.Down && (i == 0 || list[i-1].Status != diff.Down) {
				n++
			}
		}
	}
	return n
}

// certainBetween is how many of the events heard between two instants were certain.
func (s *site) certainBetween(from, to time.Time) string {
	s.heard.Lock()
	defer s.heard.Unlock()
	all, certain := 0, 0
	for _, tr := range s.trail {
		for _, h := range tr.events {
			if h.at > diff.TimeOf(from) && h.at <= diff.TimeOf(to) {
				all++
				if strings.Contains(h.data, `"certainty":"certain"`) {
					certain++
				}
			}
		}
	}
	return fmt.Sprintf("%d of %d events certain", certain, all)
}

// gaps counts the feeds that told of a gap, and those that told of the end.
func (s *site) gaps() (gaps, ends int) {
	s.heard.Lock()
	defer s.heard.Unlock()
	for _, list := range s.feeds {
		for _, f := range list {
			if f.Gap != nil {
				gaps++
			}
			if f.Status == diff.Stopping {
				ends++
			}
		}
	}
	return gaps, ends
}
