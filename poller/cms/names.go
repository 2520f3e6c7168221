package cms

// names remembers the names of a VDN's agents, so that a name read before
// costs no allocation, and compares equal to itself by its address. It is a
// table without chains, indexed by workNo: a clash costs an allocation, nothing
// else. A nil *names remembers nothing. Not safe for concurrent use.
type names struct {
	slots   []string // a power of two of clean names, or none
	scratch []byte   // for names with escapes
}

// The table's least and greatest size, in slots of 16 bytes.
const (
	minNames = 16
	maxNames = 1 << 17
)

// of returns the clean form of a name, given as it is in the reply's text.
func (t *names) of(workNo int, raw []byte, escaped bool) string {
	if len(raw) == 0 {
		return ""
	}
	if t == nil {
		if escaped {
			raw = unquote(nil, raw)
		}
		return clean(string(raw), maxName)
	}
	if escaped {
		t.scratch = unquote(t.scratch[:0], raw)
		raw = t.scratch
	}
	if len(t.slots) == 0 {
		return clean(string(raw), maxName)
	}
	slot := &t.slots[slotOf(workNo)&(len(t.slots)-1)]
	if *slot != string(raw) {
		*slot = clean(string(raw), maxName)
	}
	return *slot
}

// fit makes room for a list of n agents, with slots to spare against clashes.
// A table that grows starts empty; it does not shrink, as lists come and go.
func (t *names) fit(n int) {
	if t == nil || 2*n <= len(t.slots) {
		return
	}
	size := max(len(t.slots), minNames)
	for size < 2*n && size < maxNames {
		size *= 2
	}
	if size > len(t.slots) {
		t.slots = make([]string, size)
	}
}

// slotOf spreads workNos, which come in runs and in steps of ten.
func slotOf(workNo int) int { return int(uint32(workNo) * 0x9e3779b1 >> 15) }
