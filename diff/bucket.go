package diff

import "time"

// A begin time of whole milliseconds names a token exactly (assumption A4).
// One of whole seconds is a bucket: as long as its second lasts, an agent can
// move on and keep it. Which unit the upstream uses may differ from row to row,
// so every begin time that could be a whole second is treated as one.

// wholeSecond says that b may have lost its milliseconds.
func (t Time) wholeSecond() bool { return t%1000 == 0 }

// bucketEnd is the last millisecond that b may stand for.
func (t Time) bucketEnd() Time {
	if t.wholeSecond() {
		return t + 999
	}
	return t
}

// tornSpan is how much earlier than its last byte a row of an inconsistent
// list may have been read.
const tornSpan = 5 * time.Second

// Clock is what begin times have told of the upstream's clock.
type Clock struct {
	// Latest begin time seen: the upstream's clock had got there.
	Latest Time `json:"latest,omitzero"`
	// Ahead is the most by which a begin time was later than our clock when
	// it was read: the upstream's clock is ahead by at least this many
	// milliseconds (behind, if negative). Read At; it is trusted less and
	// less afterwards, as clocks drift.
	Ahead int64 `json:"ahead,omitzero"`
	At    Time  `json:"at,omitzero"`
	// Tokens seen, up to enoughTokens.
	Tokens int `json:"tokens,omitzero"`
	// Late counts the begin times that contradicted Ahead, in a row: first
	// listed although, if it holds, the list before must have shown them. One
	// of the two clocks was set. While there are any, Ahead is doubtful.
	Late int `json:"late,omitzero"`
}

// enoughTokens is how many begin times it takes until Ahead is not only a
// bound of the clocks' difference but near to it.
const enoughTokens = 32

// enoughLate is how many begin times in a row must contradict Ahead until all
// that was learned of the upstream's clock is dropped. A single one may be owed
// to a list that was not complete.
const enoughLate = 8

// driftPer is the time in which clocks may drift apart by one part.
const driftPer = 10_000

// ahead is the least by which the upstream's clock is known to be ahead of
// ours at the time t, in milliseconds.
func (c *Clock) ahead(t Time) (ms int64, known bool) {
	return c.Ahead - int64(t-c.At)/driftPer, c.At != 0
}

// farAhead is how far in the future a begin time is not believed to tell
// anything about the upstream's clock.
const farAhead = Time(time.Hour / time.Millisecond)

// saw takes in the begin time b of a token first seen at the time t; late says
// that it contradicts what is known.
func (c *Clock) saw(b, t Time, late bool) {
	if b == 0 || b > t+farAhead {
		return
	}
	switch {
	case late:
		if c.Late++; c.Late == enoughLate {
			*c = Clock{Late: enoughLate} // until enough is known anew
		}
	case c.Tokens >= enoughTokens:
		c.Late = 0
	}
	c.Latest = max(c.Latest, b)
	if ms, known := c.ahead(t); !known || int64(b-t) > ms {
		c.Ahead, c.At = int64(b-t), t
	}
	c.Tokens = min(c.Tokens+1, enoughTokens)
}

// behind is how much earlier than by our clock the upstream's begin times are
// believed to be, as a number of milliseconds <= 0. It stays 0 until enough
// begin times were seen.
func (c *Clock) behind(t Time) Time {
	if ms, known := c.ahead(t); known && c.Tokens >= enoughTokens {
		return Time(min(0, ms))
	}
	return 0
}

// excludes says that a token with begin time b, if Ahead holds, had begun before
// the list of the time last was read.
func (c *Clock) excludes(b, last, t Time) bool {
	ms, _ := c.ahead(t)
	return c.Tokens >= enoughTokens && b.bucketEnd() < last+Time(ms)
}

// passed says that, as far as is known, the upstream's clock has passed the
// instant d of its own at the time t by ours.
func (c *Clock) passed(d, t Time) bool { return c.Late == 0 && t+c.behind(t) > d }

// closed says that the bucket of an agent's begin time had certainly passed
// when the agent was last seen, so that the same begin time afterwards means
// the same state.
func (s *Snapshot) closed(a *Agent, opt Options) bool {
	first := a.Memory.FirstSeen
	if first == 0 || !a.BeginAt.wholeSecond() {
		return true
	}
	slack := Time(opt.Slack / time.Millisecond)
	seen := s.sighting(a)
	instant := s.Quality == Consistent && a.Memory.LastSeen == 0
	if !instant {
		seen -= Time(tornSpan / time.Millisecond)
	}
	// When it was first seen, its second had begun.
	if seen-first > 1000+slack {
		return true
	}
	if s.Memory.Clock.Late > 0 {
		return false // what it told may be of a clock that was set since
	}
	if instant && s.Memory.Clock.Latest >= a.BeginAt+1000 {
		return true
	}
	ms, known := s.Memory.Clock.ahead(seen)
	return known && seen-slack+Time(ms) >= a.BeginAt+1000
}

// sighting is when a was last listed, at the earliest.
func (s *Snapshot) sighting(a *Agent) Time {
	if a.Memory.LastSeen != 0 {
		return a.Memory.LastSeen
	}
	return s.ShownAt()
}
