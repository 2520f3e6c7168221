package diff

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Format is the version of what Memory and AgentMemory mean. A snapshot of a
// newer one cannot be compared with.
const Format = 1

// ErrFormat is returned for a snapshot written by a newer version of restwatch.
var ErrFormat = errors.New("snapshot format is newer than this version of restwatch")

// Memory is what the next comparison needs beyond the list of agents.
type Memory struct {
	Format int `json:"format"`
	// Since is the VDN's first poll.
	Since Time `json:"since"`
	// Age is that of the poll at ObservedAt, as Options.Age has it.
	Age Time `json:"age,omitzero"`
	// SureAt is what the last poll with a complete list that nothing
	// contradicted showed: its ShownAt.
	SureAt Time `json:"sureAt"`
	// Anchor is the totals of the last consistent reading; nil if there is
	// none to reason from.
	Anchor *Counts `json:"anchor,omitempty"`
	// Gone are the tokens of the anchor that vanished in inconsistent lists
	// since.
	Gone []Departure `json:"gone,omitempty"`
	// Tombstones are agents whose departure an inconsistent list suggested.
	Tombstones []Tombstone `json:"tombstones,omitempty"`
	// Strikes counts contradictions in a row: 0 or 1.
	Strikes int `json:"strikes,omitzero"`
	// Approvals counts contradictions that were solved by "an approval does
	// not move the begin time".
	Approvals int   `json:"approvalKeepsBegin,omitzero"`
	Clock     Clock `json:"clock,omitzero"`
}

// enoughApprovals is how many contradictions must have been solved by it until
// "an approval does not move the begin time" is taken for a fact of the VDN.
const enoughApprovals = 2

// AgentMemory is what the next comparison needs to know about an agent beyond
// what subscribers see. It is empty for most.
type AgentMemory struct {
	// FirstSeen is when the token was first listed, while its bucket may be
	// open; 0 for begin times with milliseconds.
	FirstSeen Time `json:"f,omitzero"`
	// LastSeen is when the agent was last listed, if not by the last poll: the
	// ShownAt of the one that did.
	LastSeen Time `json:"l,omitzero"`
	// RestingSince is the begin of the whole rest, if not BeginAt.
	RestingSince Time `json:"s,omitzero"`
	// Event is the sequence of the inferred event that announced State,
	// Corrected whether it was a correction, Updated whether it was a
	// prolongation.
	Event     int64 `json:"e,omitzero"`
	Corrected bool  `json:"c,omitzero"`
	Updated   bool  `json:"u,omitzero"`
	// Loose says that the token may have moved on since State was announced.
	Loose bool `json:"o,omitzero"`
	// Misses counts the inconsistent lists in a row without the agent: 0 or 1.
	Misses uint8 `json:"n,omitzero"`
	// Anchor is how the token relates to the anchor: 0 it was there and has
	// the same state; notInAnchor; else it was there in one of these states.
	Anchor set `json:"a,omitzero"`
}

const notInAnchor set = 8

// Departure is a token of the anchor that vanished from an inconsistent list,
// and the inferred event that said so (Event 0: none did).
type Departure struct {
	WorkNo    int    `json:"workNo"`
	AgentName string `json:"agentName"`
	RestID    RestID `json:"restId"`
	BeginAt   Time   `json:"beginAt"`
	Requested int    `json:"requested"`
	// States in which the token may have been at the anchor.
	States set `json:"states"`
	// Kind that the event said, after a gap of how many milliseconds.
	Kind  Kind  `json:"kind,omitempty"`
	Event int64 `json:"event,omitzero"`
	Gap   int64 `json:"gap,omitzero"`
}

// Tombstone is an agent whose departure was inferred from lists that need not
// have been complete. Should he be listed again with the same begin time, the
// departure is taken back.
type Tombstone struct {
	Agent Agent `json:"agent"`
	Kind  Kind  `json:"kind"`
	Event int64 `json:"event"`
	// Polls for which this is remembered.
	Polls int `json:"polls"`
}

// tombstonePolls is for how many polls an inferred departure can be taken back.
const tombstonePolls = 12

// DecodeSnapshot reads the data of a snapshot message and validates it.
func DecodeSnapshot(data []byte) (Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return Snapshot{}, fmt.Errorf("decode snapshot: %w", err)
	}
	if err := s.Validate(); err != nil {
		return Snapshot{}, fmt.Errorf("decode snapshot: %w", err)
	}
	return s, nil
}

// Validate says whether s can be compared with. The error is ErrFormat where a
// newer version wrote it. The zero Snapshot is valid, and so is the head of a
// split one.
func (s *Snapshot) Validate() error {
	if s.Revision == 0 {
		return nil
	}
	if s.Memory.Format > Format {
		return fmt.Errorf("format %d, this version knows %d: %w", s.Memory.Format, Format, ErrFormat)
	}
	if s.Memory.Format < 1 {
		return fmt.Errorf("format %d: want 1..%d", s.Memory.Format, Format)
	}
	for i := range s.Agents {
		a := &s.Agents[i]
		if a.State == None || a.State > Resting {
			return fmt.Errorf("agent %d: state %q: want waiting, approved or resting", a.WorkNo, a.State)
		}
		if !a.candidates().has(a.State) {
			return fmt.Errorf("agent %d: state %q is not among the candidates %v", a.WorkNo, a.State, a.Candidates)
		}
		if i > 0 && s.Agents[i-1].WorkNo >= a.WorkNo {
			return fmt.Errorf("agent %d: not sorted by workNo", a.WorkNo)
		}
		if a.Memory.Anchor > notInAnchor {
			return fmt.Errorf("agent %d: anchor %d: want 0..%d", a.WorkNo, a.Memory.Anchor, notInAnchor)
		}
	}
	for _, g := range s.Memory.Gone {
		if g.States == 0 || g.States > anyState {
			return fmt.Errorf("gone agent %d: states %d: want 1..%d", g.WorkNo, g.States, anyState)
		}
	}
	for _, g := range s.Memory.Tombstones {
		if a := &g.Agent; a.State == None || !a.candidates().has(a.State) || a.Memory.Anchor > notInAnchor {
			return fmt.Errorf("tombstone of agent %d: state %q is not among the candidates %v", a.WorkNo, a.State, a.Candidates)
		}
	}
	return nil
}
