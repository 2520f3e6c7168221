package diff

import "strconv"

// Kind of an agent event, as in its subject and type.
type Kind string

// The kinds of agent events.
const (
	KindRequested Kind = "requested" // asked for a rest, now waiting
	KindApproved  Kind = "approved"  // may rest, does not yet
	KindStarted   Kind = "started"   // rests
	KindEnded     Kind = "ended"     // was resting, no longer is
	KindCancelled Kind = "cancelled" // was waiting or approved, is no longer listed
	KindUpdated   Kind = "updated"   // same state, another length, begin or reason
	KindOverdue   Kind = "overdue"   // rests longer than asked for
	KindCorrected Kind = "corrected" // an inferred state proved wrong

	// KindNone, in Correction.Now: nothing happened.
	KindNone Kind = "none"
)

// Certainty says whether an event or state follows from what was read.
// The zero value, "", says neither: no message of ours has it.
type Certainty uint8

const (
	// Certain follows from the documented meaning of the fields, all polls so
	// far and the assumptions of docs/inference.md.
	Certain Certainty = iota + 1
	// Inferred is the best guess among several possibilities.
	Inferred
)

var certaintyWords = words{"certainty", []string{Certain: "certain", Inferred: "inferred"}}

func (c Certainty) String() string { return certaintyWords.name(uint8(c)) }

// MarshalText writes the contract's name.
func (c Certainty) MarshalText() ([]byte, error) { return certaintyWords.encode(uint8(c)) }

// UnmarshalText accepts the contract's names.
func (c *Certainty) UnmarshalText(b []byte) error { return certaintyWords.decode((*uint8)(c), b) }

// Event is one change of one agent: the data of an agent event, in the
// contract's field names. Times are UTC, durations whole seconds.
type Event struct {
	CC        int       `json:"ccId"`
	VDN       int       `json:"vdn"`
	WorkNo    int       `json:"workNo"`
	AgentName string    `json:"agentName"`
	Kind      Kind      `json:"kind"`
	RestID    RestID    `json:"restId"`
	From      State     `json:"from"`
	To        State     `json:"to"`
	Certainty Certainty `json:"certainty"`
	// Alternatives is never nil in an inferred event, and nil in a certain one.
	Alternatives []string `json:"alternatives,omitzero"`
	// BeginAt is the begin of the stage entered; of a departure or a
	// correction, of the stage left or corrected.
	BeginAt          Time        `json:"beginAt"`
	RequestedSeconds int         `json:"requestedSeconds"`
	WaitReason       *WaitReason `json:"waitReason,omitempty"`
	// OccurredAt is set only where the upstream tells when it happened.
	OccurredAt Time `json:"occurredAt"`
	// It happened after OccurredAfter and not after OccurredBefore.
	OccurredAfter      Time   `json:"occurredAfter"`
	OccurredBefore     Time   `json:"occurredBefore"`
	ObservedAt         Time   `json:"observedAt"`
	PreviousObservedAt Time   `json:"previousObservedAt"`
	DetectedBy         string `json:"detectedBy"`
	// ElapsedSeconds is set on ended (the most it can have been) and overdue.
	ElapsedSeconds    *int `json:"elapsedSeconds,omitempty"`
	ElapsedSecondsMin *int `json:"elapsedSecondsMin,omitempty"`
	OverdueSeconds    *int `json:"overdueSeconds,omitempty"`
	// Revision is that of the snapshot committed with this event.
	Revision int64 `json:"revision"`
	// What an updated event is about: duration, reason or prolong.
	What string `json:"what,omitempty"`
	*Correction

	// Sequence is the VDN's event counter, from 1. It travels in the envelope.
	Sequence int64 `json:"-"`
}

// Correction is the part of an event that only corrected ones have.
type Correction struct {
	// Corrects is the id of the inferred event that was wrong; nil if the wrong
	// guess stood in the first snapshot, which no event announced, and where
	// only a broken assumption made a certain event wrong.
	Corrects *string `json:"corrects"`
	Was      Kind    `json:"was"`
	// Now is the kind that is true, "none" if nothing happened.
	Now Kind `json:"now"`
}

// ID is the event's CloudEvents id, unique within its VDN and the same
// whenever the same event is produced again.
func (e *Event) ID() string {
	return e.RestID.String() + "-" + string(e.Kind) + "-" + strconv.FormatInt(e.Sequence, 10)
}
