package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
	"restwatch/publisher/embedded"
)

func TestHelpOfEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	code, page, _ := execute(t, t.Context(), nil, "", "--help")
	if code != exitOK {
		t.Errorf("--help: exit %d", code)
	}
	commands := 0
	for _, c := range newRoot(stdio{}).Commands() {
		if c.Hidden || c.Name() == "completion" || c.Name() == "help" {
			continue
		}
		commands++
		if !strings.Contains(page, c.Name()) {
			t.Errorf("--help does not list %s", c.Name())
		}
		code, out, errOut := execute(t, t.Context(), nil, "", c.Name(), "--help")
		_, example, found := strings.Cut(out, "Examples:")
		if code != exitOK || !found || !strings.Contains(example, "restwatch "+c.Name()) || errOut != "" {
			t.Errorf("%s --help: exit %d, example %t, stderr %q", c.Name(), code, found, errOut)
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands", commands)
	}
}

// A command line that is not understood exits 2 with one line that says why.
func TestBadUsage(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{"nonsense"},
		{"--nonsense"},
		{"serve", "now"},
		{"serve", "--nonsense"},
		{"check", "it"},
		{"version", "2"},
		{"snapshot"},
		{"snapshot", "1"},
		{"snapshot", "1", "170", "2"},
		{"snapshot", "one", "170"},
		{"snapshot", "1", "5001"},
		{"tail", "0"},
		{"tail", "65536"},
		{"tail", "1", "x"},
		{"tail", "1", "170", "-1"},
		{"tail", "1", "170", "101", "102"},
		{"tail", "--kind", "begun"},
		{"tail", "--since", "yesterday"},
		{"tail", "--since", "-1h"},
		{"diff", "polls.jsonl"},
		{"diff", "--begin-time", "hours"},
		{"demo", "--vdns", "0"},
		{"demo", "--for", "-1s"},
		{"demo", "--speed", "0.x"},
		{"demo", "--agents", "-1"},
		{"sim", "--cti", "4.0"},
		{"sim", "--faults", "flood"},
		{"sim", "--faults", "hang=2"},
		{"record", "--for", "-1s"},
	} {
		code, out, errOut := execute(t, t.Context(), nil, "", line...)
		if code != exitUsage || out != "" {
			t.Errorf("%q: exit %d, wrote %q", line, code, out)
		}
		if !strings.HasPrefix(errOut, "restwatch: ") || strings.Count(errOut, "\n") != 1 || !strings.HasSuffix(errOut, "\n") {
			t.Errorf("%q: said %q, want one line", line, errOut)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, t.Context(), nil, "", "version")
	if code != exitOK || !containsAll(out, []string{"restwatch " + version, "commit ", " go1."}) || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d, %q", code, out)
	}
}

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

// closedAddress is an address at which nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// What keeps serve from starting is said in one line, and serve ends.
func TestServeCannotStart(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no certificate\n"), 0o600); err != nil {
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
		"CA without certificate": {"CMS_CA_FILE=" + notPEM, []string{"RESTWATCH_CMS_CA_FILE", notPEM}},
		"HTTP port taken":        {"HTTP_ADDR=" + address, []string{"RESTWATCH_HTTP_ADDR", address, "in use"}},
		"NATS port taken":        {"NATS_LISTEN=" + address, []string{"NATS", address, "in use"}},
		"NATS down":              {"NATS_URL=nats://" + closedAddress(t), []string{"connect to NATS", "no server answers"}},
		"store in use":           {"STORE_DIR=" + locked, []string{locked, fmt.Sprint("another process (pid ", os.Getpid(), ")")}},
		"store no folder":        {"STORE_DIR=" + notPEM, []string{notPEM}},
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

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		faults   string
		code     int
		says     []string
		calls    int64 // at most
	}{
		"all well":       {code: exitOK, says: []string{"settings", "NATS", "not running; serve starts it", "VDN 1:170", "VDN 1:171", "4 resting"}, calls: 2},
		"wrong key":      {settings: []string{"CMS_SECRET_KEY=" + secretKey + "-wrong"}, code: exitFailure, says: []string{"refused", "-> check RESTWATCH_CMS_ACCESS_KEY", "no further call"}, calls: 1},
		"wrong account":  {settings: []string{"CMS_ACCESS_KEY=nobody"}, code: exitFailure, says: []string{"refused", "-> check RESTWATCH_CMS_ACCESS_KEY"}, calls: 1},
		"clock":          {faults: "skew=1h", code: exitFailure, says: []string{"refused", "clock"}, calls: 1},
		"locked":         {faults: "locked", code: exitFailure, says: []string{"locked", "-> wait"}, calls: 1},
		"no CA":          {settings: []string{"CMS_CA_FILE="}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_CA_FILE"}},
		"wrong name":     {settings: []string{"CMS_SERVER_NAME=cms.example.com"}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_SERVER_NAME"}},
		"wrong port":     {settings: []string{"CMS_URL=https://" + closedAddress(t)}, code: exitFailure, says: []string{"network", "RESTWATCH_CMS_URL"}},
		"wrong path":     {settings: []string{"path"}, code: exitFailure, says: []string{"404", "path of RESTWATCH_CMS_URL"}},
		"no TLS":         {settings: []string{"plain"}, code: exitFailure, says: []string{"RESTWATCH_CMS_URL"}},
		"unknown VDN":    {settings: []string{"VDNS=1:170,1:9"}, code: exitFailure, says: []string{"VDN 1:170", "VDN 1:9", "0101003", "-> check the VDN in RESTWATCH_VDNS", "1 problem"}, calls: 2},
		"something else": {faults: "html", code: exitFailure, says: []string{"malformed", "something else than CC-CMS"}},
		"unavailable":    {faults: "status=503", code: exitFailure, says: []string{"503"}},
		"silent":         {faults: "hang", settings: []string{"CMS_TIMEOUT=200ms"}, code: exitFailure, says: []string{"timeout", "firewalls"}},
		"NATS down":      {settings: []string{"NATS_URL=nats://" + closedAddress(t)}, code: exitFailure, says: []string{"no server answers", "-> start the server, or mend RESTWATCH_NATS_URL", "VDN 1:170"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, byHand(vdn170, vdn171)...)
			u.show(vdn170, firstRoster())
			u.show(vdn171, firstRoster())
			u.setFaults(t, c.faults)
			for i, s := range c.settings {
				switch s {
				case "path":
					c.settings[i] = "CMS_URL=" + u.URL().String() + "/rest"
				case "plain":
					c.settings[i] = "CMS_URL=http://" + u.Addr()
				}
			}
			env := u.settings(t, append([]string{"NATS_LISTEN=" + closedAddress(t)}, c.settings...)...)
			code, out, errOut := execute(t, t.Context(), env, "", "check")
			if code != c.code || !containsAll(out+errOut, c.says) {
				t.Errorf("exit %d, want %d with %q:\n%s%s", code, c.code, c.says, out, errOut)
			}
			if n := u.Calls(); c.calls > 0 && n > c.calls {
				t.Errorf("%d calls, want at most %d", n, c.calls)
			}
			if code == exitOK && errOut != "" || code != exitOK && strings.Count(errOut, "\n") != 1 {
				t.Errorf("stderr: %q", errOut)
			}
		})
	}
}

// check beside a running service changes nothing and finds its stream.
func TestCheckBesideTheService(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, byHand(vdn170)...)
	u.show(vdn170, firstRoster())
	s := startService(t, u.settings(t))
	s.polled(vdn170)
	env := u.settings(t, "NATS_LISTEN="+strings.TrimPrefix(s.nats, "nats://"))
	code, out, errOut := execute(t, t.Context(), env, "", "check")
	if code != exitOK || !strings.Contains(out, "ok, stream REST") {
		t.Errorf("exit %d:\n%s%s", code, out, errOut)
	}
}

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
	for _, args := range [][]string{{"tail"}, {"snapshot", "1", "170"}, {"verify"}} {
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

// pollLine is a line of what restwatch diff reads.
func pollLine(at string, vdn int, rest string) string {
	return fmt.Sprintf(`{"observedAt":"2026-03-01T08:00:%sZ","ccId":1,"vdn":%d,%s}`+"\n", at, vdn, rest)
}

func replyField(waiting, approved, resting int, rows ...string) string {
	return fmt.Sprintf(`"reply":{"resultCode":"0100000","resultDesc":{"waitRestNum":%d,"allowRestNum":%d,"onRestNum":%d,"agentsRestDetails":[%s]}}`,
		waiting, approved, resting, strings.Join(rows, ","))
}

func rowOf(workNo, reason int, begin int64, seconds int) string {
	return fmt.Sprintf(`{"agentName":"Agent","workNo":%d,"cantRestReason":%d,"beginTime":%d,"restDuration":%d}`, workNo, reason, begin, seconds)
}

func TestDiffOffline(t *testing.T) {
	t.Parallel()
	const began = 1772352000000 // 08:00:00
	waits, rests := rowOf(101, 2, began-5000, 600), rowOf(101, 0, began+4000, 600)
	good := pollLine("00.000", 170, replyField(0, 0, 0)) +
		"\n" + // an empty line is none
		pollLine("05.000", 170, replyField(1, 0, 0, rowOf(101, 2, began+2000, 600))) +
		pollLine("05.000", 171, replyField(1, 0, 0, waits)) +
		pollLine("10.000", 170, `"failed":true`) +
		pollLine("10.000", 171, `"reply":{"resultCode":"0100001","resultDesc":"call failed"}`) +
		pollLine("12.000", 171, `"reply":{"nonsense":[`+`]}`) +
		pollLine("15.000", 170, replyField(0, 0, 0)) +
		pollLine("15.000", 171, replyField(0, 0, 1, rests))
	code, out, errOut := execute(t, t.Context(), nil, good, "diff")
	if code != exitOK || !strings.Contains(errOut, "3 of 8 polls") {
		t.Errorf("exit %d, %q", code, errOut)
	}
	var got []string
	for line := range strings.Lines(out) {
		e, err := publisher.DecodeEvent([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %d", e.VDN, e.Kind, e.Sequence))
		if e.Kind == diff.KindCancelled && e.PreviousObservedAt.String() != "2026-03-01T08:00:05.000Z" {
			t.Errorf("a failed poll counts as one: %s", line)
		}
	}
	if want := []string{"170 requested 1", "170 cancelled 2", "171 started 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, again, _ := execute(t, t.Context(), nil, good, "diff"); again != out {
		t.Errorf("the same input gave\n%s\nand\n%s", out, again)
	}

	for name, c := range map[string]struct{ line, says string }{
		"no JSON":       {"hello\n", "line 2"},
		"no VDN":        {`{"observedAt":"2026-03-01T08:00:00Z","failed":true}` + "\n", "ccId 0"},
		"no time":       {`{"ccId":1,"vdn":170,"failed":true}` + "\n", "observedAt"},
		"wrong time":    {`{"observedAt":"yesterday","ccId":1,"vdn":170,"failed":true}` + "\n", "line 2"},
		"no reply":      {pollLine("05.000", 170, `"reason":1`), "reply"},
		"cut off":       {strings.TrimSuffix(pollLine("05.000", 170, replyField(0, 0, 0)), "}\n"), "line 2"},
		"not an object": {"[]\n", "line 2"},
	} {
		code, _, errOut := execute(t, t.Context(), nil, pollLine("00.000", 170, replyField(0, 0, 0))+c.line, "diff")
		if code != exitFailure || !containsAll(errOut, []string{"line 2", c.says}) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", name, code, errOut)
		}
	}
}

// The small histories that the inference must tell rightly give the same over
// the wire format, all at once, each as a VDN of its own.
func TestDiffCases(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "diff", "testdata", "inference-cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	type expected struct {
		WorkNo         int
		Kind           string
		Certainty      diff.Certainty
		Alternatives   []string
		GuessFree      bool
		OnlyIfGuessWas string
	}
	var file struct {
		Cases []struct {
			Name  string
			Polls []struct {
				ObservedAt string
				Reply      json.RawMessage
				Expect     []expected
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var in strings.Builder
	for round := 0; ; round++ {
		more := false
		for i, c := range file.Cases {
			if round < len(c.Polls) {
				more = true
				fmt.Fprintf(&in, `{"observedAt":%q,"ccId":1,"vdn":%d,"reply":%s}`+"\n",
					c.Polls[round].ObservedAt, i+1, strings.Join(strings.Fields(string(c.Polls[round].Reply)), " "))
			}
		}
		if !more {
			break
		}
	}
	code, out, errOut := execute(t, t.Context(), nil, in.String(), "diff")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	events := map[string][]diff.Event{} // by VDN and poll
	for line := range strings.Lines(out) {
		e, err := publisher.DecodeEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != diff.KindOverdue {
			at := fmt.Sprint(e.VDN, " ", e.ObservedAt)
			events[at] = append(events[at], e)
		}
	}
	for i, c := range file.Cases {
		for _, p := range c.Polls {
			at := fmt.Sprint(i+1, " ", p.ObservedAt)
			got := events[at]
			for _, want := range p.Expect {
				j := slices.IndexFunc(got, func(e diff.Event) bool {
					return e.WorkNo == want.WorkNo && e.Certainty == want.Certainty &&
						(string(e.Kind) == want.Kind || want.GuessFree && slices.Contains(want.Alternatives, string(e.Kind)))
				})
				switch {
				case j >= 0:
					got = slices.Delete(slices.Clone(got), j, j+1)
				case want.OnlyIfGuessWas == "":
					t.Errorf("%s, %s: no %+v", c.Name, p.ObservedAt, want)
				}
			}
			if len(got) > 0 {
				t.Errorf("%s, %s: unexpected %+v", c.Name, p.ObservedAt, got)
			}
		}
	}
	if len(file.Cases) < 21 || len(events) == 0 {
		t.Errorf("%d cases, events at %d polls", len(file.Cases), len(events))
	}
}

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
	begun := time.Now()
	f := runEndless(t, nil, "demo", "--vdns", "2", "--agents", "400", "--speed", "80", "--for", "4s")
	code := <-f.code
	f.code <- code
	if code != exitOK || f.errOut.String() != "" || time.Since(begun) < 4*time.Second {
		t.Errorf("exit %d after %v: %s", code, time.Since(begun), f.errOut)
	}
	for _, want := range []string{"nats://127.0.0.1:", "http://127.0.0.1:", " requested ", " approved ", " started ", " ended "} {
		if !strings.Contains(f.out.String(), want) {
			t.Errorf("demo does not print %q:\n%s", want, f.out)
		}
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

// A recording, told again offline, gives what a service tells of the same days.
func TestRecordAndDiff(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, cmssim.Tenant{World: cmssim.Config{VDN: vdn170, Agents: 150, Seed: 5, Speed: worldSpeed}})
	h := begun(u, vdn170)
	f := runEndless(t, u.settings(t), "record", "--anonymize")
	eventually(t, "some polls", func() bool { return u.Calls() > 20 })
	if code := f.stop(t); code != exitOK {
		t.Fatalf("record: exit %d: %s", code, f.errOut)
	}
	h.learn(u)
	if strings.Contains(f.out.String(), "Agent ") || strings.Contains(f.out.String(), "座席") {
		t.Errorf("a name is recorded")
	}
	code, out, errOut := execute(t, t.Context(), nil, f.out.String(), "diff")
	if code != exitOK {
		t.Fatalf("diff: exit %d: %s", code, errOut)
	}
	var events []diff.Event
	for line := range strings.Lines(out) {
		e, err := publisher.DecodeEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	t.Logf("%d polls recorded: %v", strings.Count(f.out.String(), "\n"), h.judge(t, events, u.age(vdn170, events)))
	if len(events) == 0 {
		t.Error("no events")
	}
}
