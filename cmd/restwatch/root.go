package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "restwatch",
		Short: "Publish every change of a contact centre's agent rests to NATS",
		Long: `restwatch polls Huawei CC-CMS for the rests ("breaks") of all agents, infers what
changed since the poll before, and publishes every change to NATS JetStream.

To see it work, with nothing to set up:

  restwatch demo`,
		Version:       version,
		Args:          usage(knownCommand),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (%s --help tells more)", err, cmd.CommandPath())}
	})
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE:  func(_ *cobra.Command, args []string) error { return helpFor(root, args) },
	})
	root.AddCommand(
		newServe(std),
		newDemo(std),
		newSim(std),
		newCheck(std),
		newTail(std),
		newSnapshot(std),
		newExport(std),
		newReport(std),
		newVerify(std),
		newRecord(std),
		newDiff(std),
		newVersion(),
	)
	return root
}

// helpFor shows a command's help. Cobra's own would show the root's for what is
// no command.
func helpFor(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err == nil && cmd == root {
		err = usage(knownCommand)(root, rest)
	}
	if err != nil {
		return err
	}
	return cmd.Help()
}

// knownCommand refuses what is no command, and says which it may have been.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w, did you mean %s?", err, strings.Join(like, " or "))
	}
	return err
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q", args[0])
	}
	return nil
}

// usage makes the errors of an argument check usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w (%s --help tells more)", err, cmd.CommandPath())}
		}
		return nil
	}
}
