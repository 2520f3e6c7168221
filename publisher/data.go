package publisher

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"restwatch/diff"
)

// The data objects are written by hand: a large VDN's snapshot is written at
// every change, and reflection would cost more than all the rest of a commit's
// own work. A test compares each with encoding/json on filled-in values, so a
// field that diff gains and this file lacks is noticed.

func appendEventData(dst []byte, e *diff.Event) []byte {
	dst = append(dst, `{"ccId":`...)
	dst = strconv.AppendInt(dst, int64(e.CC), 10)
	dst = append(dst, `,"vdn":`...)
	dst = strconv.AppendInt(dst, int64(e.VDN), 10)
	dst = append(dst, `,"workNo":`...)
	dst = strconv.AppendInt(dst, int64(e.WorkNo), 10)
	dst = append(dst, `,"agentName":`...)
	dst = quote(dst, e.AgentName)
	dst = append(dst, `,"kind":`...)
	dst = quote(dst, string(e.Kind))
	dst = append(dst, `,"restId":`...)
	dst = appendRestID(dst, e.RestID)
	dst = append(dst, `,"from":"`...)
	dst = append(dst, e.From.String()...)
	dst = append(dst, `","to":"`...)
	dst = append(dst, e.To.String()...)
	dst = append(dst, `","certainty":`...)
	dst = quote(dst, e.Certainty.String())
	if e.Alternatives != nil {
		dst = append(dst, `,"alternatives":`...)
		dst = appendStrings(dst, e.Alternatives)
	}
	dst = append(dst, `,"beginAt":`...)
	dst = e.BeginAt.AppendJSON(dst)
	dst = append(dst, `,"requestedSeconds":`...)
	dst = strconv.AppendInt(dst, int64(e.RequestedSeconds), 10)
	dst = appendReason(dst, e.WaitReason)
	dst = append(dst, `,"occurredAt":`...)
	dst = e.OccurredAt.AppendJSON(dst)
	dst = append(dst, `,"occurredAfter":`...)
	dst = e.OccurredAfter.AppendJSON(dst)
	dst = append(dst, `,"occurredBefore":`...)
	dst = e.OccurredBefore.AppendJSON(dst)
	dst = append(dst, `,"observedAt":`...)
	dst = e.ObservedAt.AppendJSON(dst)
	dst = append(dst, `,"previousObservedAt":`...)
	dst = e.PreviousObservedAt.AppendJSON(dst)
	dst = append(dst, `,"detectedBy":`...)
	dst = quote(dst, e.DetectedBy)
	dst = appendSeconds(dst, `,"elapsedSeconds":`, e.ElapsedSeconds)
	dst = appendSeconds(dst, `,"elapsedSecondsMin":`, e.ElapsedSecondsMin)
	dst = appendSeconds(dst, `,"overdueSeconds":`, e.OverdueSeconds)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, e.Revision, 10)
	if e.What != "" {
		dst = append(dst, `,"what":`...)
		dst = quote(dst, e.What)
	}
	if c := e.Correction; c != nil {
		dst = append(dst, `,"corrects":`...)
		if c.Corrects != nil {
			dst = quote(dst, *c.Corrects)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"was":`...)
		dst = quote(dst, string(c.Was))
		dst = append(dst, `,"now":`...)
		dst = quote(dst, string(c.Now))
	}
	return append(dst, '}')
}

func appendSnapshotData(dst []byte, s *diff.Snapshot, poll string) []byte {
	dst = append(dst, `{"ccId":`...)
	dst = strconv.AppendInt(dst, int64(s.CC), 10)
	dst = append(dst, `,"vdn":`...)
	dst = strconv.AppendInt(dst, int64(s.VDN), 10)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, s.Revision, 10)
	dst = append(dst, `,"lastSequence":`...)
	dst = strconv.AppendInt(dst, s.LastSequence, 10)
	dst = append(dst, `,"observedAt":`...)
	dst = s.ObservedAt.AppendJSON(dst)
	dst = append(dst, `,"previousObservedAt":`...)
	dst = s.PreviousObservedAt.AppendJSON(dst)
	dst = append(dst, `,"baseline":`...)
	dst = strconv.AppendBool(dst, s.Baseline)
	dst = append(dst, `,"quality":`...)
	dst = quote(dst, s.Quality)
	dst = append(dst, `,"counts":{"waiting":`...)
	dst = strconv.AppendInt(dst, int64(s.Counts.Waiting), 10)
	dst = append(dst, `,"approved":`...)
	dst = strconv.AppendInt(dst, int64(s.Counts.Approved), 10)
	dst = append(dst, `,"resting":`...)
	dst = strconv.AppendInt(dst, int64(s.Counts.Resting), 10)
	dst = append(dst, `},"agents":`...)
	if s.Agents == nil && s.Parts > 0 {
		dst = append(dst, "null"...)
	} else {
		dst = appendAgents(dst, s.Agents)
	}
	if s.Parts != 0 {
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(s.Parts), 10)
	}
	if s.Order != (diff.Order{}) {
		dst = append(dst, `,"order":{`...)
		if s.Order.Epoch != 0 {
			dst = append(dst, `"epoch":`...)
			dst = strconv.AppendInt(dst, s.Order.Epoch, 10)
			if s.Order.Seq != 0 {
				dst = append(dst, ',')
			}
		}
		if s.Order.Seq != 0 {
			dst = append(dst, `"seq":`...)
			dst = strconv.AppendUint(dst, s.Order.Seq, 10)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"memory":`...)
	dst = appendMemory(dst, &s.Memory)
	dst = append(dst, `,"poll":`...)
	dst = quote(dst, poll)
	return append(dst, '}')
}

// appendMemory writes what only package diff understands. There is one of it
// in a snapshot, and it is small, so reflection may.
func appendMemory(dst []byte, m *diff.Memory) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		// Numbers and strings only: nothing in it can fail to encode.
		panic(fmt.Sprintf("encode memory of a snapshot: %v", err))
	}
	return append(dst, b...)
}

func appendPartData(dst []byte, s *diff.Snapshot, poll string, part int) []byte {
	dst = append(dst, `{"ccId":`...)
	dst = strconv.AppendInt(dst, int64(s.CC), 10)
	dst = append(dst, `,"vdn":`...)
	dst = strconv.AppendInt(dst, int64(s.VDN), 10)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, s.Revision, 10)
	dst = append(dst, `,"part":`...)
	dst = strconv.AppendInt(dst, int64(part), 10)
	dst = append(dst, `,"agents":`...)
	dst = appendAgents(dst, s.Agents)
	dst = append(dst, `,"poll":`...)
	dst = quote(dst, poll)
	return append(dst, '}')
}

// appendAgents writes [] for none: null means that parts have them.
func appendAgents(dst []byte, agents []diff.Agent) []byte {
	dst = append(dst, '[')
	for i := range agents {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAgent(dst, &agents[i])
	}
	return append(dst, ']')
}

func appendRestID(dst []byte, id diff.RestID) []byte {
	dst, _ = id.AppendText(append(dst, '"')) // which never fails
	return append(dst, '"')
}

func appendAgent(dst []byte, a *diff.Agent) []byte {
	dst = append(dst, `{"workNo":`...)
	dst = strconv.AppendInt(dst, int64(a.WorkNo), 10)
	dst = append(dst, `,"agentName":`...)
	dst = quote(dst, a.AgentName)
	dst = append(dst, `,"state":"`...)
	dst = append(dst, a.State.String()...)
	dst = append(dst, `","certainty":`...)
	dst = quote(dst, a.Certainty.String())
	if a.Candidates != 0 {
		dst = append(dst, `,"candidates":`...)
		next := `["`
		for c := range a.Candidates.All() {
			dst = append(dst, next...)
			dst = append(dst, c.String()...)
			next = `","`
		}
		dst = append(dst, `"]`...)
	}
	dst = append(dst, `,"restId":`...)
	dst = appendRestID(dst, a.RestID)
	dst = append(dst, `,"beginAt":`...)
	dst = a.BeginAt.AppendJSON(dst)
	dst = append(dst, `,"requestedSeconds":`...)
	dst = strconv.AppendInt(dst, int64(a.RequestedSeconds), 10)
	dst = appendReason(dst, a.WaitReason)
	dst = append(dst, `,"overdue":`...)
	dst = strconv.AppendBool(dst, a.Overdue)
	if a.Memory != (diff.AgentMemory{}) {
		dst = append(dst, `,"m":`...)
		dst = appendAgentMemory(dst, &a.Memory)
	}
	return append(dst, '}')
}

func appendAgentMemory(dst []byte, m *diff.AgentMemory) []byte {
	start := len(dst)
	number := func(name string, n int64) {
		if n != 0 {
			dst = append(dst, name...)
			dst = strconv.AppendInt(dst, n, 10)
		}
	}
	moment := func(name string, t diff.Time) {
		if t != 0 {
			dst = append(dst, name...)
			dst = t.AppendJSON(dst)
		}
	}
	moment(`,"f":`, m.FirstSeen)
	moment(`,"l":`, m.LastSeen)
	number(`,"n":`, int64(m.Misses))
	number(`,"a":`, int64(m.Anchor))
	moment(`,"s":`, m.RestingSince)
	number(`,"e":`, m.Event)
	if m.Corrected {
		dst = append(dst, `,"c":true`...)
	}
	if m.Updated {
		dst = append(dst, `,"u":true`...)
	}
	if m.Loose {
		dst = append(dst, `,"o":true`...)
	}
	dst[start] = '{' // instead of the first comma
	return append(dst, '}')
}

func appendFeedData(dst []byte, f *diff.Feed) []byte {
	dst = append(dst, `{"ccId":`...)
	dst = strconv.AppendInt(dst, int64(f.CC), 10)
	dst = append(dst, `,"vdn":`...)
	dst = strconv.AppendInt(dst, int64(f.VDN), 10)
	dst = append(dst, `,"status":`...)
	dst = quote(dst, string(f.Status))
	dst = append(dst, `,"since":`...)
	dst = f.Since.AppendJSON(dst)
	dst = append(dst, `,"lastGoodPollAt":`...)
	dst = f.LastGoodPollAt.AppendJSON(dst)
	dst = append(dst, `,"intervalSeconds":`...)
	dst = appendFloat(dst, f.Interval)
	dst = append(dst, `,"lastSequence":`...)
	dst = strconv.AppendInt(dst, f.LastSequence, 10)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendInt(dst, f.Revision, 10)
	if f.Gap != nil {
		dst = append(dst, `,"gap":{"from":`...)
		dst = f.Gap.From.AppendJSON(dst)
		dst = append(dst, `,"to":`...)
		dst = f.Gap.To.AppendJSON(dst)
		dst = append(dst, '}')
	}
	if f.Error != nil {
		dst = append(dst, `,"error":{"category":`...)
		dst = quote(dst, f.Error.Category)
		if f.Error.Code != "" {
			dst = append(dst, `,"code":`...)
			dst = quote(dst, f.Error.Code)
		}
		dst = append(dst, `,"message":`...)
		dst = quote(dst, f.Error.Message)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendReason(dst []byte, r *diff.WaitReason) []byte {
	if r == nil {
		return dst
	}
	dst = append(dst, `,"waitReason":{"code":`...)
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	dst = append(dst, `,"name":`...)
	dst = quote(dst, r.Name)
	return append(dst, '}')
}

func appendSeconds(dst []byte, name string, n *int) []byte {
	if n == nil {
		return dst
	}
	dst = append(dst, name...)
	return strconv.AppendInt(dst, int64(*n), 10)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = quote(dst, s)
	}
	return append(dst, ']')
}

// appendFloat writes seconds without an exponent; JSON has no NaN or infinity.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
