package cmssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"restwatch/diff"
)

// query is what a call asks for.
type query struct {
	CC     int64  `json:"ccId"`
	VDN    int64  `json:"vdn"`
	Offset *int64 `json:"offset"`
	Limit  *int64 `json:"limit"`
}

// vdn is zero if the numbers are out of range.
func (q query) vdn() diff.VDN {
	v := diff.VDN{CC: int(q.CC), ID: int(q.VDN)}
	if v.Validate() != nil {
		return diff.VDN{}
	}
	return v
}

func (q query) page() page {
	if q.Offset == nil || q.Limit == nil {
		return page{}
	}
	return page{offset: int(*q.Offset), limit: int(*q.Limit)}
}

// parseQuery reads the parameters of any of the interfaces. The ranges hold
// for CTI 3.8 too, although it does not use the page.
func parseQuery(path string, body []byte) (query, error) {
	if rest, ok := strings.CutPrefix(path, pathReasons); ok {
		vdn, err := diff.ParseVDN(strings.Replace(rest, "/", ":", 1))
		return query{CC: int64(vdn.CC), VDN: int64(vdn.ID)}, err
	}
	var q query
	if path == pathState {
		if err := json.Unmarshal(body, &q); err != nil {
			return query{}, fmt.Errorf("request body: %w", err)
		}
		return q, q.validate(1000)
	}
	var wrapped struct {
		Query *query `json:"queryParam"`
	}
	if err := json.Unmarshal(body, &wrapped); err != nil {
		return query{}, fmt.Errorf("request body: %w", err)
	}
	if wrapped.Query == nil {
		return query{}, errors.New("queryParam is missing")
	}
	return *wrapped.Query, wrapped.Query.validate(100)
}

func (q query) validate(maxLimit int64) error {
	if q.CC < 1 || q.CC > 65535 {
		return fmt.Errorf("ccId %d: want 1..65535", q.CC)
	}
	if q.VDN < 1 || q.VDN > 5000 {
		return fmt.Errorf("vdn %d: want 1..5000", q.VDN)
	}
	switch {
	case (q.Offset == nil) != (q.Limit == nil):
		return errors.New("offset and limit: want both or none")
	case q.Offset == nil:
	case *q.Offset < 0:
		return fmt.Errorf("offset %d: want 0 or more", *q.Offset)
	case *q.Limit < 1 || *q.Limit > maxLimit:
		return fmt.Errorf("limit %d: want 1..%d", *q.Limit, maxLimit)
	case *q.Offset%*q.Limit != 0:
		return fmt.Errorf("offset %d: want a multiple of limit %d", *q.Offset, *q.Limit)
	}
	return nil
}

// maxRequest bounds a request's body, which has some 60 bytes.
const maxRequest = 64 << 10

// readBody reads a request's body into a buffer used again.
func readBody(buf []byte, r *http.Request) ([]byte, error) {
	in := io.LimitReader(r.Body, maxRequest+1)
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, 512)
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxRequest:
			return buf, fmt.Errorf("body exceeds %d bytes", maxRequest)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, fmt.Errorf("read body: %w", err)
		}
	}
}
