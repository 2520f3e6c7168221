package cms

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// explain completes the error of a call that brought no reply: its category,
// and what helps. ctx is the caller's.
func (c *Client) explain(ctx context.Context, e *Error) *Error {
	err := e.err
	var timeout net.Error
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	switch end, bounded := ctx.Deadline(); {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Category, e.Message, e.err = Canceled, "cancelled during the call", context.Canceled
	case late && bounded && !time.Now().Before(end):
		e.Category, e.Message, e.err = Timeout, "no complete reply before the poll's own time was up", context.DeadlineExceeded
	case late:
		e.Category, e.Message, e.err = Timeout, fmt.Sprintf("no complete reply within %v", c.timeout), context.DeadlineExceeded
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Category, e.Message = Timeout, clean(err.Error(), maxMessage)
	default:
		text := clean(err.Error(), maxMessage)
		switch {
		case e.Message != "":
			text = e.Message + ": " + text
		case errors.Is(err, io.EOF):
			text = "connection was closed before a reply"
		}
		e.Message = text
		if h := help(err); h != "" {
			e.Message += ": " + h
		}
	}
	return e
}

// help says which setting mends a failed connection, "" if none is known to.
func help(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		return "set RESTWATCH_CMS_CA_FILE to the PEM file of the authority that signed the server's certificate"
	case errors.As(err, &host):
		if c := host.Certificate; len(c.DNSNames)+len(c.IPAddresses) == 0 {
			return "the server's certificate needs a subject alternative name"
		}
		return "set RESTWATCH_CMS_SERVER_NAME to a name in the server's certificate"
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return "renew the server's certificate, or set the own clock"
		}
		return "the server's certificate cannot be used"
	case errors.As(err, &record):
		return "the server does not speak TLS there: check scheme and port of RESTWATCH_CMS_URL"
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return "is it a TLS port? check scheme and port of RESTWATCH_CMS_URL"
	case errors.As(err, &op) && op.Op == "remote error": // an alert, whose type crypto/tls keeps to itself
		return "the server refuses TLS as it is offered, 1.2 at least and without a client certificate"
	case errors.As(err, &dns):
		return "check the host in RESTWATCH_CMS_URL, and the name service"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port of RESTWATCH_CMS_URL"
	}
	return ""
}

// clockTolerance is how far the clocks may be apart before a refused signature
// is put down to that. The server's own tolerance is not documented, and the
// measurement is good to about a second.
const clockTolerance = 5 * time.Second

// statusError is the error of a reply other than HTTP 200.
func (c *Client) statusError(res *http.Response, date time.Time) *Error {
	e := &Error{Category: HTTP, Status: res.StatusCode, RetryAfter: retryAfter(res.Header, date)}
	e.Code, e.Message = statusText(res)
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		e.Category = Refused
		ahead, known := c.Skew()
		e.Message += "; " + clockAdvice(ahead, known)
		e.Skew = ahead
	case res.StatusCode == http.StatusForbidden:
		e.Category = Locked
	case res.StatusCode == http.StatusNotFound:
		e.Message += ": check host, port and path of RESTWATCH_CMS_URL"
	case res.StatusCode >= 300 && res.StatusCode < 400:
		e.Message += ": " + redirection(res)
	}
	return e
}

func clockAdvice(ahead time.Duration, known bool) string {
	switch {
	case !known:
		return "check RESTWATCH_CMS_ACCESS_KEY, RESTWATCH_CMS_SECRET_KEY and the clocks (the reply tells no time)"
	case ahead > clockTolerance:
		return fmt.Sprintf("the own clock is %v behind that of CC-CMS: set it (NTP), the signature carries the time", ahead.Round(time.Second))
	case ahead < -clockTolerance:
		return fmt.Sprintf("the own clock is %v ahead of that of CC-CMS: set it (NTP), the signature carries the time", (-ahead).Round(time.Second))
	}
	return fmt.Sprintf("the clocks agree (to %v): check RESTWATCH_CMS_ACCESS_KEY and RESTWATCH_CMS_SECRET_KEY", ahead.Abs().Round(time.Second)+time.Second)
}

// redirection names where a redirect points, without anything that could be a
// credential.
func redirection(res *http.Response) string {
	const not = "redirects are not followed, as that would show the signature elsewhere"
	to, err := res.Location()
	if err != nil {
		return not
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return fmt.Sprintf("points to %q; %s: set RESTWATCH_CMS_URL to the address that answers", clean(to.String(), 200), not)
}

// statusText returns the result code, if any, and the message of a reply other
// than HTTP 200: that of the JSON body, as 401 and 403 have one [pub], else the
// status's own. Reading the body to its end also keeps the connection.
func statusText(res *http.Response) (code, message string) {
	const maxErrorBody = 64 << 10
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBody+1))
	message = http.StatusText(res.StatusCode)
	if err != nil || len(body) > maxErrorBody {
		return "", message
	}
	var said struct {
		Message, Error         string
		ResultCode, ResultDesc any
	}
	// A field of another type leaves the others readable.
	_ = json.Unmarshal(body, &said)
	code, _ = said.ResultCode.(string)
	desc, _ := said.ResultDesc.(string)
	return clean(code, 32), cmp.Or(clean(cmp.Or(said.Message, desc, said.Error), maxMessage), message, "no text")
}
