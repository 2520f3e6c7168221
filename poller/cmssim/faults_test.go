package cmssim

import (
	"strings"
	"testing"
	"time"

	"restwatch/diff"
)

func TestParseFaults(t *testing.T) {
	got, err := parseFaults(" latency=200ms, latency=1ms-2s:5%,hang=0.01,vdn=1:170,slow,status=503:0.05 ,vdn=all,code=0100001:always,skew=-3m,")
	if err != nil {
		t.Fatal(err)
	}
	want := []fault{
		{name: "latency", probability: 1, from: 200 * time.Millisecond, to: 200 * time.Millisecond},
		{name: "latency", probability: .05, from: time.Millisecond, to: 2 * time.Second},
		{name: "hang", probability: .01},
		{name: "slow", probability: 1, vdn: diff.VDN{CC: 1, ID: 170}},
		{name: "status", probability: .05, vdn: diff.VDN{CC: 1, ID: 170}, status: 503},
		{name: "code", probability: 1, code: "0100001"},
		{name: "skew", probability: 1, from: -3 * time.Minute},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("fault %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	for _, bad := range []string{
		"lag", "hang=", "hang=2", "hang=-0.1", "hang=NaN", "hang=often", "latency", "latency=", "latency=5", "latency=-1s",
		"latency=2s-1s", "latency=1s:", "latency=1s:x", "status", "status=200", "status=600", "status=x:0.1", "code=1", "code=0100000",
		"code=01000x1", "code=+100001", "vdn", "vdn=170", "vdn=1:5001", "skew=x", "hang,torn=1.5", "=",
	} {
		err := CheckFaults(bad)
		if err == nil {
			t.Errorf("%q is accepted", bad)
			continue
		}
		if name, _, _ := strings.Cut(bad[strings.LastIndex(bad, ",")+1:], "="); !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q: %v: names no fault or no form", bad, err)
		}
	}
}

// TestFaultList: every fault is described, and the form given is accepted.
func TestFaultList(t *testing.T) {
	sample := strings.NewReplacer("[=P]", "=0.5", "DURATION[-DURATION][:P]", "1s-2s:0.5", "DURATION[:P]", "1s:0.5",
		"300..599[:P]", "404:0.5", "SEVEN DIGITS[:P]", "0100001:0.5", "CC:VDN or vdn=all", "1:1")
	for _, f := range FaultList() {
		if f.Help == "" || !strings.HasPrefix(f.Form, f.Name) {
			t.Errorf("%+v", f)
		}
		if err := CheckFaults(sample.Replace(f.Form)); err != nil {
			t.Errorf("%s: %v", f.Form, err)
		}
	}
}

func FuzzParseFaults(f *testing.F) {
	f.Add("latency=200ms,hang=0.01,vdn=1:170,slow")
	f.Fuzz(func(t *testing.T, spec string) {
		faults, err := parseFaults(spec)
		for _, g := range faults {
			if err != nil || !(g.probability >= 0 && g.probability <= 1) || g.from > g.to && g.to != 0 {
				t.Fatalf("%q gives %+v, %v", spec, g, err)
			}
		}
	})
}
