package cmssim

import (
	"fmt"
	"math"
	"time"

	"restwatch/diff"
)

// Config of a World. Only VDN and Start have no usable zero value.
type Config struct {
	VDN diff.VDN
	// Agents is how many people work in the VDN, at rest or not; 0 is a VDN
	// whose list stays empty.
	Agents int
	// Seed chooses among the possible days. Two VDNs of equal seed differ.
	Seed int64
	// Start is the instant at which the World begins, in whole milliseconds.
	Start time.Time
	// Grain of the beginTime listed: time.Millisecond (also the zero value) or
	// time.Second, of a platform that knows whole seconds only.
	Grain time.Duration
	// Speed divides every dwell time and requested length; 0 is 1. The clock
	// of the World is the real one whatever the speed, so that beginTime,
	// restDuration and a client's clock keep their meaning: at 30 an agent
	// asks for 20 s where he would ask for ten minutes, and is overdue after
	// 20 s. Dynamics.MinRest and Dynamics.MinPause are not divided.
	Speed float64
	// Cold starts with everybody at work. Otherwise Start finds the day in full
	// swing.
	Cold bool
	// ApprovalKeepsBegin is a platform on which an approval leaves beginTime at
	// the instant of the request. The interface document can be read so.
	ApprovalKeepsBegin bool
	// VDNQuota is how many agents may be approved or resting at once: 0 is a
	// little more than usually are, so that it is full now and then; negative
	// is no limit.
	VDNQuota int
	// Queues is how many skill queues the agents are signed in to, one each; 0
	// is one per 50 agents.
	Queues int
	// QueueQuota is the same limit within each queue.
	QueueQuota int
	// HistoryLimit is how many changes History keeps at least, the last ones;
	// 0 is all, negative is none. A Server that runs for days needs a limit.
	HistoryLimit int
	// Dynamics of the agents; DefaultDynamics if its Work is 0.
	Dynamics Dynamics
}

// Dynamics says how long agents stay in a stage and how often they do what.
// Durations are means of exponential distributions unless they say otherwise,
// the rest are probabilities, where 0 is never.
type Dynamics struct {
	Work    time.Duration // between a rest and the next request
	Waiting time.Duration // from the request to the decision, if no quota is full
	// Approved is from the approval to the start: what the current call lasts.
	Approved time.Duration
	// Lengths that agents ask for, each equally likely. A rest is mostly a
	// little shorter than that.
	Lengths []time.Duration
	// MinRest is the least that a rest lasts, also at a high Speed; the
	// inference relies on rests not being shorter than a poll interval.
	MinRest time.Duration
	// MinPause is the least between leaving the list and the next request,
	// also at a high Speed. Less than a second lets one beginTime of Grain
	// second stand for two rests.
	MinPause time.Duration
	Away     time.Duration // signed out, until signing in again

	// Of requests.
	AutoApprove float64 // approved at once by the platform, if no quota is full
	Withdraw    float64 // taken back while waiting, and again while approved
	Refuse      float64 // refused by a supervisor
	Busy        float64 // the agent is on a call (reason 1)
	Call        time.Duration
	NoSkill     float64 // the agent is signed in to no queue (reason 3)
	SignIn      time.Duration
	Forced      float64 // rests made by a supervisor without a request
	// Recheck is how soon a request that a full quota held up is looked at
	// again.
	Recheck time.Duration

	// Of approvals.
	Immediate float64 // rest starts within the second, one in three in the same millisecond

	// Of rests.
	Overrun float64 // lasts longer than asked for, up to half as long again
	Early   float64 // ends before two thirds are over
	Prolong float64 // is prolonged, which always changes restDuration
	// ProlongMovesBegin is the share of prolongations that also move beginTime.
	// A real platform does it always or never; the default does both, so that
	// neither goes untested.
	ProlongMovesBegin float64

	// SignOut is the probability of signing out in each stage.
	SignOut float64
	// Again is the probability of another request right after a rest, Retry
	// that of one right after a withdrawal or refusal.
	Again, Retry float64
}

// DefaultDynamics is a usual day: each agent asks four or five times in 7.5 h,
// waits 40 s, is approved for 30 s, rests 700 s.
func DefaultDynamics() Dynamics {
	const minute = time.Minute
	return Dynamics{
		Work:     80 * minute,
		Waiting:  40 * time.Second,
		Approved: 30 * time.Second,
		Lengths: []time.Duration{5 * minute, 5 * minute, 10 * minute, 10 * minute, 10 * minute, 10 * minute,
			15 * minute, 15 * minute, 15 * minute, 20 * minute, 30 * minute},
		MinRest:  12 * time.Second,
		MinPause: 1100 * time.Millisecond,
		Away:     20 * minute,

		AutoApprove: 0.10,
		Withdraw:    0.01,
		Refuse:      0.02,
		Busy:        0.25,
		Call:        25 * time.Second,
		NoSkill:     0.03,
		SignIn:      30 * time.Second,
		Forced:      0.02,
		Recheck:     15 * time.Second,

		Immediate: 0.10,

		Overrun:           0.15,
		Early:             0.08,
		Prolong:           0.05,
		ProlongMovesBegin: 0.5,

		SignOut: 0.005,
		Again:   0.03,
		Retry:   0.30,
	}
}

// Validate reports the first setting that no World can be made of.
func (c Config) Validate() error {
	if err := c.VDN.Validate(); err != nil {
		return err
	}
	switch {
	case c.Agents < 0 || c.Agents > maxAgents:
		return fmt.Errorf("agents %d: want 0..%d", c.Agents, maxAgents)
	case c.Start.UnixMilli() <= 0:
		return fmt.Errorf("start %v: want a time after 1970", c.Start)
	case c.Grain != 0 && c.Grain != time.Millisecond && c.Grain != time.Second:
		return fmt.Errorf("grain %v: want 1ms or 1s", c.Grain)
	case c.Speed < 0 || c.Speed > 1000:
		return fmt.Errorf("speed %v: want 0..1000", c.Speed)
	case c.Dynamics.Work != 0 && len(c.Dynamics.Lengths) == 0:
		return fmt.Errorf("lengths: want at least one requested length")
	}
	for _, l := range c.Dynamics.Lengths {
		if l < time.Second || l > maxRequested*time.Second {
			return fmt.Errorf("length %v: want 1s..%v", l, maxRequested*time.Second)
		}
	}
	return nil
}

const (
	maxAgents    = 100_000
	maxRequested = 86_399 // seconds, the platform's own limit
)

// filled returns c with its defaults in place of zero values and its times
// divided by the speed.
func (c Config) filled() Config {
	if c.Grain == 0 {
		c.Grain = time.Millisecond
	}
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.VDNQuota == 0 {
		c.VDNQuota = usualQuota(c.Agents)
	}
	if c.Queues <= 0 {
		c.Queues = max(1, c.Agents/50)
	}
	if c.QueueQuota == 0 {
		c.QueueQuota = usualQuota(c.Agents / c.Queues)
	}
	d := &c.Dynamics
	if d.Work == 0 {
		*d = DefaultDynamics()
	}
	for _, t := range []*time.Duration{&d.Work, &d.Waiting, &d.Approved, &d.Away, &d.Call, &d.SignIn, &d.Recheck} {
		*t = time.Duration(float64(*t) / c.Speed)
	}
	lengths := make([]time.Duration, len(d.Lengths)) // the caller's slice stays as it is
	for i, l := range d.Lengths {
		l = time.Duration(float64(l) / c.Speed).Round(time.Second)
		lengths[i] = max(time.Second, l)
	}
	d.Lengths = lengths
	return c
}

// usualQuota is about 1.5 standard deviations above the number of agents who
// are approved or rest on a usual day.
func usualQuota(agents int) int {
	n := float64(agents)
	return max(2, int(math.Ceil(n/7+math.Sqrt(n)/2)))
}
