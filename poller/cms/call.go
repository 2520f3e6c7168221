package cms

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// reply is the body of an HTTP 200, as it came over the wire or unpacked.
type reply struct {
	wire     []byte
	gzipped  bool      // until unpacked
	hash     uint64    // of the body as it came
	sent     time.Time // no byte of the request was sent before
	received time.Time // when the last byte had arrived

	buf  *[]byte // what wire is part of
	held lease
}

const (
	// largeReply is from how many bytes on a reply, as it came and unpacked,
	// needs room; maxLarge is the room for all such replies of a Client. 3,600
	// agents fit without, and 25,000 agents of each of 30 VDNs at once with it. An
	// upstream that sends endless replies to many calls must not be able to
	// take the machine's memory.
	largeReply = 1 << 20
	maxLarge   = 192 << 20
)

// lease is the room that a reply has taken.
type lease struct {
	room *atomic.Int64
	size int64
}

// grow takes room for a buffer of n bytes in all.
func (l *lease) grow(n int) bool {
	more := int64(n) - l.size
	if n <= largeReply || more <= 0 {
		return true
	}
	if l.room.Add(more) > maxLarge {
		l.room.Add(-more)
		return false
	}
	l.size += more
	return true
}

// buffers are reused for calls, for the bodies of replies and for what is
// unpacked from these. One serves whatever VDN comes next, so it is shared by all clients.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// release gives the reply's memory back.
func (r *reply) release() {
	if r.buf != nil && cap(r.wire) <= largeReply { // what is larger has no room once this one is gone
		*r.buf = r.wire[:0]
		buffers.Put(r.buf)
	}
	if r.held.size > 0 {
		r.held.room.Add(-r.held.size)
	}
	*r = reply{}
}

// call makes one HTTP call once there is a slot for it, unless another is refused
// meanwhile. With once, it is made all the same, and nothing is sent a second time
// whatever happens.
func (c *Client) call(ctx context.Context, req request, once bool) (reply, *Error) {
	refusals := c.refusals.Load()
	if err := c.acquire(ctx); err != nil {
		return reply{}, err
	}
	defer func() { <-c.slots }()
	if err := c.refusedSince(refusals); err != nil && !once {
		return reply{}, err
	}
	roomy() // not before: of those that wait for their turn there may be thousands
	c.metrics.inFlight.Inc()
	defer c.metrics.inFlight.Dec()
	start := time.Now()
	deadline := start.Add(c.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	r, err := c.roundTrip(ctx, deadline, req, once)
	r.sent = start
	if err.refused() {
		c.refusals.Add(1) // while the slot is still held
	}
	if err != nil && err.err != nil {
		err = c.explain(ctx, err)
	}
	if err == nil && r.received.Sub(start) > c.timeout {
		// This process stood still while the answer lay here: nobody knows how
		// old it is.
		r.release()
		r, err = reply{}, &Error{Category: Timeout, Message: "the reply was read too late"}
	}
	c.metrics.seconds.Observe(time.Since(start).Seconds())
	c.metrics.bytes.Add(float64(len(r.wire)))
	return r, err
}

// settle counts a call, once it is known how it ended.
func (c *Client) settle(err *Error) {
	if err == nil {
		c.metrics.ok.Inc()
		return
	}
	c.metrics.calls.WithLabelValues(string(err.Category)).Inc()
}

// acquire waits for a slot and for the rate limit.
func (c *Client) acquire(ctx context.Context) *Error {
	select {
	case c.slots <- struct{}{}:
	default:
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return waitError(ctx, ctx.Err())
		}
	}
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx); err != nil {
			<-c.slots
			return waitError(ctx, err)
		}
	}
	// A slot may be free although nobody wants the call any more.
	if ctx.Err() != nil {
		<-c.slots
		return waitError(ctx, ctx.Err())
	}
	return nil
}

func waitError(ctx context.Context, err error) *Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &Error{Category: Canceled, Message: "cancelled while waiting for a slot", err: err}
	}
	return &Error{Category: Timeout, err: err,
		Message: "no slot in time: raise RESTWATCH_CMS_MAX_IN_FLIGHT or RESTWATCH_CMS_RATE, or poll less often"}
}

// roundTrip sends a call and reads its reply.
func (c *Client) roundTrip(ctx context.Context, deadline time.Time, r request, once bool) (reply, *Error) {
	out := buffers.Get().(*[]byte)
	*out = c.appendCall((*out)[:0], r, time.Now())
	res, err := c.transport.post(ctx, deadline, *out, once)
	buffers.Put(out)
	if err != nil {
		return reply{}, &Error{Category: Network, err: err}
	}
	defer res.Body.Close()
	date := c.skew.note(res.Header, time.Now())
	if res.StatusCode != http.StatusOK {
		return reply{}, c.statusError(res, date)
	}
	return c.readBody(res)
}

// appendCall appends a call as it is on the wire, signed at a time.
func (c *Client) appendCall(b []byte, r request, at time.Time) []byte {
	b = append(b, c.head...)
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.body)), 10)
	b = append(b, "\r\nAuthorization: "...)
	b = append(b, c.signer.sign(at, r.canonical)...)
	b = append(b, "\r\n\r\n"...)
	return append(b, r.body...)
}

func (c *Client) readBody(res *http.Response) (reply, *Error) {
	var r reply
	switch enc := res.Header.Get("Content-Encoding"); strings.ToLower(enc) {
	case "", "identity":
	case "gzip", "x-gzip":
		r.gzipped = true
	default:
		return reply{}, malformed("reply has the content encoding %q, asked for was gzip", clean(enc, 40))
	}
	if res.ContentLength > int64(c.maxBody) {
		return reply{}, malformed("reply of %d bytes is larger than the limit of %d", res.ContentLength, c.maxBody)
	}
	r.buf, r.held = buffers.Get().(*[]byte), lease{room: &c.large}
	var err error
	r.wire, err = readAll((*r.buf)[:0], res.Body, int(res.ContentLength), c.maxBody, &r.held)
	r.received = time.Now()
	if err == nil {
		r.hash = c.hash.bytes(r.wire)
		return r, nil
	}
	r.release()
	switch err {
	case errTooLarge:
		return reply{}, malformed("reply is larger than the limit of %d bytes", c.maxBody)
	case errNoRoom:
		return reply{}, noRoom()
	}
	return reply{}, &Error{Category: Network, Message: "connection broke in mid-reply", err: err}
}

var (
	errTooLarge = errors.New("too large")
	errNoRoom   = errors.New("no room")
)

func noRoom() *Error {
	return malformed("there is no room for another reply of more than %d bytes: %d bytes are in use by others", largeReply, maxLarge)
}

// readAll appends what r holds to b, of about size bytes if that is not
// negative, at most max, as far as there is room.
func readAll(b []byte, r io.Reader, size, max int, held *lease) ([]byte, error) {
	// One byte more than size, as the end may be told by a read of its own. What
	// is only announced is not yet worth room.
	if size = min(size, largeReply-1); size >= cap(b) {
		b = append(make([]byte, 0, size+1), b...)
	}
	for {
		if len(b) == cap(b) {
			n := min(2*cap(b), max+1)
			if !held.grow(n) {
				return b, errNoRoom
			}
			b = append(make([]byte, 0, n), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > max:
			return b, errTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// unpack replaces a compressed body by what it holds.
func (c *Client) unpack(r *reply) *Error {
	if !r.gzipped {
		return nil
	}
	z := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(z)
	if err := z.Reset(bytes.NewReader(r.wire)); err != nil {
		return malformed("reply said to be gzip is not")
	}
	buf, held := buffers.Get().(*[]byte), lease{room: &c.large}
	plain, err := readAll((*buf)[:0], z, -1, c.maxBody, &held)
	packed := *r
	*r = reply{wire: plain, hash: packed.hash, sent: packed.sent, received: packed.received, buf: buf, held: held}
	packed.release()
	switch err {
	case nil:
		return nil
	case errTooLarge:
		return malformed("unpacked reply is larger than the limit of %d bytes", c.maxBody)
	case errNoRoom:
		return noRoom()
	}
	return malformed("reply said to be gzip is damaged")
}

// maxRetryAfter bounds what a reply can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the header of that name: seconds, or a date by the
// server's clock.
func retryAfter(h http.Header, date time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	var wait time.Duration
	if n, f := parseInteger([]byte(text)); f == whole {
		wait = time.Duration(max(0, min(n, math.MaxInt32))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		if date.IsZero() {
			date = time.Now()
		}
		wait = at.Sub(date)
	}
	return max(0, min(wait, maxRetryAfter))
}
