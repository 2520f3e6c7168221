package diff

import (
	"fmt"
	"slices"
	"strings"
)

// words are the contract's names for the values of a type, which counts them
// from 0; a value without a name is none.
type words struct {
	kind  string
	names []string
}

func (w words) has(n uint8) bool { return int(n) < len(w.names) && w.names[n] != "" }

// name is never empty, so that a value that is none shows in a log.
func (w words) name(n uint8) string {
	if !w.has(n) {
		return fmt.Sprintf("%s(%d)", w.kind, n)
	}
	return w.names[n]
}

func (w words) encode(n uint8) ([]byte, error) {
	if !w.has(n) {
		return nil, fmt.Errorf("%s %d does not exist", w.kind, n)
	}
	return []byte(w.names[n]), nil
}

func (w words) decode(n *uint8, name []byte) error {
	i := slices.Index(w.names, string(name))
	if len(name) == 0 || i < 0 {
		return fmt.Errorf("%s %q: want one of %s", w.kind, name, strings.TrimLeft(strings.Join(w.names, ", "), ", "))
	}
	*n = uint8(i)
	return nil
}
