// Command restwatch watches the rests of a contact centre's agents: it polls
// Huawei CC-CMS, infers what changed, and publishes every change to NATS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		// A second signal ends the process at once: the first is handled.
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], stdio{os.Environ(), os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is what a command has of the world, so that tests can give it another.
type stdio struct {
	env    []string
	in     io.Reader
	out    io.Writer
	errOut io.Writer
}

// Exit codes of every command.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, std stdio) int {
	cmd := newRoot(std)
	cmd.SetArgs(args)
	cmd.SetIn(std.in)
	cmd.SetOut(std.out)
	cmd.SetErr(std.errOut)
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil, errors.Is(err, errReported) && ctx.Err() != nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, &usageError{}):
		fmt.Fprintf(std.errOut, "restwatch: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(std.errOut, "restwatch: %v\n", err)
		return exitFailure
	}
}

// errReported says that the command failed and has already said why.
var errReported = errors.New("reported")
