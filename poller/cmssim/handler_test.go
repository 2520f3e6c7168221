package cmssim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestParameters(t *testing.T) {
	c, _ := serve(t, Options{})
	for _, tt := range []struct{ body, want string }{
		{query170(""), codeOK},
		{query170(`,"offset":200,"limit":100`), codeOK},
		{``, codeInvalid},
		{`{`, codeInvalid},
		{`{"ccId":1,"vdn":170}`, codeInvalid},
		{`{"queryParam":null}`, codeInvalid},
		{`{"queryParam":{"ccId":0,"vdn":170}}`, codeInvalid},
		{`{"queryParam":{"ccId":65536,"vdn":170}}`, codeInvalid},
		{`{"queryParam":{"ccId":1,"vdn":5001}}`, codeInvalid},
		{`{"queryParam":{"ccId":1}}`, codeInvalid},
		{`{"queryParam":{"ccId":"1","vdn":170}}`, codeInvalid},
		{query170(`,"limit":100`), codeInvalid},
		{query170(`,"offset":0`), codeInvalid},
		{query170(`,"offset":-100,"limit":100`), codeInvalid},
		{query170(`,"offset":50,"limit":100`), codeInvalid},
		{query170(`,"offset":0,"limit":101`), codeInvalid},
		{query170(`,"offset":0,"limit":0`), codeInvalid},
		{`{"queryParam":{"ccId":1,"vdn":171}}`, codePermission},
	} {
		a := c.call("POST", pathRest, tt.body)
		if code, _ := decode(t, a); code != tt.want || a.status != 200 {
			t.Errorf("%s: status %d, %s, want %s", tt.body, a.status, a.body, tt.want)
		}
		var text struct{ ResultDesc string }
		if err := json.Unmarshal([]byte(a.body), &text); tt.want != codeOK && (err != nil || text.ResultDesc == "") {
			t.Errorf("%s: error text is no string: %s", tt.body, a.body)
		}
	}
}

func TestHTTPErrors(t *testing.T) {
	c, _ := serve(t, Options{})
	check := func(name string, want int, a answer) {
		t.Helper()
		var p struct {
			Timestamp            int64
			Status               int
			Error, Message, Path string
		}
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != want || p.Status != want ||
			p.Timestamp != start.UnixMilli() || p.Error != http.StatusText(want) || p.Message == "" || p.Path == "" {
			t.Errorf("%s: status %d, want %d, body %s", name, a.status, want, a.body)
		}
	}
	for _, m := range []string{"GET", "PUT", "DELETE"} {
		a := c.call(m, pathRest, query170(""))
		check(m, 405, a)
		if a.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", m, a.header.Get("Allow"))
		}
	}
	check("path", 404, c.call("POST", pathRest+"/x", query170("")))
	check("long", 400, c.call("POST", pathRest, strings.Repeat(" ", maxRequest+1)))
	for _, kind := range []string{"", "text/plain", "application/json;charset=gbk", ";"} {
		r := c.request("POST", pathRest, query170(""))
		r.Header.Set("Content-Type", kind)
		c.sign(r, query170(""))
		a, err := c.do(r)
		if err != nil {
			t.Fatal(err)
		}
		check("Content-Type "+kind, 415, a)
	}
	unsigned, err := c.do(c.request("POST", pathRest, query170("")))
	if err != nil {
		t.Fatal(err)
	}
	check("unsigned", 401, unsigned)
}

func TestLock(t *testing.T) {
	c, clock := serve(t, Options{BadSignatures: 3, LockFor: time.Minute})
	bad := func() int {
		a, err := c.do(c.request("POST", pathRest, query170("")))
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	good := func() int { return c.poll("").status }
	for i, step := range []struct {
		call func() int
		want int
	}{
		{bad, 401}, {bad, 401}, {good, 200}, // a good one forgives
		{bad, 401}, {bad, 401}, {bad, 401}, {good, 403}, {bad, 403},
	} {
		if got := step.call(); got != step.want {
			t.Fatalf("call %d: status %d, want %d", i, got, step.want)
		}
	}
	clock.add(time.Minute)
	if got := good(); got != 200 {
		t.Errorf("after the lock: status %d", got)
	}
	for range 3 {
		bad()
	}
	c.s.Unlock()
	if got := good(); got != 200 {
		t.Errorf("after Unlock: status %d", got)
	}
	if c.s.BadSignatures() != 8 || c.s.Refused() != 2 {
		t.Errorf("%d bad signatures, %d refused", c.s.BadSignatures(), c.s.Refused())
	}
	clock.add(-20 * time.Minute)
	behind := c.request("POST", pathRest, query170(""))
	c.sign(behind, query170(""))
	clock.add(20 * time.Minute)
	if a, err := c.do(behind); err != nil || a.status != 401 || !strings.Contains(a.body, "20m0s off") {
		t.Errorf("signature of a clock 20 min behind: %+v, %v", a, err)
	}
}
