package cms

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxName bounds an agent's name, in bytes. No real one comes near; a
	// reply must not be able to fill the stream with one.
	maxName = 256
	// maxMessage bounds a text of the upstream that goes into an error.
	maxMessage = 300
)

// clean makes a text from outside safe to store, log and print: valid UTF-8
// (what is not becomes U+FFFD), no control characters, line separators or
// changes of writing direction (each becomes U+FFFD, so that a name cannot
// drive a terminal or fake a log line), and at most max bytes, cut between
// characters. A clean text is returned as it is, without allocation.
func clean(s string, max int) string {
	if isClean(s) {
		return cut(s, max)
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
		if b.Len() > max {
			break
		}
	}
	return cut(b.String(), max)
}

func isClean(s string) bool {
	for i, r := range s {
		if unsafe(r) {
			return false
		}
		if r == utf8.RuneError {
			// A replacement character that was sent as one is fine.
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

func unsafe(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return unicode.IsControl(r) || r == 0x2028 || r == 0x2029 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}

func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}
