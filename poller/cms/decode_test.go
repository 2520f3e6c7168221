package cms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	expjson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"restwatch/diff"
)

const sample = `{ "result": "0", "resultCode": "0100000", "resultDatas": { "allowRestNum": 101, "onRestNum": 1, "waitRestNum": 0, "agentsRestDetails": [ { "agentName": "z1", "workNo": 55001, "cantRestReason": 1, "beginTime": 2345, "restDuration": 22333 } ] }, "resultDesc": { "allowRestNum": 101, "onRestNum": 1, "waitRestNum": 0, "agentsRestDetails": [ { "agentName": "z1", "workNo": 55001, "cantRestReason": 1, "beginTime": 2345, "restDuration": 22333 } ] } }`

const begin = 1602830642000

func TestDecode(t *testing.T) {
	one := func(agent string) string {
		return `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[` + agent + `]}}`
	}
	z1 := diff.Row{WorkNo: 55001, Name: "z1", Reason: 1, Begin: begin, Requested: 600}
	resting := diff.Counts{Resting: 1}
	empty := []diff.Row{}
	tests := []struct {
		name, body string
		want       Reply
	}{
		{"the document's sample", sample,
			Reply{[]diff.Row{{WorkNo: 55001, Name: "z1", Reason: 1, Requested: 22333}}, diff.Counts{Approved: 101, Resting: 1}, 1}},
		{"nobody", `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":[]}}`, Reply{Rows: empty}},
		{"no list, counts zero", `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`, Reply{Rows: empty}},
		{"null list, counts zero", `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":null}}`, Reply{Rows: empty}},
		{"an empty list is for diff to doubt", `{"resultCode":"0100000","resultDesc":{"allowRestNum":1,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":[]}}`,
			Reply{Rows: empty, Counts: diff.Counts{Approved: 1}}},
		{"legacy", `{"result":"0","resultDatas":{"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[{"agentName":"z1","workNo":55001,"cantRestReason":1,"beginTime":1602830642000,"restDuration":600}]}}`,
			Reply{[]diff.Row{z1}, resting, 0}},
		{"codes as numbers", `{"result":0,"resultCode":100000,"resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`, Reply{Rows: empty}},
		{"legacy code as a number", `{"result":0,"resultDatas":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`, Reply{Rows: empty}},
		{"data before code", `{"resultDesc":{"agentsRestDetails":[],"allowRestNum":0,"onRestNum":0,"waitRestNum":0},"resultCode":"0100000"}`, Reply{Rows: empty}},
		{"resultDesc a text, data in resultDatas", `{"resultCode":"0100000","resultDesc":"ok","resultDatas":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`, Reply{Rows: empty}},
		{"copies differ: resultDesc counts, last", `{"resultCode":"0100000","resultDatas":{"allowRestNum":7,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":[{"workNo":1}]},"resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`, Reply{Rows: empty}},
		{"copies differ: resultDesc counts, first", `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0},"resultDatas":{"allowRestNum":7,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":[{"workNo":1}]}}`, Reply{Rows: empty}},
		{"other case", `{"RESULTCODE":"0100000","resultdesc":{"allowrestnum":0,"ONRESTNUM":1,"WaitRestNum":0,"agentsrestdetails":[{"agentname":"z1","workno":55001,"CANTRESTREASON":1,"begintime":1602830642000,"restduration":600}]}}`,
			Reply{[]diff.Row{z1}, resting, 0}},
		{"escaped field name", one(`{"agentN\u0061me":"z1","workNo":55001,"cantRestReason":1,"beginTime":1602830642000,"restDuration":600}`), Reply{[]diff.Row{z1}, resting, 0}},
		{"numbers as strings", `{"resultCode":"0100000","resultDesc":{"allowRestNum":"0","onRestNum":" 1 ","waitRestNum":"0","agentsRestDetails":[{"agentName":"z1","workNo":"55001","cantRestReason":"1","beginTime":"1602830642000","restDuration":"600"}]}}`,
			Reply{[]diff.Row{z1}, resting, 0}},
		{"numbers with point and exponent", one(`{"agentName":"z1","workNo":55001.0,"cantRestReason":1e0,"beginTime":1.602830642E12,"restDuration":6e2}`), Reply{[]diff.Row{z1}, resting, 0}},
		{"unknown fields", `{"x":[{"y":[1,{"z":null}]},true,false,-1.5e-3,"\ud83d\ude00"],"resultCode":"0100000","resultDesc":{"more":{},"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[{"extra":[[]],"agentName":"z1","workNo":55001,"cantRestReason":1,"beginTime":1602830642000,"restDuration":600}]}}`,
			Reply{[]diff.Row{z1}, resting, 0}},
		{"white space", "\r\n\t " + one(" {\n\"workNo\" :\t1 , \"beginTime\":1602830642000\r} ") + "\n", Reply{[]diff.Row{{WorkNo: 1, Begin: begin}}, resting, 0}},
		{"nulls", one(`{"agentName":null,"workNo":1,"cantRestReason":null,"beginTime":null,"restDuration":null}`), Reply{[]diff.Row{{WorkNo: 1}}, resting, 1}},
		{"only a workNo", one(`{"workNo":1}`), Reply{[]diff.Row{{WorkNo: 1}}, resting, 1}},
		{"a name that is a number", one(`{"workNo":1,"agentName":17}`), Reply{[]diff.Row{{WorkNo: 1, Name: "17"}}, resting, 1}},
		{"a name that is none", one(`{"workNo":1,"agentName":{"a":1}}`), Reply{[]diff.Row{{WorkNo: 1}}, resting, 1}},
		{"a new reason", one(`{"workNo":1,"cantRestReason":-7}`), Reply{[]diff.Row{{WorkNo: 1, Reason: -7}}, resting, 1}},
		{"lengths that are none", one(`{"workNo":1,"restDuration":-1},{"workNo":2,"restDuration":"x"},{"workNo":3,"restDuration":99999999999}`),
			Reply{[]diff.Row{{WorkNo: 1}, {WorkNo: 2}, {WorkNo: 3}}, resting, 3}},
		{"times that are none", one(`{"workNo":1,"beginTime":"2020-10-16 14:44:02"},{"workNo":2,"beginTime":true},{"workNo":3,"beginTime":0.5},{"workNo":4,"beginTime":[1]}`),
			Reply{[]diff.Row{{WorkNo: 1}, {WorkNo: 2}, {WorkNo: 3}, {WorkNo: 4}}, resting, 4}},
		{"a field twice: the last", one(`{"workNo":1,"workNo":55001,"agentName":"a","agentName":"z1","cantRestReason":1,"beginTime":null,"beginTime":1602830642000,"restDuration":600}`), Reply{[]diff.Row{z1}, resting, 0}},
		{"a list twice: the last", `{"resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0,"agentsRestDetails":[{"workNo":1}],"agentsRestDetails":[]}}`, Reply{Rows: empty}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.body), UnitAuto)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	ok := `"allowRestNum":0,"onRestNum":1,"waitRestNum":0`
	desc := func(s string) string { return `{"resultCode":"0100000","resultDesc":{` + s + `}}` }
	agents := func(s string) string { return desc(ok + `,"agentsRestDetails":[` + s + `]`) }
	tests := []struct {
		name, body string
		category   Category
		code, text string
	}{
		{"error text", `{"resultCode":"0100001","resultDesc":"boom"}`, Rejected, "0100001", "call failed: boom"},
		{"invalid parameter", `{"resultCode":"0100002","resultDesc":"bad vdn"}`, Config, "0100002", "invalid parameter: bad vdn"},
		{"wrong CTI", `{"resultCode":"0100003"}`, Config, "0100003", "needs CTI V3R8, found V3R6"},
		{"unknown", `{"resultCode":"0100999","resultDesc":null}`, Rejected, "0100999", "unknown error"},
		{"no permission", `{"resultCode":101003,"resultDesc":"no"}`, Config, "0101003", "no permission: no"},
		{"other code", `{"resultCode":"42","resultDesc":""}`, Rejected, "42", "no text"},
		{"error wins over data", `{"resultDesc":{"onRestNum":"x"},"resultCode":"0100001"}`, Rejected, "0100001", "call failed"},
		{"resultCode wins over result", `{"result":"0","resultCode":"0100001","resultDatas":{` + ok + `}}`, Rejected, "0100001", "call failed"},
		{"legacy error", `{"result":"-1","resultDatas":"down"}`, Rejected, "-1", "down"},
		{"control characters in a text", `{"resultCode":"7","resultDesc":"a\u001b[31m\nb"}`, Rejected, "7", "a\ufffd[31m\ufffdb"},
		{"long text", `{"resultCode":"7","resultDesc":"` + strings.Repeat("x", 1000) + `"}`, Rejected, "7", strings.Repeat("x", maxMessage)},

		{"empty", ``, Malformed, "", "no object"},
		{"null", `null`, Malformed, "", "no object"},
		{"html", `<html>`, Malformed, "", "no object"},
		{"no code", `{"resultDesc":{` + ok + `}}`, Malformed, "", "neither resultCode nor result"},
		{"null code", `{"resultCode":null}`, Malformed, "", "neither resultCode nor result"},
		{"no data", `{"resultCode":"0100000"}`, Malformed, "", "no data object"},
		{"null data", `{"resultCode":"0100000","resultDesc":null}`, Malformed, "", "no data object"},
		{"text for data", `{"resultCode":"0100000","resultDesc":"ok"}`, Malformed, "", "no data object"},
		{"list for data", `{"resultCode":"0100000","resultDesc":[]}`, Malformed, "", "no data object"},
		{"empty data", desc(``), Malformed, "", "no waitRestNum"},
		{"a count missing", desc(`"allowRestNum":0,"waitRestNum":0,"agentsRestDetails":[]`), Malformed, "", "no onRestNum"},
		{"a count null", desc(`"allowRestNum":null,"onRestNum":0,"waitRestNum":0`), Malformed, "", "no allowRestNum"},
		{"a count negative", desc(`"allowRestNum":-1,"onRestNum":0,"waitRestNum":0`), Malformed, "", "no number of agents"},
		{"a count in words", desc(`"allowRestNum":"two","onRestNum":0,"waitRestNum":0`), Malformed, "", "no number of agents"},
		{"a count too large", desc(`"allowRestNum":99999999999,"onRestNum":0,"waitRestNum":0`), Malformed, "", "no number of agents"},
		{"no list", desc(ok), Malformed, "", "no agentsRestDetails"},
		{"null list", desc(ok + `,"agentsRestDetails":null`), Malformed, "", "no agentsRestDetails"},
		{"list of another kind", desc(ok + `,"agentsRestDetails":{}`), Malformed, "", "is no list"},
		{"agent null", agents(`null`), Malformed, "", "no object"},
		{"agent without workNo", agents(`{"agentName":"a"}`), Malformed, "", "without a workNo"},
		{"workNo 0", agents(`{"workNo":0}`), Malformed, "", "without a workNo"},
		{"workNo negative", agents(`{"workNo":-5}`), Malformed, "", "without a workNo"},
		{"workNo too large", agents(`{"workNo":2147483648}`), Malformed, "", "without a workNo"},
		{"workNo in words", agents(`{"workNo":"x"}`), Malformed, "", "without a workNo"},
		{"workNo a fraction", agents(`{"workNo":1.5}`), Malformed, "", "without a workNo"},
		{"workNo null after all", agents(`{"workNo":1,"workNo":null}`), Malformed, "", "without a workNo"},
		{"reason in words", agents(`{"workNo":1,"cantRestReason":"busy"}`), Malformed, "", "cantRestReason"},
		{"trailing garbage", agents(`{"workNo":1}`) + `x`, Malformed, "", "more than one value"},
		{"two values", agents(`{"workNo":1}`) + `{}`, Malformed, "", "more than one value"},
		{"NUL at the end", agents(`{"workNo":1}`) + "\x00", Malformed, "", "more than one value"},
		{"cut off", strings.TrimSuffix(agents(`{"workNo":1}`), "}"), Malformed, "", "byte"},
		{"raw control character", agents("{\"workNo\":1,\"agentName\":\"a\nb\"}"), Malformed, "", "control character"},
		{"bad escape", agents(`{"workNo":1,"agentName":"\x"}`), Malformed, "", "bad escape"},
		{"leading zero", agents(`{"workNo":01}`), Malformed, "", "byte"},
		{"comma too many", agents(`{"workNo":1},`), Malformed, "", "byte"},
		{"deep", `{"x":` + strings.Repeat("[", 1<<20), Malformed, "", "too deep"},
		{"second copy broken", `{"resultCode":"0100000","resultDesc":{` + ok + `,"agentsRestDetails":[{"workNo":1}]},"resultDatas":{` + ok + `,"agentsRestDetails":[{"workNo":1]}`, Malformed, "", "byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.body), UnitAuto)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %+v, %v, want an Error", got, err)
			}
			if e.Category != tt.category || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
				t.Errorf("got %s, %q, %q; want %s, %q, %q", e.Category, e.Code, e.Message, tt.category, tt.code, tt.text)
			}
			if got.Rows != nil {
				t.Errorf("got rows %+v with an error", got.Rows)
			}
		})
	}
	if _, err := Decode([]byte(sample), "hours"); err == nil || CategoryOf(err) != "" {
		t.Errorf("unknown unit: got %v, want a plain error", err)
	}
}

func TestDecodeUnits(t *testing.T) {
	tests := []struct {
		value, unit string
		want        diff.Time
	}{
		{"1602830642000", UnitAuto, 1602830642000},
		{"1602830642", UnitAuto, 1602830642000},
		{"99999999999", UnitAuto, 99999999999000},
		{"100000000000", UnitAuto, 100000000000},
		{"100000000000000", UnitAuto, 100000000000000},
		{"100000000000001", UnitAuto, 0},
		{"100000000", UnitAuto, 100000000000},
		{"99999999", UnitAuto, 0},
		{"2345", UnitAuto, 0},
		{"0", UnitAuto, 0},
		{"-1602830642000", UnitAuto, 0},
		{"9223372036854775808", UnitAuto, 0},
		{"1602830642000", UnitMilliseconds, 1602830642000},
		{"1602830642", UnitMilliseconds, 0},
		{"1602830642", UnitSeconds, 1602830642000},
		{"1602830642000", UnitSeconds, 0},
	}
	for _, tt := range tests {
		body := `{"result":"0","resultDatas":{"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[{"workNo":1,"beginTime":` + tt.value + `}]}}`
		got, err := Decode([]byte(body), tt.unit)
		if err != nil {
			t.Errorf("%s %s: %v", tt.value, tt.unit, err)
			continue
		}
		unknown := 0
		if tt.want == 0 {
			unknown = 1
		}
		if got.Rows[0].Begin != tt.want || got.UnknownTimes != unknown {
			t.Errorf("%s %s: got %d, %d unknown; want %d", tt.value, tt.unit, got.Rows[0].Begin, got.UnknownTimes, tt.want)
		}
	}
}

func TestDecodeNames(t *testing.T) {
	tests := []struct{ text, want string }{
		{`座席一号`, "座席一号"},
		{`\u5ea7\u5e2d`, "座席"},
		{`\ud83d\ude00`, "😀"},
		{`\ud83dx`, "\ufffdx"},
		{`\ud83d\ud83d\ude00`, "\ufffd😀"},
		{`\ude00`, "\ufffd"},
		{"a\xffb", "a\ufffdb"},
		{`\"\\\/\b\f\n\r\t`, "\"\\/\ufffd\ufffd\ufffd\ufffd\ufffd"},
		{`a\u001b[2Jb`, "a\ufffd[2Jb"},
		{"a\u009bb\u2028\u202e", "a\ufffdb\ufffd\ufffd"},
		{"kept \ufffd as sent", "kept \ufffd as sent"},
		{strings.Repeat("x", 300), strings.Repeat("x", 256)},
		{"x" + strings.Repeat("座", 100), "x" + strings.Repeat("座", 85)},
		{"\x01"[:0] + strings.Repeat(`\u0001`, 100), strings.Repeat("\ufffd", 85)},
		{``, ""},
	}
	var known names
	known.fit(1)
	for _, tt := range tests {
		body := `{"result":"0","resultDatas":{"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[{"workNo":1,"agentName":"` + tt.text + `"}]}}`
		got, err := Decode([]byte(body), UnitAuto)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if name := got.Rows[0].Name; name != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, name, tt.want)
		}
		for range 2 { // with a table, the first time and the second
			if name := known.of(1, []byte(tt.text), strings.Contains(tt.text, `\`)); name != tt.want {
				t.Errorf("%q by the table: got %q, want %q", tt.text, name, tt.want)
			}
		}
	}
}

// A list read before costs one allocation, that of its rows.
func TestDecodeAllocations(t *testing.T) {
	body := bigReply(200, true)
	var known names
	d := func() {
		d := decoder{scanner: scanner{b: body}, from: minSeconds, to: maxMilliseconds, names: &known}
		if err := d.decode(); err != nil || len(d.rows) != 200 {
			t.Fatal(err, len(d.rows))
		}
	}
	d()
	if n := testing.AllocsPerRun(100, d); n > 8 {
		t.Errorf("got %v allocations for 200 agents, want next to none", n)
	}
}

func TestAppendReply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.Custom(func(t *rapid.T) diff.Row {
			return diff.Row{
				WorkNo:    rapid.IntRange(1, math.MaxInt32).Draw(t, "workNo"),
				Name:      clean(rapid.String().Draw(t, "name"), maxName),
				Reason:    rapid.IntRange(-1, 9).Draw(t, "reason"),
				Begin:     diff.Time(rapid.SampledFrom([]int64{0, minMilliseconds, begin, maxMilliseconds}).Draw(t, "begin")),
				Requested: rapid.IntRange(0, 86399).Draw(t, "requested"),
			}
		})
		want := Reply{Rows: rapid.SliceOfN(row, 0, 20).Draw(t, "rows")}
		want.Counts = diff.Counts{Waiting: rapid.IntRange(0, 9).Draw(t, "w"), Approved: rapid.IntRange(0, 9).Draw(t, "a"), Resting: rapid.IntRange(0, 9).Draw(t, "r")}
		want.UnknownTimes = unknownTimes(want.Rows)
		body := AppendReply(nil, want.Rows, want.Counts)
		got, err := Decode(body, UnitAuto)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v from %s", got, err, want, body)
		}
	})
}

// reference decodes with encoding/json, slowly and by the letter of the rules.
func reference(body []byte) (Reply, bool) {
	if !json.Valid(body) {
		return Reply{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var top map[string]any
	if dec.Decode(&top) != nil || top == nil {
		return Reply{}, false
	}
	lower := func(m map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range m {
			out[asciiLower(k)] = v
		}
		return out
	}
	integer := func(v any) (int64, bool) {
		s, ok := v.(json.Number)
		if text, isText := v.(string); isText {
			s, ok = json.Number(strings.Trim(text, " \t\r\n")), true
			ok = json.Valid([]byte(s)) && s != "null" && s != "true" && s != "false" && !strings.ContainsAny(string(s), `"[{`)
		}
		if !ok {
			return 0, false
		}
		if n, err := s.Int64(); err == nil {
			return n, true
		}
		f, err := s.Float64()
		return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	}
	top = lower(top)
	text := func(v any) string {
		switch v := v.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		}
		return ""
	}
	code, result := padCode(text(top["resultcode"])), text(top["result"])
	if code != codeOK && (code != "" || result != "0") {
		return Reply{}, false
	}
	data, ok := top["resultdesc"].(map[string]any)
	if !ok {
		if data, ok = top["resultdatas"].(map[string]any); !ok {
			return Reply{}, false
		}
	}
	data = lower(data)
	var out Reply
	for name, to := range map[string]*int{"waitrestnum": &out.Counts.Waiting, "allowrestnum": &out.Counts.Approved, "onrestnum": &out.Counts.Resting} {
		n, ok := integer(data[name])
		if !ok || n < 0 || n > math.MaxInt32 {
			return Reply{}, false
		}
		*to = int(n)
	}
	out.Rows = []diff.Row{}
	list, ok := data["agentsrestdetails"].([]any)
	if !ok && (data["agentsrestdetails"] != nil || out.Counts.Sum() > 0) {
		return Reply{}, false
	}
	for _, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return Reply{}, false
		}
		m = lower(m)
		n, ok := integer(m["workno"])
		if !ok || n < 1 || n > math.MaxInt32 {
			return Reply{}, false
		}
		row := diff.Row{WorkNo: int(n), Name: clean(text(m["agentname"]), maxName)}
		reason, ok := integer(m["cantrestreason"])
		empty, isText := m["cantrestreason"].(string)
		if !ok && m["cantrestreason"] != nil && (!isText || strings.Trim(empty, " \t\r\n") != "") || reason < math.MinInt32 || reason > math.MaxInt32 {
			return Reply{}, false
		}
		row.Reason = int(reason)
		if n, ok := integer(m["begintime"]); ok && n >= minSeconds && n <= maxMilliseconds {
			if n < minMilliseconds {
				n *= 1000
			}
			row.Begin = diff.Time(n)
		}
		if n, ok := integer(m["restduration"]); ok && n > 0 && n <= math.MaxInt32 {
			row.Requested = int(n)
		}
		out.Rows = append(out.Rows, row)
	}
	out.UnknownTimes = unknownTimes(out.Rows)
	return out, true
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// Decode never panics, gives the same twice, never accepts what is no JSON,
// returns only safe names, and agrees with a plain decoder on encoding/json
// (which takes of a field given twice the last, whatever its spelling, only if
// it is spelt the same: so that is left out).
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	cases, err := os.ReadFile("testdata/replies.json")
	if err != nil {
		f.Fatal(err)
	}
	var replies []json.RawMessage
	if err := json.Unmarshal(cases, &replies); err != nil {
		f.Fatal(err)
	}
	for _, r := range replies {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := slices.Clone(body)
		got, err := Decode(body, UnitAuto)
		again, err2 := Decode(body, UnitAuto)
		if !reflect.DeepEqual(got, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("decoding twice differs: %+v, %v; %+v, %v", got, err, again, err2)
		}
		if !bytes.Equal(body, before) {
			t.Fatal("body was changed")
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" || !isClean(e.Error()) {
				t.Fatalf("got %#v, want an Error with a clean message", err)
			}
		}
		if err == nil {
			if !json.Valid(body) {
				t.Fatalf("decoded what is no JSON: %+v", got)
			}
			for _, r := range got.Rows {
				if !utf8.ValidString(r.Name) || !isClean(r.Name) || len(r.Name) > maxName || r.WorkNo < 1 {
					t.Fatalf("unsafe row %+v", r)
				}
			}
		}
		if repeats(body) {
			return
		}
		if want, ok := reference(body); ok != (err == nil) || ok && !sameReply(got, want) {
			t.Fatalf("got %+v, %v; encoding/json gives %+v, %v", got, err, want, ok)
		}
	})
}

// sameReply compares but for names with invalid UTF-8, of which encoding/json
// makes as many replacement characters as it likes.
func sameReply(a, b Reply) bool {
	if len(a.Rows) != len(b.Rows) || a.Counts != b.Counts {
		return false
	}
	for i, r := range a.Rows {
		if strings.ContainsRune(r.Name, utf8.RuneError) {
			r.Name = b.Rows[i].Name
		}
		if r != b.Rows[i] {
			return false
		}
	}
	return true
}

// repeats says whether an object names a field twice, in whatever case, or
// nests beyond the decoder's limit.
func repeats(body []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	seen := []map[string]bool{nil}
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return false
		}
		switch tok.Kind() {
		case '{', '[':
			seen = append(seen, map[string]bool{})
			if dec.StackDepth() > maxDepth {
				return true
			}
			continue
		case '}', ']':
			seen = seen[:len(seen)-1]
			continue
		}
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 {
			name := asciiLower(tok.String())
			if seen[len(seen)-1][name] {
				return true
			}
			seen[len(seen)-1][name] = true
		}
	}
}

var seeds = []string{
	sample,
	`{"result":"0","resultDatas":{"allowRestNum":0,"onRestNum":0,"waitRestNum":0}}`,
	`{"resultCode":"0100002","resultDesc":"no"}`,
	`{"resultCode":100000,"resultDesc":{"allowRestNum":"1","onRestNum":1e0,"waitRestNum":0,"agentsRestDetails":[{"workNo":"7","agentName":"\u5ea7\ud83d","beginTime":1.6e12,"restDuration":null,"x":[{}]}]}}`,
	`{"timestamp":1532142010247,"status":403,"error":"Forbidden","message":"...","path":"..."}`,
	`{"resultdesc":{"ALLOWRESTNUM":0,"onRestNum":2,"waitRestNum":0,"agentsRestDetails":[{"workno":101,"agentName":"\"","cantRestReason":0},{"workNo":102}]},"RESULTCODE":"0100000"}`,
	`[]`, `{`, `{"result":0}`, "{\"result\":\"0\",\"resultDatas\":{\"waitRestNum\":0,\"allowRestNum\":0,\"onRestNum\":1,\"agentsRestDetails\":[{\"workNo\":1,\"agentName\":\"\xff\xe5\x9d\"}]}}",
}

// bigReply is a reply of n agents as the platform writes it, in one copy or two.
func bigReply(n int, twice bool) []byte {
	rows := make([]diff.Row, n)
	for i := range rows {
		rows[i] = diff.Row{WorkNo: 55001 + i, Name: "座席" + strconv.Itoa(1000+i), Begin: diff.Time(begin + 977*i), Requested: 600}
	}
	body := AppendReply(nil, rows, diff.Counts{Resting: n})
	if twice {
		data := body[bytes.Index(body, []byte(`"resultDesc":`))+len(`"resultDesc":`) : len(body)-1]
		body = fmt.Appendf(nil, `{"result":"0","resultCode":"0100000","resultDatas":%s,"resultDesc":%s}`, data, data)
	}
	return body
}

type wireData struct {
	Allow   int `json:"allowRestNum"`
	On      int `json:"onRestNum"`
	Wait    int `json:"waitRestNum"`
	Details []struct {
		AgentName      string `json:"agentName"`
		WorkNo         int    `json:"workNo"`
		CantRestReason int    `json:"cantRestReason"`
		BeginTime      int64  `json:"beginTime"`
		RestDuration   int    `json:"restDuration"`
	} `json:"agentsRestDetails"`
}

type wireReply struct {
	ResultCode string   `json:"resultCode"`
	ResultDesc wireData `json:"resultDesc"`
}

// BenchmarkDecode compares with the general decoders, which here decode one
// copy into fitting types, with none of the allowances that Decode makes.
func BenchmarkDecode(b *testing.B) {
	for _, m := range []int{10, 200} {
		body := bigReply(m, true)
		run := func(name string, decode func() int) {
			b.Run(fmt.Sprintf("M=%d/%s", m, name), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if n := decode(); n != m {
						b.Fatalf("got %d rows, want %d", n, m)
					}
				}
			})
		}
		var known names
		run("ours", func() int {
			d := decoder{scanner: scanner{b: body}, from: minSeconds, to: maxMilliseconds, names: &known}
			_ = d.decode()
			return len(d.rows)
		})
		run("ours-no-names", func() int {
			r, _ := Decode(body, UnitAuto)
			return len(r.Rows)
		})
		unequal := bytes.Replace(body, []byte(`"restDuration":600}]}}`), []byte(`"restDuration":601}]}}`), 1)
		run("ours-copies-differ", func() int {
			d := decoder{scanner: scanner{b: unequal}, from: minSeconds, to: maxMilliseconds, names: &known}
			_ = d.decode()
			return len(d.rows)
		})
		run("encoding-json", func() int {
			var r wireReply
			_ = json.Unmarshal(body, &r)
			return len(r.ResultDesc.Details)
		})
		run("json-experiment", func() int {
			var r wireReply
			_ = expjson.Unmarshal(body, &r)
			return len(r.ResultDesc.Details)
		})
		run("jsontext-tokens-only", func() int {
			dec := jsontext.NewDecoder(bytes.NewReader(body))
			rows := 0
			for {
				tok, err := dec.ReadToken()
				if err != nil {
					return rows / 2
				}
				if tok.Kind() == '{' && dec.StackDepth() == 4 {
					rows++
				}
			}
		})
	}
}
