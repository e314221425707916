package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/handover"
)

// TestMain makes this test binary stand in for boltgate: in the scripts of testdata/script, and as processes that hand over.
func TestMain(m *testing.M) {
	if os.Getenv("BOLTGATE_TEST_PROGRAM") != "" {
		if os.Getenv("BOLTGATE_TEST_FORMATS") != "" && os.Getenv(handover.Environment) != "" {
			formats = handover.Formats{First: 1 << 20, Last: 1 << 20}
		}
		main()
		return
	}
	testscript.Main(m, map[string]func(){"boltgate": func() {
		root := &cobra.Command{Use: "boltgate"}
		root.AddCommand(newCheckCommand(), newClassifyCommand())
		root.AddCommand(operatorCommands()...)
		os.Exit(execute(context.Background(), root, os.Stderr))
	}})
}

// TestScripts runs what a user would type; a script reads like a shell session. UPDATE_SCRIPTS=1 writes the files that cmp compares with.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != ""})
}
