package cmssim

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFaults(t *testing.T) {
	var mu sync.Mutex
	var last Call
	c, _ := serve(t, Options{Tenants: Tenants(2, Tenant{World: Config{VDN: vdn170, Agents: 400, Seed: 1}}),
		Trace: func(c Call) { mu.Lock(); last = c; mu.Unlock() }})
	good := c.poll("")
	_, want := decode(t, good)
	poll := func(spec string) (answer, error) {
		t.Helper()
		if err := c.s.SetFaults(spec); err != nil {
			t.Fatal(err)
		}
		return c.try("POST", pathRest, query170(""))
	}
	for spec, check := range map[string]func(answer, error) bool{
		"":                       func(a answer, err error) bool { return a.body == good.body },
		"latency=1ms":            func(a answer, err error) bool { return a.body == good.body },
		"latency=1ms-2ms:always": func(a answer, err error) bool { return a.body == good.body },
		"reset":                  func(a answer, err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		"truncate": func(a answer, err error) bool {
			return a.status == 200 && err != nil && strings.HasPrefix(good.body, a.body)
		},
		"cut":                     func(a answer, err error) bool { return err == nil && a.body == good.body[:len(good.body)/2] },
		"empty":                   func(a answer, err error) bool { return err == nil && a.status == 200 && a.body == "" },
		"null":                    func(a answer, err error) bool { return strings.Contains(a.body, `"resultDesc":null`) },
		"html":                    func(a answer, err error) bool { return a.status == 200 && strings.HasPrefix(a.body, "<!DOCTYPE") },
		"status=503":              func(a answer, err error) bool { return a.status == 503 },
		"unauthorized":            func(a answer, err error) bool { return a.status == 401 },
		"locked":                  func(a answer, err error) bool { return a.status == 403 },
		"code=0100999":            func(a answer, err error) bool { return strings.Contains(a.body, `"0100999"`) },
		"code=0100001,status=500": func(a answer, err error) bool { return strings.Contains(a.body, `"0100001"`) },
		"nested":                  func(a answer, err error) bool { return strings.Count(a.body, "[") == 100_000 },
		"numbers":                 func(a answer, err error) bool { return json.Valid([]byte(a.body)) && strings.Contains(a.body, "1e400") },
		"huge":                    func(a answer, err error) bool { return len(a.body) > hugeSize && json.Valid([]byte(a.body)) },
		"skew=90s": func(a answer, err error) bool {
			return a.header.Get("Date") == start.Add(90*time.Second).Format(http.TimeFormat)
		},
		"skew=-20m": func(a answer, err error) bool { return a.status == 401 },
		"torn": func(a answer, err error) bool {
			_, d := decode(t, a)
			return len(d.Rows) == len(want.Rows)-1 && d.On == want.On
		},
		"counts": func(a answer, err error) bool {
			_, d := decode(t, a)
			return same(d.Rows, want.Rows) && d.On == want.On+1
		},
		"duplicate": func(a answer, err error) bool {
			_, d := decode(t, a)
			numbers := map[int]bool{}
			for _, r := range d.Rows {
				numbers[r.WorkNo] = true
			}
			return len(d.Rows) == len(want.Rows) && len(numbers) == len(d.Rows)-1
		},
		"names": func(a answer, err error) bool {
			_, d := decode(t, a)
			return len(d.Rows) == len(want.Rows) && strings.Contains(a.body, "<script>") && !utf8.ValidString(a.body)
		},
		"bomb": func(a answer, err error) bool {
			return err == nil && len(a.body) < 2<<20 && a.header.Get("Content-Encoding") == "gzip" && unpacked(t, a.body) == 1<<30
		},
		"headers":                      func(a answer, err error) bool { return err != nil && strings.Contains(err.Error(), "headers exceeded") },
		"vdn=1:171,html":               func(a answer, err error) bool { return a.body == good.body },
		"vdn=1:171,html,vdn=all,empty": func(a answer, err error) bool { return a.body == "" },
		"vdn=1:170,html":               func(a answer, err error) bool { return strings.HasPrefix(a.body, "<") },
		"html=0,empty=0%":              func(a answer, err error) bool { return a.body == good.body },
	} {
		a, err := poll(spec)
		if !check(a, err) {
			t.Errorf("%s: status %d, body %.300q, error %v", spec, a.status, a.body, err)
		}
		mu.Lock()
		if name, _, _ := strings.Cut(spec, "="); name == "torn" || name == "html" && !strings.Contains(spec, "0") {
			if last.Fault != name || last.VDN != vdn170 {
				t.Errorf("%s is traced as %+v", spec, last)
			}
		}
		mu.Unlock()
		c.s.Unlock()
	}
}

// unpacked is how long a gzip text is, unpacked.
func unpacked(t *testing.T, text string) int64 {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, z)
	if err != nil {
		t.Error(err)
	}
	return n
}

// TestStubborn is about the faults that last until the caller gives up.
func TestStubborn(t *testing.T) {
	traced := make(chan Call, 10)
	c, _ := serve(t, Options{Trace: func(c Call) { traced <- c }})
	for _, spec := range []string{"hang", "endless", "slow", "latency=1h"} {
		if err := c.s.SetFaults(spec); err != nil {
			t.Fatal(err)
		}
		r := c.request("POST", pathRest, query170(""))
		c.sign(r, query170(""))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			resp, err := c.http.Do(r.WithContext(ctx))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			done <- err
		}()
		for c.s.Stats(vdn170).InFlight == 0 {
			runtime.Gosched()
		}
		if spec != "latency=1h" {
			<-traced
		}
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s came to an end", spec)
		}
		for c.s.Stats(vdn170).InFlight != 0 {
			runtime.Gosched()
		}
	}
}

// TestCloseFrees: Close waits for nobody who hangs.
func TestCloseFrees(t *testing.T) {
	c, _ := serve(t, Options{Plain: true, Faults: "hang"})
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := c.try("POST", pathRest, query170(""))
			errs <- err
		}()
	}
	for c.s.Stats(vdn170).InFlight < 8 {
		runtime.Gosched()
	}
	if err := c.s.Close(); err != nil {
		t.Error(err)
	}
	for range 8 {
		if err := <-errs; err == nil {
			t.Error("a hanging call was answered")
		}
	}
	if got := c.s.Stats(vdn170); got != (Stats{Calls: 8, MaxInFlight: 8}) {
		t.Errorf("%+v", got)
	}
	c.s.ResetMax()
	if got := c.s.Stats(vdn170).MaxInFlight; got != 0 {
		t.Errorf("after ResetMax %d", got)
	}
	if got := c.s.Calls(); got != 8 {
		t.Errorf("%d calls", got)
	}
}

// TestProbability: a seed gives the same faults, about as often as asked.
func TestProbability(t *testing.T) {
	draw := func(seed int64) (hits []int) {
		s, err := New(Options{Faults: "html=0.2,torn=30%", FaultSeed: seed})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			if s.draw(vdn170).whole != nil {
				hits = append(hits, i)
			}
		}
		return hits
	}
	a, b, other := draw(1), draw(1), draw(2)
	if len(a) < 300 || len(a) > 500 {
		t.Errorf("struck %d of 2000", len(a))
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || fmt.Sprint(a) == fmt.Sprint(other) {
		t.Error("the seed does not decide")
	}
}
