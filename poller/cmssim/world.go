package cmssim

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"restwatch/diff"
)

// World is the truth about one VDN. It is not safe for concurrent use; a
// Server locks its own.
type World struct {
	cfg     Config
	rng     *rand.Rand
	now     int64 // unix ms, as all times below
	version uint64
	planned uint64 // steps planned so far
	rests   int    // rests begun so far

	// agents stand in the order in which they are listed, which has nothing to
	// do with their numbers. byWorkNo finds them.
	agents   []agent
	byWorkNo map[int]int32
	// listed holds the indexes of the agents with a state other than None, in
	// order.
	listed  []int32
	pending queue
	counts  [4]int // by diff.State; that of None is not kept
	queues  []int  // approved and resting agents by skill queue

	rows    []diff.Row
	history []Change
}

type agent struct {
	workNo int
	name   string
	queue  int
	age    uint32 // counts the stages, and voids the steps planned in earlier ones

	state     diff.State
	begin     int64 // of the stage, exact but for prolongations that keep it
	restBegan int64 // of a rest, whatever a prolongation made of begin
	shown     diff.Time
	requested int // seconds
	rest      int
	// While waiting: when the call ends, when the agent is in a queue again.
	busyUntil, skilledAt int64
}

// NewWorld returns the World at its Start. It panics on a Config that does not
// Validate.
func NewWorld(c Config) *World {
	if err := c.Validate(); err != nil {
		panic("cmssim: " + err.Error())
	}
	c = c.filled()
	w := &World{
		cfg: c,
		// The VDN is part of the seed, or VDNs of one installation would
		// live the same day.
		rng:      rand.New(rand.NewPCG(uint64(c.Seed), uint64(c.VDN.CC)<<32|uint64(c.VDN.ID))),
		now:      c.Start.UnixMilli(),
		byWorkNo: make(map[int]int32, c.Agents),
		agents:   make([]agent, c.Agents),
		queues:   make([]int, c.Queues),
	}
	if !c.Cold {
		// Two mean working times are enough to forget that all began at work.
		w.now -= 2 * c.Dynamics.Work.Milliseconds()
	}
	numbers := w.workNos()
	for i := range w.agents {
		w.agents[i] = agent{workNo: numbers[i], name: nameOf(numbers[i]), queue: numbers[i] % c.Queues}
		w.byWorkNo[numbers[i]] = int32(i)
		w.toWork(int32(i), w.exp(c.Dynamics.Work))
	}
	w.Advance(c.Start)
	w.history = nil
	return w
}

// workNos draws as many different numbers as there are agents, in listing
// order, from the two ranges that real platforms were seen to use.
func (w *World) workNos() []int {
	const (
		low, lowEnd   = 101, 60_000
		high, highEnd = 70_000, 1_000_000
	)
	n := w.cfg.Agents
	inLow := min(n*3/4+1, n, 45_000)
	inHigh := n - inLow
	numbers := make([]int, 0, n)
	at := low + w.rng.IntN(lowEnd-low-inLow)
	for i := range inLow {
		numbers = append(numbers, at+i)
	}
	at = high + w.rng.IntN(highEnd-high-inHigh)
	for i := range inHigh {
		numbers = append(numbers, at+i)
	}
	w.rng.Shuffle(n, func(i, j int) { numbers[i], numbers[j] = numbers[j], numbers[i] })
	return numbers
}

// nameOf invents a name that nobody mistakes for a person's; some are not
// ASCII, as in the platform's home market.
func nameOf(workNo int) string {
	if workNo%8 == 0 {
		return "座席" + strconv.Itoa(workNo)
	}
	return "Agent " + strconv.Itoa(workNo)
}

// Advance makes everything happen that happens up to and including the
// instant to. An instant that has passed changes nothing.
func (w *World) Advance(to time.Time) {
	end := to.UnixMilli()
	if end <= w.now {
		return
	}
	for len(w.pending) > 0 && w.pending[0].at <= end {
		s := w.pending.pop()
		if w.agents[s.agent].age != s.age {
			continue
		}
		w.now = s.at
		w.happen(s)
	}
	w.now = end
}

// Now is the instant of the last Advance.
func (w *World) Now() time.Time { return time.UnixMilli(w.now).UTC() }

// VDN is the World's own.
func (w *World) VDN() diff.VDN { return w.cfg.VDN }

// Version changes whenever the list or the counts may have changed.
func (w *World) Version() uint64 { return w.version }

// Next is when the next change may come; the zero time if none ever does.
func (w *World) Next() time.Time {
	if len(w.pending) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(w.pending[0].at).UTC()
}

// Rows returns the list as the upstream gives it, in no particular order,
// which stays the same while nobody comes or goes. The slice is used again by
// the next call; the caller may change it until then.
func (w *World) Rows() []diff.Row {
	w.rows = w.AppendRows(w.rows[:0])
	return w.rows
}

// AppendRows appends the list to a slice of the caller's.
func (w *World) AppendRows(dst []diff.Row) []diff.Row {
	dst = slices.Grow(dst, len(w.listed))
	for _, i := range w.listed {
		a := &w.agents[i]
		dst = append(dst, diff.Row{
			WorkNo: a.workNo, Name: a.name, Reason: w.reason(a), Begin: a.shown, Requested: a.requested,
		})
	}
	return dst
}

// AppendStates appends the true state of each listed agent, in the order of
// Rows.
func (w *World) AppendStates(dst []diff.State) []diff.State {
	for _, i := range w.listed {
		dst = append(dst, w.agents[i].state)
	}
	return dst
}

// State is the true state of an agent; None also of one who does not exist.
func (w *World) State(workNo int) diff.State {
	i, ok := w.byWorkNo[workNo]
	if !ok {
		return diff.None
	}
	return w.agents[i].state
}

// Counts returns the three totals.
func (w *World) Counts() diff.Counts {
	return diff.Counts{
		Waiting: w.counts[diff.Waiting], Approved: w.counts[diff.Approved], Resting: w.counts[diff.Resting],
	}
}

// Codes of cantRestReason.
const (
	reasonApproval   = 0
	reasonBusy       = 1
	reasonVDNQuota   = 2
	reasonNoSkill    = 3
	reasonQueueQuota = 4
)

// reason is the agent's cantRestReason: 0 unless he waits. Of several reasons
// the one that the agent himself can mend comes first; what a real platform
// does then is not known.
func (w *World) reason(a *agent) int {
	switch {
	case a.state != diff.Waiting:
		return 0
	case a.skilledAt > w.now:
		return reasonNoSkill
	case a.busyUntil > w.now:
		return reasonBusy
	}
	return w.quotaReason(a)
}

func (w *World) quotaReason(a *agent) int {
	switch {
	case w.cfg.VDNQuota >= 0 && w.counts[diff.Approved]+w.counts[diff.Resting] >= w.cfg.VDNQuota:
		return reasonVDNQuota
	case w.cfg.QueueQuota >= 0 && w.queues[a.queue] >= w.cfg.QueueQuota:
		return reasonQueueQuota
	}
	return reasonApproval
}
