// Boltgate is the load balancer in front of Neo4j clusters. This package is the program: commands, signals, wiring, reload
// and the order of the end.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the Makefile; a plain go build says what the module's build information knows.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, newRootCommand(), os.Stderr)
	stop()
	os.Exit(code)
}

func newRootCommand() *cobra.Command {
	root := newGateCommand()
	root.AddCommand(newRunCommand(), newDemoCommand(), newCheckCommand(), newMigrateCommand(), newDoctorCommand(), newClassifyCommand(), newBenchCommand(), newVersionCommand())
	root.AddCommand(operatorCommands()...)
	return root
}

// operatorCommands are those that talk to a running daemon, and what prepares for them.
func operatorCommands() []*cobra.Command {
	return []*cobra.Command{newStatusCommand(), newMembersCommand(), newSessionsCommand(), newQueriesCommand(), newTopCommand(), newEventsCommand(), newKillCommand(), newDrainCommand(), newMaintCommand(),
		newReadyCommand(), newWeightCommand(), newReloadCommand(), newHashCommand()}
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which boltgate this is",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { c.Println("boltgate " + versionText()) },
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
