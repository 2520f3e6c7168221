package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/cmssim"
)

var updateAssess = flag.Bool("update-assess", false, "write the reports of TestAssessReport anew")

// recording is what record writes of a simulated platform: two hours, with
// failed polls and torn lists.
func recording(c cmssim.Config) string {
	start := time.Date(2026, 3, 2, 8, 30, 0, 0, time.UTC)
	c.VDN, c.Agents, c.Seed, c.Start = diff.VDN{CC: 1, ID: 170}, 50, 3, start
	w := cmssim.NewWorld(c)
	var b bytes.Buffer
	for i := range 1440 {
		at := start.Add(time.Duration(i)*5*time.Second + time.Duration(i*37%500)*time.Millisecond)
		w.Advance(at)
		rows := w.Rows()
		fmt.Fprintf(&b, `{"observedAt":%q,"ccId":1,"vdn":170,`, diff.TimeOf(at.Add(time.Duration(20+i*53%150)*time.Millisecond)))
		switch {
		case i%200 == 150:
			b.WriteString("\"failed\":true}\n")
			continue
		case i%90 == 45 && len(rows) > 0:
			rows = rows[1:]
		}
		fmt.Fprintf(&b, "\"reply\":%s}\n", cms.AppendReply(nil, rows, w.Counts()))
	}
	return b.String()
}

func TestAssessReport(t *testing.T) {
	for name, c := range map[string]cmssim.Config{
		"assess-clean": {},
		"assess-keeps": {ApprovalKeepsBegin: true, Grain: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			code, got, errOut := execute(t, t.Context(), nil, recording(c), "diff", "--assess")
			if code != exitOK || errOut != "" {
				t.Fatalf("got code %d, %s", code, errOut)
			}
			file := filepath.Join("testdata", name+".txt")
			if *updateAssess {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAssessJSON(t *testing.T) {
	code, out, errOut := execute(t, t.Context(), nil, recording(cmssim.Config{}), "diff", "--assess", "--json")
	if code != exitOK || errOut != "" {
		t.Fatalf("got code %d, %s", code, errOut)
	}
	var r struct {
		Facts struct {
			Polls  int `json:"polls"`
			Failed int `json:"failedPolls"`
		} `json:"facts"`
		Assumptions []struct {
			Assumption, Verdict string
		} `json:"assumptions"`
		Meaning []string `json:"meaning"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Facts.Polls != 1440 || r.Facts.Failed != 7 || len(r.Assumptions) != 7 || len(r.Meaning) == 0 {
		t.Errorf("got %+v, want 1440 polls, 7 of them failed, 7 assumptions and a meaning", r)
	}
}

func TestAssessUsage(t *testing.T) {
	if code, out, _ := execute(t, t.Context(), nil, "", "diff", "--json"); code != exitUsage || out != "" {
		t.Errorf("--json alone: got code %d, %q, want %d and nothing", code, out, exitUsage)
	}
	if code, out, _ := execute(t, t.Context(), nil, "", "diff", "--assess"); code != exitOK || out != "No polls in the input.\n" {
		t.Errorf("no input: got code %d, %q", code, out)
	}
	if code, _, errOut := execute(t, t.Context(), nil, "nonsense", "diff", "--assess"); code != exitFailure || errOut == "" {
		t.Errorf("nonsense: got code %d, %q, want %d and why", code, errOut, exitFailure)
	}
}
