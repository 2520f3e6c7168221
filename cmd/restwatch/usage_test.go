package main

import (
	"strings"
	"testing"
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
		{"help", "nonsense"},
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
		{"diff", "--gap-limit", "0s"},
		{"diff", "--slack", "-1s"},
		{"demo", "--vdns", "0"},
		{"demo", "--for", "-1s"},
		{"demo", "--speed", "0.x"},
		{"demo", "--agents", "-1"},
		{"sim", "--cti", "4.0"},
		{"sim", "--faults", "flood"},
		{"sim", "--faults", "hang=2"},
		{"record", "--for", "-1s"},
		{"export", "--format", "xml"},
		{"export", "--from", "yesterday"},
		{"export", "--from", "2026-03-02", "--to", "2026-03-01"},
		{"export", "--ccid", "0"},
		{"export", "--vdn", "5001"},
		{"export", "1"},
		{"report", "--format", "xml"},
		{"report", "--tz", "Asia/Nowhere"},
		{"report", "--to", "then"},
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
