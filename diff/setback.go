package diff

import "slices"

// longAgo stands for an instant that is not known any more, where 0 says
// something else. No window tells it.
const longAgo Time = 1

// setBack is s for a comparison at a time that is earlier than its own: the
// bus's clock was ahead, and was set back. What s was observed at, by the clock
// as it is now, nobody knows, and what it told of the upstream's clock does not
// hold any more, nor for the tokens in s. Without that, all that happens until the clock is again where
// it was would lie in a window of its future.
func (s *Snapshot) setBack(at Time) *Snapshot {
	t := *s
	t.ObservedAt, t.PreviousObservedAt = 0, 0
	m := &t.Memory
	m.Since, m.SureAt, m.Age, m.Clock = min(m.Since, at), 0, 0, Clock{Past: m.Clock.Latest + 1, Once: -int64(farAhead)}
	t.Agents, m.Tombstones = slices.Clone(s.Agents), slices.Clone(m.Tombstones)
	for i := range t.Agents {
		t.Agents[i].Memory.setBack(at)
	}
	for i := range m.Tombstones {
		m.Tombstones[i].Agent.Memory.setBack(at)
	}
	return &t
}

func (m *AgentMemory) setBack(at Time) {
	if m.FirstSeen != 0 {
		m.FirstSeen = at // or earlier; its second is the longer taken for open
	}
	if m.LastSeen != 0 {
		m.LastSeen = longAgo
	}
}
