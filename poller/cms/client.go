package cms

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"restwatch/diff"
)

// Path is the interface's own path [doc].
const Path = "/rest/cmsapp/v1/openapi/agentgroup/agentrestinfos"

// contentType is the value the document prescribes.
const contentType = "application/json; charset=UTF-8"

// Values of Options.CTI and of [Client.CTI].
const (
	CTIAuto = "auto"
	CTI36   = "3.6" // pages
	CTI38   = "3.8" // ignores paging fields and returns the whole list
)

// Options of a client. The zero value of a field means what its comment says;
// where it says nothing the field is required.
type Options struct {
	// URL of CC-CMS or of the load balancer before it, http or https. A path
	// other than "/" replaces the interface's own; a query is sent, and signed,
	// with every call. A user in it is refused: the signature is the only
	// credential. The host is sent and signed as it is written here, port
	// included.
	URL       *url.URL
	AccessKey string
	SecretKey Secret
	// TLS settings, see [LoadTLS]; nil: the system's authorities.
	TLS *tls.Config
	// CTI is CTIAuto (also ""), CTI36 or CTI38.
	CTI string
	// PageSize is the limit sent on paging calls, 1..100; 0: 100.
	PageSize int
	// Timeout of one call, from sending it to the last byte of the reply, once
	// it has a slot; 0: 5 s. Waiting for a slot is bounded by Read's context.
	Timeout time.Duration
	// MaxInFlight is the greatest number of calls, and of connections; 0: 32.
	MaxInFlight int
	// Rate is the greatest number of calls a second, in bursts of at most a
	// tenth of a second's; 0: no limit.
	Rate float64
	// BeginTime is the unit of beginTime, see [Decode]; "": UnitAuto.
	BeginTime string
	// MaxBody bounds a reply in bytes, before and after decompression; 0:
	// 64 MiB. (10,000 agents in both copies are about 3 MB.)
	MaxBody int
	// UserAgent is sent as such; "": "restwatch".
	UserAgent string
	// Log takes warnings about how the connection is made and about beginTimes;
	// nil: none.
	Log *slog.Logger
	// Metrics may be nil. Two clients cannot share one.
	Metrics prometheus.Registerer
}

// Client calls one CC-CMS with one key pair. Safe for concurrent use.
type Client struct {
	transport *transport
	url       *url.URL
	signer    signer
	head      []byte // of every call, what is the same in all
	cti       string
	pageSize  int
	from, to  int64 // values of beginTime that are a time
	timeout   time.Duration
	maxBody   int
	slots     chan struct{}
	large     atomic.Int64  // bytes that large replies hold
	limiter   *rate.Limiter // nil: no limit
	log       *slog.Logger
	metrics   *metrics
	skew      skew
	hash      hasher
	refusals  atomic.Int64 // calls that were refused, so far

	sites sync.Map // of diff.VDN to *site
}

// site is what is kept of a VDN between readings.
type site struct {
	vdn   diff.VDN
	first request // of the whole list, or of page 1
	cti   atomic.Pointer[string]
	// warned says that the last list had an unusable beginTime.
	warned atomic.Bool

	mu    sync.Mutex
	names names // guarded by mu
}

// New makes a client. It makes no call. The error names each option that is
// wrong, in the order of Options, and never quotes a secret.
func New(o Options) (*Client, error) {
	o.CTI = cmp.Or(o.CTI, CTIAuto)
	o.PageSize = cmp.Or(o.PageSize, 100)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 32)
	o.BeginTime = cmp.Or(o.BeginTime, UnitAuto)
	o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	o.UserAgent = cmp.Or(o.UserAgent, "restwatch")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}

	u := *o.URL
	if u.Path == "" || u.Path == "/" {
		u.Path, u.RawPath = Path, ""
	}
	u.Host = strings.TrimSuffix(u.Host, ":")
	c := &Client{
		url:      &u,
		signer:   signer{accessKey: o.AccessKey, secret: []byte(o.SecretKey), names: signedHeaders},
		cti:      o.CTI,
		pageSize: o.PageSize,
		timeout:  o.Timeout,
		maxBody:  o.MaxBody,
		slots:    make(chan struct{}, o.MaxInFlight),
		log:      o.Log,
		hash:     newHasher(),
	}
	c.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Type: %s\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n",
		u.RequestURI(), u.Host, o.UserAgent, contentType)
	o.URL = &u
	c.transport = newTransport(o)
	if o.Rate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate/10)))
	}
	var err error
	if c.from, c.to, err = unitRange(o.BeginTime); err != nil {
		return nil, err
	}
	if c.metrics, err = newMetrics(o.Metrics, &c.skew); err != nil {
		return nil, err
	}
	if u.Scheme == "http" {
		o.Log.Warn("CC-CMS is called without TLS: replies can be read and forged on the way", "host", u.Host)
	} else if o.TLS != nil && o.TLS.InsecureSkipVerify {
		o.Log.Warn("the certificate of CC-CMS is not verified: replies can be forged on the way", "host", u.Host)
	}
	return c, nil
}

func (o *Options) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch u := o.URL; {
	case u == nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		wrong("URL: want https://host:port")
	case u.User != nil:
		wrong("URL: holds a user: want https://host:port, the access key is an option of its own")
	case !printable(u.Host):
		wrong("URL: host %q: want ASCII (a name in its xn-- form)", u.Host)
	case strings.Contains(u.Host, "%"):
		wrong("URL: host %q: want an address without a zone, which is not sent and so cannot be signed", u.Host)
	}
	if o.URL != nil && !printable(o.URL.RequestURI()) {
		wrong("URL: path or query %q: want ASCII, anything else escaped", o.URL.RequestURI())
	}
	if o.AccessKey == "" || !printable(o.AccessKey) {
		wrong("AccessKey: want visible ASCII characters")
	}
	if o.SecretKey == "" {
		wrong("SecretKey: is missing")
	}
	switch o.CTI {
	case CTIAuto, CTI36, CTI38:
	default:
		wrong("CTI %q: want auto, 3.6 or 3.8", o.CTI)
	}
	if o.PageSize < 1 || o.PageSize > 100 {
		wrong("PageSize %d: want 1..100", o.PageSize)
	}
	if o.Timeout < 0 {
		wrong("Timeout %v: want more than 0", o.Timeout)
	}
	if o.MaxInFlight < 0 {
		wrong("MaxInFlight %d: want more than 0", o.MaxInFlight)
	}
	if !(o.Rate >= 0) {
		wrong("Rate %v: want 0 or more", o.Rate)
	}
	if o.MaxBody < 0 {
		wrong("MaxBody %d: want more than 0", o.MaxBody)
	}
	if !printable(strings.ReplaceAll(o.UserAgent, " ", "")) {
		wrong("UserAgent %q: want ASCII", o.UserAgent)
	}
	if _, _, err := unitRange(o.BeginTime); err != nil {
		wrong("BeginTime: %w", err)
	}
	return errors.Join(errs...)
}

// printable says whether s is made of visible ASCII characters only, so that
// it can stand in a header and in a signature as it is.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Close closes idle connections. Calls under way are not touched: cancel the
// context of Read.
func (c *Client) Close() { c.transport.closeIdle() }

// Format prints which upstream c calls, and nothing else, whatever the verb: a
// client printed by mistake must not show its key.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "CC-CMS at %s", c.url.Host) }

// CTI returns which CTI generation a VDN was last seen to have, CTI36 or
// CTI38; "" as long as no list was long enough to tell. With a forced
// Options.CTI it returns that.
func (c *Client) CTI(vdn diff.VDN) string {
	if c.cti != CTIAuto {
		return c.cti
	}
	if s, ok := c.sites.Load(vdn); ok {
		if cti := s.(*site).cti.Load(); cti != nil {
			return *cti
		}
	}
	return ""
}

// found remembers the generation that the evidence of a reply speaks for.
func (c *Client) found(s *site, cti string) {
	if c.cti != CTIAuto {
		return
	}
	was := s.cti.Load()
	if was != nil && *was == cti {
		return
	}
	s.cti.Store(&cti)
	c.log.LogAttrs(context.Background(), slog.LevelInfo, "CTI generation found",
		slog.String("vdn", s.vdn.String()), slog.String("cti", cti))
}

func (c *Client) site(vdn diff.VDN) *site {
	if s, ok := c.sites.Load(vdn); ok {
		return s.(*site)
	}
	s := &site{vdn: vdn, first: c.page(vdn, 0)}
	kept, _ := c.sites.LoadOrStore(vdn, s)
	return kept.(*site)
}

// signedHeaders are the ones the vendor's example signs.
const signedHeaders = "content-length;content-type;host"

// request is a call made ready: its body, and the text to sign, neither of
// which depends on the time.
type request struct {
	body      []byte
	canonical []byte
}

// page makes the request of page n, from 0, of a VDN.
func (c *Client) page(vdn diff.VDN, n int) request {
	b := make([]byte, 0, 80)
	b = append(b, `{"queryParam":{"ccId":`...)
	b = strconv.AppendInt(b, int64(vdn.CC), 10)
	b = append(b, `,"vdn":`...)
	b = strconv.AppendInt(b, int64(vdn.ID), 10)
	if c.cti != CTI38 {
		b = append(b, `,"offset":`...)
		b = strconv.AppendInt(b, int64(n*c.pageSize), 10)
		b = append(b, `,"limit":`...)
		b = strconv.AppendInt(b, int64(c.pageSize), 10)
	}
	b = append(b, "}}"...)
	m := Message{
		Method: http.MethodPost,
		Path:   c.url.EscapedPath(),
		Query:  c.url.RawQuery,
		Headers: []Header{
			{"content-length", strconv.Itoa(len(b))},
			{"content-type", contentType},
			{"host", c.url.Host},
		},
		Body: b,
	}
	return request{body: b, canonical: AppendCanonical(nil, m)}
}
