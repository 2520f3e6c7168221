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
	// AtMost is the most by which it can have been ahead when the last token was
	// first listed: the list before did not show that token. farAhead if there is no
	// such list.
	AtMost int64 `json:"atMost,omitzero"`
	// Tokens seen, up to enoughTokens, since one of the clocks was last found to
	// be set: a token contradicted Ahead or AtMost.
	Tokens int `json:"tokens,omitzero"`
	// Tokens with a begin time before Past may be of a clock that was less ahead
	// than now: by as little as Once, which is <= 0.
	Past Time  `json:"past,omitzero"`
	Once int64 `json:"once,omitzero"`
}

// enoughTokens is how many begin times it takes until Ahead is not only a
// bound of the clocks' difference but near to it.
const enoughTokens = 32

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

// saw takes in the begin time b of a token first seen at the time t, which
// had not begun at the time last; 0: no such time is known.
func (c *Clock) saw(b, last, t Time) {
	if b == 0 || b > t+farAhead {
		return
	}
	least, most := int64(b-t), int64(farAhead)
	if last != 0 {
		most = min(most, int64(b.bucketEnd()-last))
	}
	if ms, known := c.ahead(t); known {
		switch {
		case most < ms:
			// Set back: what is listed already is of a clock that is further ahead. Or
			// the list before was not complete, and the next token contradicts this one.
			*c = Clock{Past: c.Past, Once: c.Once}
		case least > c.AtMost:
			// Set forward: what is listed already began before b by either clock.
			*c = Clock{Past: b, Once: min(c.Once, ms)}
		}
	}
	c.Latest, c.AtMost = max(c.Latest, b), most
	if ms, known := c.ahead(t); !known || least > ms {
		c.Ahead, c.At = least, t
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

// passed says that, as far as is known, the upstream's clock has passed the
// instant d of its own at the time t by ours, if d is of a token with begin time
// b. Until enough begin times were seen, the clocks are taken to be the same if
// the last one allows it.
func (c *Clock) passed(d, b, t Time) bool {
	ms, _ := c.ahead(t)
	if c.Tokens < enoughTokens && 0 <= c.AtMost && c.AtMost < int64(farAhead) {
		ms = 0
	}
	if b < c.Past {
		ms = min(ms, c.Once)
	}
	return t+Time(min(0, ms)) > d
}

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
