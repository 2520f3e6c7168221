package cmssim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"restwatch/diff"
)

func TestWholeList(t *testing.T) {
	c, clock := serve(t, Options{})
	first := c.poll("")
	if second := c.poll(`,"offset":0,"limit":1`); second.body != first.body {
		t.Error("CTI 3.8 pages, or an unchanged list gives other bytes")
	}
	changed := 0
	for range 50 {
		clock.add(5 * time.Second)
		a := c.poll("")
		_, d := decode(t, a)
		c.s.View(vdn170, func(w *World) {
			counts := diff.Counts{Waiting: d.Wait, Approved: d.Allow, Resting: d.On}
			if !same(d.Rows, w.Rows()) || counts != w.Counts() || counts.Sum() != len(d.Rows) {
				t.Fatalf("reply %+v, world %+v", d, w.Rows())
			}
		})
		if a.body != first.body {
			changed++
		}
	}
	if changed == 0 {
		t.Error("nothing ever changed")
	}
	if got, want := c.poll("").header.Get("Date"), clock.Now().Format(http.TimeFormat); got != want {
		t.Errorf("Date %q, want %q", got, want)
	}
}

// TestPath is the main interface behind a balancer that maps it.
func TestPath(t *testing.T) {
	c, _ := serve(t, Options{Path: "/cms/rests"})
	if code, _ := decode(t, c.call("POST", "/cms/rests?tenant=a%20b", query170(""))); code != codeOK {
		t.Errorf("mapped path: %s", code)
	}
	if a := c.poll(""); a.status != http.StatusNotFound {
		t.Errorf("documented path: status %d", a.status)
	}
}

func TestPages(t *testing.T) {
	c, clock := serve(t, Options{Tenants: []Tenant{{CTI: "3.6", World: Config{VDN: vdn170, Agents: 2000, Seed: 1}}}})
	_, head := decode(t, c.poll(`,"offset":0,"limit":100`))
	if len(head.Rows) != 100 || head.On <= 100 {
		t.Fatalf("%d rows, %d resting", len(head.Rows), head.On)
	}
	if _, d := decode(t, c.poll("")); !same(d.Rows, head.Rows) {
		t.Error("without a page it is not the first hundred")
	}
	var all []diff.Row
	total := head.On + head.Wait + head.Allow
	for at := 0; at < total+70; at += 70 {
		_, d := decode(t, c.poll(fmt.Sprintf(`,"offset":%d,"limit":70`, at)))
		all = append(all, d.Rows...)
	}
	c.s.View(vdn170, func(w *World) {
		if !same(all, w.Rows()) {
			t.Error("the pages of a list at rest do not make up the list")
		}
	})
	// Read while time passes, a row slips from one page to the one before now
	// and then.
	torn := 0
	for range 60 {
		seen := map[int]bool{}
		for at := 0; at < total; at += 100 {
			_, d := decode(t, c.poll(fmt.Sprintf(`,"offset":%d,"limit":100`, at)))
			for _, r := range d.Rows {
				seen[r.WorkNo] = true
			}
			clock.add(500 * time.Millisecond)
		}
		c.s.View(vdn170, func(w *World) {
			for _, r := range w.Rows() {
				if !seen[r.WorkNo] && w.Now().Sub(r.Begin.Time()) > 10*time.Second {
					torn++
				}
			}
		})
	}
	if torn == 0 {
		t.Error("no row ever slipped")
	}
}

func TestScript(t *testing.T) {
	c, _ := serve(t, Options{Tenants: []Tenant{{CTI: "3.6", World: Config{VDN: vdn170, Agents: 400}}}})
	world := c.poll("").body
	rows := []diff.Row{{WorkNo: 101, Name: "Agent 101", Begin: 5000, Requested: 60}, {WorkNo: 102}}
	c.s.SetList(vdn170, rows, diff.Counts{Resting: 9})
	rows[0].WorkNo = 999
	_, d := decode(t, c.poll(`,"offset":1,"limit":1`))
	if len(d.Rows) != 1 || d.Rows[0].WorkNo != 102 || d.On != 9 {
		t.Errorf("%+v", d)
	}
	if _, d = decode(t, c.poll("")); d.Rows[0].WorkNo != 101 {
		t.Errorf("the caller's slice was kept")
	}
	c.s.SetReply(vdn170, []byte("any"))
	if got := c.poll("").body; got != "any" {
		t.Errorf("got %q", got)
	}
	c.s.Unset(vdn170)
	if c.poll("").body != world {
		t.Error("the world did not come back")
	}
}

func TestSiblings(t *testing.T) {
	c, clock := serve(t, Options{})
	clock.add(time.Minute)
	a := c.call("POST", pathState, `{"ccId":1,"vdn":170,"offset":0,"limit":1000}`)
	var reply struct {
		ResultDesc struct {
			OnRestAgentNum, AllowRestAgentNum, WaitRestAgentNum int
			Details                                             []struct {
				AgentID                        int `json:"agentId"`
				CantRestCause, VDNID, CCID     int
				BeginTime                      int64
				ApplyRestLength, RestDurations int
				Name                           string
				ReqRestDura                    *int
			}
		}
	}
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil {
		t.Fatal(err)
	}
	d := reply.ResultDesc
	c.s.View(vdn170, func(w *World) {
		if len(d.Details) != len(w.Rows()) || d.OnRestAgentNum != w.Counts().Resting {
			t.Fatalf("%d details of %d", len(d.Details), len(w.Rows()))
		}
		for _, r := range d.Details {
			if resting := w.State(r.AgentID) == diff.Resting; resting != (r.ReqRestDura != nil) {
				t.Errorf("%+v is %v", r, w.State(r.AgentID))
			} else if resting && *r.ReqRestDura != int(w.Now().Sub(diff.Time(r.BeginTime).Time())/time.Second) {
				t.Errorf("%+v: reqRestDura", r)
			}
		}
	})
	if a := c.call("POST", pathState, `{"ccId":1,"vdn":170,"offset":0,"limit":2}`); strings.Count(a.body, "agentId") != 2 {
		t.Errorf("page of 2: %s", a.body)
	}
	if a := c.call("GET", pathReasons+"1/170", ""); !strings.Contains(a.body, `"restReasonId":1`) {
		t.Errorf("reasons: %s", a.body)
	}
	if a := c.call("GET", pathReasons+"1/171", ""); !strings.Contains(a.body, codePermission) {
		t.Errorf("reasons of another VDN: %s", a.body)
	}
	if a := c.call("GET", pathReasons+"x", ""); !strings.Contains(a.body, codeInvalid) {
		t.Errorf("reasons of no VDN: %s", a.body)
	}
}

func TestTLSNames(t *testing.T) {
	c, _ := serve(t, Options{ServerName: "cms.example.com"})
	for _, name := range []string{"", "localhost", "127.0.0.1", "cms.example.com", "other.example.com"} {
		config := c.s.ClientTLS()
		config.ServerName = name
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		r := c.request("POST", pathRest, query170(""))
		c.sign(r, query170(""))
		resp, err := transport.RoundTrip(r)
		if (err == nil) != (name != "other.example.com") {
			t.Errorf("server name %q: %v", name, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
	if !bytes.Contains(c.s.CACert(), []byte("BEGIN CERTIFICATE")) {
		t.Error("no PEM of the CA")
	}
}

func TestOptions(t *testing.T) {
	good := Tenant{World: Config{VDN: vdn170}}
	for name, o := range map[string]Options{
		"one key":    {AccessKey: "a"},
		"faults":     {Faults: "x"},
		"CTI":        {Tenants: []Tenant{{World: good.World, CTI: "3.7"}}},
		"twice":      {Tenants: []Tenant{good, good}},
		"VDN":        {Tenants: []Tenant{{}}},
		"generation": {Tenants: []Tenant{{World: good.World, Reply: Reply{Generation: "x"}}}},
		"address":    {Addr: "nowhere"},
		"path":       {Path: "x"},
		"taken":      {Addr: "127.0.0.1:1000000"},
	} {
		if s, err := Start(o); err == nil {
			s.Close()
			t.Errorf("bad %s is accepted", name)
		}
	}
	s, err := New(Options{Tenants: Tenants(3, good)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.VDNs()); got != "[1:170 1:171 1:172]" {
		t.Errorf("VDNs %s", got)
	}
}

// TestManyCallers is for the race detector.
func TestManyCallers(t *testing.T) {
	c, clock := serve(t, Options{Tenants: Tenants(4, Tenant{World: Config{VDN: vdn170, Agents: 100}, CTI: "3.6", Reply: Reply{Gzip: true}}),
		Faults: "torn=0.1,status=500:0.1,skew=1s:0.1", FaultSeed: 1})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				body := `{"queryParam":{"ccId":1,"vdn":` + strconv.Itoa(170+(i+n)%4) + `,"offset":0,"limit":100}}`
				if _, err := c.try("POST", pathRest, body); err != nil {
					t.Error(err)
				}
				clock.add(time.Second)
				if n == 25 {
					c.s.SetList(vdn170, nil, diff.Counts{})
					_ = c.s.SetFaults("counts=0.5")
				}
			}
		})
	}
	wg.Wait()
	if got := c.s.Calls(); got != 400 {
		t.Errorf("%d calls", got)
	}
}
