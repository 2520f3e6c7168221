package poller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/peers"
)

// join meets the other replicas, and learns what they polled before the first
// tick is taken: what they watched is no gap.
func (p *Poller) join(ctx context.Context) error {
	if p.opt.Join == nil {
		return nil
	}
	var err error
	if p.peers, err = p.opt.Join(p.hearing(ctx), p.polledLast); err != nil {
		return err
	}
	// The others know of every VDN, unless the settings differ.
	enough := func(int) bool { return p.Ready() == nil && !p.silence() }
	others, err := p.peers.Meet(ctx, peers.JoinTime, p.hearing(ctx), enough)
	if err != nil {
		return fmt.Errorf("meet the other replicas: %w", err)
	}
	if others > 0 {
		p.company.Store(true)
	}
	p.log.Info("replicas", "others", others)
	return nil
}

// leave returns the VDNs that no replica that stays has in its settings: all, if
// none stays. Of two that leave together, both count none: better said twice that
// nobody watches than never.
func (p *Poller) leave(ctx context.Context) (unwatched []*watch) {
	if p.peers == nil {
		return p.watches
	}
	p.peers.Leave()
	watched := map[diff.VDN]bool{}
	hear := func(n peers.Note) {
		for _, poll := range n.Polls {
			watched[diff.VDN{CC: poll.CC, ID: poll.VDN}] = true
		}
	}
	left := func() []*watch {
		return slices.DeleteFunc(slices.Clone(p.watches), func(w *watch) bool { return watched[w.vdn] })
	}
	if _, err := p.peers.Hello(ctx, peers.LeaveTime, hear, func(int) bool { return len(left()) == 0 }); err != nil {
		p.log.Warn("other replicas not found", "error", err)
	}
	return left()
}

// wakeUp asks the others what they polled if this replica was stopped or cut
// off for so long that it would take what they watched for a gap. It must be called before polls or silence are judged.
func (p *Poller) wakeUp(ctx context.Context) {
	p.awakeMu.Lock()
	defer p.awakeMu.Unlock()
	now, session := time.Now(), p.opt.Queue.Session()
	asleep := now.Sub(p.awake) > 3*p.checkPeriod() || session != p.session
	p.awake, p.session = now, session
	if !asleep || p.peers == nil || !p.silence() {
		return
	}
	wait := peers.WakeTime
	if !p.company.Load() {
		wait /= 4 // most likely there is nobody, and nobody else can say so
	}
	if _, err := p.peers.Hello(ctx, wait, p.hearing(ctx), func(int) bool { return !p.silence() }); err != nil {
		p.log.Warn("other replicas not asked", "error", err)
	}
	p.awake = time.Now()
}

// silence reports whether a VDN that did not fail was polled by nobody for so
// long that it would be a gap.
func (p *Poller) silence() bool {
	now := time.Now()
	return slices.ContainsFunc(p.watches, func(w *watch) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.failures == 0 && w.silent(now)
	})
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
	now := time.Now()
	if told := p.told.Load(); !p.company.Load() && now.UnixNano()-told < int64(p.opt.Heartbeat) {
		return
	}
	p.told.Store(now.UnixNano())
	p.peers.Tell(peers.Note{Polls: notes(watches, now)})
}

func notes(watches []*watch, now time.Time) []peers.Poll {
	polls := make([]peers.Poll, len(watches))
	for i, w := range watches {
		polls[i] = w.note(now)
	}
	return polls
}

// polledLast is what a replica that starts or leaves should know: all that this
// one does of all its VDNs, as who polled one last may have left, and whether
// calls are paused.
func (p *Poller) polledLast() peers.Note {
	p.company.Store(true)
	return peers.Note{Polls: notes(p.watches, time.Now()), Pause: p.pause()}
}

// pause is what the others should know of a pause; nil if there is none.
func (p *Poller) pause() *peers.Pause {
	until, reason, refused := p.gate.state()
	if until.IsZero() {
		return nil
	}
	return &peers.Pause{Left: time.Until(until), Refused: refused, Error: feedError(reason)}
}

// hearing takes over what another replica polled.
func (p *Poller) hearing(ctx context.Context) func(peers.Note) {
	return func(n peers.Note) {
		p.company.Store(true)
		now := time.Now()
		if n.Pause != nil {
			p.hold(now.Add(n.Pause.Left), n.Pause.Refused, &cms.Error{
				Category: cms.Category(n.Pause.Error.Category), Code: n.Pause.Error.Code, Message: n.Pause.Error.Message,
			})
		}
		for _, poll := range n.Polls {
			w := p.byVDN[diff.VDN{CC: poll.CC, ID: poll.VDN}]
			switch {
			case w == nil || !w.heard(poll, now):
			case poll.Failed > 0:
				p.separate(ctx, w)
			default:
				p.rejoin(w)
			}
		}
	}
}

// hold takes over a pause that another replica ran into, and has told the
// subscribers of.
func (p *Poller) hold(until time.Time, refused int, reason *cms.Error) {
	if !p.gate.hold(until, refused, reason) {
		return
	}
	p.log.Error("calls stopped by another replica: the upstream refuses them", "category", reason.Category, "until", until, "error", reason)
	at := p.opt.Queue.Now()
	for _, w := range p.watches {
		p.rejoin(w)
		w.paused(at, reason)
	}
}

// note is what the other replicas should know.
func (w *watch) note(now time.Time) peers.Poll {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := peers.Poll{
		CC: w.vdn.CC, VDN: w.vdn.ID,
		At: w.last, Slow: w.seen.age, Age: now.Sub(w.lastAt), Order: w.order, Head: w.seen.head,
		Failed: w.failures, Retry: max(0, w.retryAt.Sub(now)), Error: w.feed.Error,
	}
	if !w.fed.IsZero() {
		n.Fed = max(1, now.Sub(w.fed))
	}
	return n
}

// heard takes over another replica's poll, and reports whether it is newer than
// what was known. What it means for the feed has been published there.
func (w *watch) heard(n peers.Poll, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fed := now.Add(-n.Fed); n.Fed > 0 && fed.After(w.fed) {
		w.fed = fed
	}
	// By the order of the ticks: if the bus's clock was set back, all news would be
	// old by that. How long a note was on its way, nobody knows.
	if c := n.Order.Compare(w.order); c < 0 || c == 0 && n.At <= w.last {
		return false
	}
	w.last, w.order, w.lastAt, w.mine = n.At, n.Order, now.Add(-n.Age), false
	w.failures, w.retryAt = n.Failed, now.Add(n.Retry)
	w.feed.Error = n.Error
	if n.Failed > 0 {
		status := diff.Degraded
		if w.silent(now) {
			status = diff.Down
		}
		w.turn(status, n.At)
		return true
	}
	w.seen = observation{n.At, n.Slow, n.Order, n.Head}
	w.feed.LastGoodPollAt = n.At - n.Slow // back, too, with the clock
	w.polled, w.goodAt = true, w.lastAt
	w.turn(diff.OK, n.At)
	return true
}

// uptodate moves the times of a head to the last good poll, where that left the
// head as it is: another replica made it, or this service did before it started
// anew.
func (w *watch) uptodate(head diff.Snapshot, seq uint64) diff.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen.head == seq && seq != 0 && w.seen.at > head.ObservedAt {
		return head.Touched(w.seen.at, w.seen.age, w.seen.order)
	}
	return head
}
