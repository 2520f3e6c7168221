package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"restwatch/poller/cms"
)

// floorStream takes the bodies. It is capped, or an hour of measuring would
// fill the disk.
func floorStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "FLOOR", Subjects: []string{"floor.>"}, MaxBytes: 256 << 20}
}

// floor is the least that a service of this kind does, written as plainly as
// net/http and nats.go allow.
type floor struct {
	url    string
	client *http.Client
	js     jetstream.JetStream
}

func runFloor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	url := flags.String("url", "", "the upstream")
	ca := flags.String("ca", "", "PEM file of its authority")
	natsURL := flags.String("nats", "", "NATS server")
	vdns := flags.Int("vdns", 200, "VDNs to poll")
	every := flags.Duration("every", time.Second, "interval; 0: as fast as it goes")
	inFlight := flags.Int("in-flight", 32, "calls at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: *inFlight, MaxConnsPerHost: *inFlight}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	nc, err := nats.Connect(*natsURL)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, floorStream()); err != nil {
		return fmt.Errorf("create stream: %w", err)
	}
	f := &floor{url: *url + cms.Path, client: &http.Client{Transport: transport}, js: js}
	if *every > 0 {
		return f.paced(ctx, *vdns, *every)
	}
	return f.fast(ctx, *vdns, *inFlight)
}

// paced polls every VDN once an interval, in restwatch's bursts.
func (f *floor) paced(ctx context.Context, vdns int, every time.Duration) error {
	plan := slots(vdns, every)
	var polls sync.WaitGroup
	defer polls.Wait()
	for next := time.Now().Truncate(every).Add(every); ; next = next.Add(every) {
		for _, s := range plan {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Until(next.Add(s.Phase))):
			}
			for v := s.From; v < s.To; v++ {
				polls.Go(func() { f.report(f.poll(ctx, v+1)) })
			}
		}
	}
}

// fast polls one VDN after the other, so many at once.
func (f *floor) fast(ctx context.Context, vdns, inFlight int) error {
	var polls sync.WaitGroup
	for i := range inFlight {
		polls.Go(func() {
			for v := i; ctx.Err() == nil; v += inFlight {
				f.report(f.poll(ctx, v%vdns+1))
			}
		})
	}
	polls.Wait()
	return nil
}

func (f *floor) report(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "floor:", err)
	}
}

// poll posts, reads the body and publishes it.
func (f *floor) poll(ctx context.Context, vdn int) error {
	query := fmt.Appendf(nil, `{"queryParam":{"ccId":1,"vdn":%d}}`, vdn)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(query))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=UTF-8")
	res, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	_, err = f.js.PublishAsync(fmt.Sprintf("floor.%d", vdn), body)
	return err
}
