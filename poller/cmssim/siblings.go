package cmssim

import (
	"strconv"

	"restwatch/diff"
)

// The two sibling interfaces, in the envelope of the main one.

// restState answers vdn/queryagentreststate, which pages on every CTI; without
// a page it lists all. reqRestDura, the seconds since beginTime, is there for
// resting agents only. The states of a list set by hand are not known, so
// nobody has it there.
func (c *call) restState(t *tenant, p page) {
	now := c.s.now()
	t.mu.Lock()
	t.refresh(now)
	rows, counts := t.rows, t.counts
	states := make([]diff.State, len(rows))
	if t.script == nil {
		states = t.world.AppendStates(states[:0])
	}
	b := append([]byte(nil), `{"resultCode":"0100000","resultDesc":{"onRestAgentNum":`...)
	b = strconv.AppendInt(b, int64(counts.Resting), 10)
	b = strconv.AppendInt(append(b, `,"allowRestAgentNum":`...), int64(counts.Approved), 10)
	b = strconv.AppendInt(append(b, `,"waitRestAgentNum":`...), int64(counts.Waiting), 10)
	b = append(b, `,"details":[`...)
	for i, r := range p.of(rows) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"agentId":`...), int64(r.WorkNo), 10)
		b = strconv.AppendInt(append(b, `,"cantRestCause":`...), int64(r.Reason), 10)
		b = strconv.AppendInt(append(b, `,"vdnId":`...), int64(t.vdn.ID), 10)
		b = strconv.AppendInt(append(b, `,"ccId":`...), int64(t.vdn.CC), 10)
		b = strconv.AppendInt(append(b, `,"beginTime":`...), int64(r.Begin), 10)
		b = strconv.AppendInt(append(b, `,"applyRestLength":`...), int64(r.Requested), 10)
		b = appendString(append(b, `,"name":`...), r.Name)
		if states[i+p.offset] == diff.Resting {
			b = strconv.AppendInt(append(b, `,"reqRestDura":`...), (now.UnixMilli()-int64(r.Begin))/1000, 10)
		}
		b = append(b, '}')
	}
	t.mu.Unlock()
	c.send(t, newBody(append(b, "]}}"...)))
}

// restReasons answers agentgroup/restreasons, with reasons of our own.
func (c *call) restReasons(t *tenant) {
	c.send(t, newBody([]byte(`{"resultCode":"0100000","resultDesc":[`+
		`{"restReasonId":1,"restReason":"Meal"},{"restReasonId":2,"restReason":"Short break"},{"restReasonId":3,"restReason":"Training"}]}`)))
}
