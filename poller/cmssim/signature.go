package cmssim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The C2 request signature, checked from what came over the wire. This is
// deliberately not the client's code: were both the same, they would agree on
// a mistake.

const scheme = "auth-v2"

// credential is an Authorization header taken apart.
type credential struct {
	prefix        string // what the signing key is made from
	accessKey     string
	at            time.Time
	signedHeaders string
	signature     string
}

// parseCredential cuts from the right, as an access key may contain slashes.
func parseCredential(authorization string) (credential, error) {
	var c credential
	cut := func(s string) (string, string) {
		i := strings.LastIndexByte(s, '/')
		if i < 0 {
			return "", s
		}
		return s[:i], s[i+1:]
	}
	var stamp, rest string
	c.prefix, c.signature = cut(authorization)
	rest, c.signedHeaders = cut(c.prefix)
	rest, stamp = cut(rest)
	version, key, found := strings.Cut(rest, "/")
	if !found || version != scheme || key == "" {
		return c, errors.New("want auth-v2/accessKey/timestamp/signedHeaders/signature")
	}
	c.accessKey = key
	var err error
	if c.at, err = time.Parse("2006-01-02T15:04:05Z", stamp); err != nil {
		return c, fmt.Errorf("timestamp %q: want yyyy-MM-ddTHH:mm:ssZ", stamp)
	}
	return c, nil
}

// checkSignature says what is wrong with a request's signature, in words that
// name no secret; nil if nothing is.
func (o *Options) checkSignature(r *http.Request, body []byte, now time.Time) error {
	given := r.Header["Authorization"]
	if len(given) != 1 {
		return fmt.Errorf("%d Authorization headers, want one", len(given))
	}
	c, err := parseCredential(given[0])
	if err != nil {
		return fmt.Errorf("header Authorization: %w", err)
	}
	if c.accessKey != o.AccessKey {
		return errors.New("access key is not known")
	}
	if age := now.Sub(c.at); age > o.Tolerance || age < -o.Tolerance {
		return fmt.Errorf("timestamp is %v off, tolerated are %v", age.Round(time.Second), o.Tolerance)
	}
	canonical, err := canonicalOf(r, c.signedHeaders, body)
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(signatureOf(o.SecretKey, c.prefix, canonical)), []byte(c.signature)) {
		return errors.New("signature does not match")
	}
	return nil
}

func signatureOf(secret, prefix string, canonical []byte) string {
	hexMAC := func(key, data []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(data)
		var sum [sha256.Size]byte
		return hex.AppendEncode(nil, h.Sum(sum[:0]))
	}
	return string(hexMAC(hexMAC([]byte(secret), []byte(prefix)), canonical))
}

// canonicalOf rebuilds what the caller should have signed.
func canonicalOf(r *http.Request, signedHeaders string, body []byte) ([]byte, error) {
	names := strings.Split(signedHeaders, ";")
	if !slices.IsSorted(names) || strings.ToLower(signedHeaders) != signedHeaders {
		return nil, fmt.Errorf("signed headers %q: want lower case, sorted", signedHeaders)
	}
	if !slices.Contains(names, "host") {
		return nil, errors.New("header host is not signed")
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	b := make([]byte, 0, 512)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	if query != "" {
		canonical, err := canonicalQuery(query)
		if err != nil {
			return nil, err
		}
		b = append(b, canonical...)
		b = append(b, '\n')
	}
	b = append(b, signedHeaders...)
	b = append(b, '\n')
	for i, name := range names {
		value, err := received(r, name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, '\n')
		}
		b = appendEncoded(b, name)
		b = append(b, ':')
		b = appendEncoded(b, value)
	}
	b = append(b, '\n')
	return appendEncoded(b, body), nil
}

// received is a header's value as the caller sent it. net/http keeps Host and
// Content-Length elsewhere; a chunked body has no length and cannot have
// signed one.
func received(r *http.Request, name string) (string, error) {
	switch name {
	case "host":
		return r.Host, nil
	case "content-length":
		if r.ContentLength < 0 {
			return "", errors.New("header content-length is signed but was not sent")
		}
		return strconv.FormatInt(r.ContentLength, 10), nil
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if len(values) != 1 {
		return "", fmt.Errorf("header %q is signed but was sent %d times", name, len(values))
	}
	return values[0], nil
}

func canonicalQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", fmt.Errorf("query string: %w", err)
	}
	var pairs []string
	for k, vs := range values {
		for _, v := range vs {
			pair := append(appendEncoded(nil, k), '=')
			pairs = append(pairs, string(appendEncoded(pair, v)))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&"), nil
}

// appendEncoded percent-encodes every byte but the unreserved ones.
func appendEncoded[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
