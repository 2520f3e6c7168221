package diff

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

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

// States are some of the states of a rest, in JSON a list in the order in which
// a rest passes through them. The zero value is none of them. They take a byte,
// as there are as many as agents are known.
type States set

// StatesOf is the set of the states given; None adds nothing.
func StatesOf(states ...State) States {
	var c set
	for _, s := range states {
		c |= only(s)
	}
	return States(c)
}

// Has says whether s is one of the states.
func (c States) Has(s State) bool { return set(c).has(s) }

// All yields the states in order.
func (c States) All() iter.Seq[State] {
	return func(yield func(State) bool) {
		for s := Waiting; s <= Resting; s++ {
			if c.Has(s) && !yield(s) {
				return
			}
		}
	}
}

func (c States) String() string { return fmt.Sprint(slices.Collect(c.All())) }

// MarshalJSON writes the list of the contract's names.
func (c States) MarshalJSON() ([]byte, error) { return json.Marshal(slices.Collect(c.All())) }

// UnmarshalJSON accepts such a list.
func (c *States) UnmarshalJSON(b []byte) error {
	var list []State
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*c = StatesOf(list...)
	return nil
}

// candidates is the set of states that a may be in.
func (a *Agent) candidates() set {
	if a.Candidates == 0 {
		return only(a.State)
	}
	return set(a.Candidates)
}
