package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/poller/cmssim"
	"restwatch/publisher"
)

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
		"asked later":   {`{"observedAt":"2026-03-01T08:00:00Z","askedAt":"2026-03-01T08:00:01Z","ccId":1,"vdn":170,"failed":true}` + "\n", "askedAt"},
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

// A rest that begins while the reply before is on its way, which takes seconds, is
// in order: that reply shows when it was asked for, not when it had arrived.
func TestRecordSlowReply(t *testing.T) {
	t.Parallel()
	u := startUpstream(t, cmssim.Tenant{World: cmssim.Config{VDN: vdn170}})
	f := runEndless(t, u.settings(t, "CMS_TIMEOUT=9s"), "record")
	asked := func(more int64) {
		n := u.Calls()
		eventually(t, "calls", func() bool { return u.Calls() >= n+more })
	}
	asked(2)
	answering, release := u.holdUp(t, func(cmssim.Call) bool { return true })
	<-answering // with an empty list
	began := diff.TimeOf(time.Now()) + 1000
	u.show(vdn170, roster{[]diff.Row{{WorkNo: 101, Begin: began, Requested: 600}}, diff.Counts{Resting: 1}})
	old := began + 3*diff.TimeOfDuration(diff.DefaultSlack)
	eventually(t, "a time when that list is old", func() bool { return diff.TimeOf(time.Now()) > old })
	release()
	asked(2)
	if code := f.stop(t); code != exitOK {
		t.Fatalf("record: exit %d: %s", code, f.errOut)
	}
	slow := false
	for line := range strings.Lines(f.out.String()) {
		obs, _, err := readPoll([]byte(line), replayOptions{unit: cms.UnitAuto})
		if err != nil {
			t.Fatal(err)
		}
		slow = slow || len(obs.Rows) == 0 && obs.At > began+diff.TimeOfDuration(diff.DefaultSlack) && obs.At-diff.Options{}.Age(obs.Took) <= began
	}
	if !slow {
		t.Errorf("no slow reply is recorded:\n%s", f.out.String())
	}
	code, out, errOut := execute(t, t.Context(), nil, f.out.String(), "diff")
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, `"kind":"started"`) || !strings.Contains(out, `"certainty":"certain"`) {
		t.Errorf("exit %d, %s\n%s", code, errOut, out)
	}
	// Without that, as of recordings of before, it looks too old.
	fresh := regexp.MustCompile(`"askedAt":"[^"]*",`).ReplaceAllString(f.out.String(), "")
	if code, out, errOut := execute(t, t.Context(), nil, fresh, "diff"); code != exitOK || !strings.Contains(out, `"certainty":"inferred"`) {
		t.Errorf("without askedAt: exit %d, %s\n%s", code, errOut, out)
	}
}
