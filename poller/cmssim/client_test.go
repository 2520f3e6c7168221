package cmssim

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"restwatch/diff"
)

const (
	testKey    = "key/1"
	testSecret = "not so secret"
)

var vdn170 = diff.VDN{CC: 1, ID: 170}

// clock is a platform clock that stands until it is told to move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// client is a caller that signs by the clock of the server.
type client struct {
	t     testing.TB
	s     *Server
	clock func() time.Time
	http  *http.Client
}

func serve(t testing.TB, o Options) (*client, *clock) {
	t.Helper()
	clock := &clock{now: start}
	if o.Now == nil {
		o.Now = clock.Now
	}
	if len(o.Tenants) == 0 {
		o.Tenants = []Tenant{{World: Config{VDN: vdn170, Agents: 400, Seed: 1}}}
	}
	o.AccessKey, o.SecretKey = testKey, testSecret
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	if !o.Plain {
		transport.TLSClientConfig = s.ClientTLS()
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &client{t, s, o.Now, &http.Client{Transport: transport}}, clock
}

// request is a good one unless the caller spoils it before sign.
func (c *client) request(method, path, body string) *http.Request {
	r, err := http.NewRequest(method, c.s.URL().String()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	return r
}

func (c *client) sign(r *http.Request, body string) {
	names := "content-length;content-type;host"
	if body == "" {
		names = "content-type;host"
	}
	prefix := "auth-v2/" + testKey + "/" + c.clock().UTC().Format("2006-01-02T15:04:05Z") + "/" + names
	seen := r.Clone(r.Context())
	seen.RequestURI = r.URL.RequestURI()
	seen.Host = r.URL.Host
	canonical, err := canonicalOf(seen, names, []byte(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", prefix+"/"+signatureOf(testSecret, prefix, canonical))
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (c *client) do(r *http.Request) (answer, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (c *client) try(method, path, body string) (answer, error) {
	r := c.request(method, path, body)
	c.sign(r, body)
	return c.do(r)
}

func (c *client) call(method, path, body string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func query170(paging string) string { return `{"queryParam":{"ccId":1,"vdn":170` + paging + `}}` }

func (c *client) poll(paging string) answer {
	c.t.Helper()
	return c.call("POST", pathRest, query170(paging))
}

type details struct {
	Allow, On, Wait int
	Rows            []diff.Row
}

// decode reads a current reply.
func decode(t testing.TB, a answer) (code string, d details) {
	t.Helper()
	type object struct {
		AllowRestNum, OnRestNum, WaitRestNum int
		AgentsRestDetails                    []struct {
			AgentName              string
			WorkNo, CantRestReason int
			BeginTime              int64
			RestDuration           int
		}
	}
	var reply struct {
		Result, ResultCode      string
		ResultDatas, ResultDesc json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil {
		t.Fatalf("status %d, body %.200q: %v", a.status, a.body, err)
	}
	if reply.ResultCode != codeOK {
		return reply.ResultCode, d
	}
	if !bytes.Equal(reply.ResultDatas, reply.ResultDesc) {
		t.Fatalf("two different copies")
	}
	var o object
	if err := json.Unmarshal(reply.ResultDesc, &o); err != nil {
		t.Fatal(err)
	}
	d.Allow, d.On, d.Wait = o.AllowRestNum, o.OnRestNum, o.WaitRestNum
	for _, r := range o.AgentsRestDetails {
		d.Rows = append(d.Rows, diff.Row{WorkNo: r.WorkNo, Name: r.AgentName, Reason: r.CantRestReason, Begin: diff.Time(r.BeginTime), Requested: r.RestDuration})
	}
	return reply.ResultCode, d
}

func same(a, b []diff.Row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
