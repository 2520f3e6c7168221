package cms

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"restwatch/diff"
)

func TestReadOnePage(t *testing.T) {
	for _, cti := range []string{CTIAuto, CTI36, CTI38} {
		t.Run(cti, func(t *testing.T) {
			u := newUpstream(t, 100)
			u.paging = cti == CTI36
			c := u.client(t, func(o *Options) { o.CTI = cti })
			first := read(t, c, Fingerprint{})
			if !slices.Equal(first.Rows, u.rows) || first.Counts != u.counts || first.Same || first.Torn || first.Calls != 1 || first.Fingerprint.IsZero() {
				t.Fatalf("got %+v", first)
			}
			again := read(t, c, first.Fingerprint)
			if !again.Same || again.Rows != nil || again.Fingerprint != first.Fingerprint || again.Calls != 1 {
				t.Errorf("unchanged: got %+v, want Same", again)
			}
			if r := read(t, c, first.Fingerprint.WithRows()); !r.Same || r.Fingerprint != first.Fingerprint || !slices.Equal(r.Rows, u.rows) || r.Counts != u.counts {
				t.Errorf("unchanged, with rows: got %+v", r)
			}
			if r := read(t, c, Fingerprint{}.WithRows()); r.Same || len(r.Rows) != 100 {
				t.Errorf("nothing to compare with: got %+v, want rows", r)
			}
			u.set(func() { u.rows[7].Reason = 2 })
			if r := read(t, c, first.Fingerprint); r.Same || r.Fingerprint == first.Fingerprint || r.Rows[7].Reason != 2 {
				t.Errorf("changed: got %+v", r)
			}
			for _, q := range u.queries {
				if q.CC != 1 || q.VDN != 170 || (q.Offset == nil) != (cti == CTI38) || (q.Limit == nil) != (cti == CTI38) {
					t.Errorf("asked for %+v", q)
				}
			}
			if n := u.conns.Load(); n != 1 {
				t.Errorf("%d connections for %d calls, want one", n, u.calls.Load())
			}
		})
	}
}

func TestReadEmpty(t *testing.T) {
	u := newUpstream(t, 0)
	if r := read(t, u.client(t, nil), Fingerprint{}); r.Rows == nil || len(r.Rows) != 0 || r.Torn {
		t.Errorf("got %+v", r)
	}
}

// A list that its counts contradict, in one reply, is handed on as it is, with
// no second call.
func TestReadOnePageTorn(t *testing.T) {
	u := newUpstream(t, 10)
	u.counts = diff.Counts{Resting: 8, Waiting: 4}
	for _, cti := range []string{CTIAuto, CTI36, CTI38} {
		c := u.client(t, func(o *Options) { o.CTI = cti })
		if r := read(t, c, Fingerprint{}); len(r.Rows) != 10 || r.Counts != u.counts || r.Torn || r.Calls != 1 {
			t.Errorf("%s: got %+v", cti, r)
		}
	}
}

func TestReadPages(t *testing.T) {
	u := newUpstream(t, 250)
	u.paging = true
	c := u.client(t, nil)
	if cti := c.CTI(vdn); cti != "" {
		t.Errorf("CTI %q before the first call", cti)
	}
	first := read(t, c, Fingerprint{})
	if !slices.Equal(sortedRows(first.Rows), u.rows) || first.Torn || first.Calls != 6 {
		t.Fatalf("got %d rows in %d calls, torn %v; want 250 in two readings of 3", len(first.Rows), first.Calls, first.Torn)
	}
	if cti := c.CTI(vdn); cti != CTI36 {
		t.Errorf("CTI %q, want 3.6", cti)
	}
	same := read(t, c, first.Fingerprint)
	if !same.Same || same.Calls != 3 || same.Fingerprint != first.Fingerprint {
		t.Errorf("unchanged: got %+v", same)
	}
	rowed := read(t, c, same.Fingerprint.WithRows())
	if !rowed.Same || rowed.Calls != 3 || len(rowed.Rows) != 250 || rowed.Counts != u.counts || rowed.Fingerprint != first.Fingerprint {
		t.Errorf("unchanged, with rows: got %d rows in %d calls, same %v", len(rowed.Rows), rowed.Calls, rowed.Same)
	}
	u.set(func() { slices.Reverse(u.rows) })
	turned := read(t, c, same.Fingerprint)
	if !turned.Same || turned.Calls != 3 || turned.Fingerprint == first.Fingerprint {
		t.Errorf("other order: got %+v, want the same by content, in one reading", turned)
	}
	u.set(func() { u.rows[0].Reason = 1 })
	changed := read(t, c, turned.Fingerprint)
	if changed.Same || changed.Torn || changed.Calls != 6 || len(changed.Rows) != 250 {
		t.Errorf("changed: got %+v, want a second reading", changed)
	}
	u.set(func() { u.resize(60) })
	if r := read(t, c, changed.Fingerprint); len(r.Rows) != 60 || r.Calls != 1 || r.Torn {
		t.Errorf("shrunk to a page: got %d rows in %d calls, torn %v", len(r.Rows), r.Calls, r.Torn)
	}
}

// A reading is as old as the request of its first page, of the round that
// counts.
func TestReadSent(t *testing.T) {
	u := newUpstream(t, 250)
	u.paging = true
	var served []time.Time
	u.before = func(*upstream, int, query) { served = append(served, time.Now()) }
	c := u.client(t, nil)
	within := func(r Reading, after, before int) {
		t.Helper()
		if len(served) != r.Calls || after >= 0 && !r.Sent.After(served[after]) || !r.Sent.Before(served[before]) || !r.Received.After(served[r.Calls-1]) {
			t.Errorf("sent %v, received %v, served %v; want it sent after call %d and before call %d", r.Sent, r.Received, served, after+1, before+1)
		}
		served = nil
	}
	first := read(t, c, Fingerprint{})
	within(first, 2, 3) // of two rounds of three pages
	within(read(t, c, first.Fingerprint), -1, 0)
	u.set(func() { u.rows[0].Reason = 1 })
	within(read(t, c, first.Fingerprint), 2, 3)
	u.set(func() { u.resize(60) })
	within(read(t, c, first.Fingerprint), -1, 0)
}

// Page sizes from one up, lists around multiples of them.
func TestReadPageSizes(t *testing.T) {
	u := newUpstream(t, 0)
	for _, size := range []int{1, 3, 10} {
		for _, cti := range []string{CTI36, CTIAuto} {
			c := u.client(t, func(o *Options) { o.CTI, o.PageSize, o.MaxInFlight = cti, size, 4 })
			for agents := range 22 {
				for _, paging := range []bool{true, false} {
					u.set(func() { u.resize(agents); u.paging = paging })
					r := read(t, c, Fingerprint{})
					if !slices.Equal(sortedRows(r.Rows), u.rows) || r.Torn {
						t.Errorf("CTI %s, size %d, paging %v: got %d of %d rows, torn %v", cti, size, paging, len(r.Rows), agents, r.Torn)
					}
					if !paging && r.Calls != 1 {
						t.Errorf("CTI %s, size %d: %d calls for a list that came whole", cti, size, r.Calls)
					}
				}
			}
		}
	}
}

func TestReadFindsCTI(t *testing.T) {
	u := newUpstream(t, 100)
	c := u.client(t, nil)
	check := func(what, want string) {
		t.Helper()
		if got := c.CTI(vdn); got != want {
			t.Errorf("%s: CTI %q, want %q", what, got, want)
		}
	}
	r := read(t, c, Fingerprint{})
	check("a list of one page", "")
	u.set(func() { u.resize(101) })
	if r = read(t, c, r.Fingerprint); len(r.Rows) != 101 || r.Calls != 1 {
		t.Errorf("got %d rows in %d calls", len(r.Rows), r.Calls)
	}
	check("a longer list", CTI38)
	// The platform is replaced by an older one, and back.
	u.set(func() { u.paging = true })
	if r = read(t, c, r.Fingerprint); len(r.Rows) != 101 || r.Torn || r.Calls != 4 {
		t.Errorf("got %d rows in %d calls, torn %v", len(r.Rows), r.Calls, r.Torn)
	}
	check("two pages", CTI36)
	u.set(func() { u.paging = false })
	r = read(t, c, r.Fingerprint)
	check("a longer list again", CTI38)
	if len(r.Rows) != 101 || r.Torn {
		t.Errorf("got %d rows, torn %v", len(r.Rows), r.Torn)
	}
}

// CTI 3.8 with a list as long as a page, and counts of another instant: it
// looks like page 1 of 2 until page 2 is the same again.
func TestReadWholeListLooksLikePage(t *testing.T) {
	u := newUpstream(t, 100)
	u.counts.Resting = 101
	c := u.client(t, nil)
	r := read(t, c, Fingerprint{})
	if len(r.Rows) != 100 || r.Counts.Resting != 101 || r.Calls != 2 || c.CTI(vdn) != CTI38 {
		t.Errorf("got %d rows, %+v in %d calls, CTI %q", len(r.Rows), r.Counts, r.Calls, c.CTI(vdn))
	}
	// Meanwhile one more came: page 2 is the whole list, and too long for a page.
	u.before = func(u *upstream, _ int, q query) {
		if u.counts = (diff.Counts{Resting: 101}); *q.Offset > 0 {
			u.resize(102)
		}
	}
	if r = read(t, c, Fingerprint{}); len(r.Rows) != 102 || r.Counts.Resting != 102 || r.Torn || r.Calls != 2 {
		t.Errorf("got %d rows, %+v in %d calls", len(r.Rows), r.Counts, r.Calls)
	}
}

// A row slips from page 2 to page 1 unread while another agent arrives, so the
// counts say nothing: only the second reading shows it.
func TestReadSlippedRow(t *testing.T) {
	u := newUpstream(t, 150)
	u.paging = true
	u.before = func(u *upstream, n int, _ query) {
		if n == 2 {
			u.rows = append(slices.Clone(u.rows[1:]), agent(999))
		}
	}
	r := read(t, u.client(t, nil), Fingerprint{})
	if !slices.Equal(sortedRows(r.Rows), u.rows) || r.Torn || r.Calls != 6 {
		t.Errorf("got %d rows in %d calls, torn %v; want all 150 in three readings", len(r.Rows), r.Calls, r.Torn)
	}
}

// A list that never rests is given out as torn after four readings, nobody
// twice, and is not what the next reading is compared with.
func TestReadTorn(t *testing.T) {
	u := newUpstream(t, 150)
	u.paging = true
	u.before = func(u *upstream, n int, _ query) {
		u.rows = append(slices.Clone(u.rows[1:]), agent(1000+n))
	}
	r := read(t, u.client(t, nil), Fingerprint{})
	if !r.Torn || r.Calls != 8 || !r.Fingerprint.IsZero() {
		t.Errorf("got %d rows in %d calls, torn %v, fingerprint %v", len(r.Rows), r.Calls, r.Torn, r.Fingerprint)
	}
	if len(r.Rows) < 149 {
		t.Errorf("got %d rows", len(r.Rows))
	}
}

// Somebody is on both pages, in both readings: torn, with his newest row, and
// no more calls, as the two agree.
func TestReadTwice(t *testing.T) {
	u := newUpstream(t, 150)
	u.paging = true
	again := u.rows[3]
	again.Begin += 5
	u.rows[120] = again
	r := read(t, u.client(t, nil), Fingerprint{})
	if !r.Torn || r.Calls != 4 || len(r.Rows) != 149 || r.Rows[3] != again {
		t.Errorf("got %d rows in %d calls, torn %v, %+v", len(r.Rows), r.Calls, r.Torn, r.Rows[3])
	}
}

func TestReadGrowsAndShrinks(t *testing.T) {
	for _, to := range []int{0, 1, 99, 100, 101, 199, 200, 201, 450} {
		u := newUpstream(t, 200)
		u.paging = true
		u.before = func(u *upstream, n int, _ query) {
			if n == 2 {
				u.resize(to)
			}
		}
		r := read(t, u.client(t, nil), Fingerprint{})
		if !slices.Equal(sortedRows(r.Rows), u.rows) || r.Torn {
			t.Errorf("to %d: got %d rows, torn %v, %d calls", to, len(r.Rows), r.Torn, r.Calls)
		}
	}
}

// A page that fails fails the reading: never a short list.
func TestReadPageFails(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
		want   Category
	}{
		"http":      {500, "", HTTP},
		"malformed": {200, `{"resultCode":"0100000","resultDesc":{}}`, Malformed},
		"rejected":  {200, `{"resultCode":"0100001","resultDesc":"x"}`, Rejected},
		// The offset lies behind the end: no fault of the configuration.
		"invalid parameter": {200, `{"resultCode":"0100002","resultDesc":"offset"}`, Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, 450)
			u.paging = true
			inner := http.HandlerFunc(u.ServeHTTP)
			u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if u.calls.Load() != 2 {
					inner(w, r)
					return
				}
				u.calls.Add(1)
				u.drain(r)
				w.WriteHeader(answer.status)
				_, _ = w.Write([]byte(answer.body))
			})
			if e := readFailing(t, u.client(t, func(o *Options) { o.MaxInFlight = 1 })); e.Category != answer.want {
				t.Errorf("got %v, want %s", e, answer.want)
			}
		})
	}
}

// Counts beyond all measure do not make as many calls.
func TestReadAbsurdCounts(t *testing.T) {
	u := newUpstream(t, 100)
	u.paging = true
	u.counts.Resting = 2_000_000_000
	u.before = func(u *upstream, n int, _ query) {
		if n > 3 {
			u.resize(50)
		}
	}
	r := read(t, u.client(t, nil), Fingerprint{})
	if len(r.Rows) != 50 || u.calls.Load() > 1100 {
		t.Errorf("got %d rows in %d calls", len(r.Rows), u.calls.Load())
	}
}

func TestProbe(t *testing.T) {
	u := newUpstream(t, 450)
	u.paging = true
	got, err := u.client(t, nil).Probe(t.Context(), vdn)
	if err != nil || len(got.Rows) != 100 || got.Counts.Resting != 450 || u.calls.Load() != 1 {
		t.Errorf("got %d rows, %v in %d calls, want page 1 in one", len(got.Rows), err, u.calls.Load())
	}
}

// waiter is a context that tells when somebody begins to wait for it.
type waiter struct {
	context.Context
	waits chan<- struct{}
}

func (w waiter) Done() <-chan struct{} {
	select {
	case w.waits <- struct{}{}:
	default:
	}
	return w.Context.Done()
}

// A call that waits for its turn while another is refused is not sent: each one
// may lock the address. The next reading makes its call, as it is for the caller
// to know when that is in order.
func TestRefusalStopsCallsThatWait(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		u := newUpstream(t, 1)
		waits, called, answer := make(chan struct{}, 100), make(chan struct{}, 100), make(chan struct{})
		u.answer = func(w http.ResponseWriter, _ *http.Request) {
			called <- struct{}{}
			<-answer
			w.WriteHeader(status)
		}
		c := u.client(t, func(o *Options) { o.MaxInFlight = 1 })
		const readings = 10
		failed := make(chan Category, readings)
		read := func(ctx context.Context) {
			_, err := c.Read(ctx, vdn, Fingerprint{})
			failed <- CategoryOf(err)
		}
		go read(t.Context())
		<-called // it has the slot
		for range readings - 1 {
			go read(waiter{t.Context(), waits})
		}
		for range readings - 1 {
			<-waits
		}
		close(answer)
		count := map[Category]int{}
		for range readings {
			count[<-failed]++
		}
		if n := u.calls.Load(); n != 1 || count[Canceled] != readings-1 || count[Refused]+count[Locked] != 1 {
			t.Errorf("%d: %d calls, failed as %v", status, n, count)
		}
		if e := readFailing(t, c); !e.refused() || u.calls.Load() != 2 {
			t.Errorf("%d: the next reading failed as %v after %d calls", status, e, u.calls.Load())
		}
	}
}

// Nor are the pages of a reading that was going well.
func TestRefusalStopsFurtherPages(t *testing.T) {
	u := newUpstream(t, 250)
	u.paging = true
	c := u.client(t, nil)
	u.before = func(_ *upstream, n int, _ query) {
		if n == 1 {
			c.refusals.Add(1)
		}
	}
	if e := readFailing(t, c); e.Category != Canceled || u.calls.Load() != 1 {
		t.Errorf("got %v after %d calls", e, u.calls.Load())
	}
}
