package diff

import (
	"fmt"
	"strconv"
	"strings"
)

// VDN names a virtual call centre: a tenant of one call centre of CC-CMS.
// The ranges are those of the interface document: CC 1..65535, ID 1..5000.
type VDN struct {
	CC int // ccId, the call centre
	ID int // vdn, the virtual call centre within it
}

// String returns the form used in settings and messages, "1:170".
func (v VDN) String() string {
	return strconv.Itoa(v.CC) + ":" + strconv.Itoa(v.ID)
}

// Validate reports the first number that lies outside the documented range.
func (v VDN) Validate() error {
	if v.CC < 1 || v.CC > 65535 {
		return fmt.Errorf("ccId %d: want 1..65535", v.CC)
	}
	if v.ID < 1 || v.ID > 5000 {
		return fmt.Errorf("vdn %d: want 1..5000", v.ID)
	}
	return nil
}

// ParseVDN reads the form that String writes.
func ParseVDN(s string) (VDN, error) {
	cc, id, ok := strings.Cut(s, ":")
	if !ok {
		return VDN{}, fmt.Errorf("VDN %q: want ccId:vdn, as in 1:170", s)
	}
	var v VDN
	var err error
	if v.CC, err = strconv.Atoi(cc); err != nil {
		return VDN{}, fmt.Errorf("VDN %q: ccId is not a number", s)
	}
	if v.ID, err = strconv.Atoi(id); err != nil {
		return VDN{}, fmt.Errorf("VDN %q: vdn is not a number", s)
	}
	if err := v.Validate(); err != nil {
		return VDN{}, fmt.Errorf("VDN %q: %w", s, err)
	}
	return v, nil
}

// Compare orders VDNs by call centre, then by number; for slices.SortFunc.
func (v VDN) Compare(w VDN) int {
	if v.CC != w.CC {
		return v.CC - w.CC
	}
	return v.ID - w.ID
}
