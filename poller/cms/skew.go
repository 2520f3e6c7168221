package cms

import (
	"net/http"
	"sync/atomic"
	"time"
)

// skew follows how far the upstream's clock is ahead of the own one, by the
// Date header of its replies. The server tells whole seconds, so a figure is
// good to about a second and the time of a call.
type skew struct {
	date  atomic.Pointer[parsedDate]
	ahead atomic.Int64 // nanoseconds
	known atomic.Bool
}

// parsedDate keeps the last header: many replies share a second.
type parsedDate struct {
	text string
	time time.Time
}

// note takes the headers of a reply that arrived at now and returns the
// server's time, zero if it told none.
func (s *skew) note(h http.Header, now time.Time) time.Time {
	text := h.Get("Date")
	d := s.date.Load()
	if d == nil || d.text != text {
		t, err := http.ParseTime(text)
		if err != nil {
			return time.Time{}
		}
		d = &parsedDate{text, t}
		s.date.Store(d)
	}
	// On average the header is half a second old.
	s.ahead.Store(int64(d.time.Add(500 * time.Millisecond).Sub(now)))
	s.known.Store(true)
	return d.time
}

// Skew returns how far CC-CMS's clock is ahead of the own one (negative:
// behind), good to about a second, and whether a reply has told yet.
func (c *Client) Skew() (ahead time.Duration, known bool) {
	return time.Duration(c.skew.ahead.Load()), c.skew.known.Load()
}
