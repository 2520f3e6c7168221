package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// beRestwatch in the environment makes the test binary the program itself, so
// that a test can start, kill and interrupt a real process.
const beRestwatch = "BE_RESTWATCH"

// patience bounds every wait for something that must happen. Nothing is
// expected to take as long; what is waited for decides, not the clock.
const patience = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(beRestwatch) != "" {
		main()
	}
	flag.Parse()
	// These tests wait for polls much more than they work, so more of them go
	// side by side than there are processors.
	if !flagGiven("test.parallel") {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func flagGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// console collects what a program writes, and can be waited upon.
type console struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote chan struct{} // closed at the next write
}

func newConsole() *console { return &console{wrote: make(chan struct{})} }

func (o *console) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.wrote)
	o.wrote = make(chan struct{})
	return o.b.Write(p)
}

func (o *console) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// lines are the whole lines written so far.
func (o *console) lines() []string {
	s := o.String()
	return strings.Split(s[:strings.LastIndexByte(s, '\n')+1], "\n")
}

// line waits for a line that holds all these parts and returns it.
func (o *console) line(t *testing.T, parts ...string) string {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		o.mu.Lock()
		wrote := o.wrote
		o.mu.Unlock()
		for _, l := range o.lines() {
			if containsAll(l, parts) {
				return l
			}
		}
		select {
		case <-wrote:
		case <-late.C:
			t.Fatalf("no line with %q in:\n%s", parts, o)
		}
	}
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// wordAfter returns what follows a mark in a text, up to the next white space.
func wordAfter(text, mark string) string {
	_, rest, found := strings.Cut(text, mark)
	if fields := strings.Fields(rest); found && len(fields) > 0 {
		return strings.Trim(fields[0], `"`)
	}
	return ""
}

// eventually waits for a condition that no channel tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-late.C:
			t.Fatalf("never came: %s", what)
		}
	}
}

// execute runs one command line in this process.
func execute(t *testing.T, ctx context.Context, env []string, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(ctx, args, stdio{env, strings.NewReader(in), &o, &e})
	for _, s := range []string{o.String(), e.String()} {
		if strings.Contains(s, secretKey) {
			t.Errorf("restwatch %v tells the secret key:\n%s", args, s)
		}
		if strings.Contains(s, "goroutine ") || strings.Contains(s, "panic:") {
			t.Errorf("restwatch %v shows a stack trace:\n%s", args, s)
		}
	}
	return code, o.String(), e.String()
}

// child is restwatch as a process of its own.
type child struct {
	cmd         *exec.Cmd
	out, errOut *console
	started     time.Time
	ended       chan struct{} // closed once the process is gone
}

// spawn starts restwatch with this environment and no other. A child that is
// still there at the end of the test is killed.
func spawn(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(binary, args...), out: newConsole(), errOut: newConsole(), ended: make(chan struct{})}
	c.cmd.Env = append([]string{beRestwatch + "=1", "TMPDIR=" + t.TempDir()}, env...)
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.errOut
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		// The state tells how it ended.
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		c.signal(t, syscall.SIGKILL)
		<-c.ended
		for _, o := range []*console{c.out, c.errOut} {
			if strings.Contains(o.String(), secretKey) && !strings.Contains(o.String(), "export ") {
				t.Errorf("restwatch %v tells the secret key:\n%s", args, o)
			}
			if strings.Contains(o.String(), "DATA RACE") {
				t.Errorf("restwatch %v:\n%s", args, o)
			}
		}
	})
	return c
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
	<-c.ended
}

// exit waits for the process to end by itself and returns its exit code.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.ended:
	case <-late.C:
		t.Fatalf("%v does not end; it said:\n%s", c.cmd.Args[1:], c.errOut)
	}
	return c.cmd.ProcessState.ExitCode()
}
