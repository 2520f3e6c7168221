package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// endless is a command that goes on until it is told to stop.
type endless struct {
	out, errOut *console
	cancel      context.CancelFunc
	code        chan int
}

func runEndless(t *testing.T, env []string, args ...string) *endless {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &endless{out: newConsole(), errOut: newConsole(), cancel: cancel, code: make(chan int, 1)}
	go func() { f.code <- run(ctx, args, stdio{env, strings.NewReader(""), f.out, f.errOut}) }()
	t.Cleanup(func() { f.stop(t) })
	return f
}

// stop is Ctrl-C; it returns the exit code.
func (f *endless) stop(t *testing.T) int {
	t.Helper()
	f.cancel()
	select {
	case code := <-f.code:
		f.code <- code
		return code
	case <-time.After(patience):
		t.Fatal("the command does not end")
	}
	return -1
}

// A service with some history, for the commands that read the bus.
func serviceWithHistory(t *testing.T) (s *service, u *upstream, now roster, history []busMessage) {
	t.Helper()
	u = startUpstream(t, byHand(vdn170, vdn171)...)
	first := firstRoster()
	u.show(vdn170, first)
	u.show(vdn171, first)
	s = startService(t, u.settings(t))
	mark := s.polled(vdn170, vdn171)
	now = nextRoster(first)
	for _, v := range []diff.VDN{vdn170, vdn171} {
		u.show(v, now)
		s.bus.await(t, mark, "the changes", isSnapshot(v, func(snap *diff.Snapshot) bool { return snap.LastSequence == 3 }))
	}
	for _, m := range s.bus.all() {
		if m.event != nil {
			history = append(history, m)
		}
	}
	return s, u, now, history
}

func TestTail(t *testing.T) {
	t.Parallel()
	s, u, l, history := serviceWithHistory(t)

	all := runEndless(t, nil, "tail", "--nats", s.nats, "--since", "1h", "--json")
	some := runEndless(t, nil, "tail", "1", "170", "--nats", s.nats, "--since", "1h", "--kind", "started,ended")
	one := runEndless(t, environOf("NATS_URL="+s.nats), "tail", "1", "171", "106", "--since", "1h")
	fresh := runEndless(t, nil, "tail", "--nats", s.nats)
	for _, m := range history {
		if got := all.out.line(t, string(m.data)); got != string(m.data) {
			t.Errorf("tail --json wrote\n%s, stored is\n%s", got, m.data)
		}
	}
	some.out.line(t, "1:170", "101", "ended", "certain", "rested for ")
	some.out.line(t, "1:170", "103", "started", "rests for 30m")
	one.out.line(t, "1:171", "106", "requested", "asks for 10m, agentBusy")

	// What comes now, everybody gets. Until it does, the last one may not
	// listen yet.
	for i := 0; !strings.Contains(fresh.out.String(), "now for"); i++ {
		l.rows = slices.Clone(l.rows)
		l.rows[0].Requested = 4000 + i
		u.show(vdn170, l)
		s.bus.await(t, s.bus.mark(), "an update", func(m *busMessage) bool { return m.event != nil })
	}
	all.out.line(t, `"kind":"updated"`)
	for name, c := range map[string]struct {
		f     *endless
		lines int
	}{"--kind": {some, 2}, "workNo": {one, 1}} {
		if code := c.f.stop(t); code != exitOK {
			t.Errorf("tail %s: exit %d", name, code)
		}
		if n := strings.Count(c.f.out.String(), "\n"); n != c.lines {
			t.Errorf("tail %s wrote %d lines, want %d:\n%s", name, n, c.lines, c.f.out)
		}
	}
	for _, f := range []*endless{all, fresh} {
		if code := f.stop(t); code != exitOK || f.errOut.String() != "" {
			t.Errorf("tail: exit %d, said %q", code, f.errOut)
		}
	}
	if strings.Contains(fresh.out.String(), "requested") {
		t.Errorf("tail without --since shows the past:\n%s", fresh.out)
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s, _, _, _ := serviceWithHistory(t)
	code, out, errOut := execute(t, t.Context(), nil, "", "snapshot", "1", "170", "--nats", s.nats)
	if code != exitOK || !containsAll(out, []string{"VDN 1:170", "1 waiting, 0 approved, 4 resting", "STATE", "agentBusy", "Agent 103"}) || strings.Contains(out, "Agent 101") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
	code, out, _ = execute(t, t.Context(), environOf("NATS_LISTEN="+strings.TrimPrefix(s.nats, "nats://")), "", "snapshot", "1", "170", "--json")
	var snap diff.Snapshot
	if err := json.Unmarshal([]byte(out), &snap); err != nil || code != exitOK || snap.LastSequence != 3 || len(snap.Agents) != 5 {
		t.Errorf("--json: exit %d, %v, %+v", code, err, snap)
	}
	code, out, errOut = execute(t, t.Context(), nil, "", "snapshot", "2", "7", "--nats", s.nats)
	if code != exitFailure || out != "" || !containsAll(errOut, []string{"VDN 2:7", "no snapshot"}) || strings.Count(errOut, "\n") != 1 {
		t.Errorf("unknown VDN: exit %d, %q %q", code, out, errOut)
	}
}

// Commands that read the bus say that it is not there, and the service's own
// audit of its stream finds nothing.
func TestReadersOfTheBus(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"tail"}, {"snapshot", "1", "170"}, {"verify"}, {"export"}, {"report"}} {
		code, out, errOut := execute(t, t.Context(), nil, "", append(args, "--nats", "nats://"+closedAddress(t))...)
		if code != exitFailure || out != "" || !strings.Contains(errOut, "no server answers") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v without a server: exit %d, %q %q", args, code, out, errOut)
		}
	}
	s, _, _, _ := serviceWithHistory(t)
	if code, out, errOut := execute(t, t.Context(), nil, "", "verify", "--nats", s.nats); code != exitOK {
		t.Errorf("verify: exit %d\n%s%s", code, out, errOut)
	}
}

// Nobody is an empty list, which a script can go through, as in the stored message.
func TestSnapshotOfNobody(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	s := startService(t, u.settings(t))
	s.polled(vdn170)
	code, out, errOut := execute(t, t.Context(), nil, "", "snapshot", "1", "170", "--json", "--nats", s.nats)
	if code != exitOK || !strings.Contains(out, `"agents": []`) {
		t.Errorf("--json: exit %d:\n%s%s", code, out, errOut)
	}
}
