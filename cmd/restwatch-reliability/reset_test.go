package reliability

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"restwatch/diff"
)

var beginTime = regexp.MustCompile(`"beginTime":(\d+)`)

// resettable puts a proxy before CC-CMS that can list all begin times of what
// happens from an instant on, and the Date header, by another clock. What an
// agent has is not touched: his begin time stays what it was first listed as.
func (s *site) resettable(t *testing.T, by time.Duration) {
	t.Helper()
	s.resetBy = by
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CACert())
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(s.URL())
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		ModifyResponse: func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			body = beginTime.ReplaceAllFunc(body, func(field []byte) []byte {
				n, err := strconv.ParseInt(string(beginTime.FindSubmatch(field)[1]), 10, 64)
				if err != nil {
					return field
				}
				return strconv.AppendInt([]byte(`"beginTime":`), int64(s.listed(diff.Time(n))), 10)
			})
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			res.Header.Set("Content-Length", strconv.Itoa(len(body)))
			if now, err := http.ParseTime(res.Header.Get("Date")); err == nil {
				res.Header.Set("Date", s.listed(diff.TimeOf(now)).Time().Format(http.TimeFormat))
			}
			return nil
		},
	})
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	ca := filepath.Join(t.TempDir(), "proxy.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "RESTWATCH_CMS_URL="+proxy.URL, "RESTWATCH_CMS_CA_FILE="+ca)
}

// reset sets that clock off, or right again, from now on.
func (s *site) reset(off bool) {
	before := s.relist.Load()
	from := diff.TimeOf(s.now())
	by := diff.Time(0)
	if off {
		by = diff.TimeOfDuration(s.resetBy)
	}
	now := func(begin diff.Time) diff.Time {
		switch {
		case begin >= from:
			return begin + by
		case before != nil:
			return (*before)(begin)
		}
		return begin
	}
	s.relist.Store(&now)
}
