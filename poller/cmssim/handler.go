package cmssim

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"restwatch/diff"
)

const (
	pathPrefix  = "/rest/cmsapp/v1/openapi/"
	pathRest    = pathPrefix + "agentgroup/agentrestinfos"
	pathState   = pathPrefix + "vdn/queryagentreststate"
	pathReasons = pathPrefix + "agentgroup/restreasons/" // then ccId/vdn
)

// call is one HTTP call while it is answered.
type call struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	hit  strike
	seen Call
}

// ServeHTTP answers a call as CC-CMS does: lock, address and method,
// signature, parameters, list.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handlerMu.Lock()
	if s.closed {
		s.handlerMu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	s.handlerMu.Unlock()
	defer s.handlers.Done()

	c, _ := s.calls.Get().(*call)
	if c == nil {
		c = new(call)
	}
	defer s.calls.Put(c) // also when a fault panics: nothing of it is used again
	*c = call{s: s, w: w, r: r, body: c.body}
	c.serve()
}

func (c *call) serve() {
	s, r := c.s, c.r
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	if s.lockout.locked(ip, s.now()) {
		s.refused.Add(1)
		c.problem(http.StatusForbidden, "IP "+ip+" is locked")
		return
	}
	method := http.MethodPost
	path := r.URL.Path
	switch {
	case path == s.opts.Path, path == pathState:
	case strings.HasPrefix(path, pathReasons):
		method = http.MethodGet
	default:
		c.problem(http.StatusNotFound, "No message available")
		return
	}
	if r.Method != method {
		c.w.Header().Set("Allow", method)
		c.problem(http.StatusMethodNotAllowed, "Request method '"+r.Method+"' not supported")
		return
	}
	var err error
	if c.body, err = readBody(c.body, r); err != nil {
		c.problem(http.StatusBadRequest, err.Error())
		return
	}

	q, invalid := parseQuery(path, c.body)
	t := s.tenants[q.vdn()]
	if t != nil {
		c.seen = Call{VDN: t.vdn, Offset: q.page().offset, Limit: q.page().limit}
		t.enter()
		defer t.leave()
	}
	c.hit = s.draw(q.vdn())
	if c.hit.skew != 0 || s.opts.Now != nil {
		// net/http would take the real clock.
		c.w.Header()["Date"] = []string{c.clock().UTC().Format(http.TimeFormat)}
	}
	if c.hit.latency > 0 && !s.wait(r.Context(), c.hit.latency) {
		panic(http.ErrAbortHandler)
	}
	if !c.signed(ip) || c.broken() {
		return
	}
	if kind := r.Header.Get("Content-Type"); method == http.MethodPost && !isJSON(kind) {
		c.problem(http.StatusUnsupportedMediaType, fmt.Sprintf("Content type '%s' not supported", kind))
		return
	}
	switch {
	case invalid != nil:
		c.fail(t, codeInvalid, invalid.Error())
	case t == nil:
		c.fail(t, codePermission, fmt.Sprintf("no permission for ccId %d, vdn %d", q.CC, q.VDN))
	default:
		c.answer(t, q)
	}
}

// clock is the platform's, which a fault can set wrong.
func (c *call) clock() time.Time { return c.s.now().Add(c.hit.skew) }

// signed checks the signature, and answers if it is bad.
func (c *call) signed(ip string) bool {
	o := &c.s.opts
	if o.AccessKey == "" {
		return true
	}
	if err := o.checkSignature(c.r, c.body, c.clock()); err != nil {
		c.s.badSignatures.Add(1)
		c.s.lockout.bad(ip, c.s.now())
		c.s.log.Info("refuse call", "ip", ip, "reason", err)
		c.problem(http.StatusUnauthorized, err.Error())
		return false
	}
	c.s.lockout.good(ip)
	return true
}

func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// unpaged is what CTI 3.6 lists of a request without offset and limit: the
// first page of the greatest size. No document says so; a client that takes
// it for the whole list finds that the counts say more.
var unpaged = page{limit: 100}

func (c *call) answer(t *tenant, q query) {
	switch path := c.r.URL.Path; {
	case path == c.s.opts.Path:
	case path == pathState:
		c.restState(t, q.page())
		return
	default:
		c.restReasons(t)
		return
	}
	p := q.page()
	switch {
	case !t.pages:
		p = page{}
	case p.limit == 0:
		p = unpaged
	}
	c.seen.At, c.seen.Code = c.s.now(), codeOK
	var b *body
	switch whole := c.hit.whole; {
	case whole != nil || c.hit.list != 0:
		b = c.spoiled(t, p)
	default:
		b, c.seen.Version = t.reply(c.seen.At, p)
	}
	if b == nil { // a fault has answered
		return
	}
	c.trace()
	c.send(t, b)
}

// Values of headers, shared since net/http only reads them.
var (
	typeJSON = []string{"application/json;charset=UTF-8"}
	typeHTML = []string{"text/html;charset=UTF-8"}
	encGzip  = []string{"gzip"}
)

func (c *call) send(t *tenant, b *body) {
	h := c.w.Header()
	if t != nil && t.out.Gzip && strings.Contains(c.r.Header.Get("Accept-Encoding"), "gzip") {
		b = b.gzip()
		h["Content-Encoding"] = encGzip
	}
	h["Content-Type"] = typeJSON
	h["Content-Length"] = b.length
	_, _ = c.w.Write(b.plain) // a caller who has gone is no concern of ours
}

// fail answers with a result code. A VDN that does not exist speaks as a
// current release.
func (c *call) fail(t *tenant, code, text string) {
	out := newRenderer(Reply{})
	if t != nil {
		out = t.out
	}
	c.seen.At, c.seen.Code = c.s.now(), code
	c.trace()
	c.send(t, newBody(out.fault(nil, code, text)))
}

// problem answers with an HTTP status and the platform's error body.
func (c *call) problem(status int, message string) {
	b := append([]byte(nil), `{"timestamp":`...)
	b = strconv.AppendInt(b, c.clock().UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	b = appendString(append(b, `,"error":`...), http.StatusText(status))
	b = appendString(append(b, `,"message":`...), message)
	b = appendString(append(b, `,"path":`...), c.r.URL.Path)
	b = append(b, '}')
	h := c.w.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	if status >= 300 && status < 400 {
		h.Set("Location", "/login")
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b)
}

func (c *call) trace() {
	if c.s.opts.Trace == nil || c.seen.VDN == (diff.VDN{}) {
		return
	}
	c.seen.Fault = c.hit.name()
	c.s.opts.Trace(c.seen)
}
