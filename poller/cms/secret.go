package cms

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a secret key. However it is printed, logged or marshalled it reads
// "redacted": every verb of package fmt, slog, JSON and text. string(s) is the
// only way to the key itself. The zero value is no key.
type Secret string

const redacted = "redacted"

// Format prints "redacted" whatever the verb; a mere String method would leave
// %d, whose complaint about the wrong verb quotes the value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "redacted".
func (Secret) String() string { return redacted }

// GoString returns "redacted".
func (Secret) GoString() string { return redacted }

// LogValue returns "redacted".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "redacted".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
