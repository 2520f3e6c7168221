package publisher

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"restwatch/diff"
)

// ContentType of every message, CloudEvents 1.0 in structured JSON mode.
const ContentType = "application/cloudevents+json"

// The dataschema attribute, by kind of message.
const (
	SchemaEvent    = "urn:restwatch:schema:rest-event:v1"
	SchemaSnapshot = "urn:restwatch:schema:rest-snapshot:v1"
	SchemaFeed     = "urn:restwatch:schema:rest-feed:v1"
)

const (
	typeSnapshot = "restwatch.snapshot.v1"
	typeFeed     = "restwatch.feed.v1"
)

func typeOfEvent(k diff.Kind) string { return "restwatch.rest." + string(k) + ".v1" }

func source(v diff.VDN) string {
	return "/restwatch/cc/" + strconv.Itoa(v.CC) + "/vdn/" + strconv.Itoa(v.ID)
}

// EncodeEvent appends the message of an agent event to dst, without a line
// break. Equal events give equal bytes, on the bus and in restwatch diff.
func EncodeEvent(dst []byte, e *diff.Event) []byte {
	dst = append(dst, `{"specversion":"1.0","id":`...)
	// The id is put together here and not by ID, to save its memory; a test
	// holds the two together.
	dst = appendRestID(dst, e.RestID)
	dst = append(dst[:len(dst)-1], '-')
	dst = append(dst, e.Kind...)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, e.Sequence, 10)
	dst = append(dst, '"')
	dst = appendSource(dst, e.CC, e.VDN)
	dst = append(dst, `,"type":"restwatch.rest.`...)
	dst = append(dst, e.Kind...)
	dst = append(dst, `.v1","subject":"`...)
	dst = strconv.AppendInt(dst, int64(e.WorkNo), 10)
	dst = append(dst, '"')
	dst = appendTime(dst, e.ObservedAt)
	dst = append(dst, `,"datacontenttype":"application/json","dataschema":"`+SchemaEvent+`","sequence":"`...)
	dst = appendSequence(dst, e.Sequence)
	dst = append(dst, `","data":`...)
	dst = appendEventData(dst, e)
	return append(dst, '}')
}

// EncodeFeed appends the message of a feed status, found out at its
// ObservedAt. The instance and n, a count within it, make the id unique.
func EncodeFeed(dst []byte, f *diff.Feed, instance string, n uint64) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"feed-`...)
	dst = strconv.AppendInt(dst, int64(f.ObservedAt), 10)
	dst = append(dst, '-')
	quoted := len(dst)
	dst = quote(dst, instance)
	dst = append(dst[:quoted], dst[quoted+1:len(dst)-1]...) // without its quotes
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, '"')
	dst = appendSource(dst, f.CC, f.VDN)
	dst = append(dst, `,"type":"`+typeFeed+`"`...)
	dst = appendTime(dst, f.ObservedAt)
	dst = append(dst, `,"datacontenttype":"application/json","dataschema":"`+SchemaFeed+`","data":`...)
	dst = appendFeedData(dst, f)
	return append(dst, '}')
}

// EncodeSnapshot appends the message of a snapshot. poll is the id of the poll
// that it was made by, which tells an unsure publisher its own commit.
func EncodeSnapshot(dst []byte, s *diff.Snapshot, poll string) []byte {
	return appendSnapshot(dst, s, poll, 0)
}

// appendSnapshot writes the main message, or with part > 0 one of the parts of
// a split one, which has its agents and what ties it to its main message.
func appendSnapshot(dst []byte, s *diff.Snapshot, poll string, part int) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"snapshot-`...)
	dst = strconv.AppendInt(dst, s.Revision, 10)
	if part > 0 {
		dst = append(dst, '-')
		dst = strconv.AppendInt(dst, int64(part), 10)
	}
	dst = append(dst, '"')
	dst = appendSource(dst, s.CC, s.VDN)
	dst = append(dst, `,"type":"`+typeSnapshot+`"`...)
	dst = appendTime(dst, s.ObservedAt)
	dst = append(dst, `,"datacontenttype":"application/json","dataschema":"`+SchemaSnapshot+`","data":`...)
	if part > 0 {
		dst = appendPartData(dst, s, poll, part)
	} else {
		dst = appendSnapshotData(dst, s, poll)
	}
	return append(dst, '}')
}

func appendSource(dst []byte, cc, vdn int) []byte {
	dst = append(dst, `,"source":"/restwatch/cc/`...)
	dst = strconv.AppendInt(dst, int64(cc), 10)
	dst = append(dst, `/vdn/`...)
	dst = strconv.AppendInt(dst, int64(vdn), 10)
	return append(dst, '"')
}

// appendTime leaves the attribute out if the time is unknown: CloudEvents has
// no null.
func appendTime(dst []byte, t diff.Time) []byte {
	if t == 0 {
		return dst
	}
	dst = append(dst, `,"time":`...)
	return t.AppendJSON(dst)
}

// appendSequence writes 20 digits, so that the text sorts as the number does.
func appendSequence(dst []byte, n int64) []byte {
	var digits [20]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:]...)
}

// quote writes a JSON string. Bytes that are no UTF-8 become U+FFFD.
func quote(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
