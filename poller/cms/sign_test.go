package cms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type vector struct {
	Name          string            `json:"name"`
	AccessKey     string            `json:"access_key"`
	SecretKey     string            `json:"secret_key"`
	Timestamp     time.Time         `json:"timestamp"`
	Method        string            `json:"method"`
	URI           string            `json:"uri"`
	SignedHeaders map[string]string `json:"signed_headers"`
	Body          string            `json:"body"`
	Canonical     string            `json:"canonical_request"`
	Authorization string            `json:"authorization"`
}

func (v vector) message() Message {
	m := Message{Method: v.Method, Path: v.URI, Body: []byte(v.Body)}
	for name, value := range v.SignedHeaders {
		m.Headers = append(m.Headers, Header{name, value})
	}
	return m
}

func vectors(t testing.TB) (vs []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/c2-signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) == 0 {
		t.Fatal("no vectors")
	}
	return vs
}

func TestSignVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if got := Canonical(v.message()); got != v.Canonical {
				t.Errorf("canonical request\n got %q\nwant %q", got, v.Canonical)
			}
			for _, fraction := range []time.Duration{0, 999 * time.Millisecond} {
				got := Sign(v.AccessKey, Secret(v.SecretKey), v.Timestamp.Add(fraction), v.message())
				if got != v.Authorization {
					t.Errorf("authorization\n got %q\nwant %q", got, v.Authorization)
				}
			}
		})
	}
}

func TestCanonicalQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"b=2&a=1":           "a=1&b=2",
		"a=2&a=1":           "a=1&a=2",
		"a":                 "a=",
		"a=x+y%2Fz&&k%20=~": "a=x%20y%2Fz&k%20=~",
		"a=%zz":             "a=%25zz",
		"q=a=b":             "q=a%3Db",
	} {
		m := Message{Method: "GET", Path: "/p", Query: raw, Headers: []Header{{"host", "h"}}}
		if got, full := Canonical(m), "GET\n/p\n"+want+"\nhost\nhost:h\n"; got != full {
			t.Errorf("query %q: got %q, want %q", raw, got, full)
		}
	}
}

// authorization computes the scheme the plain way, step by step.
func authorization(accessKey, secretKey string, at time.Time, names, canonical string) string {
	mac := func(key, data string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(data))
		return hex.EncodeToString(h.Sum(nil))
	}
	prefix := "auth-v2/" + accessKey + "/" + at.UTC().Format("2006-01-02T15:04:05Z") + "/" + names
	return prefix + "/" + mac(mac(secretKey, prefix), canonical)
}

// A signer that is used again, in any order of times, signs as a fresh one.
func TestSignerReuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(1, 200, -1).Draw(t, "secret")
		s := signer{accessKey: "AK", secret: []byte(secret), names: "host"}
		for range rapid.IntRange(1, 8).Draw(t, "calls") {
			at := time.Unix(rapid.Int64Range(0, 3).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
			text := rapid.String().Draw(t, "text")
			if got, want := s.sign(at, []byte(text)), authorization("AK", secret, at, "host", text); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestSignerConcurrent(t *testing.T) {
	s := signer{accessKey: "AK", secret: []byte("secret"), names: "host"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				at, text := time.Unix(int64(i/50), 0), strings.Repeat("x", g*i)
				if got, want := s.sign(at, []byte(text)), authorization("AK", "secret", at, "host", text); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSign(b *testing.B) {
	m := vectors(b)[0].message()
	at := time.Now()
	b.Run("call", func(b *testing.B) { // what a call costs: the text is ready
		s := signer{accessKey: "AK", secret: []byte("secret"), names: signedHeaders}
		text := AppendCanonical(nil, m)
		b.ReportAllocs()
		for b.Loop() {
			s.sign(at, text)
		}
	})
	b.Run("canonical", func(b *testing.B) {
		var buf []byte
		m := m
		m.Headers = sorted(m.Headers)
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendCanonical(buf[:0], m)
		}
	})
	b.Run("plain", func(b *testing.B) { // nothing kept between calls
		b.ReportAllocs()
		for b.Loop() {
			Sign("AK", "secret", at, m)
		}
	})
}
