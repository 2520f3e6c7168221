package cms

import (
	"context"
	"log/slog"
	"time"

	"restwatch/diff"
)

// Reading is one observation of a VDN.
type Reading struct {
	// Same says that the reading says what the fingerprint given to Read stands
	// for. Rows and Counts are then unset, as nothing was decoded, unless the
	// fingerprint asked for them (Fingerprint.WithRows): such a Reading is no
	// empty list, and must not be compared as one.
	Same bool
	// Rows in no order. The caller's own.
	Rows   []diff.Row
	Counts diff.Counts
	// Torn says that the rows are not those of one instant: readings that kept
	// disagreeing, or pages that did not add up. Rows then holds the last
	// reading, of an agent listed twice the row with the newest begin; somebody
	// may be missing. A list of one reply is never Torn: whether its counts
	// contradict it is for diff to judge.
	Torn bool
	// Fingerprint to give to the next Read of this VDN; zero if Torn, so that
	// the next reading is not taken for this one.
	Fingerprint Fingerprint
	// Received is the local time, with its monotonic reading, at which the last
	// byte had arrived.
	Received time.Time
	// Sent is the same of the moment before the request was sent, of several
	// pages the first of the round that counts: nothing that the reading shows is
	// older. Zero, of a reading that was not made by Read: as Received.
	Sent time.Time
	// Calls is how many HTTP calls the reading took, also of a failed one.
	Calls int
	// UnknownTimes is how many rows have no usable beginTime (Begin 0).
	UnknownTimes int
}

// Took is how long the reading was on its way: how old what it shows may be.
func (r *Reading) Took() time.Duration {
	if r.Sent.IsZero() {
		return 0
	}
	return r.Received.Sub(r.Sent)
}

// Read makes one consistent observation of a VDN. last is the Fingerprint of
// the reading that the caller would compare this one with, zero for none: if
// nothing has changed since, the reading is Same and costs no decoding.
//
// A list of more than one page is read again at once if it differs from last,
// until two readings in a row agree, four times at most.
//
// The error is an [*Error], of any of its categories; on it, the Reading holds
// nothing but Calls. If any page fails the reading fails.
func (c *Client) Read(ctx context.Context, vdn diff.VDN, last Fingerprint) (Reading, error) {
	r := reading{c: c, site: c.site(vdn), last: last, rowed: last.rows, refusals: c.refusals.Load()}
	r.last.rows = false
	defer r.release()
	got, err := r.read(ctx)
	got.Calls = r.calls
	if err != nil {
		got = Reading{Calls: r.calls}
		c.metrics.reading(got, err)
		return got, err // not a nil *Error in an error
	}
	if got.Rows != nil {
		got.UnknownTimes = unknownTimes(got.Rows)
		c.warnTimes(r.site, got)
	}
	c.metrics.reading(got, nil)
	return got, nil
}

// Probe makes exactly one call, whatever comes of it: for the end of a pause
// after a refusal, and for checks. It returns what that one reply lists, which
// may be the first page only.
func (c *Client) Probe(ctx context.Context, vdn diff.VDN) (Reply, error) {
	s := c.site(vdn)
	got, err := c.call(ctx, s.first, true)
	defer got.release()
	var rows []diff.Row
	var counts diff.Counts
	if err == nil {
		rows, counts, err = c.decode(s, &got, nil, false)
	}
	c.settle(err)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Rows: rows, Counts: counts, UnknownTimes: unknownTimes(rows)}, nil
}

// warnTimes logs unusable begin times when they come up, not with every poll.
func (c *Client) warnTimes(s *site, r Reading) {
	if bad := r.UnknownTimes > 0; s.warned.Swap(bad) != bad && bad {
		c.log.LogAttrs(context.Background(), slog.LevelWarn, "beginTime is no usable time: check RESTWATCH_CMS_BEGIN_TIME",
			slog.String("vdn", s.vdn.String()), slog.Int("agents", r.UnknownTimes), slog.Int("of", len(r.Rows)))
	}
}

// decode appends a reply's rows to rows. With tail, it is a page after the first.
func (c *Client) decode(s *site, r *reply, rows []diff.Row, tail bool) ([]diff.Row, diff.Counts, *Error) {
	if err := c.unpack(r); err != nil {
		return rows, diff.Counts{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := decoder{scanner: scanner{b: r.wire}, from: c.from, to: c.to, names: &s.names, rows: rows, tail: tail}
	if err := d.decode(); err != nil {
		if tail && err.Category == Config {
			// The first page was accepted with the same parameters, so it is
			// the list that has grown shorter than the offset.
			err.Category = Rejected
		}
		return rows, diff.Counts{}, err
	}
	s.names.fit(len(d.rows))
	if d.rows == nil {
		d.rows = []diff.Row{}
	}
	return d.rows, d.totals(), nil
}
