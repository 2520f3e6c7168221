package cms

import (
	"bytes"
	"cmp"
	"fmt"
	"math"

	"restwatch/diff"
)

// Units of beginTime. The interface document calls it a timestamp and no more;
// see [Decode].
const (
	UnitAuto         = "auto"
	UnitMilliseconds = "ms"
	UnitSeconds      = "s"
)

// maxAgents bounds a VDN's list. The largest agent ids seen would allow less
// than four times as many in a whole call centre [pub]; a count beyond is a
// broken reply, not a reason for a thousand calls.
const maxAgents = 100_000

// Reply is what a reply of success says.
type Reply struct {
	// Rows in the upstream's order, which means nothing. Not nil.
	Rows   []diff.Row
	Counts diff.Counts
	// UnknownTimes is how many rows have no usable beginTime (Begin 0).
	UnknownTimes int
}

// Decode reads one reply of CC-CMS, of either generation: resultCode "0100000"
// with the data in resultDesc, or result "0" with it in resultDatas. Where both
// are there, resultDesc counts; a second copy equal to the first is stepped
// over. Field names are taken in any case, numbers also as strings, unknown
// fields are ignored, of a field given twice the last counts.
//
// The unit of beginTime is UnitAuto (1e11..1e14 are milliseconds since 1970,
// 1e8..1e11 seconds), UnitMilliseconds or UnitSeconds (that range only). A
// value outside is an unknown time: the row stays, with Begin 0.
//
// No row is ever left out: one without a workNo of 1..2^31-1, or with a reason
// that is no number, makes the reply malformed. A name is cleaned (valid UTF-8,
// no control characters, at most 256 bytes), a restDuration that is no length
// is 0. A missing list is empty if the counts are zero, else malformed.
//
// The error is an [*Error]: Rejected or Config for a result code other than
// success, Malformed for what is no such reply. An unknown unit is a plain error.
func Decode(body []byte, unit string) (Reply, error) {
	from, to, err := unitRange(unit)
	if err != nil {
		return Reply{}, err
	}
	d := decoder{scanner: scanner{b: body}, from: from, to: to}
	if err := d.decode(); err != nil {
		return Reply{}, err
	}
	return d.reply(), nil
}

const (
	minSeconds      = 1e8  // 1973
	minMilliseconds = 1e11 // 1973 in milliseconds, 5138 in seconds
	maxMilliseconds = 1e14 // 5138
)

// unitRange returns the values of beginTime that are a time.
func unitRange(unit string) (from, to int64, err error) {
	switch unit {
	case UnitAuto:
		return minSeconds, maxMilliseconds, nil
	case UnitMilliseconds:
		return minMilliseconds, maxMilliseconds, nil
	case UnitSeconds:
		return minSeconds, minMilliseconds - 1, nil
	}
	return 0, 0, fmt.Errorf("unit of beginTime %q: want auto, ms or s", unit)
}

// decoder decodes one reply. Rows are appended to rows, so pages can share one
// slice.
type decoder struct {
	scanner
	from, to int64  // values of beginTime that are a time
	names    *names // nil: every name is allocated
	// tail is set for a page after the first: there, an absent list is an
	// empty page, whatever the counts are.
	tail bool

	rows    []diff.Row
	base    int      // rows that were there before
	counts  [3]int64 // waiting, approved, resting
	counted [3]bool
	listed  bool
	// problem is what is wrong with the data object. It matters only in a
	// reply of success, which the fields after it may still deny.
	problem string

	after [restDuration + 1]uint8 // see rowField

	copied []byte // the text of the data object that was decoded
	inDesc bool   // it was resultDesc
}

func (d *decoder) reply() Reply {
	rows := d.rows
	if rows == nil {
		rows = []diff.Row{}
	}
	return Reply{Rows: rows, Counts: d.totals(), UnknownTimes: unknownTimes(rows)}
}

func (d *decoder) totals() diff.Counts {
	return diff.Counts{Waiting: int(d.counts[0]), Approved: int(d.counts[1]), Resting: int(d.counts[2])}
}

func unknownTimes(rows []diff.Row) (n int) {
	for i := range rows {
		if rows[i].Begin == 0 {
			n++
		}
	}
	return n
}

func (d *decoder) decode() *Error {
	d.base = len(d.rows)
	var code, legacy, descText, datasText string
	if !d.open('{') {
		d.fail("no object")
	}
	for first := true; d.more('}', first); first = false {
		switch d.field(topFields) {
		case resultCode:
			code = d.scalar()
		case result:
			legacy = d.scalar()
		case resultDesc:
			descText = d.dataObject(true)
		case resultDatas:
			datasText = d.dataObject(false)
		default:
			d.skip()
		}
	}
	if d.peek(); d.i < len(d.b) {
		d.fail("more than one value")
	}
	if d.err != nil {
		return d.err
	}
	switch {
	case code != "" && padCode(code) != codeOK:
		return rejection(padCode(code), cmp.Or(descText, datasText))
	case code == "" && legacy == "":
		return malformed("reply has neither resultCode nor result")
	case code == "" && legacy != "0":
		return rejection(padCode(legacy), cmp.Or(datasText, descText))
	}
	if p := d.fault(); p != "" {
		return malformed("reply of success %s", p)
	}
	return nil
}

// fault says what keeps a reply of success from being one.
func (d *decoder) fault() string {
	if d.copied == nil {
		return "has no data object"
	}
	if d.problem != "" {
		return d.problem
	}
	sum := int64(0)
	for i, name := range [...]string{"waitRestNum", "allowRestNum", "onRestNum"} {
		if !d.counted[i] {
			return "has no " + name
		}
		sum += d.counts[i]
	}
	if !d.listed && sum > 0 && !d.tail {
		return "has no agentsRestDetails though its counts are not zero"
	}
	return ""
}

// scalar reads a string or number as text; anything else is "".
func (d *decoder) scalar() string {
	switch c := d.peek(); {
	case c == '"':
		raw, escaped := d.str()
		if escaped {
			return string(unquote(nil, raw))
		}
		return string(raw)
	case c == '-' || c-'0' <= 9:
		return string(d.number())
	}
	d.skip()
	return ""
}

// dataObject reads the value of resultDesc or resultDatas. On an error reply
// that is a text, which it returns.
func (d *decoder) dataObject(desc bool) string {
	if d.peek() != '{' {
		return d.scalar()
	}
	start := d.i
	if d.copied != nil {
		if bytes.HasPrefix(d.b[d.i:], d.copied) {
			d.i += len(d.copied)
			d.inDesc = d.inDesc || desc
			return ""
		}
		if d.inDesc && !desc {
			d.skip()
			return ""
		}
	}
	d.data()
	if d.err == nil {
		d.copied, d.inDesc = d.b[start:d.i], desc
	}
	return ""
}

// data reads the data object.
func (d *decoder) data() {
	d.counts, d.counted = [3]int64{}, [3]bool{}
	d.listed, d.problem = false, ""
	d.rows = d.rows[:d.base]
	d.open('{')
	for first := true; d.more('}', first); first = false {
		switch d.field(dataFields) {
		case waitRestNum:
			d.count(0)
		case allowRestNum:
			d.count(1)
		case onRestNum:
			d.count(2)
		case agentsRestDetails:
			d.list()
		default:
			d.skip()
		}
	}
}

func (d *decoder) count(i int) {
	n, f := d.integer()
	d.counts[i], d.counted[i] = n, f == whole
	if f == other || n < 0 || n > math.MaxInt32 {
		d.wrong("has a count that is no number of agents")
	}
}

func (d *decoder) wrong(what string) {
	if d.problem == "" {
		d.problem = what
	}
}

func (d *decoder) list() {
	d.rows = d.rows[:d.base]
	if d.peek() != '[' {
		d.listed = false
		if !bytes.Equal(d.skip(), []byte("null")) {
			d.wrong("has an agentsRestDetails that is no list")
		}
		return
	}
	d.i++
	d.listed = true
	d.grow()
	for first := true; d.more(']', first); first = false {
		if len(d.rows)-d.base >= maxAgents {
			d.fail("too many agents")
			return
		}
		if !d.open('{') {
			d.skip()
			d.wrong("lists an agent that is no object")
			continue
		}
		d.row()
	}
}

// grow makes room for as many rows as the counts promise, as far as the text
// that is left can hold them.
func (d *decoder) grow() {
	const shortest = 12 // {"workNo":1}
	n := int(max(0, min(d.counts[0]+d.counts[1]+d.counts[2], int64(len(d.b)-d.i)/shortest, maxAgents)))
	d.names.fit(n)
	if need := d.base + n; need > cap(d.rows) {
		rows := make([]diff.Row, len(d.rows), need)
		copy(rows, d.rows)
		d.rows = rows
	}
}

// row reads one agent, from behind the opening bracket.
func (d *decoder) row() {
	var row diff.Row
	var name []byte
	escaped := false
	f := 0
	for first := true; d.more('}', first); first = false {
		f = d.rowField(f)
		switch f {
		case workNo:
			n, form := d.integer()
			row.WorkNo = 0
			if form == whole && n > 0 && n <= math.MaxInt32 {
				row.WorkNo = int(n)
			}
		case agentName:
			name, escaped = d.name()
		case cantRestReason:
			n, form := d.integer()
			row.Reason = int(n)
			if form == other || n < math.MinInt32 || n > math.MaxInt32 {
				d.wrong("lists an agent whose cantRestReason is no number")
			}
		case beginTime:
			n, _ := d.integer()
			row.Begin = d.time(n)
		case restDuration:
			row.Requested = 0
			if n, form := d.integer(); form == whole && n > 0 && n <= math.MaxInt32 {
				row.Requested = int(n)
			}
		default:
			d.skip()
		}
	}
	if d.err != nil {
		return
	}
	if row.WorkNo == 0 {
		d.wrong("lists an agent without a workNo in 1..2147483647")
		return
	}
	row.Name = d.names.of(row.WorkNo, name, escaped)
	d.rows = append(d.rows, row)
}

// time converts a beginTime; one that is no time gives 0.
func (d *decoder) time(n int64) diff.Time {
	switch {
	case n < d.from || n > d.to:
		return 0
	case n < minMilliseconds:
		return diff.Time(n * 1000)
	}
	return diff.Time(n)
}

// name reads an agent's name: a string, or a number's text. Anything else is
// no name.
func (d *decoder) name() (raw []byte, escaped bool) {
	switch c := d.peek(); {
	case c == '"':
		return d.str()
	case c == '-' || c-'0' <= 9:
		return d.number(), false
	}
	d.skip()
	return nil, false
}
