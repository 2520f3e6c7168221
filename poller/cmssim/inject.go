package cmssim

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"restwatch/diff"
)

// broken answers for the faults that do not care what was asked, and says
// whether one did. They come after the signature: a signature that is bad is
// refused whatever else is wrong.
func (c *call) broken() bool {
	if c.hit.whole == nil {
		return false
	}
	c.seen.At = c.s.now()
	switch f := c.hit.whole; f.name {
	case faultHang:
		c.trace()
		c.s.hang(c.r.Context())
		panic(http.ErrAbortHandler)
	case faultReset:
		c.trace()
		c.reset()
	case faultUnauthorized:
		c.trace()
		c.problem(http.StatusUnauthorized, "access refused")
	case faultLocked:
		c.trace()
		c.problem(http.StatusForbidden, "the caller's IP is locked")
	case faultStatus:
		c.trace()
		c.problem(f.status, "simulated")
	case faultCode:
		c.fail(c.s.tenants[c.seen.VDN], f.code, textOf(f.code))
	case faultHTML:
		c.trace()
		c.w.Header()["Content-Type"] = typeHTML
		_, _ = c.w.Write([]byte("<!DOCTYPE html><html><head><title>Login</title></head><body><form action=\"/login\" method=\"post\"></form></body></html>\n"))
	case faultEmpty:
		c.trace()
		c.send(nil, newBody(nil))
	default:
		return false
	}
	return true
}

func textOf(code string) string {
	switch code {
	case "0100001":
		return "call failed"
	case codeInvalid:
		return "invalid parameter"
	case "0100003":
		return "needs CTI V3R8, found V3R6"
	case "0100999":
		return "unknown error"
	case codePermission:
		return "no permission"
	}
	return "simulated error " + code
}

// reset ends the connection with a TCP reset instead of an answer. Where the
// connection cannot be had, it just ends.
func (c *call) reset() {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // no close_notify
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// spoiled makes the reply that the call's faults ask for; nil if it was sent.
func (c *call) spoiled(t *tenant, p page) *body {
	rows, counts := t.list(c.seen.At, p)
	rows, counts = c.spoilList(rows, counts)
	good := t.out.list(nil, rows, counts)
	if c.hit.list&listNames != 0 {
		good = bytes.ReplaceAll(good, []byte(unreadable), []byte("\xff\xc0\x80\xed\xa0\x80\xf5"))
	}
	if c.hit.whole == nil {
		return newBody(good)
	}
	switch c.hit.whole.name {
	case faultCut:
		return newBody(good[:len(good)/2])
	case faultNull:
		return newBody([]byte(`{"result":"0","resultCode":"0100000","resultDatas":null,"resultDesc":null}`))
	case faultNested:
		const deep = 100_000
		return newBody([]byte(`{"resultCode":"0100000","resultDesc":{"agentsRestDetails":` +
			strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}}`))
	case faultNumbers:
		return newBody([]byte(`{"result":"0","resultCode":"0100000","resultDesc":{"allowRestNum":1e400,"onRestNum":-1,"waitRestNum":99999999999999999999,` +
			`"agentsRestDetails":[{"agentName":"z1","workNo":18446744073709551617,"cantRestReason":1e99,"beginTime":9223372036854775808,"restDuration":-86400},` +
			`{"agentName":"z2","workNo":1.5,"cantRestReason":2147483648,"beginTime":-1,"restDuration":1e-400}]}}`))
	}
	c.trace()
	switch c.hit.whole.name {
	case faultTruncate:
		b := newBody(good)
		h := c.w.Header()
		h["Content-Type"], h["Content-Length"] = typeJSON, b.length
		_, _ = c.w.Write(good[:len(good)/2])
		_ = http.NewResponseController(c.w).Flush()
		panic(http.ErrAbortHandler)
	case faultHuge:
		c.huge(good)
	case faultEndless:
		c.endless()
	case faultSlow:
		c.slow(good)
	case faultBomb:
		c.bomb()
	case faultHeaders:
		c.headers()
	}
	return nil
}

// unreadable stands for bytes that are no UTF-8.
const unreadable = "\ufffd"

// spoilList changes rows, which are the call's own, and counts.
func (c *call) spoilList(rows []diff.Row, counts diff.Counts) ([]diff.Row, diff.Counts) {
	n := len(rows)
	if c.hit.list&listDuplicate != 0 && n > 1 {
		i := c.s.index(n)
		rows[(i+1)%n] = rows[i]
	}
	if c.hit.list&listTorn != 0 && n > 0 {
		i := c.s.index(n)
		rows = append(rows[:i], rows[i+1:]...)
	}
	if c.hit.list&listCounts != 0 {
		counts.Resting++
	}
	if c.hit.list&listNames != 0 {
		hostile := []string{
			"<script>alert(1)</script>", "\x00\x1b[2J\r\n\t\x7f", `"]}}\`, "=cmd|' /C calc'!A0",
			"\u202etsetal\u2066\u2028", strings.Repeat("z", 5000), "", "event: x\n\ndata: y", "a" + unreadable + "b",
		}
		for i := range rows {
			rows[i].Name = hostile[rows[i].WorkNo%len(hostile)]
		}
	}
	return rows, counts
}

// hugeSize is what the huge fault adds to a reply.
const hugeSize = 32 << 20

func (c *call) huge(good []byte) {
	c.w.Header()["Content-Type"] = typeJSON
	_, _ = c.w.Write([]byte(`{"padding":"`))
	padding := bytes.Repeat([]byte("x"), 64<<10)
	for range hugeSize / len(padding) {
		if _, err := c.w.Write(padding); err != nil {
			return
		}
	}
	_, _ = c.w.Write([]byte(`",`))
	_, _ = c.w.Write(good[1:])
}

// endless writes rows until the caller or the Server has gone.
func (c *call) endless() {
	c.w.Header()["Content-Type"] = typeJSON
	_, _ = c.w.Write([]byte(`{"result":"0","resultCode":"0100000","resultDesc":{"allowRestNum":0,"onRestNum":1,"waitRestNum":0,"agentsRestDetails":[`))
	row := []byte(`{"agentName":"z1","workNo":55001,"cantRestReason":0,"beginTime":1602830642000,"restDuration":600},`)
	rows := bytes.Repeat(row, 500)
	for c.r.Context().Err() == nil {
		select {
		case <-c.s.closing:
			panic(http.ErrAbortHandler)
		default:
		}
		if _, err := c.w.Write(rows); err != nil {
			break
		}
	}
	panic(http.ErrAbortHandler)
}

// slow writes byte by byte.
func (c *call) slow(good []byte) {
	h := c.w.Header()
	h["Content-Type"], h["Content-Length"] = typeJSON, newBody(good).length
	out := http.NewResponseController(c.w)
	for i := range good {
		if !c.s.wait(c.r.Context(), 20*time.Millisecond) {
			panic(http.ErrAbortHandler)
		}
		if _, err := c.w.Write(good[i : i+1]); err != nil {
			return
		}
		_ = out.Flush()
	}
}

// bombMember unpacks to a megabyte. A gzip text may have any number of members.
var bombMember = sync.OnceValue(func() []byte { return newBody(bytes.Repeat([]byte(" "), 1<<20)).gzip().plain })

const bombMembers = 1 << 10

func (c *call) bomb() {
	h := c.w.Header()
	h["Content-Type"], h["Content-Encoding"] = typeJSON, encGzip
	for range bombMembers {
		if _, err := c.w.Write(bombMember()); err != nil {
			return
		}
	}
}

// headers writes header lines until the caller or the Server has gone, or the
// caller reads no more.
func (c *call) headers() {
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	lines := []byte("HTTP/1.1 200 OK\r\n")
	for {
		select {
		case <-c.s.closing:
			return
		default:
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // fails with the connection, as the writing then does
		if _, err := conn.Write(lines); err != nil {
			return
		}
		lines = bytes.Repeat([]byte("X-Padding: xxxxxxxxxxxxxxxxxxxx\r\n"), 100)
	}
}

// wait pauses for d, or until the caller or the Server has gone.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// hang waits until the caller or the Server has gone.
func (s *Server) hang(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.closing:
	}
}
