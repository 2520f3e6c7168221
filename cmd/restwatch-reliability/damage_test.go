package reliability

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// TestDamagedStore damages the embedded server's files between two starts. That
// must keep the service from starting, until somebody has looked, as it would
// else give numbers out again. Where messages are not lost, only what the server
// knows of them, it then goes on as if nothing had been.
func TestDamagedStore(t *testing.T) {
	begin(t)
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, pattern string
		damage        func(t *testing.T, file string)
		lost          bool
	}{
		{"block cut to a quarter", "msgs/*.blk", func(t *testing.T, f string) {
			info, err := os.Stat(f)
			must(t, err)
			must(t, os.Truncate(f, info.Size()/4))
		}, true},
		{"100 bytes of a block flipped", "msgs/*.blk", func(t *testing.T, f string) {
			b, err := os.ReadFile(f)
			must(t, err)
			for i := len(b) / 4; i < len(b)/4+100; i++ {
				b[i] ^= 0x55
			}
			must(t, os.WriteFile(f, b, 0o600))
		}, true},
		{"block gone", "msgs/*.blk", func(t *testing.T, f string) { must(t, os.Remove(f)) }, true},
		{"stream gone", "", func(t *testing.T, f string) { must(t, os.RemoveAll(f)) }, true},
		{"stream's settings gone", "meta.inf", func(t *testing.T, f string) { must(t, os.Remove(f)) }, false},
		{"stream's settings damaged", "meta.inf", func(t *testing.T, f string) { must(t, os.WriteFile(f, []byte("x"), 0o600)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			s := open(t, 3, 100*time.Millisecond, "", 0)
			var dir string
			for _, e := range s.env {
				if d, ok := strings.CutPrefix(e, "RESTWATCH_STORE_DIR="); ok {
					dir = d
				}
			}
			p := s.serve(t)
			s.everywhere(t, diff.OK)
			let(6 * time.Second)
			p.kill(t)
			files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "REST", c.pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("no files: %v", err)
			}
			c.damage(t, files[0])
			p = s.serve(t)
			if code := p.exit(t); code != 1 {
				t.Errorf("exit %d", code)
			}
			said := p.line("restwatch: ", "newest snapshot", dir)
			if said == "" {
				t.Errorf("it said:\n%s", p.log())
			}
			result(t, "damaged store: %s | 1 | does not start: %s", c.name, strings.TrimSpace(said))
			if c.lost {
				return
			}
			must(t, os.Remove(filepath.Join(dir, "restwatch-REST.last")))
			p = s.serve(t)
			p.await(t, "feed ok")
			result(t, "damaged store: %s | 1 | goes on when told to | %v", c.name, s.check(t))
		})
	}
}
