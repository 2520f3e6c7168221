package diff

// Snapshot is all that is known of a VDN after an observation: the data of a
// snapshot message, and what the next observation is compared with. The zero
// Snapshot knows nothing; comparing with it gives the VDN's baseline.
//
// A snapshot shares its slices with those made from it: treat it as read-only.
type Snapshot struct {
	CC  int `json:"ccId"`
	VDN int `json:"vdn"`
	// Revision counts the VDN's snapshots from 1, without a gap.
	Revision int64 `json:"revision"`
	// LastSequence is that of the last event folded in; 0 before the first.
	LastSequence int64 `json:"lastSequence"`
	// ObservedAt is the last good poll that this snapshot knows of, and
	// PreviousObservedAt the one before it. They move with every good poll;
	// in a stored snapshot they are those of the poll that was stored.
	ObservedAt         Time   `json:"observedAt"`
	PreviousObservedAt Time   `json:"previousObservedAt"`
	Baseline           bool   `json:"baseline"`
	Quality            string `json:"quality"`
	// Counts are the upstream's own totals, as last read. In an inconsistent
	// snapshot they need not add up to Agents.
	Counts Counts `json:"counts"`
	// Agents by WorkNo. Null where the message is split into parts.
	Agents []Agent `json:"agents"`
	// Parts is how many messages carry the agents; 0: this one does.
	Parts int `json:"parts,omitempty"`
	// Order of the observation that this snapshot was made from.
	Order Order `json:"order,omitzero"`
	// Memory is the service's own, no part of the contract with subscribers.
	Memory Memory `json:"memory"`
}

// Values of Snapshot.Quality.
const (
	Consistent   = "consistent"   // the counts add up to the list
	Inconsistent = "inconsistent" // the list was torn
)

// Agent is one agent who waits, is approved or rests. One who is missing from
// an inconsistent list for the first time remains, as last seen.
type Agent struct {
	WorkNo    int    `json:"workNo"`
	AgentName string `json:"agentName"`
	// State is what is known (certain) or best guessed (inferred).
	State     State     `json:"state"`
	Certainty Certainty `json:"certainty"`
	// Candidates is every state that an agent of inferred state may be in.
	// Just one while the readings contradict each other.
	Candidates       States      `json:"candidates,omitzero"`
	Overdue          bool        `json:"overdue"`
	RestID           RestID      `json:"restId"`
	BeginAt          Time        `json:"beginAt"`
	RequestedSeconds int         `json:"requestedSeconds"`
	WaitReason       *WaitReason `json:"waitReason,omitempty"`
	// Memory is the service's own, no part of the contract with subscribers.
	Memory AgentMemory `json:"m,omitzero"`
}

// reason is the reason code of the row that a was made from: 0 for all who do
// not wait.
func (a *Agent) reason() int {
	if a.WaitReason == nil {
		return 0
	}
	return a.WaitReason.Code
}

// ShownAt is the earliest instant that the last good poll may have shown, give
// or take Options.Slack: what happened after it need not be in s. It is
// ObservedAt unless the reply was slow.
func (s *Snapshot) ShownAt() Time { return s.ObservedAt - s.Memory.Age }

// ApprovalKeepsBegin says that approvals of this VDN were found not to move
// the begin time. Worth a metric: approvals then show in the totals alone.
func (s *Snapshot) ApprovalKeepsBegin() bool { return s.Memory.Approvals >= enoughApprovals }

// InDoubt says that the last readings contradict each other or what was known.
func (s *Snapshot) InDoubt() bool { return s.Memory.Strikes > 0 }
