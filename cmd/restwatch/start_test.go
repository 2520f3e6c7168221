package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restwatch/publisher/embedded"
)

// Commands that need settings name all that are wrong, at once.
func TestAllWrongSettingsAtOnce(t *testing.T) {
	t.Parallel()
	env := environOf("CMS_URL=cms.example.com", "CMS_SECRET_KEY="+secretKey, "CMS_CA_FILE=/nonexistent/ca.pem", "CMS_TIMEOUT=1h",
		"VDNS=1:9999", "SCHEDULE=sometimes", "NATS_LISTEN=nowhere", "HTTP_ADDR=8080", "LOG_LEVEL=loud", "HEARTBEET=1s")
	want := []string{"CMS_URL", "CMS_ACCESS_KEY", "CMS_CA_FILE", "CMS_TIMEOUT", "VDNS", "SCHEDULE", "NATS_LISTEN", "HTTP_ADDR", "LOG_LEVEL", "HEARTBEET"}
	for _, command := range []string{"serve", "check", "record"} {
		code, out, errOut := execute(t, t.Context(), env, "", command)
		if code != exitFailure || out != "" {
			t.Errorf("%s: exit %d, wrote %q", command, code, out)
		}
		named := map[string]int{}
		for _, l := range strings.Split(errOut, "\n") {
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "RESTWATCH_"), ":")
			named[name]++
		}
		for _, w := range want {
			if named[w] != 1 {
				t.Errorf("%s: %s is named %d times in\n%s", command, w, named[w], errOut)
			}
		}
	}
}

// takenAddress is an address at which somebody else listens.
func takenAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// What keeps serve from starting is said in one line, and serve ends.
func TestServeCannotStart(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	noFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(noFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "store")
	holder, err := embedded.Start(t.Context(), embedded.Options{Dir: locked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(holder.Shutdown)
	address := takenAddress(t)
	for name, c := range map[string]struct {
		setting string
		says    []string
	}{
		"HTTP port taken": {"HTTP_ADDR=" + address, []string{"RESTWATCH_HTTP_ADDR", address, "in use"}},
		"NATS port taken": {"NATS_LISTEN=" + address, []string{"NATS", address, "in use"}},
		"NATS down":       {"NATS_URL=nats://" + closedAddress(t), []string{"connect to NATS", "no server answers"}},
		"store in use":    {"STORE_DIR=" + locked, []string{locked, fmt.Sprint("another process (pid ", os.Getpid(), ")")}},
		"store no folder": {"STORE_DIR=" + noFolder, []string{noFolder}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c1 := spawn(t, u.settings(t, c.setting, "LOG_LEVEL=info"), "serve")
			if code := c1.exit(t); code != exitFailure {
				t.Errorf("exit %d", code)
			}
			var said []string
			for _, l := range c1.errOut.lines() {
				if strings.HasPrefix(l, "restwatch: ") {
					said = append(said, l)
				} else if l != "" && !strings.Contains(l, "level=INFO") {
					t.Errorf("an extra line: %s", l)
				}
			}
			if len(said) != 1 || !containsAll(said[0], c.says) {
				t.Errorf("said %q, want one line with %q", said, c.says)
			}
		})
	}
}
