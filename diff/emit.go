package diff

// event starts an event about a's present stage.
func (c *comparison) event(k Kind, a *Agent, from, to State) Event {
	e := Event{
		CC: c.obs.VDN.CC, VDN: c.obs.VDN.ID, WorkNo: a.WorkNo, AgentName: a.AgentName,
		Kind: k, RestID: a.RestID, From: from, To: to,
		BeginAt: a.BeginAt, RequestedSeconds: a.RequestedSeconds,
		ObservedAt: c.at, PreviousObservedAt: c.prev.ObservedAt,
		DetectedBy: c.obs.DetectedBy, Revision: c.prev.Revision + 1,
	}
	if e.DetectedBy == "" {
		e.DetectedBy = Poll
	}
	if to == Waiting {
		e.WaitReason = a.WaitReason
		if e.WaitReason == nil {
			r := ReasonOf(0)
			e.WaitReason = &r
		}
	}
	return e
}

func (e *Event) window(w window) {
	if w.after <= longAgo {
		w.after = 0
	}
	e.OccurredAfter, e.OccurredBefore = w.after, w.before
}

// arrival is the event that n entered its stage, coming from another.
func (c *comparison) arrival(t *token, n *Agent, from State) Event {
	e := c.event(kindOfArrival(t.is), n, from, t.is)
	e.OccurredAt = n.BeginAt
	w := entered(n.BeginAt, t.seen, c.at)
	switch {
	case t.is == Approved && (c.solved || c.prev.ApprovalKeepsBegin()):
		// The begin time is that of the request.
		e.OccurredAt = 0
		w.before = c.at
	case t.is == Resting && (e.DetectedBy == Resync || t.seen < c.prev.ShownAt()) && !c.firstBegin(t, from):
		// So much time that the rest may have been prolonged since.
		e.OccurredAt = 0
		w.after = min(w.after, t.seen)
	}
	e.window(w)
	return e
}

// firstBegin says that the begin time of a resting agent cannot be that of a
// prolongation: he did not rest before, and the length is that asked for (A5).
func (c *comparison) firstBegin(t *token, from State) bool {
	return from != None && !t.past.has(Resting) && t.a.RequestedSeconds == t.row.Requested
}

// correction is the event that the stage of a is, or was, x and not s.
func (c *comparison) correction(t *token, a *Agent, s, x State) Event {
	e := c.event(KindCorrected, a, s, x)
	e.window(window{min(t.seen, c.prev.ShownAt()), c.at})
	if a.BeginAt != 0 {
		e.OccurredAfter = min(e.OccurredAfter, a.BeginAt-1)
	}
	e.Correction = &Correction{Was: kindOfArrival(s), Now: kindOfArrival(x)}
	if m := a.Memory; m.Event != 0 {
		wrong := Event{RestID: a.RestID, Kind: kindOfArrival(s), Sequence: m.Event}
		switch {
		case m.Corrected:
			wrong.Kind = KindCorrected
		case m.Updated:
			wrong.Kind = KindUpdated
			e.Was = KindUpdated
		}
		id := wrong.ID()
		e.Corrects = &id
	}
	return e
}

// emit publishes e, about a, as certain or with its alternatives, and has a
// remember which inferred event announced its state.
func (c *comparison) emit(a *Agent, e Event, sure bool, alt kinds) int64 {
	if c.baseline {
		return 0
	}
	e.Certainty = Certain
	if !sure {
		e.Certainty, e.Alternatives = Inferred, alt.names()
	}
	e.Sequence = c.prev.LastSequence + int64(len(c.out.events)) + 1
	switch e.Kind {
	case KindRequested, KindApproved, KindStarted, KindCorrected:
		a.Memory.announced(&e)
	case KindUpdated:
		if e.What == "prolong" {
			a.Memory.announced(&e)
		}
	}
	c.out.events = append(c.out.events, e)
	return e.Sequence
}

// announced notes the event that announced the state, if that may be wrong. Nil:
// it is certain, whatever was said before.
func (m *AgentMemory) announced(e *Event) {
	m.Event, m.Corrected, m.Updated, m.Loose = 0, false, false, false
	if e != nil && e.Certainty == Inferred {
		m.Event, m.Corrected, m.Updated = e.Sequence, e.Kind == KindCorrected, e.Kind == KindUpdated
	}
}
