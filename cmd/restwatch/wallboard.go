package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"restwatch/diff"
	"restwatch/publisher"
)

// web is the wallboard's page.
//
//go:embed web
var web embed.FS

// wallboard tells the page what the bus has stored. Safe for concurrent use.
type wallboard struct {
	bus       *publisher.Bus
	heartbeat time.Duration // how often feeds repeat their status

	mu    sync.Mutex          // guards what follows
	read  time.Time           // when the bus was asked; of a failure, when it was known
	vdns  []boardVDN          // as read; must not be changed
	err   error               // why nothing could be read
	pages map[diff.VDN][]byte // of vdns, by what was asked for
}

const (
	// boardAge is how old what the wallboard shows may be, so that many who look at
	// once cost what one does. A page asks again after about as long.
	boardAge = time.Second
	// boardPages is how many different pages are kept so long.
	boardPages = 100
	// boardAgents is how many agents a page gets in all; of more than that, the
	// totals alone.
	boardAgents = 2000
)

// boardVDN is a VDN on the wallboard.
type boardVDN struct {
	CC             int          `json:"ccId"`
	VDN            int          `json:"vdn"`
	Status         diff.Status  `json:"status"`           // of the feed; "" if it has told nothing yet
	Silent         bool         `json:"silent,omitempty"` // nobody has repeated the status: nobody may watch
	LastGoodPollAt diff.Time    `json:"lastGoodPollAt"`
	ObservedAt     diff.Time    `json:"observedAt"`
	Counts         diff.Counts  `json:"counts"`
	Overdue        int          `json:"overdue"`
	Agents         []boardAgent `json:"agents,omitempty"`
}

type boardAgent struct {
	WorkNo           int            `json:"workNo"`
	AgentName        string         `json:"agentName"`
	State            diff.State     `json:"state"`
	Certainty        diff.Certainty `json:"certainty"`
	BeginAt          diff.Time      `json:"beginAt"`
	RequestedSeconds int            `json:"requestedSeconds"`
	Overdue          bool           `json:"overdue"`
}

// ServeHTTP answers with the VDNs, or with those that ccid and vdn select.
func (b *wallboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wanted, err := boardQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	page, err := b.page(ctx, wanted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(page) // whoever has gone needs no answer
}

// page is what those see who want this, all VDNs if it is zero.
func (b *wallboard) page(ctx context.Context, wanted diff.VDN) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.read) >= boardAge {
		begun := time.Now()
		vdns, err := b.ask(ctx)
		if err != nil {
			if ctx.Err() == context.Canceled {
				return nil, err // who asked has gone: that says nothing to others
			}
			begun = time.Now() // those who waited meanwhile need not try again
		}
		b.read, b.vdns, b.err, b.pages = begun, vdns, err, make(map[diff.VDN][]byte)
	}
	if b.err != nil {
		return nil, b.err
	}
	if page, made := b.pages[wanted]; made {
		return page, nil
	}
	page, err := encodeBoard(b.vdns, wanted, b.read)
	if err == nil && len(b.pages) < boardPages {
		b.pages[wanted] = page
	}
	return page, err
}

// encodeBoard writes the page of the VDNs that are wanted, as they were then.
func encodeBoard(vdns []boardVDN, wanted diff.VDN, then time.Time) ([]byte, error) {
	page := struct {
		Now           diff.Time  `json:"now"`
		AgentsLeftOut bool       `json:"agentsLeftOut"`
		VDNs          []boardVDN `json:"vdns"`
	}{Now: diff.TimeOf(then), VDNs: []boardVDN{}}
	agents := 0
	for _, v := range vdns {
		if (wanted.CC == 0 || v.CC == wanted.CC) && (wanted.ID == 0 || v.VDN == wanted.ID) {
			page.VDNs = append(page.VDNs, v)
			agents += len(v.Agents)
		}
	}
	if page.AgentsLeftOut = agents > boardAgents && len(page.VDNs) > 1; page.AgentsLeftOut {
		for i := range page.VDNs {
			page.VDNs[i].Agents = nil
		}
	}
	return json.Marshal(page)
}

// boardQuery reads ccid and vdn, 0 if they are not given.
func boardQuery(q url.Values) (v diff.VDN, err error) {
	for _, n := range []struct {
		name string
		to   *int
	}{{"ccid", &v.CC}, {"vdn", &v.ID}} {
		if text := q.Get(n.name); text != "" {
			if *n.to, err = strconv.Atoi(text); err != nil || *n.to < 1 {
				return v, fmt.Errorf("%s %q: want a number", n.name, text)
			}
		}
	}
	return v, nil
}

// ask returns what is stored of all VDNs, in order.
func (b *wallboard) ask(ctx context.Context) ([]boardVDN, error) {
	vdns := []boardVDN{}
	shown := map[diff.VDN]int{}
	said := map[diff.VDN]time.Time{}
	var newest time.Time
	for m, err := range b.bus.Reader().Feeds(ctx, false) {
		if err != nil && !errors.As(err, new(*publisher.MessageError)) {
			return nil, err
		}
		if f := m.Feed; f != nil {
			v := diff.VDN{CC: f.CC, ID: f.VDN}
			shown[v], said[v] = len(vdns), m.Stored
			vdns = append(vdns, boardVDN{CC: v.CC, VDN: v.ID, Status: f.Status, LastGoodPollAt: f.LastGoodPollAt})
			if newest.Before(m.Stored) {
				newest = m.Stored
			}
		}
	}
	// By the server's clock alone. There is a newest, as this service repeats its
	// own; what is older by far was left by one that was killed.
	for v, i := range shown {
		vdns[i].Silent = newest.Sub(said[v]) > 3*b.heartbeat && vdns[i].Status != diff.Stopping
	}
	for m, err := range b.bus.Reader().Snapshots(ctx) {
		if err != nil && !errors.As(err, new(*publisher.MessageError)) {
			return nil, err
		}
		if s := m.Snapshot; s != nil {
			i, known := shown[diff.VDN{CC: s.CC, ID: s.VDN}]
			if !known {
				i = len(vdns)
				shown[diff.VDN{CC: s.CC, ID: s.VDN}] = i
				vdns = append(vdns, boardVDN{CC: s.CC, VDN: s.VDN})
			}
			vdns[i].show(s)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(vdns, func(x, y boardVDN) int {
		return diff.VDN{CC: x.CC, ID: x.VDN}.Compare(diff.VDN{CC: y.CC, ID: y.VDN})
	})
	return vdns, nil
}

// show takes over a snapshot.
func (v *boardVDN) show(s *diff.Snapshot) {
	v.ObservedAt, v.Counts, v.Overdue, v.Agents = s.ObservedAt, s.Counts, 0, nil
	for _, a := range s.Agents {
		if a.Overdue {
			v.Overdue++
		}
		v.Agents = append(v.Agents, boardAgent{a.WorkNo, a.AgentName, a.State, a.Certainty, a.BeginAt, a.RequestedSeconds, a.Overdue})
	}
}
