package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

// export runs the command and returns its lines.
func export(t *testing.T, s *service, args ...string) []string {
	t.Helper()
	code, out, errOut := execute(t, t.Context(), nil, "", append([]string{"export", "--nats", s.nats}, args...)...)
	if code != exitOK || errOut != "" {
		t.Fatalf("export %q: exit %d, said %q", args, code, errOut)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

func TestExportAsStored(t *testing.T) {
	t.Parallel()
	s, _, _, history := serviceWithHistory(t)
	var all, one []string
	var last time.Time
	for _, m := range history {
		all = append(all, string(m.data))
		if m.vdn() == vdn171 {
			one = append(one, string(m.data))
			last = m.event.ObservedAt.Time() // of all three, which one poll saw
		}
	}
	today := func(from, to time.Time) []string {
		return []string{"--from", from.Format(time.DateOnly), "--to", to.Format(time.DateOnly), "--format", "jsonl"}
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"everything":     {[]string{"--format", "jsonl"}, all},
		"these days":     {today(last.AddDate(0, 0, -1), last), all},
		"tomorrow":       {today(last.AddDate(0, 0, 1), last.AddDate(0, 0, 1)), []string{""}},
		"yesterday":      {[]string{"--to", last.Add(-24 * time.Hour).Format(time.RFC3339), "--format", "jsonl"}, []string{""}},
		"one instant":    {[]string{"--from", last.Format(time.RFC3339Nano), "--to", last.Add(time.Millisecond).Format(time.RFC3339Nano), "--ccid", "1", "--vdn", "171", "--format", "jsonl"}, one},
		"one VDN":        {[]string{"--ccid", "1", "--vdn", "171", "--format", "jsonl"}, one},
		"another centre": {[]string{"--ccid", "2", "--format", "jsonl"}, []string{""}},
	} {
		if got := export(t, s, c.args...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestExportAsCSV(t *testing.T) {
	t.Parallel()
	s, _, _, history := serviceWithHistory(t)
	rows, err := csv.NewReader(strings.NewReader(strings.Join(export(t, s), "\n"))).ReadAll()
	if err != nil || len(rows) != 1+len(history) {
		t.Fatalf("got %d rows, %v, want %d", len(rows), err, 1+len(history))
	}
	for i, m := range history {
		var stored struct{ Data map[string]any }
		if err := json.Unmarshal(m.data, &stored); err != nil {
			t.Fatal(err)
		}
		cells := map[string]string{}
		for c, name := range rows[0] {
			cells[name] = rows[1+i][c]
		}
		for name, want := range stored.Data {
			text := "" // null
			switch want := want.(type) {
			case string:
				text = want
			case float64:
				text = strconv.FormatFloat(want, 'f', -1, 64)
			case map[string]any: // waitReason
				text = want["name"].(string)
			case []any: // alternatives
				text = strings.Trim(fmt.Sprint(want), "[]")
			}
			if got, known := cells[name]; !known || got != text {
				t.Errorf("%s of event %d: got %q, want %q", name, i, got, text)
			}
		}
	}
	if got := export(t, s, "--to", "2020-01-01"); len(got) != 1 || got[0] != strings.Join(rows[0], ",") {
		t.Errorf("without events: got %q, want the names of the columns", got)
	}
}

// A field that events gain must not be missing here.
func TestExportHasAllFields(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, c := range columns {
		named[c.name] = true
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[diff.Event]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" && !named[name] {
			t.Errorf("no column %s", name)
		}
	}
	e := diff.Event{AgentName: "=1+1", Alternatives: []string{"ended", "none"}, WaitReason: &diff.WaitReason{Code: 2, Name: "vdnQuotaFull"},
		Correction: &diff.Correction{Was: diff.KindStarted, Now: "none"}}
	row := map[string]string{}
	for _, c := range columns {
		row[c.name] = c.text(&e)
	}
	for name, want := range map[string]string{
		"agentName": "'=1+1", "alternatives": "ended none", "waitReason": "vdnQuotaFull", "corrects": "", "was": "started", "now": "none", "beginAt": "", "overdueSeconds": "",
	} {
		if row[name] != want {
			t.Errorf("%s: got %q, want %q", name, row[name], want)
		}
	}
}

func TestNoNameIsAFormula(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"=1+1", "+1", "-1", "@SUM(1)", "\t=1+1", "\r=1+1", "\n=1+1", "＝1+1", "＋1", "－1", "＠SUM(1)"} {
		if got := plain(s); got != "'"+s {
			t.Errorf("%q: got %q", s, got)
		}
	}
	for _, s := range []string{"", "Li Wei", "李伟", "a=b", "\xff"} {
		if got := plain(s); got != s {
			t.Errorf("%q: got %q", s, got)
		}
	}
}
