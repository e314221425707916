package main

// This file owns `boltgate migrate`: from a haproxy.cfg to the boltgate.yaml that does the same.

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/migrate"
)

func newMigrateCommand() *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use:   "migrate haproxy.cfg",
		Short: "Write the boltgate.yaml that does what a haproxy.cfg does",
		Long: `Read a haproxy.cfg in front of Neo4j and write the boltgate.yaml that does the same, to standard output or to -o FILE.
What is not carried over, and what is there in another form, is said line by line on standard error, and stands in the result as comments.
With -o, passwords go into files beside FILE that only you can read; without it the checks' password is the variable NEO4J_CHECK_PASSWORD.
Nothing is overwritten unless --force is given. "-" reads standard input.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readAll(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			o := migrate.Options{Name: filepath.Base(args[0]), Hash: hashed}
			if out != "" {
				o.Stem = strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))
			}
			r, err := migrate.Convert(string(text), o)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := deliver(c.OutOrStdout(), r, out, force); err != nil {
				return err
			}
			return explain(c.ErrOrStderr(), r, args[0], out)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file to write; passwords go into files beside it")
	c.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	return c
}

func readAll(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, 16<<20))
	}
	return os.ReadFile(name)
}

func hashed(password string) (string, error) {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(h), err
}

// deliver writes the result, or nothing when one of its files is there already.
func deliver(w io.Writer, r *migrate.Result, out string, force bool) error {
	if out == "" {
		_, err := w.Write(r.YAML)
		return err
	}
	files := map[string][]byte{out: r.YAML}
	for name, text := range r.Files {
		files[filepath.Join(filepath.Dir(out), name)] = []byte(text)
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil && !force {
			return fmt.Errorf("%s is there already; --force overwrites it", name)
		}
	}
	for _, name := range names {
		if err := writePrivate(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// writePrivate writes a file that only its owner reads, also where an older one was open to others.
func writePrivate(name string, text []byte) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// explain says what became of the lines, and what is left to do.
func explain(w io.Writer, r *migrate.Result, in, out string) error {
	var b strings.Builder
	lost := 0
	for _, n := range r.Notes {
		kind := "note"
		if n.Lost {
			kind, lost = "not carried over", lost+1
		}
		fmt.Fprintf(&b, "%s:%d: %s: %s: %s\n", in, n.Line, kind, n.What, n.Why)
	}
	fmt.Fprintf(&b, "%s not carried over\n", count(lost, "line"))
	if r.NeedsSetting != "" {
		fmt.Fprintf(&b, "set %s to the password of the checks' user before boltgate starts\n", r.NeedsSetting)
	}
	if out != "" {
		_, err := configs.Load(out)
		if err != nil {
			fmt.Fprintf(&b, "the result is not valid yet:\n%v\n", err)
		} else {
			fmt.Fprintf(&b, "%s: valid; look at it, then: boltgate doctor -c %s; boltgate run -c %s\n", out, out, out)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
