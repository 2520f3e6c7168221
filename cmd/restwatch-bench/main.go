// Command restwatch-bench measures what restwatch costs, as whole processes and
// against the least that any such service costs: the floor, which posts, reads
// the body and publishes it to JetStream, and neither decodes nor compares.
//
// The upstream and a subscriber live in this process. Floor, restwatch and
// nats-server are processes of their own, measured by the kernel's account of
// their CPU time. Runs alternate, so that what else the machine does falls on
// all of them; only ratios of one table mean anything.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const synopsis = `usage:
  restwatch-bench compare [flags]   CPU, memory and latency of restwatch against the floor
  restwatch-bench large [flags]     many VDNs with the embedded server: slots, CPU, memory, start
  restwatch-bench scale [flags]     several replicas of restwatch: what they cost together
  restwatch-bench floor [flags]     the floor itself, as compare starts it

Each has -h. bench.sh builds what they need and runs them all.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		stop()
		if err != flag.ErrHelp {
			fmt.Fprintln(os.Stderr, "restwatch-bench:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, synopsis)
		return flag.ErrHelp
	}
	switch name, args := args[0], args[1:]; name {
	case "compare":
		return runCompare(ctx, args)
	case "large":
		return runLarge(ctx, args)
	case "scale":
		return runScale(ctx, args)
	case "floor":
		return runFloor(ctx, args)
	default:
		fmt.Fprint(os.Stderr, synopsis)
		return fmt.Errorf("unknown command %q", name)
	}
}
