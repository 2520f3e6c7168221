package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a measured one, with its output in a file.
type process struct {
	cmd *exec.Cmd
	log *os.File
}

// begin starts a program with an environment of its own, which holds nothing
// but what it is given and what every program needs.
func begin(dir, name string, env []string, path string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), log: log}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// end asks the process to stop, and waits for it.
func (p *process) end() error {
	defer p.log.Close()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // nats-server reports the signal as a failure
	}
	if err != nil {
		return fmt.Errorf("%s: %w, see %s", filepath.Base(p.cmd.Path), err, p.log.Name())
	}
	return nil
}

// cpu is the CPU time, user and system, that the process has used so far.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

// peak is the most memory that the process had so far, resident what it has
// now, in bytes.
func (p *process) peak() (int64, error)     { return p.memory("VmHWM:") }
func (p *process) resident() (int64, error) { return p.memory("VmRSS:") }

func (p *process) memory(field string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), field); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("read memory: no %s", field)
}
