package publisher

import (
	"context"
	"errors"
	"fmt"

	"restwatch/diff"
)

// Audit checks the promises about stored messages as they are read in stream
// order. It needs no history: what retention has dropped is not missed, only
// gaps are. Nor are snapshots that newer ones have replaced while it was read:
// revisions only have to rise, events are the ones that are counted. The zero
// value is ready.
type Audit struct {
	Events, Snapshots, Feeds int
	// Repeats are events stored once more under the same id, which a power
	// cut may leave behind.
	Repeats int

	trails map[diff.VDN]*trail
}

// trail is what was seen of one VDN.
type trail struct {
	sequence int64 // of the last event; 0: none seen
	revision int64 // of the last event or snapshot
	snapshot int64 // revision of the last snapshot; 0: none seen
	folded   int64 // lastSequence of the last snapshot
	// batch holds the ids of the last revision's events, until its snapshot.
	batch map[int64]string
	// told is what the last event said of each agent that one spoke of.
	told map[int]stage
}

// stage is what both events and snapshots say of an agent. The zero stage: not
// listed.
type stage struct {
	state     diff.State
	rest      diff.RestID
	begin     diff.Time
	requested int
}

// Add checks the next message. The error says what promise is broken, by the
// message's subject and sequence.
func (a *Audit) Add(m Message) error {
	var err error
	switch {
	case m.Event != nil:
		a.Events++
		err = a.event(m.Event)
	case m.Snapshot != nil:
		a.Snapshots++
		err = a.snapshot(m.Snapshot)
	case m.Feed != nil:
		a.Feeds++
	default:
		err = ErrForeign
	}
	if err != nil {
		return &MessageError{Subject: m.Subject, Sequence: m.Sequence, Err: err}
	}
	return nil
}

func (a *Audit) trail(v diff.VDN) *trail {
	t := a.trails[v]
	if t == nil {
		t = &trail{batch: make(map[int64]string), told: make(map[int]stage)}
		if a.trails == nil {
			a.trails = make(map[diff.VDN]*trail)
		}
		a.trails[v] = t
	}
	return t
}

func (a *Audit) event(e *diff.Event) error {
	t := a.trail(diff.VDN{CC: e.CC, ID: e.VDN})
	if id, again := t.batch[e.Sequence]; again && id == e.ID() {
		a.Repeats++
		return nil
	}
	known := max(t.sequence, t.folded)
	if (t.sequence != 0 || t.snapshot != 0) && e.Sequence != known+1 {
		return fmt.Errorf("sequence %d comes after %d", e.Sequence, known)
	}
	if e.Revision < t.revision || e.Revision == t.snapshot {
		return fmt.Errorf("revision %d comes after %d", e.Revision, t.revision)
	}
	if e.ObservedAt < e.PreviousObservedAt {
		return fmt.Errorf("observed at %s, before the previous poll at %s", e.ObservedAt, e.PreviousObservedAt)
	}
	if !legal(e) {
		return fmt.Errorf("%s leads from %s to %s", e.Kind, e.From, e.To)
	}
	if (e.Certainty == diff.Inferred) != (e.Alternatives != nil) {
		return fmt.Errorf("certainty is %q, with alternatives %q", e.Certainty, e.Alternatives)
	}
	if e.Revision != t.revision {
		clear(t.batch) // the snapshots in between are gone, as they should be
	}
	t.sequence, t.revision = e.Sequence, e.Revision
	t.batch[e.Sequence] = e.ID()
	switch {
	case e.To != diff.None:
		t.told[e.WorkNo] = stage{e.To, e.RestID, e.BeginAt, e.RequestedSeconds}
	case e.From != diff.None: // else a correction that speaks of a rest that is over
		t.told[e.WorkNo] = stage{}
	}
	return nil
}

func (s stage) String() string {
	if s.state == diff.None {
		return s.state.String()
	}
	return fmt.Sprintf("%s since %s for %d s in rest %s", s.state, s.begin, s.requested, s.rest)
}

// legal reports whether the kind of event can lead between these states.
func legal(e *diff.Event) bool {
	switch e.Kind {
	case diff.KindRequested:
		return e.From == diff.None && e.To == diff.Waiting
	case diff.KindApproved:
		return e.From < diff.Approved && e.To == diff.Approved
	case diff.KindStarted:
		return e.From < diff.Resting && e.To == diff.Resting
	case diff.KindEnded:
		return e.From == diff.Resting && e.To == diff.None
	case diff.KindCancelled:
		return (e.From == diff.Waiting || e.From == diff.Approved) && e.To == diff.None
	case diff.KindUpdated:
		return e.From == e.To && e.To != diff.None
	case diff.KindOverdue:
		return e.From == diff.Resting && e.To == diff.Resting
	case diff.KindCorrected:
		return e.Correction != nil && (e.From != e.To || e.To == diff.None)
	}
	return false
}

func (a *Audit) snapshot(s *diff.Snapshot) error {
	t := a.trail(diff.VDN{CC: s.CC, ID: s.VDN})
	if t.snapshot != 0 && s.Revision <= t.snapshot {
		return fmt.Errorf("revision %d comes after %d", s.Revision, t.snapshot)
	}
	if s.Revision < t.revision {
		return fmt.Errorf("revision %d comes after an event of revision %d", s.Revision, t.revision)
	}
	if known := max(t.sequence, t.folded); (t.sequence != 0 || t.snapshot != 0) && s.LastSequence != known {
		return fmt.Errorf("last sequence is %d, but the last event is %d", s.LastSequence, known)
	}
	if s.Baseline != (s.Revision == 1) {
		return fmt.Errorf("revision %d has baseline %t", s.Revision, s.Baseline)
	}
	listed := make(map[int]stage, len(s.Agents))
	for i := range s.Agents {
		a := &s.Agents[i]
		listed[a.WorkNo] = stage{a.State, a.RestID, a.BeginAt, a.RequestedSeconds}
	}
	for workNo, told := range t.told {
		if is := listed[workNo]; is != told {
			return fmt.Errorf("agent %d is %s, his events say %s", workNo, is, told)
		}
	}
	t.snapshot, t.revision, t.folded = s.Revision, s.Revision, s.LastSequence
	clear(t.batch)
	return nil
}

// Unfinished lists VDNs whose last events no snapshot contains that was read: a
// torn batch, unless the snapshot was replaced while the stream was read, which
// Torn finds out.
func (a *Audit) Unfinished() []diff.VDN {
	var list []diff.VDN
	for v, t := range a.trails {
		if len(t.batch) > 0 {
			list = append(list, v)
		}
	}
	return list
}

// Torn lists the unfinished VDNs of an audit of what this reader has read whose
// newest snapshot still does not contain their last events.
func (r *Reader) Torn(ctx context.Context, a *Audit) ([]diff.VDN, error) {
	var list []diff.VDN
	for _, v := range a.Unfinished() {
		s, _, err := r.LastSnapshot(ctx, v)
		if err != nil && !errors.Is(err, ErrNoSnapshot) {
			return nil, err
		}
		if s.Revision < a.trails[v].revision {
			list = append(list, v)
		}
	}
	return list, nil
}
