package diff

// State is what an agent is doing about a rest.
type State uint8

// The states of a rest, in the order in which it passes through them. None:
// the agent is not listed.
const (
	None State = iota
	Waiting
	Approved
	Resting
)

var stateWords = words{"state", []string{"none", "waiting", "approved", "resting"}}

func (s State) String() string { return stateWords.name(uint8(s)) }

// MarshalText writes the contract's name.
func (s State) MarshalText() ([]byte, error) { return stateWords.encode(uint8(s)) }

// UnmarshalText accepts the contract's names.
func (s *State) UnmarshalText(b []byte) error { return stateWords.decode((*uint8)(s), b) }

// WaitReason says why a waiting agent may not rest yet.
type WaitReason struct {
	Code int    `json:"code"`
	Name string `json:"name"`
}

var waitReasons = []string{"waitingForApproval", "agentBusy", "vdnQuotaFull", "noSkillQueue", "queueQuotaFull"}

// ReasonOf names a cantRestReason; a code the interface document does not
// list is "unknown".
func ReasonOf(code int) WaitReason {
	if code < 0 || code >= len(waitReasons) {
		return WaitReason{Code: code, Name: "unknown"}
	}
	return WaitReason{Code: code, Name: waitReasons[code]}
}
