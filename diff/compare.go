package diff

import (
	"slices"
	"time"
)

// Options are the two assumptions that have a number. The zero value stands
// for the defaults.
type Options struct {
	// GapLimit is the shortest gap between two polls into which a whole rest
	// may fit, unseen (A6). Default 10 s. Too long: an agent who rested in
	// between is reported as a certain cancellation.
	GapLimit time.Duration
	// Slack is how old what a reply shows may be without being reckoned with
	// (A7). Default 300 ms.
	Slack time.Duration
}

// Age is by how much older than its arrival, beyond Slack, what a reply shows
// may be that took this long, from the request's first byte to its own last one.
// 0: it shows that moment itself, give or take Slack.
func (o Options) Age(took time.Duration) Time {
	return TimeOfDuration(max(0, took-o.orDefaults().Slack))
}

// The defaults of Options.
const (
	DefaultGapLimit = 10 * time.Second
	DefaultSlack    = 300 * time.Millisecond
)

func (o Options) orDefaults() Options {
	if o.GapLimit == 0 {
		o.GapLimit = DefaultGapLimit
	}
	if o.Slack == 0 {
		o.Slack = DefaultSlack
	}
	return o
}

// Result of comparing an observation with what was known before it.
type Result struct {
	// Snapshot is what is known now. Where Commit is false, only times have
	// moved (the last good poll, how long a tombstone is kept); it still is
	// what the next observation is to be compared with.
	Snapshot Snapshot
	// Events in the order in which they are to be published, numbered: by
	// agent, and of one agent corrected, departure, arrival or forward move,
	// updated, overdue.
	Events []Event
	// Commit says that Snapshot and Events must be stored, together.
	Commit bool
	// QuietUntil is when an identical reply may first have an effect other
	// than Snapshot.Touched: before it, the reply need not be compared. 0:
	// the very next may have one.
	QuietUntil Time
}

// Never is the QuietUntil of a snapshot in which nothing is pending.
const Never Time = 1<<63 - 1

// Compare finds out what happened between prev and obs. A nil or zero prev
// gives the VDN's baseline, which has no events. An observation that is not
// newer than prev, or may show an older instant, changes nothing:
// Result.Snapshot is prev.
//
// An observation is later than the one before, by the bus's clock, unless that
// was set back by more than Options.Slack: what happened then has no known
// beginning of its window.
//
// Compare sorts obs.Rows and makes begin times that no calendar has unknown;
// the snapshot returned shares memory with prev.
func Compare(prev *Snapshot, obs *Observation, opt Options) Result {
	if prev == nil {
		prev = &Snapshot{}
	}
	if !newer(prev, obs.At, TimeOfDuration(obs.Took), obs.Order) {
		return Result{Snapshot: *prev}
	}
	age := opt.Age(obs.Took)
	c := comparison{prev: prev, obs: obs, opt: opt.orDefaults()}
	// A little earlier than the poll before, it is the error of two readings of
	// the clock.
	if c.retimed = obs.At+c.slack() < prev.ObservedAt; c.retimed {
		c.prev = prev.setBack(obs.At)
	}
	c.at = max(obs.At, c.prev.ObservedAt+1)
	c.shown = c.at - age
	c.baseline = prev.Revision == 0
	c.read()
	if quiet, same := c.unchanged(); same {
		return Result{Snapshot: prev.Touched(obs.At, age, obs.Order), QuietUntil: quiet}
	}
	c.match()
	c.weigh()
	c.guess()
	return c.report()
}

// newer reports whether a reading that arrived at some time and took so long
// comes after prev.
func newer(prev *Snapshot, at, took Time, order Order) bool {
	if at <= 0 || at-took < prev.ObservedAt && prev.ShownAt() < at {
		// Two replicas were reading at once: whoever asked last, the upstream may
		// have looked for this one first.
		return false
	}
	if prev.Order != (Order{}) || order != (Order{}) {
		return order.Compare(prev.Order) > 0
	}
	return at > prev.ObservedAt
}

// comparison is one call of Compare at work.
type comparison struct {
	prev     *Snapshot
	obs      *Observation
	opt      Options
	at       Time // of the observation, later than prev's
	retimed  bool // prev is not of any known time, see setBack
	shown    Time // and nothing is earlier, give or take the slack
	baseline bool
	rows     []Row // sorted, one per agent
	torn     bool  // the list need not be complete, the counts mean nothing

	tokens []token
	joined int // agents of prev that match has dealt with
	// settled counts the agents of prev that are not in tokens: those about
	// whom nothing can be learned, by state.
	settled [8]int

	counted bool // the counts took part
	doubt   bool // everything is inferred
	strikes int
	solved  bool // by "an approval does not move the begin time"

	out result
}

// read sorts the rows, drops duplicates and finds out whether counts and list
// can describe one instant (A2).
func (c *comparison) read() {
	c.rows = c.obs.Rows
	twice := sortRows(c.rows)
	if twice {
		// The newest row of an agent comes first.
		c.rows = slices.CompactFunc(slices.Clone(c.rows), func(a, b Row) bool { return a.WorkNo == b.WorkNo })
	}
	reasons := 0
	for i := range c.rows {
		r := &c.rows[i]
		if r.Reason != 0 {
			reasons++
		}
		if r.Begin < 0 || r.Begin > lastTime {
			r.Begin = 0
		}
	}
	n := c.obs.Counts
	c.torn = c.obs.Torn || twice || n.Sum() != len(c.obs.Rows) || n.Waiting < reasons ||
		min(n.Waiting, n.Approved, n.Resting) < 0
}
