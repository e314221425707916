package main

// This file owns `boltgate doctor`: the configuration and the live cluster, looked at together.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/discovery"
	"github.com/boltgate/boltgate/doctor"
)

func newDoctorCommand() *cobra.Command {
	var files []string
	var asJSON bool
	o := doctor.Options{}
	c := &cobra.Command{
		Use:   "doctor -c FILE",
		Short: "Look at a configuration and the live cluster, and name what is wrong",
		Long: `Read configuration files as run would, ask the members what the daemon would ask them and a little more, and name the mistakes that
people really make: refused logins, members of other clusters, addresses that lead nowhere, clocks, certificates (docs/doctor.md).
Nothing is changed. Exits with 1 when anything found is an error.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usagef("no configuration; name a file with -c")
			}
			return examine(c.Context(), c.OutOrStdout(), files, o, asJSON)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&files, "config", "c", nil, "configuration file; may be repeated, later files win per key")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.DurationVar(&o.Within, "within", 5*time.Second, "how long the members have to answer")
	f.BoolVar(&o.Guess, "guess", true, "try the password that Neo4j is installed with; each member's security log shows the attempt")
	return c
}

func examine(ctx context.Context, w io.Writer, files []string, o doctor.Options, asJSON bool) error {
	cfg, err := configs.Load(files...)
	if err != nil {
		return err // faults, one a line
	}
	members, err := membersNow(ctx, cfg, o.Within)
	if err != nil {
		return err
	}
	secure, err := memberTLS(cfg.Cluster.TLS)
	if err != nil {
		return err
	}
	all := new(roster)
	all.set(members, nil, time.Now())
	o.Health = healthOptions(cfg, all, nil, secure)
	o.Where, o.Certs = configs.Places(files...), cfg.Admin.TLS.Cert
	for _, f := range cfg.Frontends {
		o.Frontends = append(o.Frontends, doctor.Frontend{Name: f.Name, Advertise: f.Advertise, Certs: f.TLS.Cert})
	}
	for _, u := range cfg.Admin.Users {
		o.Users = append(o.Users, doctor.User{Name: u.Name, Hash: u.Password.Value()})
	}
	r := doctor.Examine(ctx, o)
	for _, text := range cfg.Warnings {
		r.Findings = append(r.Findings, doctor.Finding{Level: doctor.Warning, Code: "configuration", What: text})
	}
	if asJSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		err = printFindings(w, r)
	}
	if err == nil && r.Failed() {
		return errSaid
	}
	return err
}

// membersNow are the members of the file, and those that DNS names now.
func membersNow(ctx context.Context, cfg *configs.Config, within time.Duration) ([]*cluster.Member, error) {
	if !cfg.Cluster.Discover.On() {
		return membersOf(cfg), nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	finder := discovery.New(finderOptions(cfg, resolverOf(cfg, nil)), slog.New(slog.DiscardHandler))
	go finder.Run(ctx)
	select {
	case <-finder.Changed():
		return merge(membersOf(cfg), finder.Members()), nil
	case <-ctx.Done():
		if len(cfg.Cluster.Members) > 0 {
			return membersOf(cfg), nil
		}
		return nil, fmt.Errorf("no name of cluster.discover leads to a member within %v: look at the names, and at the DNS servers (cluster.discover.resolvers)", within)
	}
}

func printFindings(w io.Writer, r *doctor.Report) error {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: ", f.Level)
		if f.Where != "" {
			fmt.Fprintf(&b, "%s: ", f.Where)
		}
		if f.Key != "" {
			fmt.Fprintf(&b, "%s: ", f.Key)
		}
		if f.Member != "" {
			fmt.Fprintf(&b, "%s: ", f.Member)
		}
		fmt.Fprintf(&b, "%s [%s]\n", f.What, f.Code)
		if f.Do != "" {
			fmt.Fprintf(&b, "    %s\n", f.Do)
		}
	}
	up := 0
	for _, m := range r.Members {
		if m.Up {
			up++
		}
	}
	fmt.Fprintf(&b, "%s, %d of %s up, %s found\n", r.Generation, up, count(len(r.Members), "member"), count(len(r.Findings), "thing"))
	_, err := io.WriteString(w, b.String())
	return err
}
