package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"restwatch/publisher"
)

const (
	// streamsMost is how many may listen to the events at once: each has a consumer
	// on the NATS server.
	streamsMost = 100
	// streamBreath is how often a silent stream says that it is alive, which keeps
	// proxies from ending it.
	streamBreath = 15 * time.Second
	// streamPatience is how long a client may take what was written before it is
	// given up.
	streamPatience = 10 * time.Second
)

// eventStream serves agent events as server-sent events, as long as the client
// stays and alive is not done. The id of each is its number in the stream, so
// that a client that comes back with it gets what it has missed, from every
// replica alike; without one it gets what comes from now on. It is told where it
// begins, and so misses nothing if it is cut off before its first event.
func eventStream(alive context.Context, bus *publisher.Bus, log *slog.Logger) http.Handler {
	places := make(chan struct{}, streamsMost)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
		if r.Method == http.MethodHead {
			return // a stream that nobody reads would hold its place, and the connection
		}
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			http.Error(w, "too many listen already", http.StatusServiceUnavailable)
			return
		}
		after := uint64(math.MaxUint64) // from now on
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			var err error
			if after, err = strconv.ParseUint(last, 10, 63); err != nil {
				http.Error(w, "Last-Event-ID: want the id of an event of this stream", http.StatusBadRequest)
				return
			}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer context.AfterFunc(alive, cancel)()
		defer cancel()
		if err := stream(ctx, w, bus.Reader(), after); err != nil && ctx.Err() == nil {
			log.Debug("event stream ended", "client", r.RemoteAddr, "error", err)
		}
	})
}

// stream writes the events behind that number, or from now on if the stream has
// not come to it, until ctx is done, or the client or the bus has gone: then the
// client comes back by itself.
func stream(ctx context.Context, w http.ResponseWriter, reader *publisher.Reader, after uint64) error {
	end, err := reader.End(ctx) // what is new begins here, before the client hears of it
	if err != nil {
		return err
	}
	after = min(after, end)
	ctx, cancel := context.WithCancel(ctx)
	selected := reader.Messages(ctx, publisher.Query{Follow: true, After: after})
	messages, failed := make(chan publisher.Message), make(chan error, 1)
	go func() {
		defer close(messages)
		for m, err := range selected {
			if err != nil && !errors.As(err, new(*publisher.MessageError)) {
				failed <- err
				return
			}
			if m.Event == nil {
				continue // not ours, which verify tells
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range messages { // its goroutine ends before this call does
		}
	}()

	control := http.NewResponseController(w)
	// The server's time limits are for pages. This has one for each write.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	write := func(format string, args ...any) error {
		if err := control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := write("retry: 2000\nid: %d\n\n", after); err != nil {
		return err
	}
	breath := time.NewTicker(streamBreath)
	defer breath.Stop()
	for {
		var err error
		select {
		case m, more := <-messages:
			if !more {
				select {
				case err := <-failed:
					return err
				default:
					return ctx.Err()
				}
			}
			err = write("id: %d\ndata: %s\n\n", m.Sequence, bytes.ReplaceAll(m.Data, []byte("\n"), []byte(" ")))
		case <-breath.C:
			err = write(":\n\n")
		}
		if err != nil {
			return err
		}
	}
}
