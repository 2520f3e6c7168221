package reliability

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// variant builds a program of this module from other sources than the tree and
// the toolchain have: files are the contents of those replaced or added, by
// path. Nothing is written into either. As "test" it builds the test binary.
func variant(t *testing.T, as, pkg string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	for path, content := range files {
		f, err := os.CreateTemp(dir, "*-"+filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(content); err != nil {
			t.Fatal(err)
		}
		replaced[path] = f.Name()
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	list, made := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "made")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{as, "-overlay", list, "-o", made}
	if as == "test" {
		args = append(args, "-c")
	}
	if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return made
}

// folder is where the sources of a package of this module are.
func folder(t *testing.T, pkg string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out[:len(out)-1])
}
