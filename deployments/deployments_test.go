// Package deployments_test keeps the files of this folder working: NATS takes
// its configuration and means what it says, and the others name only settings,
// commands, flags and paths that exist.
package deployments_test

import (
	"encoding/pem"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"restwatch/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// commands is the source of the commands.
func commands(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../cmd/restwatch/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			b.WriteString(read(t, f))
		}
	}
	return b.String()
}

var variable = regexp.MustCompile(`RESTWATCH_[A-Z0-9_]+\b`)

func TestSettingsExist(t *testing.T) {
	known := map[string]bool{}
	for _, s := range config.Settings() {
		known[s.Name] = true
	}
	source := commands(t)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() || filepath.Ext(f.Name()) == ".go" {
			continue
		}
		for _, name := range variable.FindAllString(read(t, f.Name()), -1) {
			if !known[name] && !strings.Contains(source, `"`+name+`"`) {
				t.Errorf("%s names %s, which is no setting", f.Name(), name)
			}
		}
	}
}

type compose struct {
	Services map[string]struct {
		Build struct {
			Context    string
			Dockerfile string
		}
		Command     []string
		Environment map[string]string
		DependsOn   map[string]any `yaml:"depends_on"`
		Volumes     []string
		Ports       []string
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) == 0 {
		t.Fatal("got no services")
	}
	return c
}

func TestCompose(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %q, which is no service", name, other)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				exists(t, "compose.yaml", from)
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s uses volume %q, which is not declared", name, from)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s is reachable from everywhere at %q", name, p)
			}
		}
		if s.Build.Dockerfile != "" {
			exists(t, "compose.yaml", filepath.Join(s.Build.Context, s.Build.Dockerfile))
			commandExists(t, s.Command)
		}
	}
}

func exists(t *testing.T, file, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s names %q: %v", file, path, err)
	}
}

// commandExists checks the arguments of a call of restwatch.
func commandExists(t *testing.T, args []string) {
	t.Helper()
	source := commands(t)
	if len(args) == 0 || !regexp.MustCompile(`Use:\s+"`+args[0]+`[" ]`).MatchString(source) {
		t.Errorf("got %q, want a command of restwatch", args)
		return
	}
	for _, a := range args[1:] {
		if flag, ok := strings.CutPrefix(a, "--"); ok && !strings.Contains(source, `"`+flag+`"`) {
			t.Errorf("restwatch %s has no flag %q", args[0], a)
		}
	}
}

var substitution = regexp.MustCompile(`\$\{(\w+)(?::([-?])([^}]*))?\}`)

// TestEnvFile holds what compose.yaml asks for against what is to be filled in.
func TestEnvFile(t *testing.T) {
	var wanted, given []string
	for _, m := range substitution.FindAllStringSubmatch(read(t, "compose.yaml"), -1) {
		if m[2] == "?" && !slices.Contains(wanted, m[1]) {
			wanted = append(wanted, m[1])
		}
	}
	for line := range strings.Lines(read(t, "example.env")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			given = append(given, name)
			if value != "" {
				t.Errorf("example.env gives %s a value, which would be everybody's", name)
			}
		}
	}
	slices.Sort(wanted)
	slices.Sort(given)
	if !slices.Equal(wanted, given) {
		t.Errorf("example.env has %q, compose.yaml asks for %q", given, wanted)
	}
	ignored := read(t, "../.gitignore")
	if !strings.Contains(ignored, "deployments/.env") {
		t.Error("deployments/.env, which holds secrets, is not ignored by git")
	}
}

// TestComposeSettings loads the settings that the service gets in compose.
func TestComposeSettings(t *testing.T) {
	env := imageEnvironment(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range readCompose(t).Services["restwatch"].Environment {
		env[k] = substitution.ReplaceAllStringFunc(v, func(s string) string {
			if m := substitution.FindStringSubmatch(s); m[2] == "-" {
				return m[3]
			}
			return "filled-in"
		})
	}
	if !strings.HasPrefix(env["RESTWATCH_CMS_CA_FILE"], "/ca/") {
		t.Errorf("got CA file %q, want it on the volume that the simulator writes to", env["RESTWATCH_CMS_CA_FILE"])
	}
	env["RESTWATCH_CMS_CA_FILE"] = ca
	if _, err := config.Load(lines(env)); err != nil {
		t.Error(err)
	}
}

func lines(env map[string]string) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// instructions of the Dockerfile, a line each.
func instructions(t *testing.T) [][]string {
	t.Helper()
	var list [][]string
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(line, "#") {
			list = append(list, f)
		}
	}
	return list
}

func imageEnvironment(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, f := range instructions(t) {
		if f[0] != "ENV" {
			continue
		}
		for _, pair := range f[1:] {
			k, v, ok := strings.Cut(pair, "=")
			if !ok {
				t.Errorf("ENV %q: want name=value", pair)
			}
			env[k] = v
		}
	}
	return env
}

func TestDockerfile(t *testing.T) {
	stages := map[string]bool{}
	made := read(t, "Dockerfile")
	for _, f := range instructions(t) {
		switch f[0] {
		case "FROM":
			if len(f) == 4 && f[2] == "AS" {
				stages[f[3]] = true
			}
			if version, ok := strings.CutPrefix(f[1], "golang:"); ok {
				version, _, _ = strings.Cut(version, "-")
				if !strings.Contains(read(t, "../go.mod"), "\ngo "+version) {
					t.Errorf("image is built with Go %s, go.mod wants another", version)
				}
			}
		case "COPY":
			sources := f[1 : len(f)-1]
			if stage, ok := strings.CutPrefix(sources[0], "--from="); ok {
				if !stages[stage] {
					t.Errorf("COPY from %q, which is no stage", stage)
				}
				for _, s := range sources[1:] {
					if strings.HasPrefix(s, "/out/") && strings.Count(made, s) < 2 {
						t.Errorf("COPY of %q, which nothing makes", s)
					}
				}
				continue
			}
			for _, s := range sources {
				exists(t, "Dockerfile", filepath.Join("..", s))
			}
		case "RUN":
			for _, a := range f {
				if strings.HasPrefix(a, "./") {
					exists(t, "Dockerfile", filepath.Join("..", a))
				}
			}
		case "USER":
			if f[1] == "0" || f[1] == "root" {
				t.Error("the image runs as root")
			}
		case "CMD":
			var args []string
			if err := yaml.Unmarshal([]byte(strings.Join(f[1:], " ")), &args); err != nil {
				t.Error(err)
			}
			commandExists(t, args)
		}
	}
	for _, m := range regexp.MustCompile(`-X main\.(\w+)=`).FindAllStringSubmatch(made, -1) {
		if !regexp.MustCompile(`(?m)^(var\s+|\s+)` + m[1] + `\s+=`).MatchString(commands(t)) {
			t.Errorf("the linker sets main.%s, which does not exist", m[1])
		}
	}
}
