package main

import (
	"bytes"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/diff/judge"
	"restwatch/poller/cmssim"
)

var truthLasts = flag.Duration("truth", 10*time.Minute, "how long agents are watched, by their own fast lives")

// worldSpeed is how much faster than real agents these live. Polled every
// 100 ms, they look as real ones do at a poll every 7 seconds.
const worldSpeed = 75

// TestTruth lets agents live and be watched, over the wire and the bus, and
// compares all that subscribers got with what really happened.
func TestTruth(t *testing.T) {
	t.Parallel()
	start := time.Now().Truncate(time.Millisecond)
	worlds := map[diff.VDN]cmssim.Config{}
	world := func(cc, id int, grain time.Duration) cmssim.Config {
		v := diff.VDN{CC: cc, ID: id}
		worlds[v] = cmssim.Config{VDN: v, Agents: 150, Seed: 7, Speed: worldSpeed, Grain: grain, Start: start}
		return worlds[v]
	}
	u := startUpstream(t,
		cmssim.Tenant{World: world(1, 170, time.Millisecond), CTI: "3.6", Reply: cmssim.Reply{Gzip: true}},
		cmssim.Tenant{World: world(1, 171, time.Second), CTI: "3.8",
			Reply: cmssim.Reply{Generation: cmssim.Legacy, LowerCase: true, Strings: true, Seconds: true}},
		cmssim.Tenant{World: world(2, 7, time.Millisecond), CTI: "3.8",
			Reply: cmssim.Reply{Generation: cmssim.CurrentOnly, Extra: true, Gzip: true}},
	)
	var truths []*lives
	for _, v := range u.VDNs() {
		truths = append(truths, begun(u, v))
	}
	s := startService(t, u.settings(t, "SCHEDULE=@every 100ms", "CMS_PAGE_SIZE=10", "LOG_LEVEL=info"))
	stored := listenStored(t, s.nats)
	for _, h := range truths {
		end := h.start.Add(*truthLasts / worldSpeed)
		s.bus.awaitFor(t, *truthLasts/worldSpeed+patience, 0, "the end of the day", isSnapshot(h.vdn, func(snap *diff.Snapshot) bool { return snap.ObservedAt >= end }))
	}
	mark := s.bus.mark()
	sameMessages(t, s.bus, stored, mark)
	s.stop()
	for _, h := range truths {
		h.learn(u)
		watched(t, u, h, worlds[h.vdn], s.bus.all())
	}
}

// sameMessages makes sure that a JetStream consumer gets what a core subscriber
// gets, byte for byte. Of the snapshots, which replace one another in the
// stream, it may get some only.
func sameMessages(t *testing.T, core, stored *listener, mark int) {
	t.Helper()
	for _, kind := range []string{"rest.v1.event.", "rest.v1.feed.", "rest.v1.snapshot."} {
		of := func(list []busMessage) (kept []busMessage) {
			for _, m := range list {
				if strings.HasPrefix(m.subject, kind) {
					kept = append(kept, m)
				}
			}
			return kept
		}
		want := of(core.all()[:mark])
		if kind == "rest.v1.snapshot." {
			got := of(stored.all())
			for len(got) > 0 && len(want) > 0 {
				if got[0].subject == want[0].subject && bytes.Equal(got[0].data, want[0].data) {
					got = got[1:]
				}
				want = want[1:]
			}
			if len(want) > 0 && len(got) > 0 {
				t.Errorf("a consumer got a snapshot that no subscriber did: %s", got[0].data)
			}
			continue
		}
		eventually(t, "all messages of "+kind, func() bool { return len(of(stored.all())) >= len(want) })
		got := of(stored.all())
		for i := range want {
			if got[i].subject != want[i].subject || !bytes.Equal(got[i].data, want[i].data) {
				t.Fatalf("message %d: a consumer got\n%s %s\nand a subscriber\n%s %s",
					i, got[i].subject, got[i].data, want[i].subject, want[i].data)
			}
		}
	}
}

// watched compares what subscribers were told of a VDN with the truth: every
// poll's list is that of a snapshot, each agent may be in his true state, and
// no certain event is wrong.
func watched(t *testing.T, u *upstream, h *lives, world cmssim.Config, messages []busMessage) {
	t.Helper()
	var snapshots []*diff.Snapshot
	for i := range messages {
		if m := &messages[i]; m.snapshot != nil && m.vdn() == h.vdn {
			snapshots = append(snapshots, m.snapshot)
		}
	}
	calls := u.callsOf(h.vdn)
	oldest, paged := diff.Time(0), 0
	next := 0 // the first call that no snapshot so far was made from
	torn := 0
	for _, s := range snapshots {
		if s.Quality == diff.Inconsistent {
			torn++ // no list of one instant
			continue
		}
		at, ok := diff.Time(0), false
		for i := next; i < len(calls) && diff.TimeOf(calls[i].At) <= s.ObservedAt+clockError; i++ {
			if calls[i].Offset > 0 {
				paged++
			}
			if shown := diff.TimeOf(calls[i].At); maps.Equal(h.list(shown), listOf(s)) {
				at, ok, next = shown, true, i
			}
		}
		if !ok {
			t.Fatalf("VDN %v: no reply had the list of revision %d:%s", h.vdn, s.Revision, h.nearest(calls, s))
		}
		h.states(t, s, at)
		oldest = max(oldest, s.ObservedAt-at)
	}
	events := eventsOf(messages, h.vdn)
	if paged == 0 {
		everyPoll(t, h, calls, snapshots)
		relived(t, world, calls, snapshots, events, u.age(h.vdn, events))
	}
	v := h.judge(t, events, u.age(h.vdn, events))
	kinds := map[diff.Kind]int{}
	for _, e := range events {
		kinds[e.Kind]++
	}
	t.Logf("VDN %v: %d calls (%d of further pages), %d snapshots (%d torn), %v; %v; replies up to %d ms old",
		h.vdn, len(calls), paged, len(snapshots), torn, v, kinds, oldest)
	if torn > 0 && paged == 0 {
		t.Errorf("VDN %v: lists of one page were taken for torn", h.vdn)
	}
	if len(events) < 10 {
		t.Errorf("VDN %v: only %d events", h.vdn, len(events))
	}
}

// everyPoll makes sure that no reply showed a list that subscribers were not
// told of. Where a reading takes more than one call that need not hold.
func everyPoll(t *testing.T, h *lives, calls []cmssim.Call, snapshots []*diff.Snapshot) {
	t.Helper()
	// What comes before the baseline is a probe of the credentials.
	calls = calls[slices.IndexFunc(calls, func(c cmssim.Call) bool {
		return maps.Equal(h.list(diff.TimeOf(c.At)), listOf(snapshots[0]))
	}):]
	at := 0
	for _, c := range calls {
		list := h.list(diff.TimeOf(c.At))
		now := at
		for now < len(snapshots) && !maps.Equal(list, listOf(snapshots[now])) {
			now++
			// Snapshots may be passed over that differ in nothing listed.
			if now < len(snapshots) && now > at+1 && !maps.Equal(listOf(snapshots[now-1]), listOf(snapshots[at])) {
				now = len(snapshots)
			}
		}
		if now == len(snapshots) {
			t.Fatalf("VDN %v: nobody was told of the list at %v; compared with that of revision %d:%s",
				h.vdn, diff.TimeOf(c.At), snapshots[at].Revision, h.nearest([]cmssim.Call{c}, snapshots[at]))
		}
		at = now
	}
	last := snapshots[len(snapshots)-1]
	if !maps.Equal(listOf(last), listOf(snapshots[at])) {
		t.Errorf("VDN %v: the last snapshot shows a list that no poll did", h.vdn)
	}
}

// relived lets the same agents live the same day once more, and judges each
// poll's events by what there was to tell.
func relived(t *testing.T, cfg cmssim.Config, calls []cmssim.Call, snapshots []*diff.Snapshot, events []diff.Event, age diff.Time) {
	t.Helper()
	w := cmssim.NewWorld(cfg)
	j := judge.New(w)
	for i, c := range calls {
		end := diff.Never
		if i+1 < len(calls) {
			// Less than clockError, as on a busy machine a reply is taken just
			// before the next call; the embedded server's clock is this machine's.
			end = diff.TimeOf(calls[i+1].At) - 2
		}
		w.Advance(c.At)
		made := len(snapshots) > 0 && snapshots[0].ObservedAt < end
		switch {
		case made && snapshots[0].Baseline:
			j.Baseline()
		case !made && i == 0:
			continue // a probe of the credentials
		default:
			n := slices.IndexFunc(events, func(e diff.Event) bool { return e.ObservedAt >= end })
			if n < 0 {
				n = len(events)
			}
			j.Poll(slices.Clone(w.Rows()), true, events[:n])
			events = events[n:]
		}
		if made {
			j.Snapshot(snapshots[0], slices.Clone(w.Rows()))
			snapshots = snapshots[1:]
		}
	}
	got := j.Score
	t.Logf("VDN %v: %+v, %.1f %% certain", cfg.VDN, got, 100*got.Certain())
	if age > judge.Allowance {
		got.WindowWrong = 0 // a reply was older than the contract allows for
	}
	// Of what was guessed wrongly something is missed, and may be for ever.
	if got.CertainWrong+got.StateWrong+got.WindowWrong > 0 || len(events)+len(snapshots) > 0 {
		t.Errorf("VDN %v: %+v, %d events and %d snapshots left over; %s", cfg.VDN, got, len(events), len(snapshots), j.Offence)
	}
}
