package poller

import (
	"context"
	"time"

	"github.com/robfig/cron/v3"
)

// clockwork keeps cron going when this machine's clock is set. Cron sleeps until
// a time of day, whose monotonic reading it drops: set back by an hour, it would
// sleep for an hour more. Started anew it plans all entries anew. It returns when
// ctx is done.
func (p *Poller) clockwork(ctx context.Context) {
	look := time.NewTicker(p.checkPeriod())
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if by := oversleeps(p.cron.Entries(), time.Now()); by >= slotWidth {
			p.log.Warn("a clock was set: slots are planned anew", "late", by.Round(time.Millisecond))
			<-p.cron.Stop().Done()
			p.cron.Start()
		}
	}
}

// oversleeps returns by how much the latest entry is planned after the time that
// its schedule has for it now. It looks at the plan and not for a step of the
// clock, which may have been taken back already: the plan made meanwhile stays.
func oversleeps(entries []cron.Entry, now time.Time) (most time.Duration) {
	for _, e := range entries {
		if due := e.Schedule.Next(now); !due.IsZero() {
			most = max(most, e.Next.Sub(due.Round(0)))
		}
	}
	return most
}

// early is how much too early a wake-up may be, by a bus's clock that was
// measured anew since it was planned, and still belong to the slot that it is
// for.
const early = 50 * time.Millisecond

// slot is that of a wake-up.
func (g *group) slot(now time.Time) time.Time {
	tolerance := early
	if every := g.schedule.Every; every > 0 {
		tolerance = min(tolerance, every/4)
	}
	return g.schedule.Slot(now.Add(tolerance))
}
