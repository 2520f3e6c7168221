package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"restwatch/diff"
	"restwatch/publisher"
)

// story is a few polls of one VDN, compared as the service does it: the
// examples of asyncapi.yaml are what comes out.
type story struct {
	t        *testing.T
	head     diff.Snapshot
	at       diff.Time
	events   []diff.Event
	baseline diff.Snapshot
}

// poll is the reply 5 s after the last one: the totals (waiting, approved,
// resting), and the list.
func (s *story) poll(counts diff.Counts, rows ...diff.Row) {
	s.t.Helper()
	s.at += 5 * second
	s.compare(counts, rows)
}

// later is the same after some more time, with polls that saw no change.
func (s *story) later(seconds int, counts diff.Counts, rows ...diff.Row) {
	s.t.Helper()
	for range seconds / 5 {
		s.poll(counts, slices.Clone(rows)...)
	}
}

func (s *story) compare(counts diff.Counts, rows []diff.Row) {
	s.t.Helper()
	r := diff.Compare(&s.head, &diff.Observation{
		VDN: diff.VDN{CC: 1, ID: 170}, At: s.at, Order: diff.Order{Epoch: 1772409600000000000, Seq: uint64(s.at-day)/1000 + 1},
		DetectedBy: diff.Poll, Counts: counts, Rows: rows,
	}, diff.Options{})
	s.head = r.Snapshot
	s.events = append(s.events, r.Events...)
}

// find returns the first event that fits.
func (s *story) find(what string, fits func(*diff.Event) bool) diff.Event {
	s.t.Helper()
	i := slices.IndexFunc(s.events, func(e diff.Event) bool { return fits(&e) })
	if i < 0 {
		s.t.Fatalf("the story has no event %q", what)
	}
	return s.events[i]
}

func row(workNo int, name string, reason int, begin diff.Time, seconds int) diff.Row {
	return diff.Row{WorkNo: workNo, Name: name, Reason: reason, Begin: begin, Requested: seconds}
}

// tell tells the story: somebody asks, waits, may rest, rests too long and
// comes back; another one prolongs; one gives up; and of two who come at the
// same moment it has to be guessed who is who.
func tell(t *testing.T) *story {
	s := &story{t: t, at: day - 5*second}
	type counts = diff.Counts
	long := row(1077, "Agent 1077", 0, day-304_517, 600)
	s.poll(counts{Resting: 1}, long)
	s.baseline = s.head

	short := func(reason int, begin diff.Time) diff.Row { return row(1042, "Agent 1042", reason, begin, 60) }
	asked, approved, began := day+3_204, day+11_870, day+19_032
	s.poll(counts{Waiting: 1, Resting: 1}, long, short(2, asked))
	s.poll(counts{Waiting: 1, Resting: 1}, long, short(2, asked))
	s.poll(counts{Approved: 1, Resting: 1}, long, short(0, approved))
	s.poll(counts{Resting: 2}, long, short(0, began))

	prolonged := row(1077, "Agent 1077", 0, day+22_640, 900)
	s.poll(counts{Resting: 2}, prolonged, short(0, began))
	s.later(60, counts{Resting: 2}, prolonged, short(0, began))
	s.poll(counts{Resting: 1}, prolonged)

	gone := row(1063, "Agent 1063", 1, s.at+2_000, 300)
	s.poll(counts{Waiting: 1, Resting: 1}, prolonged, gone)
	s.poll(counts{Resting: 1}, prolonged)

	// One of the two rests, and nothing tells which.
	two := []diff.Row{row(1051, "Agent 1051", 0, s.at+1_310, 300), row(1052, "Agent 1052", 0, s.at+2_845, 300)}
	s.poll(counts{Approved: 1, Resting: 2}, prolonged, two[0], two[1])
	guess := 0
	for i := range two {
		if a := s.agent(two[i].WorkNo); a.State == diff.Resting {
			guess = i
		}
	}
	// The one who was taken for resting begins to rest: he did not before.
	two[guess].Begin = s.at + 1_950
	s.poll(counts{Resting: 3}, prolonged, two[0], two[1])
	return s
}

func (s *story) agent(workNo int) diff.Agent {
	s.t.Helper()
	i := slices.IndexFunc(s.head.Agents, func(a diff.Agent) bool { return a.WorkNo == workNo })
	if i < 0 {
		s.t.Fatalf("agent %d is not there", workNo)
	}
	return s.head.Agents[i]
}

type example struct {
	name, summary string
	data          []byte
}

// examples by the message that they are of.
func examples(t *testing.T) map[string][]example {
	s := tell(t)
	list := map[string][]example{}
	event := func(name, summary string, fits func(*diff.Event) bool) {
		e := s.find(name, fits)
		list["agentEvent"] = append(list["agentEvent"], example{name, summary, publisher.EncodeEvent(nil, &e)})
	}
	certain := func(k diff.Kind) func(*diff.Event) bool {
		return func(e *diff.Event) bool { return e.Kind == k && e.Certainty == diff.Certain }
	}
	event("requested", "Agent 1042 asks for a minute; the VDN's quota is full.", certain(diff.KindRequested))
	event("approved", "The request was granted; the rest has not begun.", certain(diff.KindApproved))
	event("started", "The rest has begun; when, is known to the millisecond.", certain(diff.KindStarted))
	event("updated", "Begin time and length changed at once: prolonged, or a new rest.", func(e *diff.Event) bool { return e.Kind == diff.KindUpdated })
	event("overdue", "The minute is over.", certain(diff.KindOverdue))
	event("ended", "Agent 1042 is back, some time within the last five seconds.", certain(diff.KindEnded))
	event("cancelled", "Agent 1063 asked and was gone before it was granted.", certain(diff.KindCancelled))
	inferred := func(e *diff.Event) bool { return e.Kind == diff.KindStarted && e.Certainty == diff.Inferred }
	event("inferred", "Two new agents, one of whom rests: a guess which.", inferred)
	event("corrected", "The guess was wrong.", func(e *diff.Event) bool { return e.Kind == diff.KindCorrected })

	list["snapshot"] = []example{
		{"baseline", "The first poll of a VDN.", publisher.EncodeSnapshot(nil, &s.baseline, "K7xYfQ2mGdWn4Lr0BsTuV1")},
		{"snapshot", "After the events above.", publisher.EncodeSnapshot(nil, &s.head, "K7xYfQ2mGdWn4Lr0BsTuVZ")},
	}
	down := diff.Feed{
		CC: 1, VDN: 170, Status: diff.Down, Since: s.at + 20*second, LastGoodPollAt: s.at, Interval: 5,
		LastSequence: s.head.LastSequence, Revision: s.head.Revision, ObservedAt: s.at + 20*second,
		Error: &diff.FeedError{Category: "timeout", Message: "no complete reply within 5s"},
	}
	up := down
	up.Status, up.Since, up.LastGoodPollAt, up.ObservedAt, up.Error = diff.OK, s.at+65*second, s.at+65*second, s.at+65*second, nil
	up.Gap = &diff.Gap{From: s.at, To: s.at + 65*second}
	list["feed"] = []example{
		{"down", "No good poll for three intervals.", publisher.EncodeFeed(nil, &down, "host-1", 41)},
		{"recovered", "Polls succeed again; what happened in the gap follows as resync.", publisher.EncodeFeed(nil, &up, "host-1", 43)},
	}
	return list
}

// TestExamplesAreReal holds the examples of asyncapi.yaml against what the code
// gives; with -update it writes them.
func TestExamplesAreReal(t *testing.T) {
	page := read(t, "asyncapi.yaml")
	for message, list := range examples(t) {
		block := regexp.MustCompile(`(?s)( *# generated: ` + message + `\n)(.*?)( *# end\n)`)
		m := block.FindStringSubmatchIndex(page)
		if m == nil {
			t.Fatalf("asyncapi.yaml has no place for examples of %s", message)
		}
		want := layOut(t, list)
		if got := page[m[4]:m[5]]; got == want {
			continue
		}
		if !*update {
			t.Errorf("examples of %s are not what the code gives: run go test ./docs -update and read the change", message)
			continue
		}
		page = page[:m[4]] + want + page[m[5]:]
	}
	if *update {
		if err := os.WriteFile("asyncapi.yaml", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// layOut writes examples as YAML.
func layOut(t *testing.T, list []example) string {
	t.Helper()
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "        - name: %s\n          summary: %q\n          headers: {Content-Type: %s}\n          payload:\n",
			e.name, e.summary, publisher.ContentType)
		wrap(&b, e.data, "            ")
	}
	return b.String()
}

// wrap writes JSON in lines of at most 120 characters, which YAML reads too.
func wrap(b *strings.Builder, data []byte, indent string) {
	line := indent
	flush := func() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		line = indent
	}
	put := func(piece string) {
		if len(line)+len(piece) > 120 && line != indent {
			flush()
		}
		line += piece
	}
	var piece strings.Builder
	quoted, escaped := false, false
	for _, c := range data {
		piece.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && c == ':':
			piece.WriteByte(' ')
		case !quoted && c == ',':
			put(piece.String() + " ")
			piece.Reset()
		}
	}
	put(piece.String())
	flush()
}

// TestExamplesAreValid reads the examples as a subscriber's tools would.
func TestExamplesAreValid(t *testing.T) {
	doc := document(t)
	compiled := schemas(t, doc, jsonschema.Draft2020)
	seen := map[string]bool{}
	for name, m := range at(doc, "#/components/messages").(object) {
		m := m.(object)
		list, _ := m["examples"].([]any)
		for _, e := range list {
			e := e.(object)
			payload := e["payload"].(object)
			schema := strings.TrimPrefix(m["payload"].(object)["$ref"].(string), "#/components/schemas/")
			b, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled[schema].Validate(decode(t, b)); err != nil {
				t.Errorf("%s, example %s: %v", name, e["name"], err)
			}
			if kind, ok := payload["data"].(object)["kind"].(string); ok {
				seen[kind] = true
				if _, err := publisher.DecodeEvent(b); err != nil {
					t.Errorf("%s, example %s: %v", name, e["name"], err)
				}
			}
		}
	}
	for _, k := range enum(t, doc, "#/components/schemas/restEvent/properties/kind") {
		if !seen[k] {
			t.Errorf("no example of the kind %s", k)
		}
	}
}
