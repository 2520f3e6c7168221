package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"restwatch/config"
	"restwatch/diff"
	"restwatch/poller/cms"
	"restwatch/publisher"
)

func newCheck(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check settings, NATS and CC-CMS, and say how to mend what is wrong",
		Long: `Check the settings, the connection to NATS, and CC-CMS by one signed call for each VDN. Nothing is
written. If the credentials are refused, no further call is made: repeated bad signatures
lock the caller's address.`,
		Example: "  restwatch check",
		Args:    usage(noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(std.env)
			if err != nil {
				return badSettings(err)
			}
			r := &report{}
			r.add("settings", "", "ok", "")
			checkNATS(cmd.Context(), cfg, r)
			if err := checkCMS(cmd.Context(), cfg, r); err != nil {
				return err
			}
			r.write(cmd.OutOrStdout())
			if r.problems > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "restwatch check: %d problems\n", r.problems)
				return errReported
			}
			return nil
		},
	}
}

// report is the table of what was checked.
type report struct {
	rows     [][4]string // what, which, result, how to mend it
	problems int
}

func (r *report) add(what, which, result, mend string) {
	r.rows = append(r.rows, [4]string{what, which, result, mend})
	if mend != "" {
		r.problems++
	}
}

func (r *report) write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range r.rows {
		fmt.Fprintf(t, "%s\t%s\t%s\n", row[0], row[1], row[2])
		if row[3] != "" {
			fmt.Fprintf(t, "\t\t  -> %s\n", row[3])
		}
	}
	t.Flush()
}

// checkNATS connects to an external server. The embedded one is started by
// serve and may be running right now, so it is only looked for.
func checkNATS(ctx context.Context, cfg config.Config, r *report) {
	opts := natsOptions(cfg, "check", slog.New(slog.DiscardHandler))
	if cfg.NATSURL == "" {
		opts = publisher.ConnectOptions{URLs: "nats://" + reachable(string(cfg.NATSListen)), Instance: "check"}
	}
	nc, err := publisher.Connect(ctx, opts)
	switch {
	case err != nil && cfg.NATSURL == "":
		r.add("NATS", "embedded", "not running; serve starts it", "")
		return
	case err != nil:
		r.add("NATS", cfg.NATSURL, err.Error(), "start the server, or mend RESTWATCH_NATS_URL and the NATS credentials")
		return
	}
	defer nc.Close()
	reader, err := publisher.NewReader(nc, cfg.Stream, cfg.SubjectPrefix)
	if err == nil {
		_, err = reader.VDNs(ctx)
	}
	where := nc.ConnectedUrlRedacted()
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		r.add("NATS", where, "ok; no stream "+cfg.Stream+" yet, serve makes it", "")
	case err != nil:
		r.add("NATS", where, err.Error(), "JetStream must be on, and the user be allowed to use stream "+cfg.Stream)
	default:
		r.add("NATS", where, "ok, stream "+cfg.Stream, "")
	}
}

// checkCMS makes one call for each VDN: the first alone, to learn whether the
// credentials are accepted, then the rest side by side.
func checkCMS(ctx context.Context, cfg config.Config, r *report) error {
	client, err := newClient(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer client.Close()
	vdns := vdnsOf(cfg)
	results := make([]error, len(vdns))
	replies := make([]cms.Reply, len(vdns))
	probe := func(i int) { replies[i], results[i] = client.Probe(ctx, vdns[i]) }
	// One call after the other until one was answered: until then each could be
	// one more with a bad signature.
	next := 0
	for proven := false; !proven && next < len(vdns); next++ {
		probe(next)
		switch cms.CategoryOf(results[next]) {
		case cms.Refused, cms.Locked:
			r.add("CC-CMS", cfg.CMSURL.String(), results[next].Error(), mending(results[next]))
			return nil
		case cms.Timeout, cms.Network, cms.Canceled:
		default:
			proven = true
		}
	}
	var wg sync.WaitGroup
	for i := next; i < len(vdns); i++ {
		wg.Go(func() { probe(i) })
	}
	wg.Wait()
	for i, v := range vdns {
		if results[i] != nil {
			r.add("CC-CMS", "VDN "+v.String(), results[i].Error(), mending(results[i]))
			continue
		}
		reportReply(r, v, replies[i])
	}
	if skew, known := client.Skew(); known && skew.Abs() > time.Minute {
		r.add("clock", cfg.CMSURL.Host, fmt.Sprintf("CC-CMS's clock differs by %v", skew.Round(time.Second)),
			"synchronise both clocks: a signature holds its time")
	}
	return nil
}

func reportReply(r *report, v diff.VDN, reply cms.Reply) {
	result := fmt.Sprintf("ok, %d waiting, %d approved, %d resting", reply.Counts.Waiting, reply.Counts.Approved, reply.Counts.Resting)
	if reply.UnknownTimes > 0 {
		r.add("CC-CMS", "VDN "+v.String(), fmt.Sprintf("%s; %d of %d begin times are none", result, reply.UnknownTimes, len(reply.Rows)),
			"look at a reply and set RESTWATCH_CMS_BEGIN_TIME")
		return
	}
	r.add("CC-CMS", "VDN "+v.String(), result, "")
}

// mending says what helps against a failed call.
func mending(err error) string {
	var e *cms.Error
	if !errors.As(err, &e) {
		return "see the message"
	}
	switch e.Category {
	case cms.Refused:
		return "check RESTWATCH_CMS_ACCESS_KEY, the secret key and this machine's clock; no further call was made"
	case cms.Locked:
		return "wait until CC-CMS unlocks this address, then check the keys; no further call was made"
	case cms.Timeout, cms.Network:
		return "check RESTWATCH_CMS_URL, firewalls and, where the message names it, the certificate settings"
	case cms.HTTP:
		return "check host, port and path of RESTWATCH_CMS_URL"
	case cms.Config:
		return "check the VDN in RESTWATCH_VDNS and the account's rights to it"
	case cms.Malformed:
		return "something else than CC-CMS answers there; check RESTWATCH_CMS_URL"
	}
	return "try again; if it stays, ask the administrator of CC-CMS with this code"
}
