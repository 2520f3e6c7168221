package cms

import "strings"

// fields lists the field names of an object in the document's spelling, and in
// lower case, by which any other spelling is told.
type fields []fieldName

type fieldName struct{ exact, lower, quoted string }

func fieldsOf(exact ...string) (fs fields) {
	for _, e := range exact {
		fs = append(fs, fieldName{e, strings.ToLower(e), `"` + e + `":`})
	}
	return fs
}

// The fields of the three objects, by their place in the list, from 1; 0 is
// any other field.
var (
	topFields  = fieldsOf("resultCode", "result", "resultDesc", "resultDatas")
	dataFields = fieldsOf("waitRestNum", "allowRestNum", "onRestNum", "agentsRestDetails")
	rowFields  = fieldsOf("agentName", "workNo", "cantRestReason", "beginTime", "restDuration")
)

const (
	resultCode = iota + 1
	result
	resultDesc
	resultDatas
)

const (
	waitRestNum = iota + 1
	allowRestNum
	onRestNum
	agentsRestDetails
)

const (
	agentName = iota + 1
	workNo
	cantRestReason
	beginTime
	restDuration
)

// field reads a field name and its colon, and returns its place in fs.
func (d *decoder) field(fs fields) int {
	raw, escaped := d.key()
	if escaped {
		raw = unquote(nil, raw)
	}
	for i := range fs {
		if string(raw) == fs[i].exact {
			return i + 1
		}
	}
	for i := range fs {
		if len(raw) == len(fs[i].lower) && equalFold(raw, fs[i].lower) {
			return i + 1
		}
	}
	return 0
}

// rowField is field for the fields of a row, which are most of a reply: it
// tries first the one that followed the field before in the row before.
func (d *decoder) rowField(before int) int {
	d.peek()
	if guess := int(d.after[before]); guess > 0 {
		if q := rowFields[guess-1].quoted; len(d.b)-d.i > len(q) && string(d.b[d.i:d.i+len(q)]) == q {
			d.i += len(q)
			return guess
		}
	}
	f := d.field(rowFields)
	d.after[before] = uint8(f)
	return f
}

// equalFold compares without regard to the case of ASCII letters.
func equalFold(raw []byte, lower string) bool {
	for i, c := range raw {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
