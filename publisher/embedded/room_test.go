package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreLimit(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "jetstream", "streams")
	if err := os.MkdirAll(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{dir: 1 << 20, nested: 2 << 20} {
		if err := os.WriteFile(filepath.Join(name, "file"), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	room := func(n int64, err error) func(string) (int64, error) {
		return func(string) (int64, error) { return n, err }
	}
	// Less than a quarter of the disk is free: what is stored must not count
	// against the store.
	if got, err := storeLimit(dir, room(leastRoom, nil)); err != nil || got != 3<<20+leastRoom/4*3 {
		t.Errorf("got %d, %v, want %d", got, err, 3<<20+leastRoom/4*3)
	}
	if _, err := storeLimit(dir, room(leastRoom-1, nil)); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v, want that there is no room", err)
	}
	wrong := errors.New("no such disk")
	if _, err := storeLimit(dir, room(0, wrong)); !errors.Is(err, wrong) {
		t.Errorf("got %v, want %v", err, wrong)
	}
	if n, err := free(dir); err != nil || n <= 0 {
		t.Errorf("got %d bytes free, %v", n, err)
	}
}
