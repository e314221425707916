package main

// This file owns `boltgate check`: what is wrong with a configuration, all at once.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/configs"
)

func newCheckCommand() *cobra.Command {
	var files []string
	var diff diffOptions
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Say everything that is wrong with a configuration",
		Long: `Read configuration files as run would, start nothing, and print every fault as file:line:column: key: what.
Exits with 1 when there is one. -c may be repeated: later files win per key.

With --diff, say what a reload would change: of the running gate, which reads its own files for it and puts nothing in force, or, by
-c NEW --diff=OLD, between two files. Passwords are only said to have changed. What is in the files of certificates is not compared.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if diff.with != "" {
				return diff.run(c.Context(), c.OutOrStdout(), files)
			}
			if len(files) == 0 {
				return usagef("no file to check; name one with -c")
			}
			return check(c.OutOrStdout(), files, diff.json)
		},
	}
	c.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration file; may be repeated, later files win per key")
	diff.addFlags(c)
	return c
}

// checkResult is what `check --json` prints.
type checkResult struct {
	OK       bool        `json:"ok"`
	Faults   []jsonFault `json:"faults"`
	Warnings []string    `json:"warnings"`
}

// jsonFault is a configs.Fault; what there is none of is left out.
type jsonFault struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	Text   string `json:"text"`
}

// check prints what Load says about files, and returns errSaid when it found faults.
func check(w io.Writer, files []string, asJSON bool) error {
	cfg, err := configs.Load(files...)
	var faults configs.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	print := printCheck
	if asJSON {
		print = printCheckJSON
	}
	if err := print(w, files, cfg, faults); err != nil {
		return err
	}
	if faults != nil {
		return errSaid
	}
	return nil
}

func printCheck(w io.Writer, files []string, cfg *configs.Config, faults configs.Faults) error {
	if faults != nil {
		_, err := fmt.Fprintln(w, faults)
		return err
	}
	for _, warning := range cfg.Warnings {
		if _, err := fmt.Fprintln(w, "warning: "+warning); err != nil {
			return err
		}
	}
	found := ""
	if d := &cfg.Cluster.Discover; d.On() {
		found = " and those behind " + count(len(d.DNS)+len(d.SRV), "DNS name")
	}
	_, err := fmt.Fprintf(w, "%s: ok, %s, %s%s\n", strings.Join(files, ", "), count(len(cfg.Frontends), "frontend"), count(len(cfg.Cluster.Members), "member"), found)
	return err
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func printCheckJSON(w io.Writer, _ []string, cfg *configs.Config, faults configs.Faults) error {
	result := checkResult{OK: faults == nil, Faults: []jsonFault{}, Warnings: []string{}}
	for _, f := range faults {
		result.Faults = append(result.Faults, jsonFault{f.File, f.Line, f.Column, f.Key, f.Text})
	}
	if cfg != nil {
		result.Warnings = append(result.Warnings, cfg.Warnings...)
	}
	return json.NewEncoder(w).Encode(result)
}
