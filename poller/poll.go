package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/peers"
	"restwatch/poller/tick"
)

// commitTries bounds how often one observation is compared again because
// somebody else's commit came between.
const commitTries = 3

// poll reads one VDN and has what changed committed.
func (p *Poller) poll(ctx context.Context, w *watch, t tick.Tick, b *burst) {
	if !w.polling.TryLock() {
		// This tick was given out again while its first run still lasts.
		b.hear()
		p.metrics.poll("overlap", 0)
		return
	}
	defer w.polling.Unlock()

	begun := time.Now()
	reading, same, err := p.observe(ctx, w, t)
	b.hear()
	outcome := "same"
	if err == nil && !same {
		outcome, err = p.take(ctx, w, t, reading, b)
	}
	var failure *cms.Error
	switch {
	case errors.Is(err, errPaused):
		p.metrics.poll("paused", 0)
		return
	case errors.As(err, &failure):
		p.fail(ctx, w, t, failure, time.Since(begun))
		return
	case err != nil:
		// The upstream is well and the bus is not. The head is read again at
		// the next poll, which finds whatever this one could not commit.
		p.fail(ctx, w, t, &cms.Error{Category: bus, Message: err.Error()}, time.Since(begun))
		return
	}
	p.rejoin(w)
	p.metrics.poll(outcome, time.Since(begun))
}

// observe makes a reading. If it is the same as the one before, and means
// nothing new, it is taken already.
func (p *Poller) observe(ctx context.Context, w *watch, t tick.Tick) (reading cms.Reading, same bool, err error) {
	reading, err = p.read(ctx, w, w.known(p.opt.Queue.Now()))
	if err != nil || !reading.Same {
		return reading, false, err
	}
	if same, err = p.same(ctx, w, t, reading); err == nil && !same && reading.Rows == nil {
		reading, err = p.read(ctx, w, reading.Fingerprint.WithRows())
	}
	return reading, same, err
}

// read makes one reading, if the credentials are known to be good, and first
// finds out whether they are, by a single call, if they are not.
func (p *Poller) read(ctx context.Context, w *watch, last cms.Fingerprint) (cms.Reading, error) {
	if p.opt.Queue.Probation() {
		p.gate.doubt()
	}
	pass, err := p.gate.enter(ctx)
	if err != nil {
		return cms.Reading{}, err
	}
	if pass.probing() {
		_, err := p.opt.Upstream.Probe(ctx, w.vdn)
		p.settle(ctx, pass, err)
		if err != nil {
			return cms.Reading{}, err
		}
		if pass, err = p.gate.enter(ctx); err != nil {
			return cms.Reading{}, err
		}
	}
	reading, err := p.opt.Upstream.Read(ctx, w.vdn, last)
	p.settle(ctx, pass, err)
	return reading, err
}

// settle tells the gate how a call ended, and everybody what follows from it.
func (p *Poller) settle(ctx context.Context, pass pass, err error) {
	if pass.leave(err) {
		p.stopCalls(ctx)
	}
	if err == nil {
		if err := p.opt.Queue.Proven(ctx); err != nil {
			p.log.Warn("probation not ended", "error", err)
		}
	}
}

// same takes a reading that is the one before once more, and so was not
// decoded. It returns false if that may mean something new after all: the head
// is another one by now, or something falls due.
func (p *Poller) same(ctx context.Context, w *watch, t tick.Tick, reading cms.Reading) (bool, error) {
	head, seq, err := p.opt.Store.Head(ctx, w.vdn)
	if err != nil {
		return false, fmt.Errorf("read head: %w", err)
	}
	head = w.uptodate(head, seq)
	at := p.opt.Queue.At(reading.Received)
	// Long before the head, the bus's clock was set back.
	setBack := at.Add(time.Second) < head.ObservedAt
	if now := max(at, head.ObservedAt+1); setBack || w.replyHead != seq || now >= w.quietUntil || w.detectedBy(reading.Received, at, &head) != diff.Poll {
		return false, nil
	}
	if err := p.welcome(ctx, w, at, p.age(reading), diff.Poll, &head); err != nil {
		return false, err
	}
	head = head.Touched(at, p.age(reading), t.Order)
	p.opt.Store.Keep(w.vdn, seq, head)
	w.good(reading.Received, &head, seq)
	return true, nil
}

// take compares a reading with the head and commits what changed, together
// with the other polls of its burst.
func (p *Poller) take(ctx context.Context, w *watch, t tick.Tick, reading cms.Reading, b *burst) (outcome string, err error) {
	at := p.opt.Queue.At(reading.Received)
	var errs []error
	for try := range commitTries {
		head, seq, err := p.opt.Store.Head(ctx, w.vdn)
		if err != nil {
			return "", fmt.Errorf("read head: %w", err)
		}
		head = w.uptodate(head, seq)
		detectedBy := w.detectedBy(reading.Received, at, &head)
		obs := diff.Observation{
			VDN: w.vdn, At: at, Took: reading.Took(), Order: t.Order, DetectedBy: detectedBy,
			Counts: reading.Counts, Rows: reading.Rows, Torn: reading.Torn,
		}
		if try == 0 {
			if err := p.welcome(ctx, w, at, p.age(reading), detectedBy, &head); err != nil {
				return "", err
			}
		}
		r := diff.Compare(&head, &obs, p.opt.Diff)
		if r.Commit {
			b.gather(ctx)
		}
		if !r.Commit {
			p.opt.Store.Keep(w.vdn, seq, r.Snapshot)
		} else if seq, err = p.opt.Store.Commit(ctx, seq, &head, r); err != nil {
			errs = append(errs, err)
			continue
		} else if stored, now, err := p.opt.Store.Head(ctx, w.vdn); err == nil && now == seq {
			r.Snapshot = stored // a large result is stored in steps, each a revision
		}
		w.good(reading.Received, &r.Snapshot, seq)
		w.reply, w.replyHead, w.quietUntil = reading.Fingerprint, seq, r.QuietUntil
		switch {
		case r.Snapshot.Quality == diff.Inconsistent:
			p.log.Warn("list is not of one instant", "vdn", w.vdn.String(), "category", cms.Inconsistent,
				"agents", len(reading.Rows), "counts", reading.Counts.Sum(), "torn", reading.Torn)
			return string(cms.Inconsistent), nil
		case r.Commit:
			return "changed", nil
		}
		return "unchanged", nil
	}
	return "", errors.Join(errs...)
}

// age is how old what a reading shows may be.
func (p *Poller) age(r cms.Reading) diff.Time { return p.opt.Diff.Age(r.Took()) }

// known is the last reply, for Read to compare with. Rows are wanted all the
// same if the same reply might mean something new by now.
func (w *watch) known(now diff.Time) cms.Fingerprint {
	if now.Add(time.Second) >= w.quietUntil {
		return w.reply.WithRows()
	}
	return w.reply
}

// welcome publishes the feed's recovery before the events that a good poll may
// have found.
func (p *Poller) welcome(ctx context.Context, w *watch, at, age diff.Time, detectedBy string, head *diff.Snapshot) error {
	w.telling.Lock()
	defer w.telling.Unlock()
	f, due := w.recovery(at, age, detectedBy, head)
	if !due {
		return nil
	}
	f.Interval = w.schedule.Interval(time.Now()).Seconds()
	if err := p.opt.Store.PublishFeeds(ctx, []diff.Feed{f}, false); err != nil {
		return fmt.Errorf("publish feed: %w", err)
	}
	w.recovered(f, time.Now())
	p.log.Info("feed ok", "vdn", w.vdn.String())
	return nil
}

// fail notes a failed poll: nobody's rest ends by it.
func (p *Poller) fail(ctx context.Context, w *watch, t tick.Tick, err *cms.Error, took time.Duration) {
	p.metrics.poll(string(err.Category), took)
	if err.Category == cms.Canceled {
		return // we stopped, the upstream did not fail
	}
	if until, _ := p.gate.paused(); !until.IsZero() {
		return // told for all VDNs at once, by stopCalls
	}
	if err.Category != bus { // which is nothing of this VDN's own
		p.separate(ctx, w)
	}
	status, changed, wait := w.failed(p.opt.Queue.Now(), t.Order, time.Now(), err)
	if err.Category == bus {
		p.log.Error("poll not stored", "vdn", w.vdn.String(), "category", err.Category, "error", err.Message, "feed", status)
	} else {
		p.log.Warn("poll failed", "vdn", w.vdn.String(), "category", err.Category, "error", err, "feed", status, "skips", wait)
	}
	if changed {
		p.publish(ctx, []*watch{w}, false)
	}
}

// stopCalls pauses the ticks, and tells the other replicas and the subscribers
// that a call has started a pause.
func (p *Poller) stopCalls(ctx context.Context) {
	until, reason := p.gate.paused()
	if reason == nil {
		return // it is over already
	}
	p.log.Error("calls stopped: the upstream refuses them", "category", reason.Category, "until", until, "error", reason)
	if err := p.opt.Queue.Pause(ctx, until); err != nil {
		p.log.Error("ticks not paused", "error", err)
	}
	at := p.opt.Queue.Now()
	var changed []*watch
	for _, w := range p.watches {
		p.rejoin(w)
		if w.paused(at, reason) {
			changed = append(changed, w)
		}
	}
	if p.peers != nil {
		p.peers.Tell(peers.Note{Pause: p.pause()})
	}
	p.publish(ctx, changed, false)
}

// heartbeats repeats every feed's status, finds those that went down while no
// poll ended, and keeps clock and heads true. It returns when ctx is done.
func (p *Poller) heartbeats(ctx context.Context) {
	check := time.NewTicker(p.checkPeriod())
	defer check.Stop()
	synced := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-check.C:
			p.check(ctx)
			if now.Sub(synced) >= p.opt.Heartbeat {
				synced = now
				p.sync(ctx)
			}
		}
	}
}

func (p *Poller) checkPeriod() time.Duration { return min(p.opt.Heartbeat/10, time.Second) }

// check publishes the feeds that went down, and those that were not heard of
// for a heartbeat.
func (p *Poller) check(ctx context.Context) {
	if !p.opt.Queue.Connected() {
		return // nothing can be told, and nothing is known of the others
	}
	p.wakeUp(ctx)
	at, now := p.opt.Queue.Now(), time.Now()
	var changed, due []*watch
	_, refusal := p.gate.paused()
	for _, w := range p.watches {
		if refusal != nil && w.paused(at, refusal) {
			// A poll that was under way when the pause began has ended since.
			changed = append(changed, w)
			continue
		}
		switch down, silent := w.check(at, now, p.opt.Heartbeat); {
		case down:
			changed = append(changed, w)
		case silent:
			due = append(due, w)
		}
	}
	p.publish(ctx, changed, false)
	p.tell(due) // first, so that no other replica does the same meanwhile
	p.publish(ctx, due, true)
}

// sync renews what may have drifted: the bus's clock, and the heads that other
// replicas may have moved.
func (p *Poller) sync(ctx context.Context) {
	if err := p.opt.Queue.Sync(ctx); err != nil && ctx.Err() == nil {
		p.log.Warn("bus clock not read", "error", err)
	}
	if err := p.opt.Store.Recheck(ctx, vdnsOf(p.watches)); err != nil && ctx.Err() == nil {
		p.log.Warn("heads not checked", "error", err)
	}
}

// publish tells subscribers the status of these VDNs. What could not be told
// is told by the next heartbeat.
func (p *Poller) publish(ctx context.Context, watches []*watch, heartbeat bool) {
	if len(watches) == 0 {
		return
	}
	for _, w := range watches { // all callers have them in the same order
		w.telling.Lock()
		defer w.telling.Unlock()
	}
	now := time.Now()
	feeds := make([]diff.Feed, len(watches))
	for i, w := range watches {
		feeds[i] = w.message()
		feeds[i].Interval = w.schedule.Interval(now).Seconds()
	}
	if err := p.opt.Store.PublishFeeds(ctx, feeds, heartbeat); err != nil {
		if ctx.Err() == nil {
			p.log.Warn("feed not published", "feeds", len(feeds), "error", err)
		}
		return
	}
	now = time.Now()
	for _, w := range watches {
		w.sent(now)
	}
}
