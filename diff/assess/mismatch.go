package assess

import "restwatch/diff"

// doubt is about a reading whose totals do not follow from what changed in the
// list since the one before. Either the totals are of another instant than the
// list (A2): then the list has told the change before, or tells it in the next
// reading. Or somebody changed his state and kept his begin time (A3): then it
// never does.
type doubt struct {
	before  *diff.Snapshot
	example Example
	// approvals that keep the begin time would explain it.
	approvals bool
	// behind: the list had told it already.
	behind bool
}

func newDoubt(s *site, p *pair) *doubt {
	d := &doubt{before: p.before, example: p.example(s), approvals: p.keptApprovals()}
	if s.older != nil {
		q := newPair(s.older, p.now)
		d.behind = !q.blurred && q.explained(q.open)
	}
	return d
}

// mismatches are doubts, settled.
type mismatches struct {
	// Those that approvals would explain, and others; late where the list did
	// tell the change, before or after.
	approvals, approvalsLate, others, othersLate evidence
}

// settle decides about d by the next reading.
func (m *mismatches) settle(d *doubt, next *diff.Snapshot) {
	q := newPair(d.before, next)
	late := d.behind || !q.blurred && q.explained(q.open)
	switch {
	case d.approvals && late:
		m.approvalsLate.add(d.example)
	case d.approvals:
		m.approvals.add(d.example)
	case late:
		m.othersLate.add(d.example)
	default:
		m.others.add(d.example)
	}
}

// cause of mismatches.
type cause uint8

const (
	causeNone      cause = iota
	causeApprovals       // approvals keep the begin time
	causeStates          // other changes of state do
	causeTotals          // totals are of another instant
)

// cause tells what explains the mismatches of a whole recording. Where much
// happens between two lists, other agents' moves hide what a single mismatch
// comes from. But if approvals keep the begin time, all mismatches look like
// approvals; if totals are late, they look like every change of state.
func (j *judge) cause() cause {
	m := &j.mismatches
	approvals := m.approvals.n + m.approvalsLate.n
	others := m.others.n + m.othersLate.n
	switch {
	case 10*others > approvals && m.others.n > m.othersLate.n:
		return causeStates
	case 10*others > approvals:
		return causeTotals
	case m.approvals.n+j.found.n > 0:
		return causeApprovals
	case approvals > 0:
		return causeTotals
	}
	return causeNone
}

// against counts what speaks against A2 (totals) and A3 (begins).
func (j *judge) against() (totals, begins int) {
	m := &j.mismatches
	switch j.cause() {
	case causeApprovals:
		return 0, max(m.approvals.n, j.found.n)
	case causeStates:
		return 0, m.others.n + m.approvals.n
	case causeTotals:
		return m.approvalsLate.n + m.othersLate.n + m.approvals.n + m.others.n, 0
	}
	return 0, 0
}
