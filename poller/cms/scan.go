package cms

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a reply; the interface's own has four levels.
const maxDepth = 64

// scanner walks over JSON text once, forward. It is strict about the grammar
// (RFC 8259), with one exception: strings need not be valid UTF-8. After the
// first fault every method returns a zero value and err stays.
//
// It exists because decoding was by far the dearest step of a poll; see
// BenchmarkDecode for what it saves against the general decoders.
type scanner struct {
	b   []byte
	i   int
	err *Error
}

func (s *scanner) fail(what string) {
	if s.err == nil {
		s.err = malformed("reply is not the JSON expected: %s at byte %d", what, s.i)
	}
	s.i = len(s.b)
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// open consumes the opening bracket c, if that comes next.
func (s *scanner) open(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// more says whether another element follows in an object or array that ends
// with the bracket end, and consumes the comma or the bracket before it.
func (s *scanner) more(end byte, first bool) bool {
	c := s.peek()
	if c == end {
		s.i++
		return false
	}
	if first {
		return s.err == nil
	}
	if c != ',' {
		s.fail("no comma or end of " + kindOf(end))
		return false
	}
	s.i++
	return true
}

func kindOf(end byte) string {
	if end == '}' {
		return "object"
	}
	return "list"
}

// key reads a field name and its colon.
func (s *scanner) key() (raw []byte, escaped bool) {
	if s.peek() != '"' {
		s.fail("no field name")
		return nil, false
	}
	raw, escaped = s.str()
	if s.peek() != ':' {
		s.fail("no colon")
		return nil, false
	}
	s.i++
	return raw, escaped
}

// stops are the bytes at which a string is more than a run of plain bytes.
var stops = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// str reads a string, the scanner standing at its opening quote. raw is what
// is between the quotes, as it is in the text.
func (s *scanner) str() (raw []byte, escaped bool) {
	b, i := s.b, s.i+1
	start := i
	for {
		for i < len(b) && !stops[b[i]] {
			i++
		}
		if i >= len(b) {
			s.fail("unfinished string")
			return nil, false
		}
		switch b[i] {
		case '"':
			s.i = i + 1
			return b[start:i], escaped
		case '\\':
			escaped = true
			if i = escapeEnd(b, i); i < 0 {
				s.fail("bad escape in a string")
				return nil, false
			}
		default:
			s.fail("control character in a string")
			return nil, false
		}
	}
}

// escapeEnd returns where the escape at b[i] ends, -1 if it is none.
func escapeEnd(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 <= len(b) && hex4(b[i+2:]) >= 0 {
			return i + 6
		}
	}
	return -1
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unquote appends a string that str has checked, its escapes resolved, to out.
// Halves of surrogate pairs become U+FFFD.
func unquote(out, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		c := raw[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low = hex4(raw[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	return out
}

// skip reads any value and returns its text.
func (s *scanner) skip() []byte {
	s.peek()
	start := s.i
	s.value(0)
	if s.err != nil {
		return nil
	}
	return s.b[start:s.i]
}

func (s *scanner) value(depth int) {
	if depth > maxDepth {
		s.fail("nesting too deep")
		return
	}
	switch c := s.peek(); c {
	case '{':
		s.i++
		for first := true; s.more('}', first); first = false {
			s.key()
			s.value(depth + 1)
		}
	case '[':
		s.i++
		for first := true; s.more(']', first); first = false {
			s.value(depth + 1)
		}
	case '"':
		s.str()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			s.fail("no value")
			return
		}
		s.number()
	}
}

func (s *scanner) literal(text string) {
	if !bytes.HasPrefix(s.b[s.i:], []byte(text)) {
		s.fail("no value")
		return
	}
	s.i += len(text)
}

// number reads a number and returns its text.
func (s *scanner) number() []byte {
	start := s.i
	s.i = numberEnd(s.b, start)
	if s.i < 0 {
		s.i = start
		s.fail("bad number")
		return nil
	}
	return s.b[start:s.i]
}

// numberEnd returns where the number at b[i] ends, -1 if there is none.
func numberEnd(b []byte, i int) int {
	digits := func() bool {
		start := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// form is what integer found.
type form uint8

const (
	whole  form = iota // a whole number
	absent             // null, or an empty string
	other              // anything else
)

// integer reads any value as a whole number: a number, or a string that holds
// one. 2.0 and 1.6e12 are whole, as some writers put them.
func (s *scanner) integer() (int64, form) {
	switch c := s.peek(); {
	case c-'0' <= 9:
		// Nearly every number is up to 15 plain digits.
		b, i, n := s.b, s.i, int64(0)
		for i < len(b) && b[i]-'0' <= 9 && i-s.i < 16 {
			n = n*10 + int64(b[i]-'0')
			i++
		}
		if i < len(b) && (b[i] == ',' || b[i] == '}') && i-s.i < 16 && (c != '0' || i == s.i+1) {
			s.i = i
			return n, whole
		}
		return parseInteger(s.number())
	case c == '-':
		return parseInteger(s.number())
	case c == '"':
		raw, escaped := s.str()
		if escaped {
			raw = unquote(nil, raw)
		}
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 {
			return 0, absent
		}
		if numberEnd(raw, 0) != len(raw) {
			return 0, other
		}
		return parseInteger(raw)
	case c == 'n':
		s.literal("null")
		return 0, absent
	}
	s.value(0)
	return 0, other
}

func parseInteger(text []byte) (int64, form) {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n, whole
	}
	// Beyond 2^53 a floating-point number names no single integer.
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, other
	}
	return int64(f), whole
}
