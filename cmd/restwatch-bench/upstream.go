package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// upstream is a fast CC-CMS whose lists change in a given share of the polls.
// A change is one stage of one agent, which makes one event: somebody asks, is
// approved, begins to rest, leaves.
type upstream struct {
	*cmssim.Server
	vdns    []*vdn // by VDN number, from 1; [0] is unused
	polls   atomic.Int64
	changes atomic.Int64 // that were in a reply, each counted once
	seen    atomic.Int64 // VDNs polled since the start, or since forget
	first   atomic.Int64 // when the first poll came, unix nanoseconds
}

// vdn is one tenant's list. cmssim answers a call from a version of the list
// that Trace may replace before the next.
type vdn struct {
	mu     sync.Mutex
	share  float64
	rng    *rand.Rand
	rows   []diff.Row
	counts diff.Counts
	stage  int // of the change to come
	nextNo int
	// served is when the newest change first went out; 0: it has not yet.
	served atomic.Int64
	fresh  bool // a change has not gone out yet
	polled bool
}

// newUpstream serves n VDNs of m agents each, of whose replies the share (0 to
// 1) differs from the one before.
func newUpstream(n, m int, share float64, plain bool) (*upstream, error) {
	u := &upstream{vdns: make([]*vdn, n+1)}
	like := cmssim.Tenant{World: cmssim.Config{VDN: diff.VDN{CC: 1, ID: 1}, HistoryLimit: -1}}
	o := cmssim.Options{Plain: plain, Tenants: cmssim.Tenants(n, like), Trace: u.trace}
	s, err := cmssim.New(o)
	if err != nil {
		return nil, fmt.Errorf("make upstream: %w", err)
	}
	u.Server = s
	for i := 1; i <= n; i++ {
		v := newVDN(i, m, share)
		u.vdns[i] = v
		s.SetList(diff.VDN{CC: 1, ID: i}, v.rows, v.counts)
	}
	if err := s.Listen(); err != nil {
		return nil, err
	}
	return u, nil
}

// newVDN lists m agents: a fifth waits for a reason, the others rest, so long
// that none is overdue while it is measured.
func newVDN(id, m int, share float64) *vdn {
	v := &vdn{share: share, rng: rand.New(rand.NewPCG(uint64(id), 7))}
	now := diff.TimeOf(time.Now())
	for i := range m {
		r := diff.Row{WorkNo: 1001 + i, Name: fmt.Sprintf("Agent %d-%d", id, i), Begin: now - 60_000 - diff.Time(i)*137, Requested: 36_000}
		if i%5 == 0 {
			r.Reason = 2
			v.counts.Waiting++
		} else {
			v.counts.Resting++
		}
		v.rows = append(v.rows, r)
	}
	v.nextNo = 1001 + m
	return v
}

// trace is called with each call, just before its answer goes out.
func (u *upstream) trace(c cmssim.Call) {
	u.polls.Add(1)
	v := u.vdns[c.VDN.ID]
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fresh {
		v.fresh = false
		u.changes.Add(1)
		v.served.Store(time.Now().UnixNano())
	}
	if !v.polled {
		v.polled = true
		u.first.CompareAndSwap(0, time.Now().UnixNano())
		u.seen.Add(1)
	}
	if v.rng.Float64() < v.share {
		v.change()
		v.fresh = true
		u.SetList(c.VDN, v.rows, v.counts)
	}
}

// change moves one agent by a stage: the same one until he rests, then the one
// who has rested longest leaves and another asks.
func (v *vdn) change() {
	now := diff.TimeOf(time.Now())
	last := len(v.rows) - 1
	switch v.stage {
	case 0:
		v.nextNo++
		v.rows = append(v.rows, diff.Row{WorkNo: v.nextNo, Name: fmt.Sprint("Agent ", v.nextNo), Reason: 2, Begin: now, Requested: 36_000})
		v.counts.Waiting++
	case 1:
		v.rows[last].Reason, v.rows[last].Begin = 0, now
		v.counts.Waiting--
		v.counts.Approved++
	case 2:
		v.rows[last].Begin = now
		v.counts.Approved--
		v.counts.Resting++
	case 3:
		i := slices.IndexFunc(v.rows, func(r diff.Row) bool { return r.Reason == 0 })
		v.rows = slices.Delete(v.rows, i, i+1)
		v.counts.Resting--
	}
	v.stage = (v.stage + 1) % 4
}

// servedAt is when the newest change of a VDN first went out.
func (u *upstream) servedAt(id int) time.Time {
	return time.Unix(0, u.vdns[id].served.Load())
}

// forget begins to count anew which VDNs were polled.
func (u *upstream) forget() {
	for _, v := range u.vdns[1:] {
		v.mu.Lock()
		v.polled = false
		v.mu.Unlock()
	}
	u.first.Store(0)
	u.seen.Store(0)
}

func (u *upstream) firstPoll() time.Time { return time.Unix(0, u.first.Load()) }
