package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"restwatch/diff"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func ptr[T any](v T) *T { return &v }

func exampleEvents() []diff.Event {
	reason := diff.ReasonOf(2)
	at := diff.Time(1_700_000_005_250)
	base := diff.Event{
		CC: 1, VDN: 170, WorkNo: 1001, AgentName: "张三 \"A\" <b>", RestID: diff.RestID{WorkNo: 1001, First: 1700000001000},
		BeginAt: begin + 1000, RequestedSeconds: 900, OccurredAfter: begin, OccurredBefore: begin + 1000,
		ObservedAt: at, PreviousObservedAt: begin, DetectedBy: diff.Poll, Revision: 7, Certainty: diff.Certain,
	}
	requested := base
	requested.Kind, requested.To, requested.Sequence = diff.KindRequested, diff.Waiting, 41
	requested.OccurredAt, requested.WaitReason = begin+1000, &reason
	started := base
	started.Kind, started.From, started.To, started.Sequence = diff.KindStarted, diff.Waiting, diff.Resting, 42
	started.Certainty, started.Alternatives = diff.Inferred, []string{"approved", "none"}
	ended := base
	ended.Kind, ended.From, ended.Sequence = diff.KindEnded, diff.Resting, 43
	ended.Certainty, ended.Alternatives = diff.Inferred, []string{}
	ended.ElapsedSeconds, ended.ElapsedSecondsMin, ended.OverdueSeconds = ptr(905), ptr(900), ptr(5)
	updated := base
	updated.Kind, updated.From, updated.To, updated.Sequence, updated.What = diff.KindUpdated, diff.Resting, diff.Resting, 44, "prolong"
	updated.BeginAt, updated.PreviousObservedAt = 0, 0
	corrected := base
	corrected.Kind, corrected.Sequence = diff.KindCorrected, 45
	corrected.Correction = &diff.Correction{Corrects: ptr("1001-1700000001000-ended-43"), Was: diff.KindEnded, Now: diff.KindNone}
	unannounced := corrected
	unannounced.Sequence = 1<<63 - 1
	unannounced.Correction = &diff.Correction{Was: diff.KindStarted, Now: diff.KindApproved}
	return []diff.Event{requested, started, ended, updated, corrected, unannounced}
}

func TestEventGolden(t *testing.T) {
	var lines []byte
	for _, e := range exampleEvents() {
		lines = append(EncodeEvent(lines, &e), '\n')
	}
	golden(t, "events.jsonl", lines)
}

func exampleSnapshot() *diff.Snapshot {
	reason := diff.ReasonOf(0)
	return &diff.Snapshot{
		CC: 1, VDN: 170, Revision: 7, LastSequence: 45, ObservedAt: begin + 5250, PreviousObservedAt: begin,
		Quality: diff.Consistent, Counts: diff.Counts{Waiting: 1, Resting: 1}, Order: diff.Order{Epoch: 3, Seq: 9},
		Agents: []diff.Agent{
			{WorkNo: 1001, AgentName: "张三", State: diff.Waiting, Certainty: diff.Inferred,
				Candidates: diff.StatesOf(diff.Waiting, diff.Approved), RestID: diff.RestID{WorkNo: 1001, First: 1}, BeginAt: begin, RequestedSeconds: 900,
				WaitReason: &reason, Memory: diff.AgentMemory{FirstSeen: begin, Event: 41, Loose: true}},
			{WorkNo: 1002, AgentName: "Li", State: diff.Resting, Certainty: diff.Certain, RestID: diff.RestID{WorkNo: 1002, First: 2}, Overdue: true},
		},
		Memory: diff.Memory{Format: diff.Format, Since: begin, SureAt: begin, Anchor: &diff.Counts{Waiting: 1, Resting: 1}},
	}
}

func TestSnapshotGolden(t *testing.T) {
	s := exampleSnapshot()
	lines := append(EncodeSnapshot(nil, s, "poll-1"), '\n')
	empty := *s
	empty.Agents, empty.Order = nil, diff.Order{}
	lines = append(EncodeSnapshot(lines, &empty, "poll-2"), '\n')
	split := *s
	split.Agents, split.Parts = nil, 2
	lines = append(EncodeSnapshot(lines, &split, "poll-3"), '\n')
	lines = append(appendSnapshot(lines, s, "poll-3", 2), '\n')
	golden(t, "snapshots.jsonl", lines)
}

func TestFeedGolden(t *testing.T) {
	f := diff.Feed{
		CC: 1, VDN: 170, Status: diff.OK, Since: begin, LastGoodPollAt: begin + 5000, Interval: 5, LastSequence: 45, Revision: 7,
		ObservedAt: begin + 5250,
	}
	lines := append(EncodeFeed(nil, &f, "host-1", 1), '\n')
	f.Status, f.Interval, f.Gap = diff.Degraded, .25, &diff.Gap{From: begin, To: begin + 1}
	f.Error = &diff.FeedError{Category: "rejected", Code: "0100001", Message: "call \"failed\"\n"}
	lines = append(EncodeFeed(lines, &f, `odd"name`, 1<<64-1), '\n')
	golden(t, "feeds.jsonl", lines)
}

// filled makes a value in which every field is set, of slices two elements.
func filled(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				filled(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		filled(v.Index(0), n)
		filled(v.Index(1), n)
	case reflect.String:
		v.SetString("text \"" + string(rune('a'+*n%26)) + "\" 张\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) + int64(begin))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Uint8: // a state, a set of states, or a certainty
		v.SetUint(uint64(*n%2) + 1)
	case reflect.Float64:
		v.SetFloat(float64(*n) / 4)
	default:
		panic(v.Kind())
	}
}

func sameJSON(t interface{ Fatalf(string, ...any) }, got []byte, v any) {
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("got\n%s\nencoding/json has\n%s", got, want)
	}
}

// TestEncodesEveryField fails when package diff gains a field that data.go
// does not write.
func TestEncodesEveryField(t *testing.T) {
	n := 0
	var e diff.Event
	filled(reflect.ValueOf(&e).Elem(), &n)
	sameJSON(t, appendEventData(nil, &e), e)
	var f diff.Feed
	filled(reflect.ValueOf(&f).Elem(), &n)
	sameJSON(t, appendFeedData(nil, &f), f)
	s := stored{Poll: "p"}
	filled(reflect.ValueOf(&s.Snapshot).Elem(), &n)
	sameJSON(t, appendSnapshotData(nil, &s.Snapshot, "p"), s)
}

func genString() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(0, 12, -1), rapid.SampledFrom([]string{"", "\x00\x1f\"\\/", "\u2028<>&", "张三"}))
}

func genTime() *rapid.Generator[diff.Time] {
	return rapid.OneOf(rapid.Just(diff.Time(0)), rapid.Custom(func(t *rapid.T) diff.Time {
		return diff.Time(rapid.Int64Range(1, 4_000_000_000_000).Draw(t, "ms"))
	}))
}

func genEvent() *rapid.Generator[diff.Event] {
	return rapid.Custom(func(t *rapid.T) diff.Event {
		state := rapid.SampledFrom([]diff.State{diff.None, diff.Waiting, diff.Approved, diff.Resting})
		e := diff.Event{
			CC: rapid.IntRange(1, 65535).Draw(t, "cc"), VDN: rapid.IntRange(1, 5000).Draw(t, "vdn"),
			WorkNo: rapid.IntRange(0, 999999).Draw(t, "workNo"), AgentName: genString().Draw(t, "name"),
			Kind:   rapid.SampledFrom([]diff.Kind{diff.KindRequested, diff.KindEnded, diff.KindCorrected}).Draw(t, "kind"),
			RestID: diff.RestID{WorkNo: rapid.IntRange(1, math.MaxInt32).Draw(t, "rest"), First: genTime().Draw(t, "first")}, From: state.Draw(t, "from"), To: state.Draw(t, "to"),
			Certainty: diff.Certain, BeginAt: genTime().Draw(t, "begin"), RequestedSeconds: rapid.Int().Draw(t, "requested"),
			OccurredAt: genTime().Draw(t, "at"), OccurredAfter: genTime().Draw(t, "after"), OccurredBefore: genTime().Draw(t, "before"),
			ObservedAt: genTime().Draw(t, "observed"), PreviousObservedAt: genTime().Draw(t, "previous"), DetectedBy: diff.Resync,
			Revision: rapid.Int64Range(1, 1<<62).Draw(t, "revision"), Sequence: rapid.Int64Range(1, 1<<63-1).Draw(t, "sequence"),
		}
		if rapid.Bool().Draw(t, "inferred") {
			e.Certainty, e.Alternatives = diff.Inferred, rapid.SliceOfN(genString(), 0, 3).Draw(t, "alternatives")
			if e.Alternatives == nil {
				e.Alternatives = []string{}
			}
		}
		if rapid.Bool().Draw(t, "reason") {
			e.WaitReason = ptr(diff.ReasonOf(rapid.IntRange(0, 9).Draw(t, "code")))
		}
		if rapid.Bool().Draw(t, "elapsed") {
			e.ElapsedSeconds, e.OverdueSeconds = ptr(rapid.Int().Draw(t, "elapsed")), ptr(0)
		}
		if e.Kind == diff.KindCorrected {
			e.Correction = &diff.Correction{Was: diff.KindEnded, Now: diff.KindNone}
			if rapid.Bool().Draw(t, "announced") {
				e.Corrects = ptr(genString().Draw(t, "corrects"))
			}
		}
		return e
	})
}

func TestEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent().Draw(t, "event")
		msg := EncodeEvent(nil, &e)
		if e.ObservedAt == 0 {
			return // an event without a time is none of ours; only its bytes count
		}
		got, err := DecodeEvent(msg)
		if err != nil {
			t.Fatalf("%v in %s", err, msg)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, e)
		}
		sameJSON(t, appendEventData(nil, &e), e)
	})
}

func TestSnapshotRoundTrip(t *testing.T) {
	want := exampleSnapshot()
	msg := EncodeSnapshot(nil, want, "the-poll")
	got, err := decodeSnapshot(msg, true)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Snapshot, *want) || got.Poll != "the-poll" {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got := pollOf(msg); got != "the-poll" {
		t.Errorf("got poll %q", got)
	}
}

func TestFeedRoundTrip(t *testing.T) {
	want := diff.Feed{CC: 1, VDN: 2, Status: diff.Down, Since: 1, Interval: 1.5, ObservedAt: begin, Error: &diff.FeedError{Category: "http", Message: "503"}}
	got, err := DecodeFeed(EncodeFeed(nil, &want, "i", 4))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	e := exampleEvents()[0]
	event := string(EncodeEvent(nil, &e))
	snapshot := string(EncodeSnapshot(nil, exampleSnapshot(), "p"))
	later := exampleSnapshot()
	later.Memory.Format++
	decodeEvent := func(b []byte) error { _, err := DecodeEvent(b); return err }
	decodeHead := func(b []byte) error { _, err := decodeSnapshot(b, true); return err }
	decodeAny := func(b []byte) error { _, err := DecodeSnapshot(b); return err }
	edit := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in %s", old, s)
		}
		return strings.Replace(s, old, new, 1)
	}
	tests := map[string]struct {
		decode func([]byte) error
		msg    string
		want   error
	}{
		"event":                {decodeEvent, event, nil},
		"unknown event field":  {decodeEvent, edit(event, `"workNo"`, `"shoe":43,"workNo"`), nil},
		"empty":                {decodeEvent, "", ErrForeign},
		"no JSON":              {decodeEvent, "hello", ErrForeign},
		"cut off":              {decodeEvent, event[:len(event)-1], ErrForeign},
		"two messages":         {decodeEvent, event + event, ErrForeign},
		"not a CloudEvent":     {decodeEvent, `{"a":1}`, ErrForeign},
		"CloudEvents 0.3":      {decodeEvent, edit(event, `"1.0"`, `"0.3"`), ErrForeign},
		"other id":             {decodeEvent, edit(event, `-41"`, `-40"`), ErrForeign},
		"other source":         {decodeEvent, edit(event, `cc/1/`, `cc/2/`), ErrForeign},
		"other agent":          {decodeEvent, edit(event, `"subject":"1001"`, `"subject":"1002"`), ErrForeign},
		"other time":           {decodeEvent, edit(event, `"time":"2023`, `"time":"2024`), ErrForeign},
		"other type":           {decodeEvent, edit(event, `rest.requested`, `rest.ended`), ErrForeign},
		"short sequence":       {decodeEvent, edit(event, `"00000000000000000041"`, `"41"`), ErrForeign},
		"negative sequence":    {decodeEvent, edit(event, `"00000000000000000041"`, `"-0000000000000000041"`), ErrForeign},
		"huge sequence":        {decodeEvent, edit(event, `"00000000000000000041"`, `"99999999999999999999"`), ErrForeign},
		"event, not snapshot":  {decodeHead, event, ErrForeign},
		"newer event":          {decodeEvent, edit(event, `rest-event:v1`, `rest-event:v2`), ErrNewer},
		"snapshot":             {decodeHead, snapshot, nil},
		"newer schema":         {decodeAny, edit(snapshot, `rest-snapshot:v1`, `rest-snapshot:v2`), ErrNewer},
		"unknown field, read":  {decodeAny, edit(snapshot, `"revision"`, `"shoe":43,"revision"`), nil},
		"unknown field, head":  {decodeHead, edit(snapshot, `"revision"`, `"shoe":43,"revision"`), ErrNewer},
		"unknown agent field":  {decodeHead, edit(snapshot, `"workNo"`, `"shoe":43,"workNo"`), ErrNewer},
		"unknown memory field": {decodeHead, edit(snapshot, `"format"`, `"shoe":43,"format"`), ErrNewer},
		"newer memory":         {decodeHead, string(EncodeSnapshot(nil, later, "p")), ErrNewer},
		"newer memory, read":   {decodeAny, string(EncodeSnapshot(nil, later, "p")), ErrNewer},
		"other revision":       {decodeHead, edit(snapshot, `snapshot-7`, `snapshot-8`), ErrForeign},
		"odd state":            {decodeHead, edit(snapshot, `"state":"resting"`, `"state":"asleep"`), ErrForeign},
		"not sorted":           {decodeHead, edit(snapshot, `"workNo":1002`, `"workNo":7`), ErrForeign},
		"revision 0":           {decodeHead, edit(edit(snapshot, `snapshot-7`, `snapshot-0`), `"revision":7`, `"revision":0`), ErrForeign},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.decode([]byte(tt.msg)); !errors.Is(err, tt.want) || err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %v, in one line", err, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range exampleEvents() {
		f.Add(EncodeEvent(nil, &e))
	}
	f.Add(EncodeSnapshot(nil, exampleSnapshot(), "p"))
	f.Add(EncodeFeed(nil, &diff.Feed{CC: 1, VDN: 1, Status: diff.OK, ObservedAt: begin}, "i", 1))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if e, err := DecodeEvent(msg); err == nil {
			if again, err := DecodeEvent(EncodeEvent(nil, &e)); err != nil || !reflect.DeepEqual(again, e) {
				t.Errorf("got %+v, %v, want %+v", again, err, e)
			}
		}
		if s, err := decodeSnapshot(msg, true); err == nil && s.Part == 0 {
			again, err := decodeSnapshot(EncodeSnapshot(nil, &s.Snapshot, s.Poll), true)
			if err != nil || again.Revision != s.Revision || len(again.Agents) != len(s.Agents) {
				t.Errorf("got %+v, %v, want %+v", again, err, s)
			}
		}
		if _, err := DecodeFeed(msg); err != nil && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Errorf("got %v, want one of ours", err)
		}
	})
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := exampleEvents()[2]
	buf := EncodeEvent(nil, &e)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = EncodeEvent(buf[:0], &e)
	}
}

func BenchmarkEncodeSnapshot200(b *testing.B) {
	r := made(diff.VDN{CC: 1, ID: 1}, &diff.Snapshot{}, 0, 200)
	buf := EncodeSnapshot(nil, &r.Snapshot, "p")
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = EncodeSnapshot(buf[:0], &r.Snapshot, "p")
	}
}

func BenchmarkDecodeSnapshot200(b *testing.B) {
	r := made(diff.VDN{CC: 1, ID: 1}, &diff.Snapshot{}, 0, 200)
	buf := EncodeSnapshot(nil, &r.Snapshot, "p")
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeSnapshot(buf, true); err != nil {
			b.Fatal(err)
		}
	}
}
