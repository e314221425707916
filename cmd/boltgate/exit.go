package main

// This file owns the exit codes: 0 done, 1 the work failed, 2 used wrongly.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// errSaid ends a command whose work failed and which has already said why.
var errSaid = errors.New("the work failed, as said above")

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// execute runs the command line under root and returns the exit code. What went wrong goes to stderr, once.
func execute(ctx context.Context, root *cobra.Command, stderr io.Writer) int {
	markUsageErrors(root)
	c, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSaid):
		return 1
	case errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command "):
		fmt.Fprintf(stderr, "boltgate: %v\nTry: %s --help\n", err, c.CommandPath())
		return 2
	default:
		fmt.Fprintf(stderr, "boltgate: %v\n", err)
		return 1
	}
}

// markUsageErrors makes every flag and argument that cobra refuses a usageError, and leaves it to execute to print errors.
func markUsageErrors(c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsageErrors(sub)
	}
}
