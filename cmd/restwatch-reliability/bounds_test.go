package reliability

import (
	"fmt"
	"testing"
	"time"

	"restwatch/diff"
)

// TestNeighbours has CC-CMS refuse, hang or fail one VDN at a time, and looks at
// the polls of all others.
func TestNeighbours(t *testing.T) {
	begin(t)
	const interval = time.Second
	f := &fleet{interval: interval, site: open(t, 40, interval, startNATS(t, 1)[0].url(), 0, "CMS_TIMEOUT=2s")}
	f.grow(t, 2)
	f.everywhere(t, diff.OK)
	f.steady(t)
	rounds := either(6, 30)
	one := diff.VDN{CC: 1, ID: 17}
	calm := 0 // slots missed while nothing fails: what the machine makes of it
	// The last keeps it from being polled for five minutes, so it is the last.
	for _, fault := range either([]string{"", "hang", "status=503"}, []string{"", "hang", "slow", "endless", "status=503", "code=0100002"}) {
		if fault != "" {
			f.fault(t, fmt.Sprintf("vdn=%s,%s", one, fault))
		}
		from := time.Now()
		let(time.Duration(rounds) * interval)
		to := time.Now()
		neighbours := f.slotsOf(from, to, interval, func(v diff.VDN) bool { return v != one })
		its := f.slotsOf(from, to, interval, func(v diff.VDN) bool { return v == one })
		f.fault(t, "")
		result(t, "one of 40 VDNs fails: %q | %d rounds | the other 39: %v; its own: %d calls", fault, rounds, neighbours, its.calls)
		if fault == "" {
			calm = neighbours.missed
		}
		// One slot while it still is in a group with others; if it held them up they
		// would miss most.
		if neighbours.missed > 2*calm+39*either(2, 1) {
			t.Errorf("%q: %v", fault, neighbours)
		}
	}
}

// TestHangs has all of a large CC-CMS never answer: what that holds must not
// grow with the time.
func TestHangs(t *testing.T) {
	begin(t)
	const interval = 500 * time.Millisecond
	vdns := either(60, 200)
	s := open(t, vdns, interval, startNATS(t, 1)[0].url(), 0, "CMS_TIMEOUT=2s")
	p := s.serve(t)
	s.everywhere(t, diff.OK)
	before := p.needs(t)
	s.fault(t, "hang")
	let(either(3*time.Second, 20*time.Second))
	var early, late needs
	for i := range 10 {
		let(either(300*time.Millisecond, 4*time.Second))
		if i < 5 {
			early = early.or(p.needs(t))
		} else {
			late = late.or(p.needs(t))
		}
	}
	result(t, "CC-CMS hangs | %d VDNs every %v | before %v; %v; then %v", vdns, interval, before, early, late)
	const inFlight = 32 // CMS_MAX_IN_FLIGHT
	if late.calls > inFlight {
		t.Errorf("%v calls at once", late.calls)
	}
	if late.files > before.files+inFlight+10 || late.goroutines > before.goroutines+10*float64(vdns) || late.resident > 2*before.resident+32 {
		t.Errorf("before %v, now %v", before, late)
	}
	s.fault(t, "")
	if *long {
		for end := time.Now().Add(2 * patience); s.told(diff.OK) < vdns && time.Now().Before(end); {
			let(time.Second) // back-off is up to a minute
		}
		result(t, "CC-CMS hangs no more | %d VDNs | %v; %v", vdns, p.needs(t), s.check(t))
	}
}
