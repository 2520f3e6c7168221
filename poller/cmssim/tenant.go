package cmssim

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"restwatch/diff"
)

// Tenant is one VDN of a Server.
type Tenant struct {
	// World is the VDN's truth. A zero Start is the Server's own. A zero
	// HistoryLimit is 10,000 here; a Server of many VDNs that nobody judges
	// saves memory by a negative one.
	World Config
	// CTI is the version behind this VDN: "3.6" (pages) or "3.8" (does not),
	// which is also the zero value.
	CTI   string
	Reply Reply
}

// Tenants returns n VDNs like the one given, numbered from its own upwards.
func Tenants(n int, like Tenant) []Tenant {
	all := make([]Tenant, n)
	for i := range all {
		all[i] = like
		all[i].World.VDN.ID += i
	}
	return all
}

// tenant is a VDN while it is served.
type tenant struct {
	vdn   diff.VDN
	pages bool // CTI 3.6
	out   *renderer

	calls       atomic.Int64
	inFlight    atomic.Int64
	maxInFlight atomic.Int64

	mu       sync.Mutex // guards all below
	world    *World
	script   *script
	scripted uint64 // lists set by hand so far

	// What is cached holds for one version of the list, so that replies of an
	// unchanged list are the same bytes.
	version version
	rows    []diff.Row
	counts  diff.Counts
	cache   map[page]*body
}

type script struct {
	rows   []diff.Row
	counts diff.Counts
	body   []byte // instead of rows and counts
}

type version struct{ world, script uint64 }

// page is a part of the list; Limit 0 is all of it.
type page struct{ offset, limit int }

// body is a rendered reply, immutable.
type body struct {
	plain  []byte
	length []string // Content-Length, as a header's value
	once   sync.Once
	zipped *body
}

func newBody(b []byte) *body {
	return &body{plain: b, length: []string{strconv.Itoa(len(b))}}
}

func (b *body) gzip() *body {
	b.once.Do(func() {
		var buf bytes.Buffer
		z, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed) // the level is a valid one
		_, _ = z.Write(b.plain)                           // a bytes.Buffer takes all
		_ = z.Close()
		b.zipped = newBody(buf.Bytes())
	})
	return b.zipped
}

// maxCached bounds what a caller with many different offsets can fill.
const maxCached = 64

// reply is the reply to a good request at an instant, and the version of the
// list that it shows.
func (t *tenant) reply(now time.Time, p page) (*body, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh(now)
	if t.script != nil && t.script.body != nil {
		return newBody(t.script.body), t.version.script
	}
	v := t.version.world + t.version.script
	if b := t.cache[p]; b != nil {
		return b, v
	}
	rows := p.of(t.rows)
	b := newBody(t.out.list(make([]byte, 0, 200+250*len(rows)), rows, t.counts))
	if len(t.cache) < maxCached {
		t.cache[p] = b
	}
	return b, v
}

// list is the page as rows of the caller's own, for faults that change them.
func (t *tenant) list(now time.Time, p page) ([]diff.Row, diff.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh(now)
	return slices.Clone(p.of(t.rows)), t.counts
}

func (p page) of(rows []diff.Row) []diff.Row {
	if p.limit == 0 {
		return rows
	}
	from := min(p.offset, len(rows))
	return rows[from:min(from+p.limit, len(rows))]
}

// refresh brings rows and counts up to an instant. t.mu is held.
func (t *tenant) refresh(now time.Time) {
	v := version{script: t.scripted}
	if t.script == nil {
		t.world.Advance(now)
		v.world = t.world.Version()
	}
	if v == t.version && t.cache != nil {
		return
	}
	t.version = v
	if t.cache == nil {
		t.cache = make(map[page]*body)
	}
	clear(t.cache)
	if t.script != nil {
		t.rows = append(t.rows[:0], t.script.rows...)
		t.counts = t.script.counts
		return
	}
	t.rows = t.world.AppendRows(t.rows[:0])
	t.counts = t.world.Counts()
}

func (t *tenant) setScript(s *script) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.script = s
	t.scripted++
}

// enter and leave count the calls under way for this VDN.
func (t *tenant) enter() {
	t.calls.Add(1)
	n := t.inFlight.Add(1)
	for {
		most := t.maxInFlight.Load()
		if n <= most || t.maxInFlight.CompareAndSwap(most, n) {
			return
		}
	}
}

func (t *tenant) leave() { t.inFlight.Add(-1) }
