package docs_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"restwatch/publisher"
)

type object = map[string]any

// document is asyncapi.yaml as JSON has it, without the YAML parser's types.
func document(t *testing.T) object {
	t.Helper()
	var raw any
	if err := yaml.Unmarshal([]byte(read(t, "asyncapi.yaml")), &raw); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var doc object
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows a JSON pointer from the document's root; nil if it leads nowhere.
func at(doc object, pointer string) any {
	var v any = doc
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		m, ok := v.(object)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func TestReferencesResolve(t *testing.T) {
	doc := document(t)
	count := 0
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				count++
				if !strings.HasPrefix(ref, "#/") || at(doc, ref) == nil {
					t.Errorf("%s: %q leads nowhere", path, ref)
				}
			}
			for k, e := range v {
				walk(path+"/"+k, e)
			}
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		}
	}
	walk("#", doc)
	if count == 0 {
		t.Error("got no references: the file is not read right")
	}
	if got := doc["asyncapi"]; got != "3.0.0" {
		t.Errorf("got asyncapi %q, want 3.0.0", got)
	}
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// TestChannels holds addresses, parameters and operations together.
func TestChannels(t *testing.T) {
	doc := document(t)
	used := map[string]bool{}
	for name, op := range doc["operations"].(object) {
		op := op.(object)
		channel := op["channel"].(object)["$ref"].(string)
		used[channel] = true
		for _, m := range op["messages"].([]any) {
			if ref := m.(object)["$ref"].(string); !strings.HasPrefix(ref, channel+"/messages/") {
				t.Errorf("operation %s: message %q is not one of its channel", name, ref)
			}
		}
		if reply, ok := op["reply"].(object); ok {
			used[reply["channel"].(object)["$ref"].(string)] = true
		}
	}
	for name, c := range doc["channels"].(object) {
		c := c.(object)
		if !used["#/channels/"+name] {
			t.Errorf("channel %s has no operation", name)
		}
		address, ok := c["address"].(string)
		if !ok {
			continue // an inbox
		}
		var got []string
		for _, m := range placeholder.FindAllStringSubmatch(address, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if want := slices.Sorted(maps.Keys(c["parameters"].(object))); !slices.Equal(got, want) {
			t.Errorf("channel %s: the address has %q, its parameters are %q", name, got, want)
		}
	}
}

// TestSubjects holds the addresses against the stream that the service makes.
func TestSubjects(t *testing.T) {
	cfg := publisher.StreamConfig(publisher.Options{})
	if got, want := cfg.RePublish.Destination, "rest.v1.>"; got != want {
		t.Fatalf("got public subjects %q, the page says %q", got, want)
	}
	if got, want := cfg.Subjects[0], "ingest.rest.v1.>"; got != want {
		t.Errorf("got ingest subjects %q, the page says %q", got, want)
	}
	for name, c := range document(t)["channels"].(object) {
		address, ok := c.(object)["address"].(string)
		if ok && !strings.HasPrefix(address, "rest.v1.") && !strings.HasPrefix(address, "svc.rest.v1.") {
			t.Errorf("channel %s: address %q is under no prefix of ours", name, address)
		}
	}
}
