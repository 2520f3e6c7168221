package diff

import "math/bits"

// set holds the states that an agent may be in, one bit each.
type set uint8

const (
	isWaiting  set = 1 << (Waiting - 1)
	isApproved set = 1 << (Approved - 1)
	isResting  set = 1 << (Resting - 1)
	anyState       = isWaiting | isApproved | isResting
)

// only is the set of one state; of None, the empty set.
func only(s State) set {
	if s == None {
		return 0
	}
	return 1 << (s - 1)
}

func (c set) has(s State) bool { return c&only(s) != 0 }

// single says that one state is left.
func (c set) single() bool { return c != 0 && c&(c-1) == 0 }

// first is the earliest state of the set, None if it is empty.
func (c set) first() State {
	if c == 0 {
		return None
	}
	return State(bits.TrailingZeros8(uint8(c)) + 1)
}

// onward is every state that a member may have moved forward to, or stayed in.
func (c set) onward() set { return (c | c<<1 | c<<2) & anyState }

// backward is every state from which a member may have been reached.
func (c set) backward() set { return c | c>>1 | c>>2 }

// byReason is what a row alone says of the state: only agents who wait have a
// reason (assumption A1), and not all of them do.
func byReason(code int) set {
	if code != 0 {
		return isWaiting
	}
	return anyState
}

// lists are the sets as snapshots show them. They are shared, never written to.
var lists = [8][]State{
	{}, {Waiting}, {Approved}, {Waiting, Approved},
	{Resting}, {Waiting, Resting}, {Approved, Resting}, {Waiting, Approved, Resting},
}

// candidates is the set of states that a may be in.
func (a *Agent) candidates() set {
	if len(a.Candidates) == 0 {
		return only(a.State)
	}
	var c set
	for _, s := range a.Candidates {
		c |= only(s)
	}
	return c
}
