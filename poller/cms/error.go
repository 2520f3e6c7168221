package cms

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Category says what kind of failure an [*Error] is, and so what is to be done.
type Category string

// The closed list of categories.
const (
	// Refused: HTTP 401, signature or access refused. Stop calling: repeated
	// bad signatures lock the caller's address [pub].
	Refused Category = "refused"
	// Locked: HTTP 403, the caller's address is locked for a while [pub].
	Locked Category = "locked"
	// Timeout: no complete reply in time.
	Timeout Category = "timeout"
	// Network: no connection, a TLS failure, or a connection that broke.
	Network Category = "network"
	// HTTP: any other status than 200, redirects included.
	HTTP Category = "http"
	// Malformed: a reply that cannot be understood, or is too large.
	Malformed Category = "malformed"
	// Rejected: a result code that a later call may not give.
	Rejected Category = "rejected"
	// Config: a result code that only another setting mends (0100002 invalid
	// parameter, 0100003 wrong CTI version, 0101003 no permission).
	Config Category = "config"
	// Inconsistent is no category of an Error: it names a torn Reading where
	// the two share a label.
	Inconsistent Category = "inconsistent"
	// Canceled: the caller's own context was cancelled, or another call was
	// refused before this one was sent; nothing is known about the upstream.
	Canceled Category = "canceled"
)

// Error is why a reading failed. It holds no secret, no credential of a URL
// and nothing of the agents in the reply.
type Error struct {
	Category Category
	// Status is the HTTP status, 0 if no reply came.
	Status int
	// Code is the upstream's result code where it sent one, as it sent it.
	Code string
	// Message is what the upstream said or what is wrong, and what helps. It
	// is one line of bounded length.
	Message string
	// RetryAfter is how long the upstream asked to be left alone (Retry-After);
	// 0 if it did not. At most an hour.
	RetryAfter time.Duration
	// Skew of the upstream's clock against the own one, on Refused only.
	// Positive: the upstream is ahead.
	Skew time.Duration

	err error
}

func (e *Error) Error() string {
	switch {
	case e.Code != "":
		return fmt.Sprintf("call CC-CMS: %s: result %s: %s", e.Category, e.Code, e.Message)
	case e.Status != 0:
		return fmt.Sprintf("call CC-CMS: %s: HTTP %d: %s", e.Category, e.Status, e.Message)
	}
	return fmt.Sprintf("call CC-CMS: %s: %s", e.Category, e.Message)
}

// Unwrap returns the cause, such as context.Canceled or an x509 error; nil
// where the reply itself was the cause.
func (e *Error) Unwrap() error { return e.err }

// refused says that the upstream wants no calls with these credentials.
func (e *Error) refused() bool { return e != nil && (e.Category == Refused || e.Category == Locked) }

// refusedSince returns the error of a call that need not be sent, as others were
// refused since there were so many: each further one may lock the address [pub].
func (c *Client) refusedSince(refusals int64) *Error {
	if c.refusals.Load() == refusals {
		return nil
	}
	return &Error{Category: Canceled, Message: "not sent, as another call was refused meanwhile"}
}

// CategoryOf returns the category of err, and "" if err holds no [*Error].
func CategoryOf(err error) Category {
	var e *Error
	if errors.As(err, &e) {
		return e.Category
	}
	return ""
}

func malformed(format string, args ...any) *Error {
	return &Error{Category: Malformed, Message: fmt.Sprintf(format, args...)}
}

// codeOK is the result code of success. As a JSON number it has no leading
// zero, so codes are compared padded to seven digits.
const codeOK = "0100000"

func padCode(code string) string {
	if _, err := strconv.ParseUint(code, 10, 32); err == nil && len(code) == 6 {
		return "0" + code
	}
	return code
}

// rejection is the error of a result code other than success. The codes are
// those of the vendor's public list.
func rejection(code, text string) *Error {
	e := &Error{Category: Rejected, Code: clean(code, 32), Message: clean(text, maxMessage)}
	meaning := ""
	switch code {
	case "0100001":
		meaning = "call failed"
	case "0100002":
		e.Category, meaning = Config, "invalid parameter"
	case "0100003":
		e.Category, meaning = Config, "needs CTI V3R8, found V3R6"
	case "0100999":
		meaning = "unknown error"
	case "0101003":
		e.Category, meaning = Config, "no permission"
	}
	switch {
	case e.Message == "" && meaning == "":
		e.Message = "no text"
	case e.Message == "":
		e.Message = meaning
	case meaning != "":
		e.Message = meaning + ": " + e.Message
	}
	return e
}
