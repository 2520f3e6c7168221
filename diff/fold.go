package diff

import (
	"fmt"
	"slices"
)

// Fold applies events to the agents of a snapshot, as a subscriber does, and
// returns those of the next snapshot as far as events tell: workNo, name,
// state, restId, begin, length, wait reason and overdue. Certainty is that of
// the last event; candidates and Memory are left empty. agents is not changed.
//
// The error names the first event that agents do not allow: one that is not
// the next in sequence after the last of its own list, or is about a stage that
// is not there.
func Fold(agents []Agent, events []Event) ([]Agent, error) {
	out := slices.Clone(agents)
	for i := range out {
		out[i].Candidates, out[i].Memory = 0, AgentMemory{}
	}
	for i := range events {
		e := &events[i]
		if i > 0 && e.Sequence != events[i-1].Sequence+1 {
			return nil, fmt.Errorf("fold event %q: follows sequence %d", e.ID(), events[i-1].Sequence)
		}
		var err error
		if out, err = fold(out, e); err != nil {
			return nil, fmt.Errorf("fold event %q: %w", e.ID(), err)
		}
	}
	return out, nil
}

func fold(agents []Agent, e *Event) ([]Agent, error) {
	at, found := slices.BinarySearchFunc(agents, e.WorkNo, func(a Agent, no int) int { return order(a.WorkNo, no) })
	switch e.Kind {
	case KindEnded, KindCancelled:
		if !found {
			return nil, fmt.Errorf("agent %d is not there", e.WorkNo)
		}
		return slices.Delete(agents, at, at+1), nil
	case KindOverdue:
		if !found || agents[at].State != Resting {
			return nil, fmt.Errorf("agent %d does not rest", e.WorkNo)
		}
		agents[at].Overdue = true
		return agents, nil
	case KindUpdated:
		if !found {
			return nil, fmt.Errorf("agent %d is not there", e.WorkNo)
		}
		overdue := agents[at].Overdue && e.overdue()
		agents[at] = e.agent()
		agents[at].Overdue = overdue
		return agents, nil
	case KindCorrected:
		// Of a past departure: the agent is gone either way.
		if e.To == None {
			return agents, nil
		}
	case KindRequested, KindApproved, KindStarted:
	default:
		return nil, fmt.Errorf("kind %q is not known", e.Kind)
	}
	a := e.agent()
	a.Overdue = e.overdue()
	if !found {
		return slices.Insert(agents, at, a), nil
	}
	agents[at] = a
	return agents, nil
}

// agent is what e says of its agent.
func (e *Event) agent() Agent {
	return Agent{
		WorkNo: e.WorkNo, AgentName: e.AgentName, State: e.To, Certainty: e.Certainty, RestID: e.RestID,
		BeginAt: e.BeginAt, RequestedSeconds: e.RequestedSeconds, WaitReason: e.WaitReason,
	}
}

// overdue says that an agent in e's stage was overdue when it was observed.
func (e *Event) overdue() bool {
	a := e.agent()
	return e.To == Resting && e.ObservedAt > a.deadline()
}
