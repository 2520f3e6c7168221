// Package docs_test keeps the documentation true: what it says of messages,
// settings, metrics and files is compared with the code.
package docs_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"restwatch/config"
)

var update = flag.Bool("update", false, "write the examples of asyncapi.yaml anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pages are the Markdown files that people read.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"../README.md", "../CHANGELOG.md"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
)

func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		text := fence.ReplaceAllString(read(t, page), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %q, which does not exist", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %q, which has no such heading", page, m[1])
			}
		}
	}
}

// anchors are the names by which a page's headings can be linked to.
func anchors(page string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(m[1])) {
			switch {
			case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r > 0x7f:
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		list = append(list, b.String())
	}
	return list
}

var variable = regexp.MustCompile(`RESTWATCH_[A-Z0-9_]+\b`)

// TestSettingsExist holds every variable that a page names against the
// settings.
func TestSettingsExist(t *testing.T) {
	known := map[string]bool{}
	for _, s := range config.Settings() {
		known[s.Name] = true
	}
	for _, page := range append(pages(t), "asyncapi.yaml") {
		for _, name := range variable.FindAllString(read(t, page), -1) {
			if !known[name] && !inCommands(t, name) {
				t.Errorf("%s names %s, which is no setting", page, name)
			}
		}
	}
}

// inCommands reports whether a command reads the variable by itself.
func inCommands(t *testing.T, name string) bool {
	return strings.Contains(goSource(t, "../cmd/restwatch"), strconv.Quote(name))
}

func TestChangelog(t *testing.T) {
	text := read(t, "../CHANGELOG.md")
	entry := regexp.MustCompile(`^\* \[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX|SECURITY)\] \S`)
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "*") && !entry.MatchString(line) {
			t.Errorf("line %d: got %q, want an entry such as \"* [FEATURE] …\"", i+1, line)
		}
	}
	if !strings.Contains(text, "\n## ") {
		t.Error("got no section, want one for each release or for what is unreleased")
	}
}

// TestDependencies holds the page about them against go.mod.
func TestDependencies(t *testing.T) {
	text := read(t, "dependencies.md")
	mod := read(t, "../go.mod")
	_, direct, _ := strings.Cut(mod, "require (")
	direct, _, _ = strings.Cut(direct, ")")
	wanted := map[string]string{}
	for line := range strings.Lines(direct) {
		if f := strings.Fields(line); len(f) == 2 {
			wanted[f[0]] = f[1]
		}
	}
	if len(wanted) < 10 {
		t.Fatalf("got %d direct dependencies of go.mod, want more: it is not read right", len(wanted))
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\|")
	told := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		told[m[1]] = m[2]
	}
	for path, version := range wanted {
		if told[path] != version {
			t.Errorf("%s: got version %q, want %q as in go.mod", path, told[path], version)
		}
	}
	for path, version := range told {
		if wanted[path] == "" && !strings.Contains(mod, path+" "+version) {
			t.Errorf("%s %s: is not in go.mod", path, version)
		}
	}
}

// parse reads the package in dir, without its tests.
func parse(t *testing.T, dir string) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// goSource is the text of the package in dir, without its tests.
func goSource(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			b.WriteString(read(t, f))
		}
	}
	return b.String()
}

// text is the value of a string literal, "" of anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
