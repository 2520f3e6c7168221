package cmssim

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"restwatch/diff"
)

// Options of a Server. Only Tenants has no default.
type Options struct {
	// Addr to listen at; "" is a free port of 127.0.0.1.
	Addr string
	// Plain serves HTTP without TLS.
	Plain bool
	// ServerName is a further name or IP in the certificate, beside 127.0.0.1,
	// ::1 and localhost.
	ServerName string

	// AccessKey and SecretKey that callers must sign with; both "" checks no
	// signature.
	AccessKey, SecretKey string
	// Tolerance is how far a signature's timestamp may be off; 0 is 15 min. The
	// platform's own is not known.
	Tolerance time.Duration
	// BadSignatures in a row lock the caller's IP for LockFor: 0 is 5, negative
	// never; 0 is 10 min.
	BadSignatures int
	LockFor       time.Duration

	// Path of the main interface instead of the documented one, as behind a
	// balancer that maps it; "" is the documented one.
	Path string

	Tenants []Tenant
	// Faults at the start, as CheckFaults accepts them, drawn with FaultSeed.
	Faults    string
	FaultSeed int64

	// Now is the platform's clock; nil is the real one. The worlds advance to
	// it at each call.
	Now func() time.Time
	// Trace, if not nil, is told of each call that named a VDN of this Server,
	// before the answer goes out, by the goroutine of the call.
	Trace func(Call)
	Log   *slog.Logger // nil is silence
}

// Call is a call that was understood.
type Call struct {
	VDN diff.VDN
	// At is the instant whose list the answer shows.
	At            time.Time
	Offset, Limit int
	// Version of the list that was shown: two answers of one version and page
	// are equal. 0 if a fault changed it.
	Version uint64
	// Code is the result code, "" if the answer has none.
	Code string
	// Fault that decided the answer or changed its list, "" without one; of
	// several one.
	Fault string
}

// Server is a CC-CMS with many VDNs. It is an http.Handler, for tests that
// bring their own listener; all its methods may be called at any time.
type Server struct {
	opts    Options
	now     func() time.Time
	log     *slog.Logger
	tenants map[diff.VDN]*tenant
	lockout lockout
	calls   sync.Pool // of *call, for their buffers

	faults atomic.Pointer[[]fault]
	rngMu  sync.Mutex // guards rng
	rng    *rand.Rand

	badSignatures atomic.Int64
	refused       atomic.Int64

	caPEM    []byte
	cert     tls.Certificate
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when the listener's goroutine has ended

	closing   chan struct{} // closed to let go of the calls that hang
	closeOnce sync.Once
	handlerMu sync.Mutex // guards closed, and handlers.Add against Wait
	closed    bool
	handlers  sync.WaitGroup
}

// New makes a Server that does not listen yet. Every World is made here, at
// its Start.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Path == "" {
		o.Path = pathRest
	}
	if o.Tolerance == 0 {
		o.Tolerance = 15 * time.Minute
	}
	if o.BadSignatures == 0 {
		o.BadSignatures = 5
	}
	if o.LockFor == 0 {
		o.LockFor = 10 * time.Minute
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return nil, errors.New("access key and secret key: want both or none")
	}
	s := &Server{
		opts:    o,
		now:     o.Now,
		log:     o.Log,
		tenants: make(map[diff.VDN]*tenant, len(o.Tenants)),
		lockout: lockout{limit: o.BadSignatures, span: o.LockFor, ips: make(map[string]offender)},
		rng:     rand.New(rand.NewPCG(uint64(o.FaultSeed), 0)),
		closing: make(chan struct{}),
		served:  make(chan struct{}),
	}
	if err := s.SetFaults(o.Faults); err != nil {
		return nil, err
	}
	if o.Path != "" && !strings.HasPrefix(o.Path, "/") {
		return nil, fmt.Errorf("path %q: want a leading slash", o.Path)
	}
	start := o.Now()
	renderers := make(map[Reply]*renderer)
	for _, t := range o.Tenants {
		if t.World.Start.IsZero() {
			t.World.Start = start
		}
		if t.World.HistoryLimit == 0 {
			t.World.HistoryLimit = 10_000
		}
		if err := t.World.Validate(); err != nil {
			return nil, fmt.Errorf("VDN %s: %w", t.World.VDN, err)
		}
		if s.tenants[t.World.VDN] != nil {
			return nil, fmt.Errorf("VDN %s is listed twice", t.World.VDN)
		}
		if t.CTI != "" && t.CTI != "3.6" && t.CTI != "3.8" {
			return nil, fmt.Errorf("CTI %q: want 3.6 or 3.8", t.CTI)
		}
		switch t.Reply.Generation {
		case Current, Legacy, CurrentOnly:
		default:
			return nil, fmt.Errorf("reply generation %q: want %q, %q or none", t.Reply.Generation, Legacy, CurrentOnly)
		}
		if renderers[t.Reply] == nil {
			renderers[t.Reply] = newRenderer(t.Reply)
		}
		s.tenants[t.World.VDN] = &tenant{
			vdn: t.World.VDN, pages: t.CTI == "3.6", out: renderers[t.Reply], world: NewWorld(t.World),
		}
	}
	return s, nil
}

// Start makes a Server and lets it listen.
func Start(o Options) (*Server, error) {
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := s.Listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// VDNs lists all VDNs in order.
func (s *Server) VDNs() []diff.VDN {
	vdns := make([]diff.VDN, 0, len(s.tenants))
	for v := range s.tenants {
		vdns = append(vdns, v)
	}
	slices.SortFunc(vdns, diff.VDN.Compare)
	return vdns
}

// View calls f with the World of a VDN, advanced to now and locked: no call is
// answered until f returns. f must not keep the World. It panics if the VDN is
// not the Server's.
func (s *Server) View(vdn diff.VDN, f func(*World)) {
	t := s.tenant(vdn)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.world.Advance(s.now())
	f(t.world)
}

// SetList lists these rows and counts, fitting or not, instead of the VDN's
// World. The slice is copied.
func (s *Server) SetList(vdn diff.VDN, rows []diff.Row, counts diff.Counts) {
	s.tenant(vdn).setScript(&script{rows: slices.Clone(rows), counts: counts})
}

// SetReply answers every good request for a VDN with this body, whatever it
// is, instead of its World. The slice is copied.
func (s *Server) SetReply(vdn diff.VDN, body []byte) {
	s.tenant(vdn).setScript(&script{body: append([]byte{}, body...)})
}

// Unset lists the VDN's World again.
func (s *Server) Unset(vdn diff.VDN) { s.tenant(vdn).setScript(nil) }

func (s *Server) tenant(vdn diff.VDN) *tenant {
	t := s.tenants[vdn]
	if t == nil {
		panic("cmssim: VDN " + vdn.String() + " is not served here")
	}
	return t
}

// SetFaults replaces the faults from the next call on; "" ends them. Calls
// that hang already go on hanging.
func (s *Server) SetFaults(spec string) error {
	faults, err := parseFaults(spec)
	if err != nil {
		return err
	}
	s.faults.Store(&faults)
	return nil
}
