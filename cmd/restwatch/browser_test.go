package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"restwatch/diff"
)

// findBrowser looks for a Chromium that starts, "" if there is none. Where the
// system knows one that is not installed, a program of its name says so and fails.
func findBrowser(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if said, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil && strings.Contains(string(said), "Chrom") {
			return path
		}
	}
	return ""
}

// tab is a page in a headless Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	asked  []string // URLs that it asked for
	faults []string // what its console would show in red, and dialogs
}

// openTab starts a browser of its own for the test, which ends with it.
func openTab(t *testing.T, path string) *tab {
	t.Helper()
	home := t.TempDir()
	ctx, end := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(end)
	ctx, gone := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(home), chromedp.Env("HOME="+home),
		chromedp.NoSandbox, // not to be had in many containers; the page is our own
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)...)
	t.Cleanup(gone) // waits for the process
	b := &tab{t: t}
	ctx, closed := chromedp.NewContext(ctx, chromedp.WithListener(b.heard))
	t.Cleanup(closed)
	b.ctx = ctx
	b.do()
	t.Cleanup(func() {
		if t.Failed() {
			text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
			t.Logf("the page shows, %v:\n%s", err, text)
		}
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	return b
}

func (b *tab) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	case *log.EventEntryAdded:
		b.faults = append(b.faults, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprint("exception: ", e.ExceptionDetails.Text))
	case *page.EventJavascriptDialogOpening:
		b.faults = append(b.faults, "dialog: "+e.Message)
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// is waits until an expression holds in the page.
func (b *tab) is(what, expression string, args ...any) {
	b.t.Helper()
	eventually(b.t, what, func() bool {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(expression, args...)))
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
		return holds
	})
}

// row waits until the page has an agent of a VDN, by name and state.
func (b *tab) row(v diff.VDN, name, state string) {
	b.t.Helper()
	b.is(name+" "+state, `[...document.querySelectorAll('[id="%v"] tbody tr')].some(r => r.cells[1].textContent === %q && r.cells[2].textContent === %q)`,
		v, name, state)
}

// The wallboard as a browser shows it: who is on the lists, what changes, text
// that is no more than text, and how far it can be relied on.
func TestWallboardInABrowser(t *testing.T) {
	t.Parallel()
	path := findBrowser(t)
	if path == "" {
		t.Log("no Chromium in PATH, so nobody looks at the page")
		return
	}
	u := startUpstream(t, byHand(vdn170, vdn171)...)
	list := firstRoster()
	const (
		hostile = `<img src=x onerror="document.title='ran'">`
		arabic  = "أحمد 105"
	)
	long := strings.Repeat("W", 200)
	list.rows[1].Name, list.rows[3].Name, list.rows[4].Name = hostile, long, arabic
	u.show(vdn170, list)
	u.show(vdn171, firstRoster())
	s := startService(t, u.settings(t))
	s.polled(vdn170, vdn171)

	b := openTab(t, path)
	b.do(chromedp.EmulateViewport(390, 844), chromedp.Navigate(s.http+"/"))
	b.is("a mark of its own", "window.same = true")
	for _, r := range list.rows {
		state := map[bool]string{true: "waiting", false: "resting"}[r.Reason != 0]
		b.row(vdn170, r.Name, state)
		b.row(vdn171, fmt.Sprint("Agent ", r.WorkNo), state)
	}
	b.is("feeds that are ok", `[...document.querySelectorAll('.feed')].map(f => f.textContent).join() === 'ok,ok'`)
	b.is("nothing wider than a phone", `document.documentElement.scrollWidth <= 390`)
	b.is("a name of two lines at most", `[...document.querySelectorAll('bdi')].every(n => n.offsetHeight < 60)`)

	list = nextRoster(list)
	u.show(vdn170, list)
	b.row(vdn170, "Agent 103", "resting")
	b.row(vdn170, "Agent 106", "waiting")
	b.is("that who left is gone", `!document.querySelector('[id="1:170"]').innerText.includes('Agent 101')`)

	u.setFaults(t, "vdn=1:171,status=503")
	b.is("a feed that is down", `document.querySelector('[id="1:171"] .feed').textContent === 'down' && document.querySelector('[id="1:171"] .doubt').textContent.startsWith('last good poll')`)
	b.is("the other feed, which is ok", `document.querySelector('[id="1:170"] .feed').textContent === 'ok'`)
	b.is("the same page, in which nothing ran", `window.same && document.title === 'restwatch' && document.images.length === 0`)

	b.mu.Lock()
	faults, asked := slices.Clone(b.faults), slices.Clone(b.asked)
	b.mu.Unlock()
	if len(faults) > 0 {
		t.Errorf("the browser complains: %q", faults)
	}
	for _, file := range asked {
		if !strings.HasPrefix(file, s.http+"/") || strings.Contains(file, "/events") {
			t.Errorf("the page asked for %s", file)
		}
	}

	s.stop()
	b.is("that nobody answers", `document.getElementById('state').textContent.endsWith('restwatch does not answer')`)
}
