package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"restwatch/diff"
	"restwatch/publisher"
)

type boardPage struct {
	Now           time.Time
	AgentsLeftOut bool
	VDNs          []struct {
		CCID, VDN int
		Status    string
		Silent    bool
		Counts    map[string]int
		Overdue   int
		Agents    []struct {
			WorkNo    int
			AgentName string
			State     string
		}
	}
}

func TestWallboard(t *testing.T) {
	t.Parallel()
	s, _, now, _ := serviceWithHistory(t)
	_, page := s.fetch("/")
	for _, file := range []string{"wallboard.js", "wallboard.css", "wallboard.svg"} {
		status, text := s.fetch("/" + file)
		if status != http.StatusOK || text == "" || !strings.Contains(page, `"`+file+`"`) {
			t.Errorf("%s: %d, %d bytes, in the page %t", file, status, len(text), strings.Contains(page, file))
		}
	}
	show := func(query string) (p boardPage) {
		status, text := s.fetch("/wallboard.json" + query)
		if err := json.Unmarshal([]byte(text), &p); err != nil || status != http.StatusOK {
			t.Fatalf("%d, %v: %s", status, err, text)
		}
		return p
	}
	got := show("")
	if len(got.VDNs) != 2 || got.AgentsLeftOut || time.Since(got.Now) > patience {
		t.Fatalf("got %+v, want two VDNs", got)
	}
	for i, id := range []int{170, 171} {
		v := got.VDNs[i]
		if v.CCID != 1 || v.VDN != id || v.Status != "ok" || !reflect.DeepEqual(v.Counts, map[string]int{"waiting": 1, "approved": 0, "resting": 4}) || len(v.Agents) != len(now.rows) {
			t.Errorf("VDN 1:%d: got %+v", id, v)
		}
	}
	if a := got.VDNs[0].Agents[4]; a.WorkNo != 106 || a.AgentName != "Agent 106" || a.State != "waiting" {
		t.Errorf("got %+v", a)
	}
	if one := show("?ccid=1&vdn=171"); len(one.VDNs) != 1 || one.VDNs[0].VDN != 171 {
		t.Errorf("of one VDN: got %+v", one)
	}
	if none := show("?ccid=2"); none.VDNs == nil || len(none.VDNs) != 0 {
		t.Errorf("of another call centre: got %+v", none)
	}
	if status, text := s.fetch("/wallboard.json?vdn=all"); status != http.StatusBadRequest {
		t.Errorf("of a VDN that is no number: %d %s", status, text)
	}
}

// Where there are too many agents for a page, the totals remain, and one VDN can
// be asked for.
func TestWallboardOfManyAgents(t *testing.T) {
	t.Parallel()
	var b wallboard
	b.read, b.pages = time.Now().Add(time.Hour), map[diff.VDN][]byte{} // so nothing is asked of a bus
	for id := 1; id <= 3; id++ {
		s := diff.Snapshot{CC: 1, VDN: id, Counts: diff.Counts{Resting: boardAgents}}
		for n := range boardAgents {
			s.Agents = append(s.Agents, diff.Agent{WorkNo: 101 + n, State: diff.Resting, Certainty: diff.Certain, Overdue: n%2 == 0})
		}
		v := boardVDN{CC: 1, VDN: id}
		v.show(&s)
		b.vdns = append(b.vdns, v)
	}
	for query, agents := range map[string]int{"": 0, "?vdn=2": boardAgents} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/wallboard.json"+query, nil))
		var p boardPage
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(len(p.VDNs[0].Agents), p.AgentsLeftOut, p.VDNs[0].Counts["resting"], p.VDNs[0].Overdue)
		if want := fmt.Sprint(agents, agents == 0, boardAgents, boardAgents/2); got != want {
			t.Errorf("%q: got %s, want %s", query, got, want)
		}
	}
	if len(b.vdns[0].Agents) != boardAgents {
		t.Error("what is kept for the next page was changed")
	}
}

// Somebody who was killed left a feed that is ok. Nobody repeats it, which tells
// it from those that are watched.
func TestWallboardOfASilentFeed(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, "", "", server.RANDOM_PORT)
	u := startUpstream(t, byHand(vdn170)...)
	s := launch(t, u.settings(t, "NATS_URL="+nats.ClientURL()), nil)
	bus, err := publisher.Open(t.Context(), connectListener(t, nats.ClientURL()).nc, publisher.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := bus.PublishFeed(t.Context(), diff.Feed{CC: 1, VDN: 171, Status: diff.OK, Since: ago(time.Minute)}, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one feed that is silent", func() bool {
		status, text := s.fetch("/wallboard.json")
		var p boardPage
		if err := json.Unmarshal([]byte(text), &p); err != nil || status != http.StatusOK {
			t.Fatalf("%d, %v: %s", status, err, text)
		}
		return len(p.VDNs) == 2 && !p.VDNs[0].Silent && p.VDNs[1].Silent && p.VDNs[1].Status == "ok"
	})
}
