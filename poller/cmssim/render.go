package cmssim

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"restwatch/diff"
)

// Reply is the dialect of the replies; zero is a current release. Dialects of
// one reply may be combined.
type Reply struct {
	Generation Generation
	LowerCase  bool // field names in lower case, as an older sibling has them
	Strings    bool // numbers as JSON strings
	Extra      bool // fields that no document mentions
	Seconds    bool // beginTime in seconds
	Gzip       bool // where the caller accepts it
}

// Generation of the reply's envelope.
type Generation string

// The generations. A legacy error is invented, no document shows one: the code
// in result, the text in resultDesc.
const (
	Current     Generation = ""            // resultCode/resultDesc and result/resultDatas
	Legacy      Generation = "legacy"      // result/resultDatas alone, up to 8.13
	CurrentOnly Generation = "currentOnly" // resultCode/resultDesc alone
)

const (
	codeOK         = "0100000"
	codeInvalid    = "0100002"
	codePermission = "0101003"
)

// keys of a reply as they are written, with their quotes and colon.
type keys struct {
	result, resultCode, resultDatas, resultDesc       string
	allow, resting, waiting, details                  string
	name, workNo, reason, begin, duration, extra, ids string
}

func (r Reply) keys() keys {
	key := func(s string) string {
		if r.LowerCase {
			s = strings.ToLower(s)
		}
		return `"` + s + `":`
	}
	return keys{
		result: key("result"), resultCode: key("resultCode"), resultDatas: key("resultDatas"), resultDesc: key("resultDesc"),
		allow: key("allowRestNum"), resting: key("onRestNum"), waiting: key("waitRestNum"), details: key("agentsRestDetails"),
		name: key("agentName"), workNo: key("workNo"), reason: key("cantRestReason"), begin: key("beginTime"),
		duration: key("restDuration"), extra: key("teamInfo"), ids: key("skillIds"),
	}
}

// renderer writes replies of one dialect, without reflection. It is immutable.
type renderer struct {
	Reply
	keys keys
}

func newRenderer(r Reply) *renderer { return &renderer{r, r.keys()} }

// list appends a successful reply.
func (p *renderer) list(b []byte, rows []diff.Row, c diff.Counts) []byte {
	k := &p.keys
	var from, to int
	b = append(b, '{')
	if p.Generation != CurrentOnly {
		b = append(append(b, k.result...), `"0",`...)
	}
	if p.Generation != Legacy {
		b = append(append(b, k.resultCode...), `"0100000",`...)
	}
	if p.Generation == CurrentOnly {
		b = append(b, k.resultDesc...)
	} else {
		b = append(b, k.resultDatas...)
	}
	from = len(b)
	b = p.details(b, rows, c)
	to = len(b)
	if p.Generation == Current {
		b = append(append(b, ','), k.resultDesc...)
		b = append(b, b[from:to]...)
	}
	return append(b, '}')
}

func (p *renderer) details(b []byte, rows []diff.Row, c diff.Counts) []byte {
	k := &p.keys
	b = append(b, '{')
	if p.Extra {
		b = append(append(b, k.extra...), `{"depth":[[],{"of":null}],"note":"]}\"{["},`...)
	}
	b = p.number(append(b, k.allow...), int64(c.Approved))
	b = p.number(append(append(b, ','), k.resting...), int64(c.Resting))
	b = p.number(append(append(b, ','), k.waiting...), int64(c.Waiting))
	b = append(append(append(b, ','), k.details...), '[')
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.row(b, &rows[i])
	}
	return append(b, "]}"...)
}

func (p *renderer) row(b []byte, r *diff.Row) []byte {
	k := &p.keys
	begin := int64(r.Begin)
	if p.Seconds {
		begin /= 1000
	}
	b = appendString(append(append(b, '{'), k.name...), r.Name)
	b = p.number(append(append(b, ','), k.workNo...), int64(r.WorkNo))
	b = p.number(append(append(b, ','), k.reason...), int64(r.Reason))
	b = p.number(append(append(b, ','), k.begin...), begin)
	b = p.number(append(append(b, ','), k.duration...), int64(r.Requested))
	if p.Extra {
		b = append(append(append(b, ','), k.ids...), "[1,2.5e3,true]"...)
	}
	return append(b, '}')
}

func (p *renderer) number(b []byte, n int64) []byte {
	if !p.Strings {
		return strconv.AppendInt(b, n, 10)
	}
	return append(strconv.AppendInt(append(b, '"'), n, 10), '"')
}

// fault appends a reply that reports a failure.
func (p *renderer) fault(b []byte, code, text string) []byte {
	k := &p.keys
	key := k.resultCode
	if p.Generation == Legacy {
		key = k.result
	}
	b = appendString(append(append(b, '{'), key...), code)
	b = appendString(append(append(b, ','), k.resultDesc...), text)
	return append(b, '}')
}

// appendString appends a JSON string. HTML is left as it is: a real upstream
// does not care for whoever shows a name in a browser.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
