package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// strike is one fault, and what is expected of the service.
type strike struct {
	fault    string
	expect   func(*trial)
	category []string // any of these
	settings []string
	says     string // in the log, to help the operator
}

// soon gives up on a call that a fault holds up, but not on one that only a busy
// machine does. It does so within the three intervals after which a feed is down.
var soon = []string{"CMS_TIMEOUT=2s", "SCHEDULE=@every 1s"}

// trial is a strike at a running service, that has seen the first roster.
type trial struct {
	strike
	t     *testing.T
	s     *service
	u     *upstream
	first roster
}

// strikes has at least one entry for each fault of the simulator.
var strikes = []strike{
	{fault: "latency=20ms-50ms", expect: (*trial).goesOn},
	{fault: "latency=1h", expect: (*trial).fails, category: []string{"timeout"}, settings: soon},
	{fault: "skew=30s", expect: (*trial).goesOn},
	{fault: "skew=1h", expect: (*trial).pauses, category: []string{"refused"}, says: "behind that of CC-CMS"},
	{fault: "hang", expect: (*trial).fails, category: []string{"timeout"}, settings: soon},
	{fault: "reset", expect: (*trial).fails, category: []string{"network"}},
	{fault: "truncate", expect: (*trial).fails, category: []string{"network"}, says: "broke in mid-reply"},
	{fault: "cut", expect: (*trial).fails, category: []string{"malformed"}},
	{fault: "empty", expect: (*trial).fails, category: []string{"malformed"}},
	{fault: "null", expect: (*trial).fails, category: []string{"malformed"}},
	{fault: "html", expect: (*trial).fails, category: []string{"malformed"}},
	{fault: "status=503", expect: (*trial).fails, category: []string{"http"}},
	{fault: "status=404", expect: (*trial).fails, category: []string{"http"}, says: "RESTWATCH_CMS_URL"},
	{fault: "status=302", expect: (*trial).fails, category: []string{"http"}, says: "redirects are not followed"},
	{fault: "code=0100001", expect: (*trial).fails, category: []string{"rejected"}},
	{fault: "code=0100999", expect: (*trial).fails, category: []string{"rejected"}},
	{fault: "code=0100777", expect: (*trial).fails, category: []string{"rejected"}},
	{fault: "code=0100002", expect: (*trial).waits, category: []string{"config"}},
	{fault: "code=0100003", expect: (*trial).waits, category: []string{"config"}},
	{fault: "code=0101003", expect: (*trial).waits, category: []string{"config"}, says: "no permission"},
	{fault: "unauthorized", expect: (*trial).pauses, category: []string{"refused"}, says: "RESTWATCH_CMS_ACCESS_KEY"},
	{fault: "locked", expect: (*trial).pauses, category: []string{"locked"}},
	{fault: "torn", expect: (*trial).misses},
	{fault: "duplicate", expect: (*trial).misses},
	{fault: "counts", expect: (*trial).doubts},
	{fault: "names", expect: (*trial).goesOn},
	{fault: "nested", expect: (*trial).fails, category: []string{"malformed"}},
	{fault: "numbers", expect: (*trial).fails, category: []string{"malformed"}},
	// 32 MB take a while to come, but are a good reply.
	{fault: "huge", expect: (*trial).goesOn, settings: []string{"SCHEDULE=@every 2s", "CMS_TIMEOUT=9s"}},
	// Whatever comes first: the time-out or the greatest size of a reply.
	{fault: "endless", expect: (*trial).fails, category: []string{"timeout", "malformed"}, settings: soon},
	{fault: "slow", expect: (*trial).fails, category: []string{"timeout"}, settings: soon},
	// A gigabyte takes a while to unpack.
	{fault: "bomb", expect: (*trial).fails, category: []string{"malformed"}, says: "larger than the limit", settings: []string{"CMS_TIMEOUT=9s"}},
	{fault: "headers", expect: (*trial).fails, category: []string{"network"}},
	{fault: "vdn=1:171,status=503", expect: (*trial).leavesNeighbour, category: []string{"http"}},
}

// TestFaults strikes a running service with everything that the simulator can
// do wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range cmssim.FaultList() {
		if !slices.ContainsFunc(strikes, func(c strike) bool {
			name, _, _ := strings.Cut(c.fault, "=")
			return name == f.Name
		}) {
			t.Errorf("fault %s is not tried", f.Name)
		}
	}
	for _, c := range strikes {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, byHand(vdn170, vdn171)...)
			first := firstRoster()
			u.show(vdn170, first)
			u.show(vdn171, first)
			s := startService(t, u.settings(t, c.settings...))
			s.polled(vdn170, vdn171)
			c.expect(&trial{c, t, s, u, first})
			s.stop()
			if c.says != "" && !strings.Contains(s.log.String(), c.says) {
				t.Errorf("the log does not say %q", c.says)
			}
		})
	}
}

// setFaults makes the upstream go wrong from the next call on.
func (u *upstream) setFaults(t *testing.T, spec string) {
	t.Helper()
	if err := u.SetFaults(spec); err != nil {
		t.Fatal(err)
	}
}

// isFailure wants a feed status that tells of the fault.
func (c *trial) isFailure(v diff.VDN) func(*busMessage) bool {
	return func(m *busMessage) bool {
		return m.feed != nil && m.vdn() == v && m.feed.Error != nil && slices.Contains(c.category, m.feed.Error.Category)
	}
}

// failing waits until the feed is degraded and then down by the fault, which a
// line in the log tells too.
func (c *trial) failing(v diff.VDN, mark int) int {
	c.t.Helper()
	var seen []diff.Status
	for down := false; !down; {
		m, next := c.s.bus.await(c.t, mark, "feed down by the fault", func(m *busMessage) bool {
			return m.feed != nil && m.vdn() == v && m.feed.Status != diff.OK
		})
		switch e := m.feed.Error; {
		case isSlow(m):
		case e == nil || e.Message == "" || m.feed.LastGoodPollAt == 0:
			c.t.Fatalf("feed %s tells no error, or no last good poll: %s", m.feed.Status, m.data)
		case slices.Contains(c.category, e.Category):
			down = m.feed.Status == diff.Down
		default:
			c.t.Fatalf("feed %s is of category %q, want %q", m.feed.Status, e.Category, c.category)
		}
		mark = next
		if !isSlow(m) {
			seen = append(seen, m.feed.Status)
		}
	}
	if i := slices.Index(seen, diff.Degraded); i > 0 || slices.Contains(seen, diff.Paused) || slices.Contains(seen, diff.Stopping) {
		c.t.Errorf("feed went through %v", seen)
	}
	eventually(c.t, "a line in the log", func() bool {
		return slices.ContainsFunc(c.s.log.lines(), func(l string) bool {
			return containsAll(l, []string{"poll failed", v.String()}) && slices.ContainsFunc(c.category, func(category string) bool {
				return strings.Contains(l, c.s.logged("category", category))
			})
		})
	})
	return mark
}

// isSlow says that a feed is down because this machine is so busy that a poll
// takes more than three of the tests' short intervals.
func isSlow(m *busMessage) bool {
	return m.feed.Status == diff.Down && m.feed.Error != nil && strings.Contains(m.feed.Error.Message, "no poll ended")
}

// logged is an attribute as the service's log writes it.
func (s *service) logged(key, value string) string {
	if s.json {
		return `"` + key + `":"` + value + `"`
	}
	return key + "=" + value
}

// longestBackoff is how long a VDN that fails is left alone at most. Tests end a
// fault long before it comes to that, unless the machine is busy.
const longestBackoff = time.Minute

// recovered waits for the snapshot that ends an outage, and checks the order:
// feed ok with the gap, the events that happened meanwhile, the snapshot.
func recovered(t *testing.T, s *service, v diff.VDN, mark int) {
	t.Helper()
	ok, next := s.bus.awaitFor(t, patience+longestBackoff, mark, "feed ok", isFeed(v, diff.OK))
	if ok.feed.Gap == nil || ok.feed.Gap.From == 0 || ok.feed.Gap.From >= ok.feed.Gap.To || ok.feed.Error != nil {
		t.Errorf("feed ok tells no gap: %s", ok.data)
	}
	if events := eventsOf(s.bus.all()[mark:next], v); len(events) > 0 {
		t.Errorf("events came before the feed's recovery: %+v", events)
	}
	snapshot, end := s.bus.await(t, next, "the snapshot after the outage", isSnapshot(v, func(*diff.Snapshot) bool { return true }))
	events := eventsOf(s.bus.all()[next:end], v)
	checkChanges(t, events, diff.Certain, diff.Resync)
	for _, e := range events {
		if e.PreviousObservedAt > ok.feed.Gap.From || e.ObservedAt != ok.feed.Gap.To || snapshot.snapshot.ObservedAt != e.ObservedAt {
			t.Errorf("%s was seen between %v and %v, but the gap is %+v and the snapshot of %v",
				e.Kind, e.PreviousObservedAt, e.ObservedAt, *ok.feed.Gap, snapshot.snapshot.ObservedAt)
		}
		if e.Kind == diff.KindEnded && (e.OccurredAfter > ok.feed.Gap.From || e.OccurredBefore != ok.feed.Gap.To) {
			t.Errorf("ended within %v and %v, but the gap is %+v", e.OccurredAfter, e.OccurredBefore, *ok.feed.Gap)
		}
	}
}

// fails: no poll is good while the fault lasts, and all is made up for after it.
func (c *trial) fails() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, c.fault)
	s.bus.await(t, mark, "a first failure", c.isFailure(vdn170))
	// Only now, when no call from before the fault is under way any more.
	u.show(vdn170, nextRoster(c.first))
	down := c.failing(vdn170, mark)
	if events := eventsOf(s.bus.all()[mark:], diff.VDN{}); len(events) > 0 {
		t.Errorf("the fault caused events: %+v", events)
	}
	if n, _ := s.metric(`restwatch_feed_status{cc="1",status="down",vdn="170"}`); n != 1 {
		t.Errorf("no metric tells that the feed is down")
	}
	u.setFaults(t, "")
	recovered(t, s, vdn170, down)
}

// goesOn: the fault is none that hurts.
func (c *trial) goesOn() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, c.fault)
	u.show(vdn170, nextRoster(c.first))
	s.bus.awaitFor(t, patience+longestBackoff, mark, "the events under the fault", func(m *busMessage) bool { return m.event != nil && m.event.WorkNo == 106 })
	_, end := s.bus.await(t, mark, "their snapshot", isSnapshot(vdn170, func(snap *diff.Snapshot) bool {
		return slices.ContainsFunc(snap.Agents, func(a diff.Agent) bool { return a.WorkNo == 106 })
	}))
	checkChanges(t, eventsOf(s.bus.all()[mark:end], vdn170), diff.Certain, diff.Poll, diff.Resync)
	u.setFaults(t, "")
	for _, l := range s.log.lines() {
		// A machine that is busy may be too slow for a large reply.
		if strings.Contains(l, "poll failed") && !strings.Contains(l, s.logged("category", "timeout")) {
			t.Errorf("a poll failed: %s", l)
		}
	}
}

// waits: nothing but a change of the settings heals it, so calls become rare.
func (c *trial) waits() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, "vdn=1:170,"+c.fault)
	s.bus.await(t, mark, "a first failure", c.isFailure(vdn170))
	calls := u.Stats(vdn170).Calls
	u.show(vdn170, nextRoster(c.first))
	code := strings.TrimPrefix(c.fault, "code=")
	mark = c.failing(vdn170, mark)
	beat, _ := s.bus.await(t, mark, "a heartbeat", isFeed(vdn170, diff.Down))
	if beat.feed.Error == nil || beat.feed.Error.Code != code {
		t.Errorf("the feed does not tell the code: %s", beat.data)
	}
	if n := u.Stats(vdn170).Calls - calls; n > 0 {
		t.Errorf("%d further calls", n)
	}
	if events := eventsOf(s.bus.all(), diff.VDN{}); len(events) > 0 {
		t.Errorf("the fault caused events: %+v", events)
	}
	// The neighbour with the same credentials is polled as before.
	more := u.Stats(vdn171).Calls
	eventually(t, "polls of the neighbour", func() bool { return u.Stats(vdn171).Calls > more+1 })
}

// pauses: the credentials are refused, so nobody calls any more.
func (c *trial) pauses() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, c.fault)
	calls := u.Calls()
	u.show(vdn170, nextRoster(c.first))
	for _, v := range []diff.VDN{vdn170, vdn171} {
		m, next := s.bus.await(t, mark, "feed paused", isFeed(v, diff.Paused))
		if m.feed.Error == nil || !slices.Contains(c.category, m.feed.Error.Category) || m.feed.LastGoodPollAt == 0 {
			t.Errorf("feed paused, but: %s", m.data)
		}
		s.bus.await(t, next, "its heartbeat", isFeed(v, diff.Paused))
	}
	// One per VDN may have been under way together.
	if n := u.Calls() - calls; n > 2 {
		t.Errorf("%d calls after the refusal, want at most 2", n)
	}
	s.log.line(t, "calls stopped", s.logged("category", c.category[0]))
	status, page := s.fetch("/readyz")
	if status != http.StatusOK || !containsAll(page, []string{"paused until", c.category[0]}) {
		t.Errorf("/readyz says %d %s", status, page)
	}
	if until, _ := s.metric("restwatch_paused_until_timestamp_seconds"); until < float64(time.Now().Unix()) {
		t.Errorf("the metric says that calls are paused until %v", until)
	}
	if events := eventsOf(s.bus.all(), diff.VDN{}); len(events) > 0 {
		t.Errorf("the fault caused events: %+v", events)
	}
}

// misses: rows are missing from lists that do not add up. Who is missing twice
// running is inferred to have gone, and taken back.
func (c *trial) misses() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, c.fault)
	isDeparture := func(m *busMessage) bool {
		return m.event != nil && m.vdn() == vdn170 && (m.event.Kind == diff.KindEnded || m.event.Kind == diff.KindCancelled)
	}
	s.bus.await(t, mark, "somebody missing twice", isDeparture)
	u.setFaults(t, "")
	_, end := s.bus.await(t, s.bus.mark(), "everybody again", isSnapshot(vdn170, func(snap *diff.Snapshot) bool {
		return snap.Quality == diff.Consistent && len(snap.Agents) == len(c.first.rows)
	}))
	gone := map[string]bool{}
	for _, e := range eventsOf(s.bus.all()[mark:end], vdn170) {
		switch e.Kind {
		case diff.KindEnded, diff.KindCancelled:
			if e.Certainty != diff.Inferred || !slices.Contains(e.Alternatives, "none") {
				t.Errorf("a departure from a torn list is %s, or else %q", e.Certainty, e.Alternatives)
			}
			gone[e.ID()] = true
		case diff.KindCorrected:
			if e.Corrects == nil || !gone[*e.Corrects] || e.Now != diff.KindNone {
				t.Errorf("not a correction of what was said: %+v %+v", e, e.Correction)
				continue
			}
			delete(gone, *e.Corrects)
		default:
			t.Errorf("the fault caused %s of %d", e.Kind, e.WorkNo)
		}
	}
	if len(gone) > 0 {
		t.Errorf("never taken back: %v", gone)
	}
	s.inconsistent(t)
}

// doubts: totals that fit no list. What the rows say is still reported, but
// nobody is taken for gone at the first miss.
func (c *trial) doubts() {
	t, s, u := c.t, c.s, c.u
	u.setFaults(t, c.fault)
	_, mark := s.bus.await(t, s.bus.mark(), "an inconsistent snapshot", isSnapshot(vdn170, func(snap *diff.Snapshot) bool {
		return snap.Quality == diff.Inconsistent
	}))
	u.show(vdn170, nextRoster(c.first))
	calls := len(u.callsOf(vdn170))
	m, end := s.bus.await(t, mark, "the departure", func(m *busMessage) bool {
		return m.event != nil && m.event.Kind == diff.KindEnded && m.vdn() == vdn170
	})
	if m.event.WorkNo != 101 || m.event.Certainty != diff.Inferred {
		t.Errorf("got %s %s %d", m.event.Certainty, m.event.Kind, m.event.WorkNo)
	}
	if n := len(u.callsOf(vdn170)) - calls; n < 2 {
		t.Errorf("gone at miss %d", n)
	}
	u.setFaults(t, "")
	_, end = s.bus.await(t, end, "a consistent snapshot", isSnapshot(vdn170, func(snap *diff.Snapshot) bool {
		return snap.Quality == diff.Consistent
	}))
	for _, e := range eventsOf(s.bus.all()[mark:end], vdn170) {
		if !slices.ContainsFunc(changes, func(c rosterChange) bool { return c.workNo == e.WorkNo }) {
			t.Errorf("the fault caused %s of %d", e.Kind, e.WorkNo)
		}
	}
	s.inconsistent(t)
}

// inconsistent makes sure that an operator can learn of torn lists.
func (s *service) inconsistent(t *testing.T) {
	t.Helper()
	if n, _ := s.metric(`restwatch_polls_total{outcome="inconsistent"}`); n < 1 {
		t.Errorf("no metric counts inconsistent polls")
	}
}

// leavesNeighbour: what befalls one VDN does not disturb another.
func (c *trial) leavesNeighbour() {
	t, s, u := c.t, c.s, c.u
	mark := s.bus.mark()
	u.setFaults(t, c.fault)
	c.failing(vdn171, mark)
	u.show(vdn170, nextRoster(c.first))
	_, end := s.bus.await(t, mark, "the neighbour's snapshot", isSnapshot(vdn170, func(*diff.Snapshot) bool { return true }))
	checkChanges(t, eventsOf(s.bus.all()[mark:end], vdn170), diff.Certain, diff.Poll, diff.Resync)
	if events := eventsOf(s.bus.all()[mark:], vdn171); len(events) > 0 {
		t.Errorf("the fault caused events: %+v", events)
	}
	for _, m := range s.bus.all()[mark:end] {
		if m.feed != nil && m.vdn() == vdn170 && m.feed.Status != diff.OK && !isSlow(&m) {
			t.Errorf("the neighbour's feed is %s", m.feed.Status)
		}
	}
	u.setFaults(t, "")
	s.bus.awaitFor(t, patience+longestBackoff, end, "feed ok", isFeed(vdn171, diff.OK))
}
