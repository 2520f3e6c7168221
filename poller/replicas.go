package poller

import (
	"context"
	"fmt"
	"time"

	"restwatch/diff"
	"restwatch/poller/peers"
)

// join meets the other replicas, and learns what they polled before the first
// tick is taken: what they watched is no gap.
func (p *Poller) join(ctx context.Context) error {
	if p.opt.Join == nil {
		return nil
	}
	hear := func(polls []peers.Poll) { p.hear(ctx, polls) }
	var err error
	if p.peers, err = p.opt.Join(hear, p.polledLast); err != nil {
		return err
	}
	others, err := p.peers.Hello(ctx, hear)
	if err != nil {
		return fmt.Errorf("meet the other replicas: %w", err)
	}
	if others > 0 {
		p.company.Store(true)
	}
	p.log.Info("replicas", "others", others)
	return nil
}

// leave returns how many replicas stay. Of two that leave together, both count
// none: better said twice that nobody watches than never.
func (p *Poller) leave(ctx context.Context) (others int) {
	if p.peers == nil {
		return 0
	}
	p.peers.Leave()
	others, err := p.peers.Hello(ctx, func([]peers.Poll) {})
	if err != nil {
		p.log.Warn("other replicas not found", "error", err)
	}
	return others
}

// tell tells the other replicas what was polled. One that has never heard of
// another does so only once a heartbeat: its notes, one for each tick, would
// cost a tenth of all that it does. Whoever starts later asks what was polled,
// and is heard of by that; should the question get lost, the note of a heartbeat
// makes the two known to each other.
func (p *Poller) tell(watches []*watch) {
	if p.peers == nil || len(watches) == 0 {
		return
	}
	now := time.Now().UnixNano()
	if told := p.told.Load(); !p.company.Load() && now-told < int64(p.opt.Heartbeat) {
		return
	}
	p.told.Store(now)
	polls := make([]peers.Poll, len(watches))
	for i, w := range watches {
		polls[i] = w.note(time.Now())
	}
	p.peers.Tell(polls)
}

// polledLast is what this replica was the last to poll. Another one asks.
func (p *Poller) polledLast() []peers.Poll {
	p.company.Store(true)
	var polls []peers.Poll
	now := time.Now()
	for _, w := range p.watches {
		if n := w.note(now); w.polledHere() {
			polls = append(polls, n)
		}
	}
	return polls
}

// hear takes over what another replica polled.
func (p *Poller) hear(ctx context.Context, polls []peers.Poll) {
	p.company.Store(true)
	for _, n := range polls {
		w := p.byVDN[diff.VDN{CC: n.CC, ID: n.VDN}]
		if w == nil || !w.heard(n, time.Now()) {
			continue
		}
		if n.Failed > 0 {
			p.separate(ctx, w)
		} else {
			p.rejoin(w)
		}
	}
}

// note is what the other replicas should know.
func (w *watch) note(now time.Time) peers.Poll {
	w.mu.Lock()
	defer w.mu.Unlock()
	return peers.Poll{
		CC: w.vdn.CC, VDN: w.vdn.ID,
		At: w.last, Order: w.seen.order, Head: w.seen.head, Fed: w.fed,
		Failed: w.failures, Retry: max(0, w.retryAt.Sub(now)), Error: w.feed.Error,
	}
}

func (w *watch) polledHere() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mine
}

// heard takes over another replica's poll, and reports whether it is newer than
// what was known. What it means for the feed has been published there.
func (w *watch) heard(n peers.Poll, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fed = max(w.fed, n.Fed)
	if n.At <= w.last {
		return false
	}
	w.last, w.mine = n.At, false
	w.failures, w.retryAt = n.Failed, now.Add(n.Retry)
	w.feed.Error = n.Error
	if n.Failed > 0 {
		status := diff.Degraded
		if w.silent(n.At) {
			status = diff.Down
		}
		w.turn(status, n.At)
		return true
	}
	w.seen = observation{n.At, n.Order, n.Head}
	w.feed.LastGoodPollAt = max(w.feed.LastGoodPollAt, n.At)
	w.polled = true
	w.turn(diff.OK, n.At)
	return true
}

// uptodate moves the times of a head to the last good poll, where another
// replica made it and it left the head as it is.
func (w *watch) uptodate(head diff.Snapshot, seq uint64) diff.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen.head == seq && seq != 0 && w.seen.at > head.ObservedAt {
		return head.Touched(w.seen.at, w.seen.order)
	}
	return head
}
