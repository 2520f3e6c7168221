package docs_test

import (
	"go/ast"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// metrics are all that the code makes, with their labels, as its source says.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir():
			for _, f := range parse(t, path) {
				ast.Inspect(f, func(n ast.Node) bool {
					if call, ok := n.(*ast.CallExpr); ok {
						if name, labels := metric(call); name != "" {
							found[name] = labels
						}
					}
					return true
				})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("got metrics %q, want more: the source is not read right", slices.Sorted(maps.Keys(found)))
	}
	return found
}

// metric reads NewDesc("name", "help", []string{labels}, …) and
// NewCounterVec(CounterOpts{Name: "name"}, []string{labels}) and their like.
func metric(call *ast.CallExpr) (name string, labels []string) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(f.Sel.Name, "New") {
		return "", nil
	}
	for i, arg := range call.Args {
		if s := text(arg); i == 0 && strings.HasPrefix(s, "restwatch_") {
			name = s
		}
		lit, ok := arg.(*ast.CompositeLit)
		if !ok {
			continue
		}
		if _, list := lit.Type.(*ast.ArrayType); list {
			for _, e := range lit.Elts {
				labels = append(labels, text(e))
			}
			continue
		}
		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Name" && strings.HasPrefix(text(kv.Value), "restwatch_") {
				name = text(kv.Value)
			}
		}
	}
	return name, labels
}

var (
	series   = regexp.MustCompile(`\brestwatch_[a-z0-9_]+`)
	selector = regexp.MustCompile(`\b(restwatch_[a-z0-9_]+)\{([^}]*)\}`)
	label    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	suffix   = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// TestMetricsExist holds each metric that a page or an alert names, and the
// labels it selects by, against the code.
func TestMetricsExist(t *testing.T) {
	code := metrics(t)
	base := func(name string) string {
		if _, ok := code[name]; ok {
			return name
		}
		return suffix.ReplaceAllString(name, "")
	}
	for _, page := range append(pages(t), "../deployments/alerts.yaml") {
		content := read(t, page)
		for _, name := range series.FindAllString(content, -1) {
			if _, ok := code[base(name)]; !ok {
				t.Errorf("%s names %s, which no code makes", page, name)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(content, -1) {
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(code[base(m[1])], l[1]) {
					t.Errorf("%s selects %s by %q, it has the labels %q", page, m[1], l[1], code[base(m[1])])
				}
			}
		}
	}
}

// TestMetricsAreDocumented wants a row for each metric, with its labels.
func TestMetricsAreDocumented(t *testing.T) {
	page := read(t, "operations.md")
	for name, labels := range metrics(t) {
		row := "| `" + name + "` | " + strings.Join(labels, ", ") + " |"
		if !strings.Contains(page, strings.ReplaceAll(row, "|  |", "| |")) {
			t.Errorf("operations.md has no row %q", row)
		}
	}
}

func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "../deployments/alerts.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	exprs := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if exprs[r.Alert] != "" {
				t.Errorf("two alerts %s", r.Alert)
			}
			exprs[r.Alert] = r.Expr
			if r.Alert == "" || r.Expr == "" || r.Annotations["summary"] == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) {
				t.Errorf("alert %q: got %+v, want an expression, a severity and a summary", r.Alert, r)
			}
			if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
				t.Errorf("alert %s: unbalanced %q", r.Alert, r.Expr)
			}
		}
	}
	// The page quotes some of them.
	quoted := regexp.MustCompile(`(?m)^- alert: (\w+).*\n  expr: (.*)$`).FindAllStringSubmatch(read(t, "operations.md"), -1)
	if len(quoted) == 0 {
		t.Error("operations.md quotes no alert")
	}
	for _, m := range quoted {
		if exprs[m[1]] != m[2] {
			t.Errorf("operations.md has %s as %q, the rules have %q", m[1], m[2], exprs[m[1]])
		}
	}
}

var (
	inText = regexp.MustCompile("`restwatch ([a-z]+)\\b")
	inCode = regexp.MustCompile(`(?m)^(?:\./)?restwatch ([a-z]+)\b`)
)

// TestCommandsExist holds each command that a page names against those there
// are.
func TestCommandsExist(t *testing.T) {
	source := goSource(t, "../cmd/restwatch")
	for _, page := range pages(t) {
		content := read(t, page)
		calls := inText.FindAllStringSubmatch(content, -1)
		for _, block := range fence.FindAllString(content, -1) {
			calls = append(calls, inCode.FindAllStringSubmatch(block, -1)...)
		}
		for _, m := range calls {
			if !regexp.MustCompile(`Use:\s+"` + m[1] + `[" ]`).MatchString(source) {
				t.Errorf("%s names the command %q, which does not exist", page, m[0])
			}
		}
	}
}
