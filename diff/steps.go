package diff

import "slices"

// Steps cuts r, the result of comparing with prev, into results of at most
// maxEvents events each, to be committed one after the other; one agent's
// events stay together. Revisions and sequences run on without a gap.
//
// Every snapshot but the last is prev with the changes of the first agents
// applied. It is a valid baseline: if nothing follows it, the next observation
// is compared with it, the changes of the other agents are noticed then, and
// nothing is lost or told twice. It is marked inconsistent, because it shows no
// single instant, and so the totals of no reading belong to it.
func (r Result) Steps(prev *Snapshot, maxEvents int) []Result {
	if !r.Commit || len(r.Events) <= max(1, maxEvents) {
		return []Result{r}
	}
	if prev == nil {
		prev = &Snapshot{}
	}
	var steps []Result
	events := slices.Clone(r.Events)
	for len(events) > 0 {
		n := stepLength(events, max(1, maxEvents))
		step := Result{Snapshot: r.Snapshot, Events: events[:n:n], Commit: true, QuietUntil: r.QuietUntil}
		events = events[n:]
		if len(events) > 0 {
			step.QuietUntil = 0
			step.Snapshot = between(prev, &r.Snapshot, step.Events[n-1].WorkNo)
		}
		step.Snapshot.Revision = prev.Revision + int64(len(steps)) + 1
		step.Snapshot.LastSequence = step.Events[n-1].Sequence
		for i := range step.Events {
			step.Events[i].Revision = step.Snapshot.Revision
		}
		steps = append(steps, step)
	}
	return steps
}

// stepLength is how many of the events to commit together: at most limit, but
// all of the first agent.
func stepLength(events []Event, limit int) int {
	if len(events) <= limit {
		return len(events)
	}
	n := limit
	for n > 0 && events[n].WorkNo == events[n-1].WorkNo {
		n--
	}
	if n > 0 {
		return n
	}
	n = limit
	for n < len(events) && events[n].WorkNo == events[n-1].WorkNo {
		n++
	}
	return n
}

// between is next for the agents up to workNo and prev for the others.
func between(prev, next *Snapshot, workNo int) Snapshot {
	s := *next
	s.Quality = Inconsistent
	s.Baseline = false
	m := &s.Memory
	m.SureAt, m.Anchor, m.Gone = prev.Memory.SureAt, nil, nil
	m.Strikes, m.Approvals = prev.Memory.Strikes, prev.Memory.Approvals

	s.Agents = make([]Agent, 0, max(len(prev.Agents), len(next.Agents)))
	for i := range next.Agents {
		if next.Agents[i].WorkNo <= workNo {
			s.Agents = append(s.Agents, next.Agents[i])
		}
	}
	for i := range prev.Agents {
		a := prev.Agents[i]
		if a.WorkNo <= workNo {
			continue
		}
		a.Memory.LastSeen = prev.sighting(&a)
		s.Agents = append(s.Agents, a)
	}
	m.Tombstones = nil
	for _, g := range next.Memory.Tombstones {
		if g.Agent.WorkNo <= workNo {
			m.Tombstones = append(m.Tombstones, g)
		}
	}
	for _, g := range prev.Memory.Tombstones {
		if g.Agent.WorkNo > workNo {
			m.Tombstones = append(m.Tombstones, g)
		}
	}
	return s
}
