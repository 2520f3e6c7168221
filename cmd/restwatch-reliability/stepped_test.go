package reliability

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clockFile in the environment of a program made by stepped names the file that
// says by how many milliseconds its wall clock is ahead of this machine's. It is
// read anew all the time. The monotonic clock is left alone, as it is when an
// administrator or NTP sets a machine's clock.
const clockFile = "RELIABILITY_CLOCK"

// stepped makes a program whose wall clock can be set, by a toolchain whose
// time.Now is changed. That compiles all of the standard library and everything
// above it, once: the build cache has it afterwards.
func stepped(t *testing.T, as, pkg string) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(dir, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const is = "sec, nsec, mono := runtimeNow()\n"
	if n := strings.Count(string(source), "func Now() Time {\n\t"+is); n != 1 {
		t.Fatalf("this toolchain's time.Now does not begin with %q", is)
	}
	return variant(t, as, pkg, map[string]string{
		filepath.Join(dir, "time.go"): strings.Replace(string(source), is, is+"\tsec, nsec = stepped(sec, nsec)\n", 1),
		filepath.Join(dir, "stepped.go"): `package time

import (
	"sync/atomic"
	"syscall"
)

var ahead atomic.Int64 // nanoseconds

func stepped(sec int64, nsec int32) (int64, int32) {
	ns := int64(nsec) + ahead.Load()
	sec += ns / 1e9
	if ns %= 1e9; ns < 0 {
		ns, sec = ns+1e9, sec-1
	}
	return sec, int32(ns)
}

func init() {
	file, ok := syscall.Getenv("` + clockFile + `")
	if !ok {
		return
	}
	look := func() {
		fd, err := syscall.Open(file, syscall.O_RDONLY, 0)
		if err != nil {
			return
		}
		defer syscall.Close(fd)
		var b [32]byte
		n, _ := syscall.Read(fd, b[:])
		var ms, sign int64 = 0, 1
		for _, c := range b[:max(n, 0)] {
			switch {
			case c == '-':
				sign = -1
			case c >= '0' && c <= '9':
				ms = 10*ms + int64(c-'0')
			}
		}
		ahead.Store(sign * ms * 1e6)
	}
	look()
	go func() {
		for {
			Sleep(10 * Millisecond)
			look()
		}
	}()
}
`})
}

// clock is that of one process, or of several.
type clock struct{ file string }

func newClock(t *testing.T, ahead time.Duration) clock {
	t.Helper()
	c := clock{filepath.Join(t.TempDir(), "clock")}
	c.set(t, ahead)
	return c
}

// set makes it so much ahead of this machine's.
func (c clock) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	// Never half written.
	if err := os.WriteFile(c.file+".new", []byte(strconv.FormatInt(ahead.Milliseconds(), 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		t.Fatal(err)
	}
	let(50 * time.Millisecond) // it is looked at every 10 ms
}

func (c clock) env() string { return clockFile + "=" + c.file }
