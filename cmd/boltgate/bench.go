package main

// This file owns `boltgate bench`: its flags, and how results are printed. The work is package bench's.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/boltgate/boltgate/bench"
)

// passwordVariable holds the password where a flag would show it to everybody on the machine.
const passwordVariable = "BOLTGATE_PASSWORD"

func newBenchCommand() *cobra.Command {
	var l bench.Load
	var mode string
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench URI",
		Short: "Load a Bolt or HTTP server and measure",
		Long: `Send one operation over and over to bolt://, neo4j:// (+s, +ssc), http:// or https://[USER[:PASSWORD]@]HOST[:PORT] and print throughput and times.
With --rate operations start on a fixed schedule and their times count from it (corrected for coordinated omission); without, as fast as answers come.
The password may also stand in ` + passwordVariable + `.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l.URI, l.Mode = args[0], bench.Mode(mode)
			l.Password = os.Getenv(passwordVariable)
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := bench.Run(ctx, l)
			if err != nil {
				return err
			}
			return printResult(c.OutOrStdout(), r, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&mode, "mode", "", "auto (default), explicit, connect; over HTTP post (default) or get")
	f.StringVar(&l.User, "user", "", "user to log on as (default: the URI's; none: no login)")
	f.StringVar(&l.Database, "database", "", "database (default: the user's home database; over HTTP neo4j)")
	f.StringVar(&l.Query, "query", "RETURN 1", "what is run")
	f.StringVar(&l.Access, "access", "", "declare read or write (default: undeclared)")
	f.StringVar(&l.Path, "path", "/db/data/labels", "what --mode get asks for")
	f.IntVar(&l.Clients, "clients", 32, "connections at work")
	f.DurationVar(&l.Duration, "duration", 30*time.Second, "time that counts")
	f.DurationVar(&l.Warmup, "warmup", time.Second, "time before it")
	f.Float64Var(&l.Rate, "rate", 0, "operations a second, over all clients (default: as fast as answers come)")
	f.IntVar(&l.WatchPID, "watch-pid", 0, "process whose CPU time per operation is printed")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(newBenchServeCommand(), newBenchRelayCommand(), newBenchCompareCommand())
	return c
}

func printResult(w io.Writer, r bench.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprint(w, r)
	return err
}

// untilEnded returns a context that ends with a signal, or when standard input does if that is a pipe: a server started by `bench compare` does not
// outlive it.
func untilEnded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // its end is all that matters
		cancel()
	}()
	return ctx, func() { cancel(); stop() }
}

// ended drops the error of a server that was asked to end.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func newBenchServeCommand() *cobra.Command {
	var s bench.Instant
	c := &cobra.Command{
		Use:    "serve",
		Short:  "Run a server that answers at once with fixed bytes",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := untilEnded(c.Context())
			defer stop()
			if err := s.Listen(); err != nil {
				return err
			}
			if err := json.NewEncoder(c.OutOrStdout()).Encode(bench.Addresses{Bolt: s.Bolt, HTTP: s.HTTP}); err != nil {
				return err
			}
			return ended(s.Serve(ctx))
		},
	}
	c.Flags().StringVar(&s.Bolt, "bolt", "127.0.0.1:0", "address for Bolt; empty: none")
	c.Flags().StringVar(&s.HTTP, "http", "127.0.0.1:0", "address for HTTP; empty: none")
	c.Flags().StringVar(&s.Role, "role", "", "be a HA master or slave, or the leader or a follower of a cluster of 5.x (default: standalone)")
	c.Flags().StringVar(&s.Peer, "peer", "", "Bolt address of the leader, for a follower, or of a follower, for the leader")
	return c
}

func newBenchRelayCommand() *cobra.Command {
	var boltRelay, httpRelay bench.Relay
	c := &cobra.Command{
		Use:    "relay",
		Short:  "Run the least proxy, to judge a proxy's cost by",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := untilEnded(c.Context())
			defer stop()
			httpRelay.HTTP, httpRelay.Two = true, boltRelay.Two
			return ended(bench.ServeRelays(ctx, &boltRelay, &httpRelay, func(a bench.Addresses) error {
				return json.NewEncoder(c.OutOrStdout()).Encode(a)
			}))
		},
	}
	c.Flags().StringVar(&boltRelay.Listen, "bolt", "127.0.0.1:0", "address for Bolt")
	c.Flags().StringVar(&httpRelay.Listen, "http", "127.0.0.1:0", "address for HTTP")
	c.Flags().BoolVar(&boltRelay.Two, "two", false, "two goroutines a client in place of one")
	c.Flags().StringVar(&boltRelay.To, "to-bolt", "", "server for Bolt")
	c.Flags().StringVar(&httpRelay.To, "to-http", "", "server for HTTP")
	return c
}

func newBenchCompareCommand() *cobra.Command {
	p := bench.DefaultPlan()
	var quick, markdown, asJSON bool
	var out, contenders string
	c := &cobra.Command{
		Use:   "compare",
		Short: "Measure boltgate beside HAProxy and beside no proxy, on this machine",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if quick {
				shorten(c.Flags(), p)
			}
			if contenders != "" {
				p.Contenders = strings.Split(contenders, ",")
			}
			p.RealPassword = os.Getenv(passwordVariable)
			p.Log = c.ErrOrStderr()
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			report, err := p.Run(ctx)
			if err != nil {
				return err
			}
			return printReport(c.OutOrStdout(), report, out, markdown, asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&quick, "quick", false, "short runs: for trying, not for figures to keep")
	f.BoolVar(&markdown, "markdown", false, "print the table as Markdown")
	f.BoolVar(&asJSON, "json", false, "print everything as JSON")
	f.StringVar(&out, "out", "", "also write the JSON to this file")
	f.StringVar(&contenders, "contenders", "", "some of "+strings.Join(p.Contenders, ",")+" (default: all)")
	f.StringVar(&p.Gate, "gate", "", "program to measure as boltgate (default: this one)")
	f.StringSliceVar(&p.Only, "only", nil, "only these measurements: "+strings.Join(bench.MeasurementNames(), ", "))
	f.StringVar(&p.Real, "real", "", "address HOST:PORT of a real Neo4j with a login, for connect-query-close; its password in "+passwordVariable)
	f.StringVar(&p.RealUser, "real-user", "neo4j", "user at the real Neo4j")
	f.DurationVar(&p.Duration, "duration", p.Duration, "time that a round for CPU and throughput counts")
	f.IntVar(&p.Rounds, "rounds", p.Rounds, "rounds for CPU and throughput")
	f.DurationVar(&p.LatencyDuration, "latency-duration", p.LatencyDuration, "time that a round at equal offered load counts")
	f.IntVar(&p.LatencyRounds, "latency-rounds", p.LatencyRounds, "rounds at equal offered load")
	f.IntVar(&p.Clients, "clients", p.Clients, "connections at work")
	f.IntVar(&p.IdleClients, "idle-clients", p.IdleClients, "logged-on clients whose memory is measured")
	f.IntVar(&p.ProxyCore, "proxy-core", p.ProxyCore, "core of the proxies; -1: any")
	f.IntVar(&p.LoadCore, "load-core", p.LoadCore, "core of generator and instant server; -1: any")
	return c
}

// shorten takes from the quick plan what no flag says.
func shorten(f *pflag.FlagSet, p *bench.Plan) {
	q := bench.QuickPlan()
	p.Warmup = q.Warmup
	for name, set := range map[string]func(){
		"duration":         func() { p.Duration = q.Duration },
		"rounds":           func() { p.Rounds = q.Rounds },
		"latency-duration": func() { p.LatencyDuration = q.LatencyDuration },
		"latency-rounds":   func() { p.LatencyRounds = q.LatencyRounds },
		"idle-clients":     func() { p.IdleClients = q.IdleClients },
	} {
		if !f.Changed(name) {
			set()
		}
	}
}

func printReport(w io.Writer, r *bench.Report, out string, markdown, asJSON bool) error {
	if out != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	switch {
	case asJSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case markdown:
		_, err := io.WriteString(w, r.Markdown())
		return err
	}
	_, err := io.WriteString(w, r.Text())
	return err
}
