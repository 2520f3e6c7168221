package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// bench is what all measurements share.
type bench struct {
	dir        string // for everything that is written
	restwatch  string // path of the program
	natsServer string
	peers      []*peer
	inFlight   int
	warm       time.Duration
	window     time.Duration
}

func (b *bench) flags(flags *flag.FlagSet) {
	flags.StringVar(&b.dir, "dir", "", "folder for stores and logs; a temporary one if not given")
	flags.StringVar(&b.restwatch, "restwatch", "restwatch", "the program to measure")
	flags.StringVar(&b.natsServer, "nats-server", "nats-server", "the server to measure it with")
	b.peers = newPeers()
	for _, p := range b.peers {
		flags.StringVar(&p.path, p.name, "", p.product+", to be compared as well (see bench.sh)")
	}
	flags.IntVar(&b.inFlight, "in-flight", 32, "calls at once")
	flags.DurationVar(&b.warm, "warm", 6*time.Second, "time before a window, for connections, baselines and the choice of processors")
	flags.DurationVar(&b.window, "window", 10*time.Second, "time that is measured")
}

// prepare makes the folder and returns what removes a temporary one. The paths
// are made absolute, since the processes run in that folder.
func (b *bench) prepare() (cleanup func(), err error) {
	cleanup = func() {}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "restwatch-bench-"); err != nil {
			return cleanup, err
		}
		dir := b.dir
		cleanup = func() { os.RemoveAll(dir) }
	} else if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return cleanup, err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return cleanup, err
	}
	programs := []*string{&b.restwatch, &b.natsServer}
	for _, p := range b.peers {
		programs = append(programs, &p.path)
	}
	for _, path := range programs {
		if !strings.ContainsRune(*path, filepath.Separator) {
			continue // none, or one to be found in PATH
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return cleanup, err
		}
	}
	return cleanup, nil
}

// load is what the upstream is asked for.
type load struct {
	vdns, agents int
	share        float64       // of the replies that differ from the one before
	every        time.Duration // 0: as fast as it goes
	plain        bool
}

// interval is what a program with a schedule is given. As fast as it goes is
// restwatch's shortest; what comes too soon is skipped.
func (d load) interval() time.Duration { return cmp.Or(d.every, 100*time.Millisecond) }

// window is what one run of one program gave.
type window struct {
	polls     int64
	changes   int64 // that were in the replies
	published int64 // messages about them that were stored
	cpu, nats time.Duration
	took      time.Duration
	resident  int64 // at its end
	peak      int64
	latencies []time.Duration
}

// perPoll is CPU time in milliseconds for a thousand polls.
func perPoll(cpu time.Duration, polls int64) float64 {
	return float64(cpu.Microseconds()) / float64(polls)
}

// measure watches a program that runs, and the server if it is one of its own,
// for one window.
func (b *bench) measure(ctx context.Context, u *upstream, p, server *process, l *listener) (window, error) {
	var w window
	var errs []error
	read := func() (cpu, nats time.Duration, polls, changes int64) {
		cpu, err := p.cpu()
		errs = append(errs, err)
		if server != nil {
			nats, err = server.cpu()
			errs = append(errs, err)
		}
		return cpu, nats, u.polls.Load(), u.changes.Load()
	}
	l.begin()
	begun := time.Now()
	cpu, nats, polls, changes := read()
	if err := wait(ctx, b.window); err != nil {
		return window{}, err
	}
	cpu2, nats2, polls2, changes2 := read()
	w.took = time.Since(begun)
	w.latencies = l.take()
	w.cpu, w.nats, w.polls, w.changes = cpu2-cpu, nats2-nats, polls2-polls, changes2-changes
	w.published = int64(len(w.latencies))
	var err error
	w.resident, err = p.resident()
	errs = append(errs, err)
	w.peak, err = p.peak()
	errs = append(errs, err)
	if w.polls == 0 {
		errs = append(errs, fmt.Errorf("no polls: see %s", p.log.Name()))
	}
	return w, errors.Join(errs...)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// listener is a core subscriber that notes how long each event took from the
// reply that carried its change.
type listener struct {
	mu   sync.Mutex
	on   bool
	took []time.Duration
}

func (l *listener) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.took = true, nil
}

func (l *listener) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
	return l.took
}

// listen subscribes to all events. Polls of one VDN are far enough apart that
// the change served last is the one that an event is about.
func listen(nc *nats.Conn, u *upstream) (*listener, error) {
	l := &listener{}
	_, err := nc.Subscribe("rest.v1.event.>", func(m *nats.Msg) {
		now := time.Now()
		id, err := strconv.Atoi(strings.Split(m.Subject, ".")[4])
		if err != nil || id < 1 || id >= len(u.vdns) {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.on {
			l.took = append(l.took, now.Sub(u.servedAt(id)))
		}
	})
	if err != nil {
		return nil, err
	}
	return l, nc.Flush()
}

// settings are restwatch's environment for a load.
func (b *bench) settings(u *upstream, d load, more ...string) ([]string, error) {
	env := []string{
		"RESTWATCH_CMS_URL=" + u.URL().String(),
		"RESTWATCH_CMS_ACCESS_KEY=bench", "RESTWATCH_CMS_SECRET_KEY=bench",
		fmt.Sprintf("RESTWATCH_CMS_MAX_IN_FLIGHT=%d", b.inFlight),
		fmt.Sprintf("RESTWATCH_VDNS=1:1-%d", d.vdns),
		fmt.Sprintf("RESTWATCH_SCHEDULE=@every %v", d.interval()),
		"RESTWATCH_LOG_LEVEL=warn",
	}
	if !d.plain {
		path, err := b.authority(u)
		if err != nil {
			return nil, err
		}
		env = append(env, "RESTWATCH_CMS_CA_FILE="+path)
	}
	// Passed through so that a build with a profiler in it can be told.
	if path := os.Getenv("BENCH_CPU_PROFILE"); path != "" {
		env = append(env, "BENCH_CPU_PROFILE="+path)
	}
	return append(env, more...), nil
}

// authority writes down whom the programs are to trust: all at once, as one
// may be reading it.
func (b *bench) authority(u *upstream) (string, error) {
	path := filepath.Join(b.dir, "ca.pem")
	if err := os.WriteFile(path+".new", u.CACert(), 0o644); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// freeAddress finds one that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startNATS starts a nats-server with its streams on disk, synced as its
// default is, and connects to it.
func (b *bench) startNATS(ctx context.Context, n int) (*process, *nats.Conn, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	name := fmt.Sprint("nats-", n)
	p, err := begin(b.dir, name, nil, b.natsServer, "-a", host, "-p", port, "-js", "-sd", filepath.Join(b.dir, name))
	if err != nil {
		return nil, nil, err
	}
	nc, err := connect(ctx, "nats://"+addr)
	if err != nil {
		return nil, nil, errors.Join(err, p.end())
	}
	return p, nc, nil
}

// connect waits until a server answers.
func connect(ctx context.Context, url string) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		nc, err := nats.Connect(url)
		if err == nil {
			return nc, nil
		}
		if wait(ctx, 50*time.Millisecond) != nil {
			return nil, fmt.Errorf("connect to %s: %w", url, err)
		}
	}
}
