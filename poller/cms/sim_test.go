package cms_test

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/cmssim"
)

// The simulator checks signatures and pages with code of its own, so these
// tests hold the client against another reading of the interface document.

var vdn = diff.VDN{CC: 1, ID: 170}

const accessKey, secretKey = "AK/42", "hunter2"

func startSim(t *testing.T, o cmssim.Options) *cmssim.Server {
	t.Helper()
	o.AccessKey, o.SecretKey = accessKey, secretKey
	s, err := cmssim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func simClient(t *testing.T, s *cmssim.Server, change func(*cms.Options)) *cms.Client {
	t.Helper()
	o := cms.Options{URL: s.URL(), AccessKey: accessKey, SecretKey: secretKey, TLS: s.ClientTLS()}
	if change != nil {
		change(&o)
	}
	c, err := cms.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ordered(rows []diff.Row) []diff.Row {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b diff.Row) int {
		return cmp.Or(cmp.Compare(a.WorkNo, b.WorkNo), cmp.Compare(a.Begin, b.Begin))
	})
	return rows
}

// platform is the simulator's clock, which moves on with every look at it, and
// the instants of the calls.
type platform struct {
	mu    sync.Mutex
	now   time.Time
	step  time.Duration
	calls []time.Time
}

func (p *platform) Now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(p.step)
	return p.now
}

func (p *platform) trace(c cmssim.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c.At)
}

func (p *platform) taken() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	slices.SortFunc(calls, time.Time.Compare)
	return calls
}

// While the list moves between the calls, a reading that is not torn is the
// true list of one of the instants at which it was asked for, whatever CTI
// answers and whatever was set.
func TestMovingList(t *testing.T) {
	for _, tt := range []struct{ cti, set string }{{"3.6", "auto"}, {"3.6", "3.6"}, {"3.8", "auto"}, {"3.8", "3.8"}, {"3.8", "3.6"}} {
		t.Run(tt.cti+" set "+tt.set, func(t *testing.T) {
			p := &platform{now: time.Now().Truncate(time.Millisecond), step: 30 * time.Millisecond}
			config := cmssim.Config{VDN: vdn, Agents: 1500, Seed: 7, Start: p.now}
			s := startSim(t, cmssim.Options{
				Tenants: []cmssim.Tenant{{World: config, CTI: tt.cti}},
				Now:     p.Now, Trace: p.trace,
			})
			twin := cmssim.NewWorld(config)
			c := simClient(t, s, func(o *cms.Options) { o.CTI = tt.set })
			torn, again := 0, 0
			var last cms.Fingerprint
			for range 60 {
				r, err := c.Read(t.Context(), vdn, last)
				if err != nil {
					t.Fatal(err)
				}
				calls := p.taken()
				if len(calls) != r.Calls {
					t.Fatalf("%d calls, said to be %d", len(calls), r.Calls)
				}
				if r.Calls > 1 && tt.cti == "3.8" {
					t.Errorf("%d calls where one gives the whole list", r.Calls)
				}
				switch {
				case r.Torn:
					torn++
					continue
				case r.Same:
					again++
				}
				last = r.Fingerprint.WithRows()
				if !slices.ContainsFunc(calls, func(at time.Time) bool {
					twin.Advance(at)
					return twin.Counts() == r.Counts && slices.Equal(ordered(twin.Rows()), ordered(r.Rows))
				}) {
					t.Fatalf("%d rows, %+v in %d calls: no list that ever was", len(r.Rows), r.Counts, r.Calls)
				}
			}
			if torn == 60 || torn > 0 && tt.cti == "3.8" {
				t.Errorf("%d of 60 readings torn", torn)
			}
			if found := c.CTI(vdn); found != tt.cti && tt.set == "auto" {
				t.Errorf("found CTI %q", found)
			}
			if n := s.BadSignatures(); n != 0 {
				t.Errorf("%d signatures refused", n)
			}
			t.Logf("%d torn, %d the same", torn, again)
		})
	}
}

// Every dialect of the replies gives the same rows.
func TestDialects(t *testing.T) {
	for name, reply := range map[string]cmssim.Reply{
		"current":      {},
		"legacy":       {Generation: cmssim.Legacy},
		"current only": {Generation: cmssim.CurrentOnly},
		"lower case":   {LowerCase: true},
		"strings":      {Strings: true},
		"extra":        {Extra: true},
		"seconds":      {Seconds: true},
		"gzip":         {Gzip: true},
		"all":          {Generation: cmssim.Legacy, LowerCase: true, Strings: true, Extra: true, Gzip: true},
	} {
		for _, cti := range []string{"3.6", "3.8"} {
			now := time.Now().Truncate(time.Second)
			s := startSim(t, cmssim.Options{
				Tenants: []cmssim.Tenant{{World: cmssim.Config{VDN: vdn, Agents: 900, Seed: 3, Grain: time.Second}, CTI: cti, Reply: reply}},
				Now:     func() time.Time { return now },
			})
			var want []diff.Row
			var counts diff.Counts
			s.View(vdn, func(w *cmssim.World) { want, counts = ordered(w.Rows()), w.Counts() })
			c := simClient(t, s, nil)
			r, err := c.Read(t.Context(), vdn, cms.Fingerprint{})
			if err != nil || r.Torn || r.Counts != counts || r.UnknownTimes != 0 || !slices.Equal(ordered(r.Rows), want) {
				t.Errorf("%s, CTI %s: got %d of %d rows, %v", name, cti, len(r.Rows), len(want), err)
				continue
			}
			if len(want) <= 100 {
				t.Fatalf("%d rows fit a page", len(want))
			}
			if r, err := c.Read(t.Context(), vdn, r.Fingerprint); err != nil || !r.Same {
				t.Errorf("%s, CTI %s: unchanged, but %v, same %v", name, cti, err, r.Same)
			}
		}
	}
}

// Every fault of the simulator gives an error of its category, or a reading
// that hides nothing; and afterwards the client is as good as new.
func TestFaults(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	s := startSim(t, cmssim.Options{
		Tenants:       []cmssim.Tenant{{World: cmssim.Config{VDN: vdn, Agents: 150, Seed: 3}}},
		Now:           func() time.Time { return now },
		BadSignatures: -1,
	})
	c := simClient(t, s, func(o *cms.Options) { o.MaxBody, o.Timeout = 1<<20, time.Minute })
	hasty := simClient(t, s, func(o *cms.Options) { o.Timeout = 100 * time.Millisecond })
	want := map[string]cms.Category{
		"hang": cms.Timeout, "slow": cms.Timeout, "reset": cms.Network, "truncate": cms.Network,
		"cut": cms.Malformed, "empty": cms.Malformed, "null": cms.Malformed, "html": cms.Malformed,
		"nested": cms.Malformed, "huge": cms.Malformed, "bomb": cms.Malformed, "headers": cms.Network,
		"status=302": cms.HTTP, "status=404": cms.HTTP, "status=503": cms.HTTP,
		"code=0100001": cms.Rejected, "code=0100002": cms.Config, "code=0100003": cms.Config,
		"code=0100999": cms.Rejected, "code=0101003": cms.Config, "code=0999999": cms.Rejected,
		"unauthorized": cms.Refused, "locked": cms.Locked,
		"latency=10s": cms.Timeout, "skew=1h": cms.Refused,
	}
	for fault, category := range want {
		if err := s.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		before, most := s.Calls(), int64(1)
		if fault == "reset" {
			most = 2 // an idle connection that was closed is tried once more
		}
		caller := c
		if category == cms.Timeout {
			caller = hasty
		}
		r, err := caller.Read(t.Context(), vdn, cms.Fingerprint{})
		if cms.CategoryOf(err) != category || r.Rows != nil || s.Calls() > before+most {
			t.Errorf("%s: got %d rows, %v in %d calls, want %s in %d", fault, len(r.Rows), err, s.Calls()-before, category, most)
		}
	}
	for _, fault := range []string{"torn", "counts", "duplicate", "names"} {
		if err := s.SetFaults(fault); err != nil {
			t.Fatal(err)
		}
		r, err := c.Read(t.Context(), vdn, cms.Fingerprint{})
		if err != nil || len(r.Rows) == 0 || r.Calls != 1 {
			t.Errorf("%s: got %d rows, %v in %d calls", fault, len(r.Rows), err, r.Calls)
		}
		for _, row := range r.Rows {
			if slices.ContainsFunc([]rune(row.Name), func(c rune) bool { return c < ' ' }) || !utf8.ValidString(row.Name) {
				t.Errorf("%s: name %q", fault, row.Name)
			}
		}
	}
	if err := s.SetFaults(""); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Read(t.Context(), vdn, cms.Fingerprint{}); err != nil || len(r.Rows) == 0 {
		t.Errorf("afterwards: %v", err)
	}
}

func TestWrongKey(t *testing.T) {
	s := startSim(t, cmssim.Options{Tenants: []cmssim.Tenant{{World: cmssim.Config{VDN: vdn, Agents: 10}}}, BadSignatures: 2})
	c := simClient(t, s, func(o *cms.Options) { o.SecretKey = "another" })
	for _, category := range []cms.Category{cms.Refused, cms.Refused, cms.Locked} {
		if _, err := c.Probe(t.Context(), vdn); cms.CategoryOf(err) != category {
			t.Errorf("got %v, want %s", err, category)
		}
	}
}
