package diff

import "slices"

// sortRows sorts by agent, the newest row of an agent first, and says whether
// one is listed twice.
func sortRows(rows []Row) (twice bool) {
	if ascending(rows) {
		return false
	}
	if !sortByKeys(rows) {
		slices.SortFunc(rows, compareRows)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].WorkNo == rows[i-1].WorkNo {
			slices.SortFunc(rows, compareRows)
			return true
		}
	}
	return false
}

func ascending(rows []Row) bool {
	for i := 1; i < len(rows); i++ {
		if rows[i].WorkNo <= rows[i-1].WorkNo {
			return false
		}
	}
	return true
}

// sortByKeys sorts by agent: numbers first, which is several times faster than
// moving rows about, then each row once to its place. It declines numbers that
// do not fit.
func sortByKeys(rows []Row) bool {
	const half = 32
	keys := make([]uint64, len(rows))
	for i := range rows {
		no := rows[i].WorkNo
		if no < 0 || no >= 1<<(half-1) || i >= 1<<(half-1) {
			return false
		}
		keys[i] = uint64(no)<<half | uint64(i)
	}
	slices.Sort(keys)
	// keys[i] now tells which row belongs at i. Follow each cycle round.
	const done = 1<<half - 1
	for i := range keys {
		from := int(keys[i] & done)
		if from == done || from == i {
			continue
		}
		first, at := rows[i], i
		for from != i {
			rows[at] = rows[from]
			keys[at] |= done
			at = from
			from = int(keys[at] & done)
		}
		rows[at] = first
		keys[at] |= done
	}
	return true
}

// compareRows puts the newest row of an agent first. The fields beyond the
// begin time only make the order of a list irrelevant.
func compareRows(a, b Row) int {
	switch {
	case a.WorkNo != b.WorkNo:
		return order(a.WorkNo, b.WorkNo)
	case a.Begin != b.Begin:
		return order(b.Begin, a.Begin)
	case a.Reason != b.Reason:
		return order(b.Reason, a.Reason)
	case a.Requested != b.Requested:
		return order(b.Requested, a.Requested)
	case a.Name != b.Name:
		if a.Name < b.Name {
			return -1
		}
		return 1
	}
	return 0
}

func order[T int | Time](a, b T) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
