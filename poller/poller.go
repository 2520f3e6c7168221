// Package poller asks CC-CMS for the rest information of every VDN, on
// schedule, and has each change committed.
//
// Every replica runs the same schedule and offers the same ticks to a work
// queue; whichever replica is given a tick polls the VDNs of its group:
//
//	cron -> tick -> read -> compare -> commit
//
// A poll is one plain call chain. What it is compared with comes from the
// store, which is the only state; the order of observations and the time come
// from the bus, never from this machine's clock. That only one replica polls a
// VDN at a time saves calls; that a change is published once is guaranteed by
// the fenced commit alone.
//
// A poll that fails, or is never made, ends nobody's rest: it shows in the
// VDN's feed, and the next good poll tells what changed meanwhile.
package poller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/peers"
	"restwatch/poller/tick"
)

// Upstream reads one VDN's rest information. A Fingerprint of the last reading
// lets it skip the decoding of an identical reply.
type Upstream interface {
	Read(ctx context.Context, vdn diff.VDN, last cms.Fingerprint) (cms.Reading, error)
	// Probe makes exactly one call, to see whether the credentials are accepted.
	Probe(ctx context.Context, vdn diff.VDN) (cms.Reply, error)
}

// Store keeps the snapshots that polls are compared with.
type Store interface {
	// Head returns a VDN's newest snapshot and its stream sequence, both zero
	// if there is none yet.
	Head(ctx context.Context, vdn diff.VDN) (diff.Snapshot, uint64, error)
	// Keep remembers times that moved without a commit, while seq is the head.
	Keep(vdn diff.VDN, seq uint64, s diff.Snapshot)
	// Commit stores a result, all or nothing, if seq still is the head, and
	// returns the new head. After an error Head reads the truth again.
	Commit(ctx context.Context, seq uint64, prev *diff.Snapshot, r diff.Result) (uint64, error)
	// Recheck makes sure that the heads are still the newest.
	Recheck(ctx context.Context, vdns []diff.VDN) error
	// PublishFeeds tells subscribers how far feeds can be relied on; a heartbeat
	// repeats what they were told before.
	PublishFeeds(ctx context.Context, feeds []diff.Feed, heartbeat bool) error
	// LastFeeds returns the newest stored feed message of each VDN.
	LastFeeds(ctx context.Context) (map[diff.VDN]diff.Feed, error)
}

// Options of a Poller. All but Metrics are required.
type Options struct {
	Upstream Upstream
	Store    Store
	Queue    *tick.Queue
	Targets  []Target
	// GroupsPerSchedule is the most groups that VDNs of one schedule form.
	GroupsPerSchedule int
	Heartbeat         time.Duration
	// Grace is how long polls that run at the end may take to end by themselves.
	Grace time.Duration
	Diff  diff.Options
	// Join, if not nil, joins this replica to the others of the service.
	Join    func(hear func(peers.Note), last func() peers.Note) (*peers.Peers, error)
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Poller polls VDNs until it is stopped.
type Poller struct {
	opt     Options
	log     *slog.Logger
	gate    gate
	metrics *metrics
	cron    *cron.Cron
	peers   *peers.Peers   // nil: this is the only replica
	company atomic.Bool    // another replica was heard of
	told    atomic.Int64   // when they were last told something, unix nanoseconds
	running sync.WaitGroup // polls, also those whose tick is over

	awakeMu sync.Mutex // guards the two below
	awake   time.Time  // when this replica last looked at the clock
	session uint64     // of the connection to NATS then

	// Constant after New:
	groups  map[string]*group // by tick name
	watches []*watch
	byVDN   map[diff.VDN]*watch
}

// New plans the groups. It starts nothing.
func New(opt Options) *Poller {
	p := &Poller{
		opt:    opt,
		log:    opt.Log,
		gate:   gate{now: time.Now},
		cron:   cron.New(cron.WithLogger(cronLogger{opt.Log})),
		groups: map[string]*group{},
		byVDN:  map[diff.VDN]*watch{},
	}
	for _, g := range plan(opt.Targets, opt.GroupsPerSchedule) {
		p.groups[g.name] = g
		g.schedule.bus = opt.Queue.At
		for _, w := range g.watches {
			w.schedule = g.schedule
			p.watches = append(p.watches, w)
			p.byVDN[w.vdn] = w
			p.groups[aloneName(w.vdn)] = &group{name: aloneName(w.vdn), schedule: g.schedule, watches: []*watch{w}}
		}
	}
	p.metrics = newMetrics(opt.Metrics, p)
	return p
}

// strangerTime is how long a tick that this replica does not know, as after a
// change of the settings, is left to the others before it is dropped.
const strangerTime = 5 * time.Second

// aloneName is the group of a VDN that left its own.
func aloneName(v diff.VDN) string { return fmt.Sprintf("vdn-%d-%d", v.CC, v.ID) }

// Run polls until ctx is done, then lets running polls end, tells subscribers
// that the feeds stop, and returns. The first poll of every VDN is made at once.
// It returns an error only if the work queue cannot be used.
func (p *Poller) Run(ctx context.Context) error {
	p.awake, p.session = time.Now(), p.opt.Queue.Session()
	p.recall(ctx)
	if err := p.join(ctx); err != nil {
		return err
	}
	now := time.Now()
	for _, g := range p.groups {
		if isAlone(g) {
			continue
		}
		p.cron.Schedule(g.schedule, cron.FuncJob(func() { p.offer(ctx, g, time.Now()) }))
		p.offer(ctx, g, now)
	}
	p.cron.Start()

	// Running polls may end in peace, but no new one begins, and all has its end.
	polls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		p.gate.close()
		time.AfterFunc(p.opt.Grace, cut)
	})()
	var wg sync.WaitGroup
	beating, end := context.WithCancel(ctx)
	defer end()
	wg.Go(func() { p.heartbeats(beating) })
	wg.Go(func() { p.clockwork(beating) })
	err := p.opt.Queue.Run(ctx, func(_ context.Context, t tick.Tick) error { return p.handle(polls, t) })
	end()
	wg.Wait()
	<-p.cron.Stop().Done()
	p.running.Wait()
	p.stop(context.WithoutCancel(ctx))
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("take ticks: %w", err)
	}
	return nil
}

func isAlone(g *group) bool { return len(g.watches) == 1 && g.name == aloneName(g.watches[0].vdn) }

// offer puts a group's tick for the current slot into the queue.
func (p *Poller) offer(ctx context.Context, g *group, now time.Time) {
	if err := p.opt.Queue.Offer(ctx, g.name, g.slot(now)); err != nil && ctx.Err() == nil {
		p.metrics.slotsLost.Inc()
		p.log.Warn("slot skipped: the tick cannot be offered", "group", g.name, "error", err)
	}
}

// handle polls the VDNs of a tick's group side by side, and returns when all
// are done. The error says that the tick is somebody else's.
func (p *Poller) handle(ctx context.Context, t tick.Tick) error {
	g := p.groups[t.Group]
	switch {
	case g == nil && p.opt.Queue.Now().Sub(diff.TimeOf(t.Slot)) > strangerTime:
		return nil
	case g == nil:
		return fmt.Errorf("group %q: not in the settings of this replica", t.Group)
	}
	p.wakeUp(ctx)
	now := time.Now()
	var due []*watch
	for _, w := range g.watches {
		if w.alone() == isAlone(g) && w.due(now) {
			due = append(due, w)
		}
	}
	if t.Redelivered {
		if err := p.opt.Store.Recheck(ctx, vdnsOf(due)); err != nil {
			return fmt.Errorf("recheck heads: %w", err)
		}
	}
	p.pollAll(ctx, g, due, t)
	p.tell(due)
	return nil
}

// pollAll polls side by side, a few ahead of the others, and returns when all are
// done. One that takes so long that its neighbours would miss a second slot gets
// ticks of its own.
func (p *Poller) pollAll(ctx context.Context, g *group, due []*watch, t tick.Tick) {
	if len(due) == 0 {
		return
	}
	var patience <-chan time.Time
	interval := g.schedule.Interval(time.Now())
	if interval > 0 && len(due) > 1 {
		timer := time.NewTimer(interval * 3 / 2)
		defer timer.Stop()
		patience = timer.C
	}
	done := make(chan *watch, len(due))
	b := newBurst(len(due))
	for i, w := range due {
		if i == ahead {
			b.follow(ctx, interval)
		}
		p.running.Go(func() {
			p.poll(ctx, w, t, b)
			done <- w
		})
	}
	slow := map[*watch]bool{}
	for _, w := range due {
		slow[w] = true
	}
	for len(slow) > 0 {
		select {
		case w := <-done:
			delete(slow, w)
		case <-patience:
			for w := range slow {
				p.separate(ctx, w)
			}
			return
		}
	}
}

func vdnsOf(watches []*watch) []diff.VDN {
	vdns := make([]diff.VDN, len(watches))
	for i, w := range watches {
		vdns[i] = w.vdn
	}
	return vdns
}

// separate gives a failing VDN ticks of its own, on its group's schedule.
func (p *Poller) separate(ctx context.Context, w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.retry != 0 {
		return
	}
	own := p.groups[aloneName(w.vdn)]
	w.retry = p.cron.Schedule(own.schedule, cron.FuncJob(func() {
		if now := time.Now(); w.due(now) {
			p.offer(ctx, own, now)
		}
	}))
}

// rejoin takes a VDN that is well again back into its group.
func (p *Poller) rejoin(w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.retry != 0 {
		p.cron.Remove(w.retry)
		w.retry = 0
	}
}

// recall begins with what is stored of the time before, and with its pause.
func (p *Poller) recall(ctx context.Context) {
	feeds, err := p.opt.Store.LastFeeds(ctx)
	if err != nil && ctx.Err() == nil {
		p.log.Warn("last feed messages not read: the gap will look longer than it was", "error", err)
	}
	now := time.Now()
	for _, w := range p.watches {
		head, seq, err := p.opt.Store.Head(ctx, w.vdn)
		if err != nil && ctx.Err() == nil {
			p.log.Error("head not read", "vdn", w.vdn.String(), "error", err)
		}
		var last *diff.Feed
		if f, found := feeds[w.vdn]; found {
			last = &f
		}
		w.recall(now, &head, seq, last)
	}
	p.recallPause(ctx, feeds, now)
}

// recallPause takes over the pause that the queue is in, or that the feeds were
// in when NATS forgot the queue, which is kept in memory.
func (p *Poller) recallPause(ctx context.Context, feeds map[diff.VDN]diff.Feed, now time.Time) {
	state, err := p.opt.Queue.State(ctx)
	if err != nil && ctx.Err() == nil {
		p.log.Warn("state of the ticks not read", "error", err)
	}
	until, category := state.PausedUntil, cms.Refused
	for _, w := range p.watches {
		f := feeds[w.vdn]
		if f.Status != diff.Paused || f.Error == nil {
			continue
		}
		category = cms.Category(f.Error.Category)
		told := now.Add(f.Since.Sub(p.opt.Queue.Now()) + leastPause(category))
		if told.After(until) {
			until = told
		}
	}
	if !until.After(now) {
		return
	}
	if until.After(state.PausedUntil) {
		if err := p.opt.Queue.Pause(ctx, until); err != nil {
			p.log.Error("ticks not paused", "error", err)
		}
	}
	reason := &cms.Error{Category: category, Message: "calls were paused before this replica began"}
	for _, w := range p.watches {
		if f := feeds[w.vdn]; f.Status == diff.Paused {
			w.paused(f.Since, reason)
		}
	}
	p.hold(until, 1, reason)
	p.publish(ctx, p.watches, false)
}

// stop tells the feeds that nobody watches any more so.
func (p *Poller) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	unwatched := p.leave(ctx)
	at := p.opt.Queue.Now()
	for _, w := range unwatched {
		w.stopping(at)
	}
	p.publish(ctx, unwatched, false)
}

// Ready returns nil once every VDN has been polled, well or not; else what is
// missing. A pause is not a reason to be unready: it is told apart by Paused.
func (p *Poller) Ready() error {
	if until, _ := p.gate.paused(); !until.IsZero() {
		return nil
	}
	waiting := 0
	for _, w := range p.watches {
		if !w.settled() {
			waiting++
		}
	}
	if waiting > 0 {
		return fmt.Errorf("%d of %d VDNs not polled yet", waiting, len(p.watches))
	}
	return nil
}

// Paused returns until when calls are stopped and why, or the zero time.
func (p *Poller) Paused() (until time.Time, reason string) {
	until, err := p.gate.paused()
	if until.IsZero() || err == nil {
		return until, ""
	}
	return until, err.Error()
}

// cronLogger lets only errors of cron through: its info lines are one per tick.
type cronLogger struct{ log *slog.Logger }

func (l cronLogger) Info(string, ...any) {}
func (l cronLogger) Error(err error, msg string, kv ...any) {
	l.log.Error("cron: "+msg, append(kv, "error", err)...)
}
