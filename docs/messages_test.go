package docs_test

import (
	"fmt"

	"restwatch/diff"
	"restwatch/publisher"
)

// message is what goes over the wire, and the schema that describes it.
type message struct {
	schema string
	data   []byte
}

const (
	day    = diff.Time(1772413200000) // 2026-03-02T01:00:00.000Z
	second = diff.Time(1000)
)

func ptr[T any](v T) *T { return &v }

// messages are made by hand, so that every kind and every field that may be
// there or not is among them.
func messages() map[string]message {
	all := map[string]message{}
	for name, e := range events() {
		all[name] = message{"agentEventMessage", publisher.EncodeEvent(nil, &e)}
	}
	for name, s := range snapshots() {
		all[name] = message{"snapshotMessage", publisher.EncodeSnapshot(nil, &s, "Hn3yQ")}
	}
	all["snapshot, part"] = message{"snapshotMessage", part()}
	for name, f := range feeds() {
		all[name] = message{"feedMessage", publisher.EncodeFeed(nil, &f, "host-1", 7)}
	}
	return all
}

// event is a certain one of agent 1042, who asked for ten minutes.
func event(k diff.Kind, from, to diff.State) diff.Event {
	e := diff.Event{
		CC: 1, VDN: 170, WorkNo: 1042, AgentName: `"A" 座席 1042`, Kind: k, RestID: diff.RestID{WorkNo: 1042, First: 1772413195120},
		From: from, To: to, Certainty: diff.Certain, BeginAt: day - 4880, RequestedSeconds: 600,
		OccurredAfter: day - 5*second, OccurredBefore: day, ObservedAt: day, PreviousObservedAt: day - 5*second,
		DetectedBy: diff.Poll, Revision: 12, Sequence: 7,
	}
	switch k {
	case diff.KindRequested, diff.KindApproved, diff.KindStarted:
		e.OccurredAt = e.BeginAt
	}
	if to == diff.Waiting {
		r := diff.ReasonOf(2)
		e.WaitReason = &r
	}
	return e
}

func events() map[string]diff.Event {
	all := map[string]diff.Event{
		"requested":         event(diff.KindRequested, diff.None, diff.Waiting),
		"approved":          event(diff.KindApproved, diff.Waiting, diff.Approved),
		"approved, at once": event(diff.KindApproved, diff.None, diff.Approved),
		"started":           event(diff.KindStarted, diff.Approved, diff.Resting),
		"started, waiting":  event(diff.KindStarted, diff.Waiting, diff.Resting),
		"cancelled":         event(diff.KindCancelled, diff.Waiting, diff.None),
	}
	change := func(name string, e diff.Event, change func(*diff.Event)) {
		change(&e)
		all[name] = e
	}
	change("requested, unknown reason and time", event(diff.KindRequested, diff.None, diff.Waiting), func(e *diff.Event) {
		r := diff.ReasonOf(9)
		e.WaitReason, e.BeginAt, e.OccurredAt, e.RequestedSeconds = &r, 0, 0, 0
	})
	change("started, inferred", event(diff.KindStarted, diff.None, diff.Resting), func(e *diff.Event) {
		e.Certainty, e.Alternatives = diff.Inferred, []string{"approved", "updated", "ended+started", "none"}
		e.DetectedBy, e.OccurredAt = diff.Resync, 0
	})
	change("started, inferred, nothing else", event(diff.KindStarted, diff.None, diff.Resting), func(e *diff.Event) {
		e.Certainty, e.Alternatives = diff.Inferred, []string{}
		e.OccurredAfter, e.PreviousObservedAt = 0, 0
	})
	change("ended", event(diff.KindEnded, diff.Resting, diff.None), func(e *diff.Event) {
		e.ElapsedSeconds, e.ElapsedSecondsMin, e.OverdueSeconds = ptr(700), ptr(695), ptr(100)
	})
	change("ended, of unknown begin", event(diff.KindEnded, diff.Resting, diff.None), func(e *diff.Event) {
		e.BeginAt = 0
	})
	change("overdue", event(diff.KindOverdue, diff.Resting, diff.Resting), func(e *diff.Event) {
		e.ElapsedSeconds, e.OverdueSeconds = ptr(603), ptr(3)
	})
	for _, what := range []string{"duration", "reason", "prolong"} {
		state := diff.Resting
		if what == "reason" {
			state = diff.Waiting
		}
		change("updated, "+what, event(diff.KindUpdated, state, state), func(e *diff.Event) { e.What = what })
	}
	change("corrected", event(diff.KindCorrected, diff.Resting, diff.Approved), func(e *diff.Event) {
		e.Correction = &diff.Correction{Corrects: ptr("1042-1772413195120-started-6"), Was: diff.KindStarted, Now: diff.KindApproved}
	})
	change("corrected, of the first snapshot", event(diff.KindCorrected, diff.Resting, diff.Waiting), func(e *diff.Event) {
		e.Correction = &diff.Correction{Was: diff.KindStarted, Now: diff.KindRequested}
	})
	change("corrected, did not happen", event(diff.KindCorrected, diff.None, diff.Resting), func(e *diff.Event) {
		e.Correction = &diff.Correction{Corrects: ptr("1042-1772413195120-ended-6"), Was: diff.KindEnded, Now: diff.KindNone}
	})
	change("corrected, departed otherwise", event(diff.KindCorrected, diff.None, diff.None), func(e *diff.Event) {
		e.Correction = &diff.Correction{Corrects: ptr("1042-1772413195120-ended-6"), Was: diff.KindEnded, Now: diff.KindCancelled}
	})
	return all
}

func snapshots() map[string]diff.Snapshot {
	reason := diff.ReasonOf(0)
	whole := diff.Snapshot{
		CC: 1, VDN: 170, Revision: 12, LastSequence: 7, ObservedAt: day, PreviousObservedAt: day - 5*second,
		Quality: diff.Consistent, Counts: diff.Counts{Waiting: 1, Resting: 2},
		Agents: []diff.Agent{
			{WorkNo: 1042, AgentName: "座席 1042", State: diff.Resting, Certainty: diff.Certain, RestID: diff.RestID{WorkNo: 1042, First: 1772413195120},
				BeginAt: day - 4880, RequestedSeconds: 600, Overdue: true},
			{WorkNo: 1063, AgentName: "座席 1063", State: diff.Waiting, Certainty: diff.Certain, RestID: diff.RestID{WorkNo: 1063, First: 1772413195120},
				RequestedSeconds: 60, WaitReason: &reason},
			{WorkNo: 1077, AgentName: "座席 1077", State: diff.Resting, Certainty: diff.Inferred, Candidates: diff.StatesOf(diff.Approved, diff.Resting),
				RestID: diff.RestID{WorkNo: 1077, First: 1772413195120}, BeginAt: day - 4000, RequestedSeconds: 600,
				Memory: diff.AgentMemory{FirstSeen: day, LastSeen: day, Misses: 1, Anchor: 6, RestingSince: day, Event: 3, Corrected: true, Updated: true, Loose: true}},
		},
		Order:  diff.Order{Epoch: 1772413000000000000, Seq: 99},
		Memory: diff.Memory{Format: diff.Format, Since: day, SureAt: day, Anchor: &diff.Counts{}, Strikes: 1, Approvals: 1},
	}
	first := whole
	first.Revision, first.LastSequence, first.PreviousObservedAt = 1, 0, 0
	first.Baseline, first.Quality = true, diff.Inconsistent
	first.Agents, first.Order = nil, diff.Order{}
	split := whole
	split.Agents, split.Parts = nil, 3
	return map[string]diff.Snapshot{"snapshot": whole, "snapshot, first": first, "snapshot, split": split}
}

// part is a part of a split snapshot, which only a commit makes; TestOnTheWire
// has real ones.
func part() []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"snapshot-12-1","source":"/restwatch/cc/1/vdn/170","type":"restwatch.snapshot.v1",`+
		`"time":"2026-03-02T01:00:00.000Z","datacontenttype":"application/json","dataschema":%q,"data":{"ccId":1,"vdn":170,"revision":12,"part":1,`+
		`"agents":[{"workNo":1042,"agentName":"座席 1042","state":"resting","certainty":"certain","restId":"1042-1772413195120",`+
		`"beginAt":"2026-03-02T00:59:55.120Z","requestedSeconds":600,"overdue":false}],"poll":"Hn3yQ"}}`, publisher.SchemaSnapshot)
}

func feeds() map[string]diff.Feed {
	f := diff.Feed{CC: 1, VDN: 170, Status: diff.OK, Since: day - 60*second, LastGoodPollAt: day, Interval: 5,
		LastSequence: 7, Revision: 12, ObservedAt: day}
	all := map[string]diff.Feed{"feed, ok": f}
	recovered := f
	recovered.Gap = &diff.Gap{From: day - 60*second, To: day}
	all["feed, recovered"] = recovered
	f.LastGoodPollAt, f.LastSequence, f.Revision, f.Interval = 0, 0, 0, 0.5
	for _, s := range []diff.Status{diff.Degraded, diff.Down, diff.Paused, diff.Stopping} {
		f.Status = s
		f.Error = &diff.FeedError{Category: "rejected", Code: "0100001", Message: "call failed"}
		if s == diff.Paused {
			f.Error = &diff.FeedError{Category: "refused", Message: "Unauthorized"}
		}
		if s == diff.Stopping {
			f.Error = nil
		}
		all["feed, "+string(s)] = f
	}
	return all
}
