package tick

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullers is how many ticks are asked for at once. Each asks for one, and
	// only when it could be begun: what one replica cannot begin, another gets.
	pullers = 4
	// burstTime is how long a puller waits at most for the end of the tick that it
	// got, before it asks for the next.
	burstTime = 20 * time.Millisecond
	// retryPull is how long a puller waits whose consumer is said to be well.
	retryPull = time.Second
)

// Handler works one tick. The tick is over when it returns nil, whatever became
// of the polls: the next slot has its own. An error gives the tick back, to be
// worked by another replica (or this one) after a tenth of AckWait: for ticks
// that cannot be begun here, as when this replica's settings lack the group.
//
// A panic does not end the process, as one VDN's reply must not stop the polls
// of all others: it is logged with its stack and counted, and the tick is over.
//
// ctx is not cancelled when Run's is: a poll that has begun ends in peace. Its
// own time-outs must bound it; while it runs its tick is kept from others.
type Handler func(ctx context.Context, t Tick) error

// Run sends the offered ticks and works those that this replica is given,
// Concurrency at most at once, until ctx is done. Ticks that were received and
// not begun are then given back, and it returns when those begun have ended. It
// outlives the loss of NATS, of the stream and of the consumer; it returns an
// error only if the connection was closed.
func (q *Queue) Run(ctx context.Context, handle Handler) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var service, pulling, working sync.WaitGroup
	var closed error
	service.Go(func() { q.send(ctx) })
	service.Go(func() {
		closed = q.keep(ctx)
		stop()
	})
	tended, endTend := context.WithCancel(context.WithoutCancel(ctx))
	service.Go(func() { q.tend(tended) })

	slots := make(chan struct{}, q.opt.Concurrency)
	work := func(d *delivery) (answered chan struct{}) {
		answered = make(chan struct{})
		working.Go(func() {
			defer func() { <-slots }()
			defer close(answered)
			q.work(context.WithoutCancel(ctx), d, handle)
		})
		return answered
	}
	left := make([][]*nats.Msg, min(pullers, q.opt.Concurrency))
	for i := range left {
		pulling.Go(func() { left[i] = q.pull(ctx, slots, work) })
	}
	pulling.Wait()
	// Only now, when no request of ours stands any more, or we would be given
	// the ticks again.
	for _, msg := range slices.Concat(left...) {
		q.giveBack(msg.Reply, 0)
	}
	working.Wait()
	endTend()
	service.Wait()
	q.publisher.CleanupPublisher()
	if closed != nil {
		return fmt.Errorf("run tick queue: %w", closed)
	}
	if err := q.nc.FlushTimeout(handOver); err != nil {
		q.log.Warn("last acknowledgements not sent, some ticks will be worked again", "error", err)
	}
	return nil
}

// pull receives ticks until ctx is done and returns those not begun.
func (q *Queue) pull(ctx context.Context, slots chan struct{}, work func(*delivery) chan struct{}) (left []*nats.Msg) {
	for ctx.Err() == nil {
		b := q.bound.Load()
		remaining, err := q.pullFrom(ctx, b, slots, work)
		if ctx.Err() != nil {
			return remaining
		}
		for _, msg := range remaining {
			q.giveBack(msg.Reply, 0)
		}
		if b.gone.Err() != nil {
			continue
		}
		q.log.Debug("tick consumer interrupted", "error", err)
		q.suspect()
		select {
		case <-ctx.Done():
		case <-b.gone.Done():
		case <-time.After(retryPull):
		}
	}
	return nil
}

// pullFrom receives ticks from one binding until it is gone or fails, or ctx is
// done. It returns the ticks that came too late to be begun.
func (q *Queue) pullFrom(ctx context.Context, b *binding, slots chan struct{}, work func(*delivery) chan struct{}) (left []*nats.Msg, err error) {
	p, err := q.newPuller()
	if err != nil {
		return nil, err
	}
	next, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.gone, cancel)()
	for err == nil {
		select {
		case <-next.Done():
			return append(left, p.close()...), nil
		case slots <- struct{}{}:
		}
		var msg *nats.Msg
		msg, err = p.next(next)
		received := time.Now()
		if err != nil {
			<-slots
			continue
		}
		d, ok := q.admit(next, b, msg, received)
		if !ok {
			<-slots
			if d != nil {
				left = append(left, msg)
			}
			continue
		}
		together(next, work(d))
	}
	return append(left, p.close()...), err
}

// together waits for the answer to a tick, or for so long as a burst of polls
// takes: the request for the next tick then goes out in one write with it.
func together(ctx context.Context, answered chan struct{}) {
	enough := time.NewTimer(burstTime)
	defer enough.Stop()
	select {
	case <-ctx.Done():
	case <-answered:
	case <-enough.C:
	}
}

// admit reads a message as a tick and makes sure that its Order can be relied
// on. It returns false if the tick is not to be worked from here, and then the
// tick if it has still to be given back.
func (q *Queue) admit(ctx context.Context, b *binding, msg *nats.Msg, received time.Time) (*delivery, bool) {
	d, err := read(msg, b.epoch)
	if err != nil {
		q.log.Error("tick dropped", "error", err)
		q.answer(msg.Reply, ackDrop)
		return nil, false
	}
	if ctx.Err() != nil {
		return &d, false
	}
	seq := d.tick.Order.Seq
	// After a reconnection, or if the numbers fell, the tick may come from a
	// stream made anew, and its sequence belong to another epoch.
	if q.nc.Stats().Reconnects != b.reconnects || b.restarted(seq, d.stored) {
		if now, err := q.renew(ctx); err != nil || now != b {
			return &d, false
		}
	}
	b.saw(seq, d.stored)
	if q.clock.wrong(d.stored, received) {
		// The server's clock was set. The sample makes the old ones drop out.
		if err := q.clock.sync(ctx); err != nil && ctx.Err() == nil {
			q.log.Warn("bus clock not read", "error", err)
		}
	}
	if d.tick.Redelivered {
		q.metrics.again.Inc()
	}
	q.metrics.waited.Observe(max(0, q.clock.server(received).Sub(d.stored)).Seconds())
	return &d, true
}

// work has one tick worked and answers for it.
func (q *Queue) work(ctx context.Context, d *delivery, handle Handler) {
	q.metrics.running.Inc()
	defer q.metrics.running.Dec()
	q.runMu.Lock()
	q.running[d] = struct{}{}
	q.runMu.Unlock()

	err := q.call(ctx, d.tick, handle)

	// A sign of life after the answer would undo it.
	q.runMu.Lock()
	delete(q.running, d)
	q.runMu.Unlock()
	if err != nil {
		q.log.Warn("tick given back", "group", d.tick.Group, "slot", d.tick.Slot, "error", err)
		q.giveBack(d.reply, q.opt.AckWait/10)
		return
	}
	q.metrics.worked.Inc()
	q.answer(d.reply, ackDone)
}

// call works a tick and turns a panic into a log line.
func (q *Queue) call(ctx context.Context, t Tick, handle Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			q.metrics.panics.Inc()
			q.log.Error("panic while working a tick", "group", t.Group, "slot", t.Slot, "panic", p, "stack", string(debug.Stack()))
			err = nil
		}
	}()
	return handle(ctx, t)
}

// giveBack lets the tick be given to another replica after the delay.
func (q *Queue) giveBack(reply string, delay time.Duration) {
	q.metrics.returned.Inc()
	answer := ackBack
	if delay > 0 {
		answer += fmt.Sprintf(` {"delay": %d}`, delay.Nanoseconds())
	}
	q.answer(reply, answer)
}

// answer tells the server what becomes of a delivered tick. An answer that gets
// lost makes the tick come again after AckWait.
func (q *Queue) answer(reply, what string) {
	if err := q.nc.Publish(reply, []byte(what)); err != nil {
		q.log.Warn("tick not answered for, it comes again", "answer", what, "error", err)
	}
}

// tend shows the server, for every tick being worked, that its replica lives.
func (q *Queue) tend(ctx context.Context) {
	beat := time.NewTicker(q.opt.AckWait / 3)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		q.runMu.Lock()
		for d := range q.running {
			q.answer(d.reply, ackProgress)
		}
		q.runMu.Unlock()
	}
}
