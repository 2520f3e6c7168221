package diff

import (
	"fmt"
	"slices"
)

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

var stateNames = []string{"none", "waiting", "approved", "resting"}

func (s State) String() string { return nameOf("State", stateNames, uint8(s)) }

func nameOf(kind string, names []string, n uint8) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", kind, n)
}

// MarshalText writes the contract's name.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("state %d does not exist", uint8(s))
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText accepts the contract's names.
func (s *State) UnmarshalText(b []byte) error {
	i := slices.Index(stateNames, string(b))
	if i < 0 {
		return fmt.Errorf("state %q: want none, waiting, approved or resting", b)
	}
	*s = State(i)
	return nil
}

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
