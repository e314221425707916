package main

// This file owns `boltgate check --diff`: what a reload would change, asked of the running gate, or of another file.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/admin"
	"github.com/boltgate/boltgate/configs"
)

// ofTheGate is what --diff holds when it is given without a file.
const ofTheGate = "\x00"

// diffOptions are the flags of check that are about --diff.
type diffOptions struct {
	client
	with string // the older file; ofTheGate: what runs; "" no difference is asked for
}

func (o *diffOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	o.client.addFlags(c)
	f.StringVar(&o.with, "diff", "", "say what would change: --diff, if the running gate reloaded its files; -c NEW --diff=OLD, between two files")
	f.Lookup("diff").NoOptDefVal = ofTheGate
}

// run prints the difference.
func (o *diffOptions) run(ctx context.Context, w io.Writer, files []string) error {
	var changes []string
	var err error
	switch {
	case o.with != ofTheGate && len(files) == 0:
		return usagef("--diff=FILE compares FILE with the files of -c; name them")
	case o.with != ofTheGate:
		changes, err = between(o.with, files)
	case len(files) > 0:
		return usagef("--diff asks the running gate about its own files; to compare two files, say -c NEW --diff=OLD")
	default:
		changes, err = o.ofReload(ctx)
	}
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(w).Encode(admin.ReloadPreview{Changes: changes})
	}
	for _, line := range changes {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		_, err = fmt.Fprintln(w, "nothing would change")
	}
	return err
}

// ofReload asks the daemon, which reads its files and puts nothing in force.
func (o *diffOptions) ofReload(ctx context.Context) ([]string, error) {
	var p admin.ReloadPreview
	if _, err := o.call(ctx, http.MethodGet, "/api/v1/reload", nil, &p); err != nil {
		return nil, fmt.Errorf("what would change is not known:\n%w", err)
	}
	return p.Changes, nil
}

// between compares an older file with newer ones.
func between(older string, newer []string) ([]string, error) {
	was, err := configs.Load(older)
	if err != nil {
		return nil, err
	}
	is, err := configs.Load(newer...)
	if err != nil {
		return nil, err
	}
	return append([]string{}, configs.Diff(was, is)...), nil
}

// PreviewReload is Reload that puts nothing in force: what would be different.
func (d *daemon) PreviewReload(ctx context.Context) ([]string, error) {
	var now *configs.Config
	err := d.order(ctx, func() error {
		now = d.cfg // it never changes; a reload makes another
		if d.load == nil {
			return errors.New("this daemon runs without a configuration file")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	next, err := d.load()
	if err != nil {
		return nil, err
	}
	if _, err := memberTLS(next.Cluster.TLS); err != nil {
		return nil, err
	}
	if _, err := frontends(next); err != nil {
		return nil, err
	}
	return append([]string{}, configs.Diff(now, next)...), nil
}
