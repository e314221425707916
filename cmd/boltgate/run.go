package main

// This file owns `boltgate run` and `boltgate URI`: from a command line to a configuration and a running daemon.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boltgate/boltgate/configs"
)

func newRunCommand() *cobra.Command {
	var files []string
	profile := ""
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the daemon with a configuration file",
		Long:  "Run the daemon. SIGHUP reads the files again, SIGTERM ends it when its units of work are done, SIGUSR2 starts a successor that\ntakes over its sockets: an upgrade that no client sees (docs/upgrading.md).",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usagef("no configuration; name a file with -c, or run `boltgate URI`")
			}
			load := func() (*configs.Config, error) { return configs.Load(files...) }
			cfg, err := load()
			if err != nil {
				return err
			}
			stop, err := startProfile(profile)
			if err != nil {
				return err
			}
			return errors.Join(runDaemon(c.Context(), cfg, load, newLogger(cfg.Log, c.ErrOrStderr())), stop())
		},
	}
	c.Flags().StringVar(&profile, "cpu-profile", "", "file for a CPU profile of the whole run (pprof)")
	c.Flags().MarkHidden("cpu-profile") //nolint:errcheck // it is there: the line before
	c.Flags().StringArrayVarP(&files, "config", "c", nil, "configuration file; may be repeated, later files win per key")
	return c
}

// startProfile begins a CPU profile, which stop ends and writes; without a file it does nothing.
func startProfile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--cpu-profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpu-profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// newGateCommand is the root: `boltgate URI` runs the daemon with defaults.
func newGateCommand() *cobra.Command {
	bind := ":7687"
	c := &cobra.Command{
		Use:   "boltgate [URI]",
		Short: "One address in front of a Neo4j cluster",
		Long: `One address in front of a Neo4j cluster: for every driver, the Browser and HTTP clients.

boltgate neo4j://user@host:7687[,host2:7687…] runs the daemon with defaults; user is who checks the members, and the
password comes from BOLTGATE_PASSWORD or a prompt. The rest of the cluster is learned from these hosts; with bolt:// in place
of neo4j:// it is not. +s and +ssc in the scheme turn on TLS to the members.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			if len(args) > 1 || !strings.Contains(args[0], "://") {
				return usagef("unknown command %q", args[0])
			}
			cfg, err := configFromURI(args[0], bind, func(user string) (string, error) { return askPassword(user, c.ErrOrStderr()) })
			if err != nil {
				return err
			}
			return startDaemon(c.Context(), cfg, newLogger(cfg.Log, c.ErrOrStderr()))
		},
	}
	c.Flags().StringVar(&bind, "bind", bind, "address to listen on")
	return c
}

// configFromURI is the configuration of `boltgate URI`.
func configFromURI(text, bind string, password func(user string) (string, error)) (*configs.Config, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	user, hosts, found := strings.Cut(rest, "@")
	if !found {
		user, hosts = "", rest
	}
	hosts, _, _ = strings.Cut(hosts, "/")
	cfg := configs.Default()
	cfg.Frontends[0].Bind = []string{bind}
	base, secure, _ := strings.Cut(scheme, "+")
	if base != "neo4j" && base != "bolt" {
		return nil, usagef("%s: the scheme is neo4j, neo4j+s, neo4j+ssc, or the same with bolt", text)
	}
	cfg.Cluster.Discover.Cluster = base == "neo4j" // as with drivers: bolt means these hosts and no others
	switch secure {
	case "":
	case "s":
		cfg.Cluster.TLS.Mode = "verify"
	case "ssc":
		cfg.Cluster.TLS.Mode = "insecure"
	default:
		return nil, usagef("%s: +%s is not known; +s verifies certificates, +ssc does not", text, secure)
	}
	for i, host := range strings.Split(hosts, ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "7687")
		}
		cfg.Cluster.Members = append(cfg.Cluster.Members, configs.Member{Name: fmt.Sprintf("s%d", i+1), Bolt: host, Weight: 1})
	}
	if user != "" {
		name, err := url.PathUnescape(user)
		if err != nil || strings.Contains(name, ":") {
			return nil, usagef("the URI may name a user but no password; set BOLTGATE_PASSWORD")
		}
		secret, err := password(name)
		if err != nil {
			return nil, err
		}
		cfg.Cluster.Check.User, cfg.Cluster.Check.Password = name, configs.Secret(secret)
	}
	return cfg, configs.Validate(cfg)
}

func askPassword(user string, w io.Writer) (string, error) {
	if p, ok := os.LookupEnv("BOLTGATE_PASSWORD"); ok {
		return p, nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", usagef("no password for %s: set BOLTGATE_PASSWORD", user)
	}
	fmt.Fprintf(w, "password of %s: ", user)
	p, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(w)
	return string(p), err
}

// startDaemon runs a daemon whose configuration does not come from files, so that there is nothing to reload.
func startDaemon(ctx context.Context, cfg *configs.Config, log logger) error {
	return runDaemon(ctx, cfg, nil, log)
}
