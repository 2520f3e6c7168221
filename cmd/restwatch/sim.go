package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"restwatch/diff"
	"restwatch/poller/cmssim"
)

// simFlags are the settings of the simulated CC-CMS, shared by sim and demo.
type simFlags struct {
	vdns, agents int
	speed        float64
	seed         int64
	cti          string
	legacy       bool
	faults       string
}

func (f *simFlags) add(cmd *cobra.Command, speed float64) {
	flags := cmd.Flags()
	flags.IntVar(&f.vdns, "vdns", 3, "how many VDNs, numbered 1:1, 1:2, …")
	flags.IntVar(&f.agents, "agents", 60, "agents in each VDN")
	flags.Float64Var(&f.speed, "speed", speed, "how much faster than real life agents live; lengths of rests shrink alike")
	flags.Int64Var(&f.seed, "seed", 1, "chooses among the possible days")
	flags.StringVar(&f.cti, "cti", "", "CTI generation of all VDNs, 3.6 (pages) or 3.8; both in turn if not given")
	flags.BoolVar(&f.legacy, "legacy", false, "reply as releases up to 8.13 do")
	flags.StringVar(&f.faults, "faults", "", `what goes wrong, as in "latency=200ms,hang=0.01,vdn=1:2,slow"`)
}

// options turns the flags into the simulator's.
func (f *simFlags) options() (cmssim.Options, error) {
	if f.cti != "" && f.cti != "3.6" && f.cti != "3.8" {
		return cmssim.Options{}, usageError{fmt.Errorf("--cti %q: want 3.6 or 3.8", f.cti)}
	}
	if f.vdns < 1 || f.vdns > 5000 {
		return cmssim.Options{}, usageError{fmt.Errorf("--vdns %d: want 1..5000", f.vdns)}
	}
	if err := cmssim.CheckFaults(f.faults); err != nil {
		return cmssim.Options{}, usageError{fmt.Errorf("--faults: %w", err)}
	}
	like := cmssim.Tenant{
		World: cmssim.Config{
			VDN: diff.VDN{CC: 1, ID: 1}, Agents: f.agents, Seed: f.seed, Speed: f.speed,
			HistoryLimit: 1000, Start: time.Now().Truncate(time.Millisecond),
		},
		CTI: f.cti,
	}
	if f.legacy {
		like.Reply.Generation = cmssim.Legacy
	}
	if err := like.World.Validate(); err != nil {
		return cmssim.Options{}, usageError{err}
	}
	tenants := cmssim.Tenants(f.vdns, like)
	for i := range tenants {
		if f.cti == "" {
			tenants[i].CTI = []string{"3.8", "3.6"}[i%2]
		}
	}
	return cmssim.Options{Tenants: tenants, Faults: f.faults, FaultSeed: f.seed}, nil
}

func newSim(std stdio) *cobra.Command {
	var (
		sim                  simFlags
		addr, serverName     string
		accessKey, secretKey string
		caFile               string
		tls                  bool
	)
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run a simulated CC-CMS",
		Long: "Run a simulated CC-CMS: signed calls over TLS, agents who ask for rests, wait, rest, overrun and come back.\n\n" +
			"The keys are taken from --access-key and --secret-key, else from RESTWATCH_SIM_ACCESS_KEY and\n" +
			"RESTWATCH_SIM_SECRET_KEY, else made up; what a client needs is printed at the start.\n\nFaults:\n" + faultHelp(),
		Example: "  restwatch sim --addr 127.0.0.1:8443 --vdns 3 --agents 60 --speed 10\n" +
			"  restwatch sim --cti 3.6 --faults 'torn=0.02,status=503:0.01'",
		Args: usage(noArgs),
	}
	sim.add(cmd, 1)
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8443", "address to listen at; port 0 takes a free one")
	flags.BoolVar(&tls, "tls", true, "serve HTTPS, with a certificate of an authority made at the start")
	flags.StringVar(&serverName, "server-name", "", "a further name in the certificate, beside localhost and 127.0.0.1")
	flags.StringVar(&caFile, "ca-file", "", "where to write the authority's certificate; a temporary file if not given")
	flags.StringVar(&accessKey, "access-key", "", "access key that clients must sign with")
	flags.StringVar(&secretKey, "secret-key", "", "secret key that clients must sign with")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts, err := sim.options()
		if err != nil {
			return err
		}
		env := environment(std.env)
		opts.AccessKey = cmp.Or(accessKey, env["RESTWATCH_SIM_ACCESS_KEY"], "sim")
		opts.SecretKey = cmp.Or(secretKey, env["RESTWATCH_SIM_SECRET_KEY"], rand.Text())
		opts.Addr, opts.Plain, opts.ServerName = addr, !tls, serverName
		opts.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		return runSim(cmd.Context(), cmd, opts, caFile)
	}
	return cmd
}

// runSim serves until ctx is done.
func runSim(ctx context.Context, cmd *cobra.Command, opts cmssim.Options, caFile string) error {
	server, err := cmssim.New(opts)
	if err != nil {
		return err
	}
	if err := server.Listen(); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer server.Close()
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Simulated CC-CMS at %s. To watch it:\n\n", server.URL())
	fmt.Fprintf(out, "  export RESTWATCH_CMS_URL=%s\n", server.URL())
	fmt.Fprintf(out, "  export RESTWATCH_CMS_ACCESS_KEY=%s RESTWATCH_CMS_SECRET_KEY=%s\n", opts.AccessKey, opts.SecretKey)
	if !opts.Plain {
		if caFile == "" {
			dir, err := os.MkdirTemp("", "restwatch-sim-")
			if err != nil {
				return fmt.Errorf("keep the certificate: %w", err)
			}
			defer os.RemoveAll(dir)
			caFile = filepath.Join(dir, "ca.pem")
		}
		if err := os.WriteFile(caFile, server.CACert(), 0o644); err != nil {
			return fmt.Errorf("keep the certificate: %w", err)
		}
		fmt.Fprintf(out, "  export RESTWATCH_CMS_CA_FILE=%s\n", caFile)
	}
	fmt.Fprintf(out, "  export RESTWATCH_VDNS=%s\n  restwatch serve\n\n", vdnRange(server.VDNs()))
	<-ctx.Done()
	return nil
}

// vdnRange writes the simulator's VDNs, which follow one another, as VDNS
// takes them.
func vdnRange(vdns []diff.VDN) string {
	first, last := vdns[0], vdns[len(vdns)-1]
	if first == last {
		return first.String()
	}
	return fmt.Sprintf("%s-%d", first, last.ID)
}

func faultHelp() string {
	var b strings.Builder
	for _, f := range cmssim.FaultList() {
		fmt.Fprintf(&b, "  %-34s %s\n", f.Form, f.Help)
	}
	return b.String() + "P is a probability for each call; without it the fault strikes always."
}

// environment makes a map of KEY=value lines, the last of a key winning.
func environment(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		if k, v, ok := strings.Cut(line, "="); ok {
			env[k] = v
		}
	}
	return env
}
