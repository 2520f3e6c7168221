package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"restwatch/publisher/embedded"
)

// TestDamageIsNoticed loses stored messages in several ways between two starts.
// The server itself takes what is left for all there is.
func TestDamageIsNoticed(t *testing.T) {
	files := func(t *testing.T, dir, pattern string) []string {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "REST", pattern))
		if err != nil || len(list) == 0 {
			t.Fatalf("got files %q, %v", list, err)
		}
		return list
	}
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		damage func(t *testing.T, dir string)
		want   string // of the error; "" for none
	}{
		"nothing": {func(*testing.T, string) {}, ""},
		"block cut in half": {func(t *testing.T, dir string) {
			f := files(t, dir, "msgs/*.blk")[0]
			info, err := os.Stat(f)
			do(t, err)
			do(t, os.Truncate(f, info.Size()/2))
		}, "but there was message 39"},
		"block gone":  {func(t *testing.T, dir string) { do(t, os.Remove(files(t, dir, "msgs/*.blk")[0])) }, "but there was message 39"},
		"stream gone": {func(t *testing.T, dir string) { do(t, os.RemoveAll(files(t, dir, "")[0])) }, "is message 0, but there was message 39"},
		"mark damaged": {func(t *testing.T, dir string) {
			do(t, os.WriteFile(filepath.Join(dir, "restwatch-REST.last"), []byte("x"), 0o600))
		}, ""},
		"index damaged": {func(t *testing.T, dir string) {
			do(t, os.WriteFile(files(t, dir, "msgs/index.db")[0], []byte("garbage"), 0o600))
		}, ""},
		"mark removed, to go on": {func(t *testing.T, dir string) {
			do(t, os.RemoveAll(files(t, dir, "")[0]))
			do(t, os.Remove(filepath.Join(dir, "restwatch-REST.last")))
		}, ""},
		"all gone": {func(t *testing.T, dir string) { do(t, os.RemoveAll(dir)) }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
			do(t, err)
			nc := connect(t, "", s.InProcess())
			js, err := jetstream.New(nc)
			do(t, err)
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "REST", Subjects: []string{"rest.v1.>"}})
			do(t, err)
			for range 20 {
				for _, subject := range []string{"rest.v1.snapshot.1.170", "rest.v1.feed.1.170"} {
					_, err := js.Publish(t.Context(), subject, make([]byte, 100))
					do(t, err)
				}
			}
			nc.Close()
			s.Shutdown()
			tt.damage(t, dir)
			for range 2 { // it stays so
				s, err = embedded.Start(t.Context(), embedded.Options{Dir: dir})
				if err == nil {
					s.Shutdown()
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			}
		})
	}
}
