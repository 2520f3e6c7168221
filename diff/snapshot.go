package diff

// Snapshot is all that is known of a VDN after an observation: the data of a
// snapshot message, and what the next observation is compared with. The zero
// Snapshot knows nothing; comparing with it gives the VDN's baseline.
type Snapshot struct {
	CC  int `json:"ccId"`
	VDN int `json:"vdn"`
	// Revision counts the VDN's snapshots from 1, without a gap.
	Revision int64 `json:"revision"`
	// LastSequence is that of the last event folded in; 0 before the first.
	LastSequence       int64  `json:"lastSequence"`
	ObservedAt         Time   `json:"observedAt"`
	PreviousObservedAt Time   `json:"previousObservedAt"`
	Baseline           bool   `json:"baseline"`
	Quality            string `json:"quality"`
	Counts             Counts `json:"counts"`
	// Agents by WorkNo. Null where the message is split into parts.
	Agents []Agent `json:"agents"`
	// Parts is how many messages carry the agents; 0: this one does.
	Parts int `json:"parts,omitempty"`
	// Order of the observation that this snapshot was made from.
	Order Order `json:"order,omitzero"`
}

// Values of Snapshot.Quality.
const (
	Consistent   = "consistent"   // the counts add up to the list
	Inconsistent = "inconsistent" // the list was torn
)

// Agent is one agent who waits, is approved or rests.
type Agent struct {
	WorkNo    int       `json:"workNo"`
	AgentName string    `json:"agentName"`
	State     State     `json:"state"`
	Certainty Certainty `json:"certainty"`
	// Candidates is every state that an agent of inferred state may be in.
	Candidates       []State     `json:"candidates,omitempty"`
	RestID           string      `json:"restId"`
	BeginAt          Time        `json:"beginAt"`
	RequestedSeconds int         `json:"requestedSeconds"`
	WaitReason       *WaitReason `json:"waitReason,omitempty"`
	Overdue          bool        `json:"overdue"`
}
