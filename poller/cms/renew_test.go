package cms

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestSecretKeyFrom replaces the key: from the next second on calls are signed
// with the new one.
func TestSecretKeyFrom(t *testing.T) {
	c := newUpstream(t, 1).client(t, nil)
	var key atomic.Value
	key.Store(Secret("one"))
	c.SecretKeyFrom(func() Secret { return key.Load().(Secret) })
	m := Message{Method: http.MethodPost, Path: "/p", Headers: []Header{{"host", "h"}}}
	c.signer.names = signedNames(m.Headers)
	at := time.Unix(1772413200, 0)
	for i, want := range []Secret{"one", "two", "two"} {
		now := at.Add(time.Duration(i) * time.Second)
		if got := c.signer.sign(now, AppendCanonical(nil, m)); got != Sign("AK", want, now, m) {
			t.Errorf("second %d: not signed with key %q", i, string(want))
		}
		key.Store(Secret("two"))
	}
}

// TestTLSFrom replaces the authorities: connections that are open stay, new ones
// go by the new settings, also where the old ones left a session to resume.
func TestTLSFrom(t *testing.T) {
	u := newUpstream(t, 1)
	var closing atomic.Bool
	u.answer = func(w http.ResponseWriter, r *http.Request) {
		u.drain(r)
		if closing.Load() {
			w.Header().Set("Connection", "close")
		}
		_, _ = w.Write(AppendReply(nil, nil, Reply{}.Counts))
	}
	good, other := u.options(t).TLS, &tls.Config{RootCAs: x509.NewCertPool()}
	var settings atomic.Pointer[tls.Config]
	c := u.client(t, func(o *Options) { o.TLS = other })
	c.TLSFrom(func() (*tls.Config, error) {
		if s := settings.Load(); s != nil {
			return s.Clone(), nil
		}
		return nil, errors.New("no such file")
	})
	fails := func(text string) {
		t.Helper()
		if e := readFailing(t, c); e.Category != Network || !strings.Contains(e.Message, text) {
			t.Errorf("got %v, want %q", e, text)
		}
	}
	fails("no such file")
	settings.Store(other)
	fails("RESTWATCH_CMS_CA_FILE")
	settings.Store(good)
	read(t, c, Fingerprint{})
	settings.Store(other)
	closing.Store(true)
	read(t, c, Fingerprint{}) // on the open connection, the last time
	fails("RESTWATCH_CMS_CA_FILE")
	settings.Store(good)
	read(t, c, Fingerprint{})
}
