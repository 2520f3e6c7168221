package diff

import (
	"fmt"
	"strconv"
	"strings"
)

// RestID names a rest from its first sighting to its end. It is two numbers and
// no text, as there is one for every agent that is known. The zero value is no
// rest, and "" as text.
type RestID struct {
	WorkNo int
	// First is the rest's first begin time; of an unknown one, when the rest was
	// first seen.
	First Time
}

// AppendText appends the contract's form, such as 1001-1700000001000.
func (id RestID) AppendText(b []byte) ([]byte, error) {
	if id == (RestID{}) {
		return b, nil
	}
	b = append(strconv.AppendInt(b, int64(id.WorkNo), 10), '-')
	return strconv.AppendInt(b, int64(id.First), 10), nil
}

// MarshalText writes the contract's form.
func (id RestID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

func (id RestID) String() string {
	b, _ := id.AppendText(nil)
	return string(b)
}

// UnmarshalText accepts the contract's form, and "".
func (id *RestID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = RestID{}
		return nil
	}
	workNo, first, _ := strings.Cut(string(b), "-")
	no, err := strconv.Atoi(workNo)
	if err == nil {
		var ms int64
		ms, err = strconv.ParseInt(first, 10, 64)
		*id = RestID{no, Time(ms)}
	}
	if err != nil {
		return fmt.Errorf("restId %q: want workNo-milliseconds", b)
	}
	return nil
}
