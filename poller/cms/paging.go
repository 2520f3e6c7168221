package cms

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"restwatch/diff"
)

// maxRounds is how often a list of several pages is read before it is given
// out as torn.
const maxRounds = 4

// reading is one Read under way: the round of calls it is at, and what it
// remembers of those before.
type reading struct {
	c     *Client
	site  *site
	last  Fingerprint
	rowed bool // the rows are wanted though nothing has changed
	calls int
	// refusals is how many calls of the client were refused when this began.
	refusals int64

	pages  []reply
	counts []diff.Counts // of the pages decoded so far
	ends   []int         // where each of these ends in rows
	rows   []diff.Row
}

// release gives back the memory of the round and makes ready for another.
func (r *reading) release() {
	for i := range r.pages {
		r.pages[i].release()
	}
	r.pages, r.counts, r.ends, r.rows = nil, nil, nil, nil
}

func (r *reading) read(ctx context.Context) (Reading, *Error) {
	if err := r.fetch(ctx, 1); err != nil {
		return Reading{}, err
	}
	f := bodies(r.pages)
	if f == r.last && !r.rowed {
		return r.same(f), nil
	}
	// A page 1 that is as it was last time promises as many pages as then, and
	// need not be decoded yet.
	n := r.last.pages
	if n < 2 || f.first != r.last.first {
		if err := r.decode(); err != nil {
			return Reading{}, err
		}
		if n = r.pagesNeeded(); n == 1 {
			return r.single(0), nil
		}
	}
	return r.rounds(ctx, n)
}

// rounds reads n pages, the first of which is there already, until two rounds
// in a row agree. The reading that the caller compares with counts as one.
func (r *reading) rounds(ctx context.Context, n int) (Reading, *Error) {
	before, known, sound := r.last.content, r.last.pages > 1, true
	for round := 1; ; round++ {
		if err := r.fetch(ctx, n); err != nil {
			return Reading{}, err
		}
		f := bodies(r.pages)
		if f.content = r.last.content; round == 1 && f == r.last && !r.rowed {
			return r.same(f), nil
		}
		if err := r.decode(); err != nil {
			return Reading{}, err
		}
		if page, ok := r.complete(); ok {
			return r.single(page), nil
		}
		newest := r.newest()
		got := Reading{Rows: r.rows, Counts: r.counts[newest], Received: r.pages[newest].received, Sent: r.sent()}
		adds := r.addsUp()
		f.content = r.c.hash.content(got.Rows, got.Counts)
		agreed := known && adds == sound && f.content == before
		if agreed && adds {
			r.c.found(r.site, CTI36)
			if round == 1 && !r.rowed {
				return r.same(f), nil
			}
			got.Same, got.Fingerprint = round == 1, f
			return got, nil
		}
		// Two rounds that agree on what does not add up: a third would, too.
		if agreed || round == maxRounds {
			got.Torn, got.Rows = true, newestRows(got.Rows)
			return got, nil
		}
		before, known, sound = f.content, true, adds
		n = r.pagesPromised(got.Counts)
		r.release()
	}
}

// same is the reading that says what the last one said.
func (r *reading) same(f Fingerprint) Reading {
	for range r.pages[len(r.ends):] {
		r.c.settle(nil)
	}
	return Reading{Same: true, Fingerprint: f, Received: r.pages[r.newest()].received, Sent: r.sent()}
}

// single is the reading of one page that is a whole list.
func (r *reading) single(page int) Reading {
	f := bodies(r.pages[page : page+1])
	return Reading{Same: f == r.last, Rows: r.pageRows(page), Counts: r.counts[page],
		Received: r.pages[page].received, Sent: r.pages[page].sent, Fingerprint: f}
}

func (r *reading) pageRows(page int) []diff.Row {
	start := 0
	if page > 0 {
		start = r.ends[page-1]
	}
	return r.rows[start:r.ends[page]:r.ends[page]]
}

// newest is the page that arrived last.
func (r *reading) newest() (page int) {
	for i := range r.pages {
		if r.pages[i].received.After(r.pages[page].received) {
			page = i
		}
	}
	return page
}

// sent is when the first page of the round was asked for. Of two rounds that
// agree the second counts: what both show still was so when it began.
func (r *reading) sent() time.Time {
	first := r.pages[0].sent
	for i := range r.pages {
		if r.pages[i].sent.Before(first) {
			first = r.pages[i].sent
		}
	}
	return first
}

// fetch asks for the pages up to n that are not there, side by side. One that
// fails stops the others and fails the reading.
func (r *reading) fetch(ctx context.Context, n int) *Error {
	if err := r.c.refusedSince(r.refusals); err != nil {
		return err
	}
	have := len(r.pages)
	r.calls += n - have
	r.pages = append(r.pages, make([]reply, n-have)...)
	if have == 0 && n == 1 {
		var err *Error
		if r.pages[0], err = r.c.call(ctx, r.site.first, false); err != nil {
			r.c.settle(err)
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cap(r.c.slots))
	for i := have; i < n; i++ {
		group.Go(func() error {
			got, err := r.c.call(ctx, r.c.page(r.site.vdn, i), false)
			if err != nil {
				r.c.settle(err)
				return err
			}
			r.pages[i] = got
			return nil
		})
	}
	var first *Error
	if errors.As(group.Wait(), &first) {
		for i := range r.pages {
			if r.pages[i].buf != nil && i >= len(r.ends) {
				r.c.settle(nil)
			}
		}
	}
	return first
}

// decode decodes the pages that are not yet.
func (r *reading) decode() (first *Error) {
	for i := len(r.ends); i < len(r.pages); i++ {
		rows, counts, err := r.c.decode(r.site, &r.pages[i], r.rows, i > 0)
		r.c.settle(err)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		r.rows = rows
		r.ends = append(r.ends, len(rows))
		r.counts = append(r.counts, counts)
	}
	return first
}

// pagesNeeded says how many pages the list has, by the first alone. A list
// longer than a page is CTI 3.8's, which does not page; a shorter one than its
// counts promise has more pages if they promise more than one, and else is
// torn. (CTI 3.8 may look so, too, when counts and list were taken at different
// instants; complete finds that out.)
func (r *reading) pagesNeeded() int {
	switch {
	case r.c.cti == CTI38:
		return 1
	case len(r.rows) > r.c.pageSize:
		r.c.found(r.site, CTI38)
		return 1
	case len(r.rows) >= r.counts[0].Sum():
		return 1
	}
	return r.pagesPromised(r.counts[0])
}

// pagesPromised is how many pages a list of these counts fills. It is bounded,
// as the counts are whatever the reply says.
func (r *reading) pagesPromised(c diff.Counts) int {
	return max(1, (min(c.Sum(), maxAgents)+r.c.pageSize-1)/r.c.pageSize)
}

// complete looks for a page that is the whole list, so that the others do not
// matter: one that holds all that its counts promise (the list has shrunk to a
// page), or any page where CTI 3.8 answers, which the offset does not move: it
// gives itself away by pages that are too long, or all alike. In a forced CTI
// 3.6 pages that are alike are not believed.
func (r *reading) complete() (page int, ok bool) {
	if len(r.pages) == 1 {
		return 0, r.pagesNeeded() == 1
	}
	if r.ends[0] == r.counts[0].Sum() {
		return 0, true
	}
	newest := r.newest()
	if len(r.pageRows(newest)) > r.c.pageSize {
		r.c.found(r.site, CTI38)
		return newest, true
	}
	if r.c.cti != CTIAuto {
		return 0, false
	}
	for i := range r.pages {
		slices.SortFunc(r.pageRows(i), byWorkNo)
	}
	for i := range r.pages[1:] {
		if !alike(r.pageRows(0), r.pageRows(i+1)) {
			return 0, false
		}
	}
	r.c.found(r.site, CTI38)
	return newest, true
}

// alike says whether two lists sorted by workNo share nine of ten agents. On
// CTI 3.6 pages share nobody, or the few who slipped from one to the other.
func alike(a, b []diff.Row) bool {
	shared := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch c := byWorkNo(a[i], b[j]); {
		case c == 0:
			shared++
			i++
			j++
		case c < 0:
			i++
		default:
			j++
		}
	}
	return shared > 0 && shared*10 >= max(len(a), len(b))*9
}

func byWorkNo(a, b diff.Row) int { return cmp.Compare(a.WorkNo, b.WorkNo) }

// addsUp sorts the rows and says whether the pages can be parts of one list:
// the same counts on each, nobody twice, as many rows as they promise.
func (r *reading) addsUp() bool {
	slices.SortStableFunc(r.rows, func(a, b diff.Row) int {
		return cmp.Or(byWorkNo(a, b), cmp.Compare(b.Begin, a.Begin))
	})
	for i := range r.counts {
		if r.counts[i] != r.counts[0] {
			return false
		}
	}
	for i := 1; i < len(r.rows); i++ {
		if r.rows[i].WorkNo == r.rows[i-1].WorkNo {
			return false
		}
	}
	return len(r.rows) == r.counts[0].Sum()
}

// newestRows leaves of each agent the first row, which addsUp made the newest.
func newestRows(rows []diff.Row) []diff.Row {
	return slices.CompactFunc(rows, func(a, b diff.Row) bool { return a.WorkNo == b.WorkNo })
}
