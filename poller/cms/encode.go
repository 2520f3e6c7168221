package cms

import (
	"strconv"
	"unicode/utf8"

	"restwatch/diff"
)

// AppendReply appends a reply of success, in the upstream's current form but
// without its legacy copy, that Decode reads back as these rows and counts: a
// recording of what was read, whichever way it was paged. Begin is written in
// milliseconds, an unknown time as null.
func AppendReply(dst []byte, rows []diff.Row, counts diff.Counts) []byte {
	dst = append(dst, `{"resultCode":"`+codeOK+`","resultDesc":{"allowRestNum":`...)
	dst = strconv.AppendInt(dst, int64(counts.Approved), 10)
	dst = append(dst, `,"onRestNum":`...)
	dst = strconv.AppendInt(dst, int64(counts.Resting), 10)
	dst = append(dst, `,"waitRestNum":`...)
	dst = strconv.AppendInt(dst, int64(counts.Waiting), 10)
	dst = append(dst, `,"agentsRestDetails":[`...)
	for i := range rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRow(dst, &rows[i])
	}
	return append(dst, "]}}"...)
}

func appendRow(dst []byte, r *diff.Row) []byte {
	dst = append(dst, `{"agentName":`...)
	dst = appendString(dst, r.Name)
	dst = append(dst, `,"workNo":`...)
	dst = strconv.AppendInt(dst, int64(r.WorkNo), 10)
	dst = append(dst, `,"cantRestReason":`...)
	dst = strconv.AppendInt(dst, int64(r.Reason), 10)
	dst = append(dst, `,"beginTime":`...)
	if r.Begin == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(r.Begin), 10)
	}
	dst = append(dst, `,"restDuration":`...)
	dst = strconv.AppendInt(dst, int64(r.Requested), 10)
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range clean(s, maxName) {
		if r == '"' || r == '\\' {
			dst = append(dst, '\\')
		}
		dst = utf8.AppendRune(dst, r)
	}
	return append(dst, '"')
}
