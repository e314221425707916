package main

// This file owns `boltgate demo`: a stand-in cluster and the gate in front of it in one process, and the keys that make trouble.

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/standin"
)

const (
	demoLag      = 100 * time.Millisecond
	demoElection = 3 * time.Second
)

type demoOptions struct {
	generation string
	bind       string
	killEvery  time.Duration
	seed       int64
	verbose    bool
}

func newDemoCommand() *cobra.Command {
	o := demoOptions{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the gate in front of a stand-in cluster, to see what it does",
		Long: `Run three stand-in members and a replica, which speak real Bolt and HTTP but have no database, and the gate in front of them.
On a terminal, k kills the leader, r restarts the dead, q quits.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), o, c.InOrStdin(), c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.generation, "generation", "autonomous", "what the members are like: ha, causal, autonomous, standalone")
	f.StringVar(&o.bind, "bind", "127.0.0.1:7687", "address that the gate listens on")
	f.DurationVar(&o.killEvery, "kill-every", 0, "restart the dead and kill the leader again and again (default: only by key)")
	f.Int64Var(&o.seed, "seed", 1, "of the elections' times and winners")
	f.BoolVar(&o.verbose, "verbose", false, "print what the gate logs")
	return c
}

// runDemo runs until ctx ends or q is pressed.
func runDemo(ctx context.Context, o demoOptions, keys io.Reader, out io.Writer) error {
	g, err := cluster.ParseGeneration(o.generation)
	if err != nil || g == cluster.UnknownGeneration {
		return usagef("--generation %q: want ha, causal, autonomous or standalone", o.generation)
	}
	screen := &demoScreen{out: out}
	defer screen.rawKeys(keys)()
	options := standin.Options{Generation: g, Seed: o.seed, Lag: demoLag, ElectionTime: demoElection, OnElection: screen.election}
	if g == cluster.Causal || g == cluster.Autonomous {
		options.Replicas = 1
	}
	members, err := standin.Start(options)
	if err != nil {
		return err
	}
	defer members.Close()
	cfg, err := demoConfig(o, members)
	if err != nil {
		return err
	}
	screen.welcome(o, members)
	return serveDemo(ctx, o, cfg, &demo{members, screen}, keys)
}

// serveDemo runs the gate, the keys and the timer side by side; the first to end ends the others.
func serveDemo(ctx context.Context, o demoOptions, cfg *configs.Config, d *demo, keys io.Reader) error {
	ctx, quit := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer quit()
	if o.killEvery > 0 {
		running.Go(func() { d.killOnTime(ctx, o.killEvery) })
	}
	go d.readKeys(keys, quit) // a read of the terminal cannot be ended; the process ends with it
	logs := cfg.Log
	logs.Level = "error"
	if o.verbose {
		logs.Level = "info"
	}
	return startDaemon(ctx, cfg, newLogger(logs, d.screen))
}

// demoConfig is the gate's configuration: what a file for this cluster would say.
func demoConfig(o demoOptions, c *standin.Cluster) (*configs.Config, error) {
	cfg := configs.Default()
	cfg.Frontends[0].Bind = []string{o.bind}
	cfg.Cluster.Generation = o.generation
	cfg.Cluster.Discover.Cluster = false // all are named
	cfg.Cluster.Check.User, cfg.Cluster.Check.Password = standin.DefaultUser, configs.Secret(standin.DefaultPassword)
	for _, m := range c.Members() {
		cfg.Cluster.Members = append(cfg.Cluster.Members, configs.Member{Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP, Weight: 1})
	}
	return cfg, configs.Validate(cfg)
}

// demo is what the keys act on.
type demo struct {
	*standin.Cluster
	screen *demoScreen
}

func (d *demo) killOnTime(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.restartDead()
			d.killLeader()
		case <-ctx.Done():
			return
		}
	}
}

func (d *demo) readKeys(keys io.Reader, quit func()) {
	key := make([]byte, 1)
	for {
		if n, err := keys.Read(key); n == 0 || err != nil {
			return
		}
		switch key[0] {
		case 'k':
			d.killLeader()
		case 'r':
			d.restartDead()
		case 'q', 3: // 3 is Ctrl-C, which a raw terminal does not turn into a signal
			quit()
			return
		}
	}
}

func (d *demo) killLeader() {
	leader := d.Leader("")
	if leader == "" {
		d.screen.say("there is no leader to kill; r restarts the dead")
		return
	}
	if err := d.Kill(leader); err == nil {
		d.screen.say("killed %s, the leader", leader)
	}
}

func (d *demo) restartDead() {
	for _, m := range d.Members() {
		if d.Alive(m.Name) {
			continue
		}
		if err := d.Restart(m.Name); err != nil {
			d.screen.say("%s does not start: %v", m.Name, err)
			continue
		}
		d.screen.say("restarted %s", m.Name)
	}
}

// demoScreen is where everything is printed, line by line.
type demoScreen struct {
	mu  sync.Mutex
	out io.Writer
	raw bool // line ends need a carriage return; set before anything is printed
}

// Write is for the logs of the gate.
func (s *demoScreen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(b)
	if s.raw {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	_, err := io.WriteString(s.out, text)
	return len(b), err
}

func (s *demoScreen) say(format string, args ...any) {
	fmt.Fprintf(s, "%s  %s\n", time.Now().Format("15:04:05.0"), fmt.Sprintf(format, args...))
}

func (s *demoScreen) election(e standin.Election) {
	what := "the cluster"
	if e.DB != "" {
		what = "database " + e.DB
	}
	s.say("%s leads %s now (term %d)", e.Leader, what, e.Term)
}

// rawKeys makes a terminal hand over each key at once; the result undoes it.
func (s *demoScreen) rawKeys(keys io.Reader) (restore func()) {
	f, ok := keys.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return func() {}
	}
	s.raw = true
	return func() { _ = term.Restore(int(f.Fd()), before) }
}

// welcome says what runs and what to try.
func (s *demoScreen) welcome(o demoOptions, c *standin.Cluster) {
	address := clientAddress(o.bind)
	fmt.Fprintf(s, "A stand-in %s cluster (Neo4j %s) behind the gate at %s\n\n", o.generation, c.ServerVersion(), address)
	for _, m := range c.Members() {
		fmt.Fprintf(s, "  %-3s %-9s bolt %s  http %s\n", m.Name, c.Role("", m.Name), m.Bolt, m.HTTP)
	}
	path, scheme := "/db/neo4j/tx/commit", "neo4j"
	if !c.MultiDatabase() {
		path = "/db/data/transaction/commit"
	}
	user, password := standin.DefaultUser, standin.DefaultPassword
	lines := []string{
		"", "The operator's page: http://" + configs.Default().Admin.Bind + "/ (unless another gate has that address)",
		"Each answer names the member that gave it. Try in another terminal:", "",
		fmt.Sprintf("  curl -u %s:%s http://%s%s \\\n    -H 'Content-Type: application/json' -d '{\"statements\":[{\"statement\":\"CREATE (n) RETURN n\"}]}'", user, password, address, path),
		fmt.Sprintf("  cypher-shell -a %s://%s -u %s -p %s 'MATCH (n) RETURN n'", scheme, address, user, password), "",
		"  # Python: pip install neo4j",
		"  from neo4j import GraphDatabase",
		fmt.Sprintf("  with GraphDatabase.driver(\"%s://%s\", auth=(\"%s\", \"%s\")) as d:", scheme, address, user, password),
		"      print(d.execute_query(\"CREATE (n) RETURN n\").records)", "",
		"  // Go: github.com/neo4j/neo4j-go-driver/v5",
		fmt.Sprintf("  driver, _ := neo4j.NewDriverWithContext(\"%s://%s\", neo4j.BasicAuth(\"%s\", \"%s\", \"\"))", scheme, address, user, password),
		"  neo4j.ExecuteQuery(ctx, driver, \"MATCH (n) RETURN n\", nil, neo4j.EagerResultTransformer, neo4j.ExecuteQueryWithReadersRouting())", "",
		"Keys: k kill the leader, r restart the dead, q quit.", "",
	}
	fmt.Fprintln(s, strings.Join(lines, "\n"))
}

// clientAddress is how a client on this machine reaches what is bound.
func clientAddress(bind string) string {
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return bind
	}
	if slices.Contains([]string{"", "0.0.0.0", "::"}, host) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
