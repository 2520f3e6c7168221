package reliability

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"restwatch/diff"
)

// longestReply is how old a reply may be: as long as a call may take.
const longestReply = 5 * time.Second

// moment is what is listed from an instant on, by workNo.
type moment struct {
	from diff.Time
	list map[int]listed
}

// moments are all lists that there were, in order.
func (h *lives) moments() []moment {
	changes := map[diff.Time]map[int]listed{} // a requested length below 0: gone
	for no, life := range h.of {
		for _, s := range life {
			if changes[s.from] == nil {
				changes[s.from] = map[int]listed{}
			}
			row := listed{s.begin, s.requested}
			if s.state == diff.None {
				row.requested = -1
			}
			changes[s.from][no] = row // the last of an instant counts: no list falls between
		}
	}
	all := []moment{{list: map[int]listed{}}}
	for _, from := range slices.Sorted(maps.Keys(changes)) {
		m := moment{from, maps.Clone(all[len(all)-1].list)}
		for no, row := range changes[from] {
			if m.list[no] = row; row.requested < 0 {
				delete(m.list, no)
			}
		}
		all = append(all, m)
	}
	return all
}

// follow applies the events poll by poll, and looks for what each stored poll
// showed, and what the good poll before it did, in the truth: it must be the
// list of one instant while that reply was on its way, and of none before the
// instant of the poll before. So a change that a good poll saw and nobody was
// told of shows, as does one that was told twice. It returns the polls, and of
// which one that does not hold.
func (h *lives) follow(first *diff.Snapshot, events []diff.Event) (polls int, err error) {
	all := h.moments()
	at := 0
	showed := func(agents []diff.Agent, observed diff.Time) bool {
		polls++
		want := listOf(&diff.Snapshot{Agents: agents})
		const allowance = (300 + clockError) * time.Millisecond
		early, late := observed.Add(-longestReply-allowance), observed.Add(allowance)
		for i := at; i < len(all) && all[i].from <= late; i++ {
			if (i+1 == len(all) || all[i+1].from > early) && maps.Equal(all[i].list, want) {
				at = i
				return true
			}
		}
		err = fmt.Errorf("VDN %v: by what was told, the poll at %v showed what was not listed from %v to then: %v", h.vdn, observed, max(early, all[at].from), want)
		return false
	}
	agents := first.Agents
	if !showed(agents, first.ObservedAt) {
		return polls, err
	}
	for rest := events[min(int(first.LastSequence), len(events)):]; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(e diff.Event) bool { return e.Revision != rest[0].Revision })
		if n < 0 {
			n = len(rest)
		}
		if !showed(agents, rest[0].PreviousObservedAt) {
			return polls, err
		}
		if agents, err = diff.Fold(agents, rest[:n]); err != nil || !showed(agents, rest[0].ObservedAt) {
			return polls, err
		}
		rest = rest[n:]
	}
	return polls, nil
}

// TestFollow holds what may have been told of two rests against their truth.
func TestFollow(t *testing.T) {
	const second = diff.Time(1000)
	h := &lives{of: map[int][]stage{
		1: {{state: diff.None}, {from: 10 * second, state: diff.Resting, begin: 10 * second, requested: 60}, {from: 40 * second, state: diff.None}},
		2: {{state: diff.None}, {from: 20 * second, state: diff.Waiting, begin: 20 * second, requested: 30}, {from: 30 * second, state: diff.Resting, begin: 30 * second, requested: 30}},
	}}
	first := &diff.Snapshot{Revision: 1, ObservedAt: 5 * second}
	event := func(revision, sequence int64, workNo int, kind diff.Kind, to diff.State, begin diff.Time, requested int, previous, observed diff.Time) diff.Event {
		return diff.Event{Revision: revision, Sequence: sequence, WorkNo: workNo, Kind: kind, To: to, BeginAt: begin * second, RequestedSeconds: requested,
			PreviousObservedAt: previous * second, ObservedAt: observed * second}
	}
	begun := event(2, 1, 1, diff.KindStarted, diff.Resting, 10, 60, 9, 11)
	for _, c := range []struct {
		what   string
		events []diff.Event
		fine   bool
	}{
		{"all", []diff.Event{begun,
			event(3, 2, 2, diff.KindRequested, diff.Waiting, 20, 30, 19, 21),
			event(4, 3, 2, diff.KindStarted, diff.Resting, 30, 30, 29, 31),
			event(5, 4, 1, diff.KindEnded, diff.None, 10, 60, 39, 41)}, true},
		{"a stage that no poll saw is not told", []diff.Event{begun, event(3, 2, 2, diff.KindStarted, diff.Resting, 30, 30, 12, 31)}, true},
		{"a slow reply", []diff.Event{begun, event(3, 2, 2, diff.KindRequested, diff.Waiting, 20, 30, 19, 34)}, true},
		{"a stage that a poll saw is not told", []diff.Event{begun, event(3, 2, 2, diff.KindStarted, diff.Resting, 30, 30, 26, 31)}, false},
		{"a request in the place of another", []diff.Event{begun, event(3, 2, 2, diff.KindRequested, diff.Waiting, 25, 30, 19, 26)}, false},
		{"late by more than a reply takes", []diff.Event{begun, event(3, 2, 2, diff.KindRequested, diff.Waiting, 20, 30, 19, 36)}, false},
		{"back to what was listed before", []diff.Event{begun, event(3, 2, 1, diff.KindEnded, diff.None, 10, 60, 11, 12)}, false},
		{"twice", []diff.Event{begun, event(3, 2, 1, diff.KindEnded, diff.None, 10, 60, 39, 41), event(4, 3, 1, diff.KindEnded, diff.None, 10, 60, 42, 43)}, false},
	} {
		if polls, err := h.follow(first, c.events); (err == nil) != c.fine || polls == 0 {
			t.Errorf("%s: %d polls, %v", c.what, polls, err)
		}
	}
}
