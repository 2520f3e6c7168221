package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
)

// What sim prints is all that serve needs.
func TestSimAndServe(t *testing.T) {
	t.Parallel()
	sim := spawn(t, nil, "sim", "--addr", "127.0.0.1:0", "--vdns", "2", "--agents", "40", "--speed", "60", "--cti", "3.6", "--secret-key", secretKey)
	sim.out.line(t, "restwatch serve")
	var env []string
	for _, l := range sim.out.lines() {
		if exports, ok := strings.CutPrefix(strings.TrimSpace(l), "export "); ok {
			env = append(env, strings.Fields(exports)...)
		}
	}
	s := startService(t, append(env, environOf("SCHEDULE=@every 200ms", "STORE_DIR="+filepath.Join(t.TempDir(), "store"),
		"NATS_LISTEN=127.0.0.1:0", "HTTP_ADDR=none")...))
	s.polled(diff.VDN{CC: 1, ID: 1}, diff.VDN{CC: 1, ID: 2})
	s.bus.await(t, 0, "an event", func(m *busMessage) bool { return m.event != nil })
	s.stop()
	sim.signal(t, syscall.SIGINT)
	if code := sim.exit(t); code != exitOK {
		t.Errorf("sim: exit %d", code)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	f := runEndless(t, nil, "demo", "--vdns", "2", "--agents", "400", "--speed", "80")
	for _, want := range []string{"nats://127.0.0.1:", "Wallboard         http://127.0.0.1:", " requested ", " approved ", " started ", " ended "} {
		f.out.line(t, want)
	}
	if code := f.stop(t); code != exitOK {
		t.Errorf("exit %d: %s", code, f.errOut)
	}
	for line := range strings.Lines(f.errOut.String()) {
		// At this speed the pages of a list that takes long are not of one instant.
		if !strings.Contains(line, "category=inconsistent") {
			t.Errorf("demo complains: %s", line)
		}
	}
}

// The demo ends by itself when its time is over.
func TestDemoFor(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	c := spawn(t, nil, "demo", "--vdns", "1", "--agents", "10", "--for", "1s")
	if code := c.exit(t); code != exitOK || time.Since(begun) < time.Second {
		t.Errorf("exit %d after %v: %s", code, time.Since(begun), c.errOut)
	}
}

// Ctrl-C ends the demo as well.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	c := spawn(t, nil, "demo", "--vdns", "1", "--agents", "100", "--speed", "60")
	c.out.line(t, "Simulated CC-CMS")
	c.signal(t, syscall.SIGINT)
	if code := c.exit(t); code != exitOK || c.errOut.String() != "" {
		t.Errorf("exit %d: %s", code, c.errOut)
	}
	if left, err := filepath.Glob(filepath.Join(wordAfter(strings.Join(c.cmd.Env, "\n"), "TMPDIR="), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
