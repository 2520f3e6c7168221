package cms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The vendor's scheme "C2" [pub]:
//
//	Authorization = prefix "/" signature
//	prefix        = "auth-v2/" accessKey "/" timestamp "/" signedHeaders
//	signingKey    = hex HMAC-SHA256(secretKey, prefix)
//	signature     = hex HMAC-SHA256(signingKey, canonical request)
const (
	authVersion     = "auth-v2/"
	timestampLayout = "2006-01-02T15:04:05Z"
)

// Header is one signed header: its name in lower case and its value exactly as
// it is on the wire.
type Header struct{ Name, Value string }

// Message is what of a request is signed. Headers need no order.
type Message struct {
	Method string
	// Path as it is in the request line, so still escaped, without the query.
	Path string
	// Query as it is in the request line, without the question mark.
	Query   string
	Headers []Header
	Body    []byte
}

// Sign returns the value of the Authorization header for m, signed at a whole
// second: the fraction of at is cut off.
func Sign(accessKey string, secretKey Secret, at time.Time, m Message) string {
	s := signer{accessKey: accessKey, secret: []byte(secretKey), names: signedNames(m.Headers)}
	return s.sign(at, AppendCanonical(nil, m))
}

// Canonical returns the canonical request of m, the text that is signed.
func Canonical(m Message) string { return string(AppendCanonical(nil, m)) }

// AppendCanonical appends the canonical request of m to dst.
func AppendCanonical(dst []byte, m Message) []byte {
	dst = append(dst, m.Method...)
	dst = append(dst, '\n')
	dst = append(dst, m.Path...)
	dst = append(dst, '\n')
	if m.Query != "" {
		dst = append(dst, canonicalQuery(m.Query)...)
		dst = append(dst, '\n')
	}
	headers := sorted(m.Headers)
	dst = append(dst, signedNames(headers)...)
	dst = append(dst, '\n')
	for _, h := range headers {
		dst = appendEncoded(dst, h.Name)
		dst = append(dst, ':')
		dst = appendEncoded(dst, h.Value)
		dst = append(dst, '\n')
	}
	return appendEncoded(dst, m.Body)
}

func sorted(headers []Header) []Header {
	byName := func(a, b Header) int { return strings.Compare(a.Name, b.Name) }
	if slices.IsSortedFunc(headers, byName) {
		return headers
	}
	return slices.SortedFunc(slices.Values(headers), byName)
}

func signedNames(headers []Header) string {
	var b strings.Builder
	for i, h := range sorted(headers) {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(h.Name)
	}
	return b.String()
}

// canonicalQuery re-encodes every pair by the scheme's own rule and sorts the
// pairs. What does not unescape is taken literally.
func canonicalQuery(raw string) string {
	unescape := func(s string) string {
		if u, err := url.QueryUnescape(s); err == nil {
			return u
		}
		return s
	}
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		p := appendEncoded(nil, unescape(k))
		p = append(p, '=')
		pairs = append(pairs, string(appendEncoded(p, unescape(v))))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

var unreserved = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~'
	}
	return t
}()

func appendEncoded[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; unreserved[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// signer signs canonical requests of one key pair that sign the same headers.
// The signing key depends on the second only, so the calls of a second share
// it: what remains per call is one HMAC of a few hundred bytes. Safe for
// concurrent use.
type signer struct {
	accessKey string
	secret    []byte
	names     string        // of the signed headers, sorted, joined by ";"
	renewed   func() Secret // not nil: instead of secret

	second atomic.Pointer[secondKey]
}

// secondKey is the signing key of one second.
type secondKey struct {
	unix   int64
	prefix string
	macs   sync.Pool // of hash.Hash, keyed: a reset restores a stored state
}

func (s *signer) sign(at time.Time, canonical []byte) string {
	k := s.second.Load()
	if unix := at.Unix(); k == nil || k.unix != unix {
		k = s.newSecond(unix)
		s.second.Store(k)
	}
	mac := k.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(canonical)
	out := make([]byte, 0, len(k.prefix)+1+2*sha256.Size)
	out = append(out, k.prefix...)
	out = append(out, '/')
	var sum [sha256.Size]byte
	out = hex.AppendEncode(out, mac.Sum(sum[:0]))
	k.macs.Put(mac)
	return string(out)
}

func (s *signer) newSecond(unix int64) *secondKey {
	k := &secondKey{unix: unix}
	k.prefix = authVersion + s.accessKey + "/" + time.Unix(unix, 0).UTC().Format(timestampLayout) + "/" + s.names
	secret := s.secret
	if s.renewed != nil {
		secret = []byte(s.renewed())
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(k.prefix))
	key := hex.AppendEncode(nil, mac.Sum(nil))
	k.macs.New = func() any { return hmac.New(sha256.New, key) }
	return k
}
