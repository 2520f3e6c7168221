package docs_test

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"restwatch/diff"
)

// enum is the list of values that asyncapi.yaml allows at a place, in order.
func enum(t *testing.T, doc object, pointer string) []string {
	t.Helper()
	list, ok := at(doc, pointer+"/enum").([]any)
	if !ok {
		t.Fatalf("%s has no enum", pointer)
	}
	var names []string
	for _, v := range list {
		names = append(names, v.(string))
	}
	return slices.Sorted(slices.Values(names))
}

// constants are the values of all constants of a type in a package.
func constants(t *testing.T, dir, typ string) []string {
	t.Helper()
	var list []string
	for _, f := range parse(t, dir) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typ {
				for _, v := range spec.Values {
					if s := text(v); s != "" {
						list = append(list, s)
					}
				}
			}
			return true
		})
	}
	return list
}

// listed are the strings of a variable of type []string in a package.
func listed(t *testing.T, dir, variable string) []string {
	t.Helper()
	var list []string
	for _, f := range parse(t, dir) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || spec.Names[0].Name != variable || len(spec.Values) != 1 {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.CompositeLit); ok {
				for _, e := range lit.Elts {
					list = append(list, text(e))
				}
			}
			return true
		})
	}
	return list
}

// TestEnums holds each list of values against the code.
func TestEnums(t *testing.T) {
	doc := document(t)
	const (
		schema   = "#/components/schemas/"
		event    = schema + "restEvent/properties/"
		snapshot = schema + "restSnapshot/properties/"
		agent    = snapshot + "agents/items/properties/"
		feed     = schema + "restFeed/properties/"
	)
	kinds := slices.DeleteFunc(constants(t, "../diff", "Kind"), func(k string) bool { return k == string(diff.KindNone) })
	var types []string
	for _, k := range kinds {
		types = append(types, "restwatch.rest."+k+".v1")
	}
	var states []string
	for s := diff.None; s <= diff.Resting; s++ {
		states = append(states, s.String())
	}
	reasons := []string{diff.ReasonOf(-1).Name}
	for code := 0; diff.ReasonOf(code).Name != reasons[0]; code++ {
		reasons = append(reasons, diff.ReasonOf(code).Name)
	}
	// A failed reading is never called inconsistent, and one that we cancelled
	// ourselves is not told.
	// "bus" is the poller's own: NATS did not take what the upstream answered.
	categories := slices.DeleteFunc(append(constants(t, "../poller/cms", "Category"), "bus"), func(c string) bool { return c == "inconsistent" || c == "canceled" })
	certainties := []string{diff.Certain.String(), diff.Inferred.String()}

	tests := map[string][]string{
		"#/channels/agentEvents/parameters/kind":     kinds,
		event + "kind":                               kinds,
		schema + "agentEventMessage/properties/type": types,
		event + "from":                               states,
		event + "to":                                 states,
		agent + "state":                              states[1:],
		agent + "candidates/items":                   states[1:],
		event + "certainty":                          certainties,
		agent + "certainty":                          certainties,
		event + "alternatives/items":                 listed(t, "../diff", "altNames"),
		event + "waitReason/properties/name":         reasons,
		agent + "waitReason/properties/name":         reasons,
		event + "detectedBy":                         {diff.Poll, diff.Resync},
		event + "what":                               whats(t),
		snapshot + "quality":                         {diff.Consistent, diff.Inconsistent},
		feed + "status":                              constants(t, "../diff", "Status"),
		feed + "error/properties/category":           categories,
	}
	for place, want := range tests {
		if got := enum(t, doc, place); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: got %q, want %q as in the code", place, got, want)
		}
	}
	operations := read(t, "operations.md")
	for _, name := range append(constants(t, "../diff", "Status"), categories...) {
		if !strings.Contains(operations, "\n| `"+name+"` |") {
			t.Errorf("operations.md has no row about %q", name)
		}
	}
	// The kinds that a correction is about are those that enter or leave a state,
	// and a prolongation that was none.
	about := []string{"requested", "approved", "started", "ended", "cancelled"}
	if got, want := enum(t, doc, event+"was"), append(slices.Clone(about), string(diff.KindUpdated)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("was: got %q, want %q", got, want)
	}
	if got, want := enum(t, doc, event+"now"), append(about, string(diff.KindNone)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("now: got %q, want %q", got, want)
	}
}

var (
	whatSet  = regexp.MustCompile(`\.What = "(\w+)"`)
	whatArgs = regexp.MustCompile(`c\.update\([^")]*"(\w+)"`)
)

// whats are the values that diff gives Event.What.
func whats(t *testing.T) []string {
	t.Helper()
	source := goSource(t, "../diff")
	found := map[string]bool{}
	for _, re := range []*regexp.Regexp{whatSet, whatArgs} {
		for _, m := range re.FindAllStringSubmatch(source, -1) {
			found[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
