package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"restwatch/publisher"
)

// schemas compiles the schema of each kind of message, checking formats too.
func schemas(t *testing.T, doc object, draft *jsonschema.Draft) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(draft)
	c.AssertFormat()
	c.UseLoader(noLoader{}) // nothing is fetched from anywhere
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range []string{"agentEventMessage", "snapshotMessage", "feedMessage"} {
		s, err := c.Compile("asyncapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		compiled[name] = s
	}
	return compiled
}

type noLoader struct{}

func (noLoader) Load(url string) (any, error) { return nil, fmt.Errorf("%q is not in the file", url) }

func decode(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

var drafts = map[string]*jsonschema.Draft{"draft-07": jsonschema.Draft7, "draft 2020-12": jsonschema.Draft2020}

func TestMessagesAreAccepted(t *testing.T) {
	doc := document(t)
	for name, draft := range drafts {
		open, closed := schemas(t, doc, draft), schemas(t, sealed(doc).(object), draft)
		for what, m := range messages() {
			if err := open[m.schema].Validate(decode(t, m.data)); err != nil {
				t.Errorf("%s, %s: %v\n%s", name, what, err, m.data)
			} else if err := closed[m.schema].Validate(decode(t, m.data)); err != nil {
				t.Errorf("%s, %s: has what the page does not tell of: %v\n%s", name, what, err, m.data)
			}
		}
	}
}

// sealed is a copy in which objects have no properties but those described.
func sealed(v any) any {
	switch v := v.(type) {
	case object:
		m := object{}
		for k, e := range v {
			m[k] = sealed(e)
		}
		if _, described := v["properties"]; described && v["type"] == "object" {
			m["additionalProperties"] = false
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = sealed(e)
		}
		return list
	}
	return v
}

// TestNothingIsUntested makes sure that the messages have every property that
// is described.
func TestNothingIsUntested(t *testing.T) {
	doc := document(t)
	seen := map[string]bool{}
	var walk func(path string, schema object, v any)
	walk = func(path string, schema object, v any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = at(doc, ref).(object)
		}
		switch v := v.(type) {
		case object:
			props, _ := schema["properties"].(object)
			for k, e := range v {
				if p, ok := props[k].(object); ok {
					seen[path+"/"+k] = true
					walk(path+"/"+k, p, e)
				}
			}
		case []any:
			items, _ := schema["items"].(object)
			for _, e := range v {
				walk(path, items, e)
			}
		}
	}
	var described func(path string, schema object) []string
	described = func(path string, schema object) (list []string) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = at(doc, ref).(object)
		}
		props, _ := schema["properties"].(object)
		for k, p := range props {
			list = append(list, path+"/"+k)
			list = append(list, described(path+"/"+k, p.(object))...)
		}
		if items, ok := schema["items"].(object); ok {
			list = append(list, described(path, items)...)
		}
		return list
	}
	var all []string
	for _, name := range []string{"agentEventMessage", "snapshotMessage", "feedMessage"} {
		all = append(all, described(name, object{"$ref": "#/components/schemas/" + name})...)
	}
	for _, m := range messages() {
		walk(m.schema, object{"$ref": "#/components/schemas/" + m.schema}, decode(t, m.data))
	}
	for _, path := range slices.Sorted(slices.Values(all)) {
		if !seen[path] {
			t.Errorf("no message of the test has %s", path)
		}
	}
}

// TestBrokenMessagesAreRefused takes away and spoils each property in turn.
func TestBrokenMessagesAreRefused(t *testing.T) {
	doc := document(t)
	compiled := schemas(t, doc, jsonschema.Draft2020)
	for what, m := range messages() {
		broken := func(how string, change func(message, data object)) {
			t.Helper()
			msg := decode(t, m.data).(object)
			change(msg, msg["data"].(object))
			if compiled[m.schema].Validate(msg) == nil {
				t.Errorf("%s: %s is accepted", what, how)
			}
		}
		msg := decode(t, m.data).(object)
		for _, k := range at(doc, "#/components/schemas/"+m.schema+"/required").([]any) {
			broken("without "+k.(string), func(msg, _ object) { delete(msg, k.(string)) })
		}
		data := at(doc, "#/components/schemas/"+m.schema+"/properties/data").(object)["$ref"].(string)
		for _, k := range at(doc, data+"/required").([]any) {
			broken("data without "+k.(string), func(_, data object) { delete(data, k.(string)) })
		}
		for k := range msg {
			broken("with another type of "+k, func(msg, _ object) { msg[k] = wrong(msg[k]) })
		}
		for k := range msg["data"].(object) {
			broken("with another type of data."+k, func(_, data object) { data[k] = wrong(data[k]) })
		}
		broken("with another schema", func(msg, _ object) { msg["dataschema"] = "urn:restwatch:schema:other:v1" })
		broken("with ccId 0", func(_, data object) { data["ccId"] = json.Number("0") })
		broken("with vdn 5001", func(_, data object) { data["vdn"] = json.Number("5001") })
		broken("with a source that is none", func(msg, _ object) { msg["source"] = "restwatch" })
		broken("with a time of another form", func(msg, _ object) { msg["time"] = "2026-03-02T01:00:00Z" })
		broken("with a time that is none", func(msg, _ object) { msg["time"] = "2026-13-02T01:00:00.000Z" })
	}
}

// wrong is a value of a type that nothing which v may stand for has.
func wrong(v any) any {
	if _, ok := v.(object); ok {
		return "text"
	}
	return object{"an": "object"}
}

func TestContradictionsAreRefused(t *testing.T) {
	compiled := schemas(t, document(t), jsonschema.Draft2020)
	tests := map[string]struct {
		of     string
		change func(message, data object)
	}{
		"unknown kind":                         {"started", func(_, d object) { d["kind"] = "napping" }},
		"unknown type":                         {"started", func(m, _ object) { m["type"] = "restwatch.rest.napping.v1" }},
		"unknown state":                        {"started", func(_, d object) { d["to"] = "asleep" }},
		"unknown certainty":                    {"started", func(_, d object) { d["certainty"] = "sure" }},
		"unknown alternative":                  {"started, inferred", func(_, d object) { d["alternatives"] = []any{"asleep"} }},
		"inferred without alternatives":        {"started, inferred", func(_, d object) { delete(d, "alternatives") }},
		"certain with alternatives":            {"started", func(_, d object) { d["alternatives"] = []any{} }},
		"resting for a reason":                 {"started", func(_, d object) { d["waitReason"] = object{"code": json.Number("0"), "name": "unknown"} }},
		"waiting without a reason":             {"requested", func(_, d object) { delete(d, "waitReason") }},
		"unknown reason":                       {"requested", func(_, d object) { d["waitReason"].(object)["name"] = "tired" }},
		"started, but waiting":                 {"started", func(_, d object) { d["to"] = "waiting" }},
		"started from resting":                 {"started", func(_, d object) { d["from"] = "resting" }},
		"ended from waiting":                   {"ended", func(_, d object) { d["from"] = "waiting" }},
		"ended at a time":                      {"ended", func(_, d object) { d["occurredAt"] = "2026-03-02T01:00:00.000Z" }},
		"cancelled from resting":               {"cancelled", func(_, d object) { d["from"] = "resting" }},
		"cancelled after seconds":              {"cancelled", func(_, d object) { d["elapsedSeconds"] = json.Number("1") }},
		"overdue without seconds":              {"overdue", func(_, d object) { delete(d, "overdueSeconds") }},
		"overdue, but not resting":             {"overdue", func(_, d object) { d["to"] = "approved" }},
		"updated about nothing":                {"updated, duration", func(_, d object) { delete(d, "what") }},
		"started about something":              {"started", func(_, d object) { d["what"] = "reason" }},
		"corrected without a kind":             {"corrected", func(_, d object) { delete(d, "now") }},
		"started, but corrects":                {"started", func(_, d object) { d["corrects"] = nil }},
		"sequence without zeros":               {"started", func(m, _ object) { m["sequence"] = "7" }},
		"negative length":                      {"started", func(_, d object) { d["requestedSeconds"] = json.Number("-1") }},
		"half a second":                        {"started", func(_, d object) { d["requestedSeconds"] = json.Number("0.5") }},
		"snapshot of somebody who does naught": {"snapshot", func(_, d object) { agent(d)["state"] = "none" }},
		"certain among candidates":             {"snapshot", func(_, d object) { agent(d)["candidates"] = []any{"waiting"} }},
		"snapshot without agents":              {"snapshot", func(_, d object) { d["agents"] = nil }},
		"split snapshot with agents":           {"snapshot, split", func(_, d object) { d["agents"] = []any{} }},
		"part of parts":                        {"snapshot, part", func(_, d object) { d["parts"] = json.Number("2") }},
		"part 0":                               {"snapshot, part", func(_, d object) { d["part"] = json.Number("0") }},
		"unknown quality":                      {"snapshot", func(_, d object) { d["quality"] = "good" }},
		"unknown status":                       {"feed, ok", func(_, d object) { d["status"] = "fine" }},
		"ok with an error":                     {"feed, ok", func(_, d object) { d["error"] = object{"category": "http", "message": ""} }},
		"down with a gap":                      {"feed, down", func(_, d object) { d["gap"] = object{} }},
		"unknown category":                     {"feed, down", func(_, d object) { d["error"].(object)["category"] = "other" }},
	}
	all := messages()
	for name, tt := range tests {
		m, ok := all[tt.of]
		if !ok {
			t.Fatalf("no message %q: want one of %q", tt.of, slices.Sorted(maps.Keys(all)))
		}
		msg := decode(t, m.data).(object)
		tt.change(msg, msg["data"].(object))
		if compiled[m.schema].Validate(msg) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// agent is the first of a snapshot.
func agent(data object) object { return data["agents"].([]any)[0].(object) }

// TestMoreIsAccepted: fields may be added without a new version.
func TestMoreIsAccepted(t *testing.T) {
	compiled := schemas(t, document(t), jsonschema.Draft2020)
	for what, m := range messages() {
		msg := decode(t, m.data).(object)
		msg["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		msg["data"].(object)["added"] = object{"later": true}
		if err := compiled[m.schema].Validate(msg); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestDataSchemasStandAlone: each can be used by its id, without the page
// around it.
func TestDataSchemasStandAlone(t *testing.T) {
	doc := document(t)
	ids := map[string]string{
		"restEvent": publisher.SchemaEvent, "restSnapshot": publisher.SchemaSnapshot, "restFeed": publisher.SchemaFeed,
	}
	for name, id := range ids {
		schema := at(doc, "#/components/schemas/"+name).(object)
		if schema["$id"] != id {
			t.Errorf("%s: got $id %q, want %q, which messages name", name, schema["$id"], id)
		}
		c := jsonschema.NewCompiler()
		c.UseLoader(noLoader{})
		if err := c.AddResource(id, schema); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compile(id); err != nil {
			t.Error(err)
		}
		for what, m := range messages() {
			if msg := decode(t, m.data).(object); msg["dataschema"] == id {
				s, err := c.Compile(id)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Validate(msg["data"]); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
	}
}
