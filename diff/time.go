package diff

import (
	"fmt"
	"time"
)

// Time is an instant in milliseconds since 1970, UTC. Zero means unknown and
// is null in JSON; any other value is RFC 3339 with exactly three decimals.
type Time int64

// lastTime is the last that RFC 3339 can write: the end of the year 9999.
const lastTime Time = 253_402_300_799_999

const timeLayout = "2006-01-02T15:04:05.000Z"

// TimeOf truncates t to its millisecond. The zero time.Time gives 0.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Time returns the instant in UTC; of 0, the zero time.Time.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// TimeOfDuration is d in milliseconds, to add to a Time.
func TimeOfDuration(d time.Duration) Time { return Time(d / time.Millisecond) }

// Add returns t moved by d, truncated to milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Millisecond) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String returns RFC 3339 in UTC with milliseconds, "unknown" for 0.
func (t Time) String() string {
	if t == 0 {
		return "unknown"
	}
	return t.Time().Format(timeLayout)
}

// AppendJSON appends the JSON form of t.
func (t Time) AppendJSON(b []byte) []byte {
	if t == 0 {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.Time().AppendFormat(b, timeLayout)
	return append(b, '"')
}

// MarshalJSON writes null for 0.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.AppendJSON(make([]byte, 0, len(timeLayout)+2)), nil
}

// UnmarshalJSON accepts null and any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("time %s: want an RFC 3339 string or null", b)
	}
	parsed, err := time.Parse(time.RFC3339, string(b[1:len(b)-1]))
	if err != nil {
		return fmt.Errorf("time %s: want an RFC 3339 string or null", b)
	}
	*t = TimeOf(parsed)
	return nil
}
