package reliability

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a child of the test. It ends with the test, whatever its state.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	ended   chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

// spawnIn is spawn in a network namespace, "" for the test's own.
func spawnIn(t *testing.T, namespace string, env []string, path string, args ...string) *process {
	t.Helper()
	if namespace == "" {
		return spawn(t, env, path, args...)
	}
	// ip becomes the program: the pid is the same.
	return spawn(t, env, "ip", append([]string{"netns", "exec", namespace, path}, args...)...)
}

// spawn starts a program with this environment and no other.
func spawn(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	in, err := p.cmd.StdinPipe() // closed when the test's process ends, however that is
	if err != nil {
		t.Fatal(err)
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		defer in.Close()
		_ = p.cmd.Wait() // the state tells how it ended
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.ended
		for _, mark := range []string{"DATA RACE", "panic:", secretKey} {
			if strings.Contains(p.log(), mark) {
				t.Errorf("%v said %q:\n%s", p.cmd.Args, mark, p.log())
			}
		}
		if t.Failed() {
			s := p.log()
			t.Logf("%v ended so:\n%s", p.cmd.Args, s[max(0, len(s)-1500):])
		}
	})
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// line returns the first line with all these parts, "" if there is none yet.
func (p *process) line(parts ...string) string {
	for l := range strings.Lines(p.log()) {
		if strings.HasSuffix(l, "\n") && !slices.ContainsFunc(parts, func(s string) bool { return !strings.Contains(l, s) }) {
			return l
		}
	}
	return ""
}

// await waits for such a line.
func (p *process) await(t *testing.T, parts ...string) (l string) {
	t.Helper()
	eventually(t, strings.Join(parts, " "), func() bool {
		l = p.line(parts...)
		if l == "" && p.gone() {
			t.Fatalf("%v has ended:\n%s", p.cmd.Args, p.log())
		}
		return l != ""
	})
	return l
}

func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// kill is kill -9.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// stop is an orderly end. It returns the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	return p.exit(t)
}

func (p *process) exit(t *testing.T) int {
	t.Helper()
	eventually(t, "the end of the process", p.gone)
	return p.cmd.ProcessState.ExitCode()
}

// fetch gets a page of a restwatch.
func (p *process) fetch(t *testing.T, page string) (status int, body string) {
	t.Helper()
	url := after(p.await(t, "msg=HTTP"), "url=") + page
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (p *process) ready(t *testing.T) bool {
	t.Helper()
	status, _ := p.fetch(t, "readyz")
	return status == http.StatusOK
}

// metric is the sum over the lines of /metrics that begin with name.
func (p *process) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	_, page := p.fetch(t, "metrics")
	for l := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(l, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' ')+1:]), 64)
		if err != nil {
			t.Fatalf("metric %q: %v", l, err)
		}
		sum += v
	}
	return sum
}

// after returns what follows a mark in a text, up to the next white space.
func after(text, mark string) string {
	_, rest, _ := strings.Cut(text, mark)
	if fields := strings.Fields(rest); len(fields) > 0 {
		return strings.Trim(fields[0], `"`)
	}
	return ""
}
