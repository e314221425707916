package labs

// This file owns a whole lab: laying it out, starting it, waiting for it, ending it with its test.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs/jars"
)

// User is the user that every lab knows; Cluster.Password is the password.
const User = "neo4j"

// readyTime bounds WaitReady: a causal cluster of four took 45 to 70 s on two cores.
const readyTime = 4 * time.Minute

// Cluster is a lab that runs.
type Cluster struct {
	Lab      Lab
	Members  []*Member // cores first
	User     string
	Password string

	t       testing.TB
	started time.Time
	up      chan struct{} // closed when every member was started, or upErr was set
	upErr   error
}

// Start starts the lab's servers and returns without waiting for them: see WaitReady. Where the machine lacks what the lab
// needs the test is skipped, in CI it fails (see Require). The servers end, and another lab may start, when the test has ended; their logs are in
// the test's artifact folder (kept with go test -artifacts), and the end of each is printed when the test failed. Without hosts the members
// share the loopback interface; else there is one for each.
func Start(t testing.TB, lab Lab, hosts ...Host) *Cluster {
	t.Helper()
	Require(t, "lab "+lab.Name, lab.Available())
	cache, err := jars.Cache()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := jars.Lock(filepath.Join(cache, "lab.lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	begun := time.Now()
	in, err := lab.dist.install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store := ""
	if lab.Kind != Alone {
		if store, err = in.seed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cluster{Lab: lab, User: User, Password: in.password, t: t, started: time.Now(), up: make(chan struct{})}
	if err := c.layOut(in, store, hosts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	go func() {
		defer close(c.up)
		c.upErr = c.bringUp(t.Context())
	}()
	t.Logf("lab %s: %d servers %s started on Java %d (jars ready after %.1fs)", lab.Name, len(c.Members), in.version, in.jdk.Major, c.started.Sub(begun).Seconds())
	return c
}

// bringUp starts the members. Those of a cluster are quickest, and surest on a busy machine, when each finds what it looks for. HA members
// that start together may suspect each other of having failed, and elect twice; so the first one founds the cluster alone. Cores wait long for each other to claim the discovery service, and
// a replica that finds no core tries again after a time that doubles up to half a minute: in this order four are ready in 27 s, all at once in 70 s.
func (c *Cluster) bringUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for i, m := range c.Members {
		if err := c.awaitTurn(ctx, i); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// awaitTurn waits for what the i-th member needs to find.
func (c *Cluster) awaitTurn(ctx context.Context, i int) error {
	switch {
	case c.Lab.Kind == HAMode && i == 1:
		if _, err := c.Members[0].Await(ctx, Leader); err != nil {
			return err
		}
		return c.Members[0].write(c.Members[0].conf) // when it starts again it joins
	case c.Lab.Kind == CausalMode && i == 1:
		return c.Members[0].listens(ctx, c.Members[0].ports.discovery)
	case c.Lab.Kind == CausalMode && i == c.Lab.Cores:
		for _, m := range c.Members[:i] {
			if err := m.listens(ctx, m.ports.transaction); err != nil {
				return err
			}
		}
	}
	return nil
}

// layOut makes each member's folder with its configuration, first password, and the store that all begin with.
func (c *Cluster) layOut(in *install, store string, hosts []Host) error {
	auth, err := in.authFile(c.t.Context())
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(auth)
	if err != nil {
		return fmt.Errorf("labs: %w", err)
	}
	all, err := layOut(c.Lab.Cores + c.Lab.Replicas)
	if err != nil {
		return err
	}
	for i := range hosts {
		all[i].host = hosts[i]
	}
	base, logs := c.t.TempDir(), c.t.ArtifactDir()
	for i, p := range all {
		name := string(rune('a' + i))
		m := &Member{Name: name, Bolt: p.front(p.bolt), HTTP: p.front(p.http), Home: filepath.Join(base, name),
			ports: p, install: in, kind: c.Lab.Kind, password: in.password, replica: i >= c.Lab.Cores, console: filepath.Join(logs, name+"-console.log")}
		if c.Lab.Kind != Alone {
			m.Backup = p.back(p.backup)
		}
		if c.Lab.Kind == HAMode {
			m.Peer = p.back(p.transaction)
		}
		m.conf = c.Lab.conf(all, i, filepath.Join(logs, name))
		if err := m.prepare(secret); err != nil {
			return err
		}
		if c.Lab.Kind == HAMode && i == 0 {
			if err := m.write(m.conf + founder(p)); err != nil {
				return err
			}
		}
		if store != "" {
			if err := os.CopyFS(filepath.Join(m.Home, "data", "databases"), os.DirFS(store)); err != nil {
				return fmt.Errorf("labs: %s: %w", m.Name, err)
			}
		}
		c.Members = append(c.Members, m)
	}
	return nil
}

// prepare makes the member's folder.
func (m *Member) prepare(auth []byte) error {
	for _, dir := range []string{"conf", "data/dbms", "plugins", "import", "run"} {
		if err := os.MkdirAll(filepath.Join(m.Home, dir), 0o755); err != nil {
			return fmt.Errorf("labs: %s: %w", m.Name, err)
		}
	}
	return errors.Join(m.write(m.conf), os.WriteFile(filepath.Join(m.Home, "data", "dbms", m.install.settings.authFile), auth, 0o600))
}

// write gives the member its neo4j.conf, which it reads when it starts.
func (m *Member) write(conf string) error {
	return os.WriteFile(filepath.Join(m.Home, "conf", "neo4j.conf"), []byte(conf), 0o644)
}

// WaitReady returns when every member that runs answers and has a role, and exactly one of them is the leader. It fails the test after 4
// minutes, or as soon as a member ends.
func (c *Cluster) WaitReady() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), readyTime)
	defer cancel()
	begun := time.Now()
	if err := c.AwaitReady(ctx); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("lab %s: ready %.1fs after it was started (%.1fs of waiting)", c.Lab.Name, time.Since(c.started).Seconds(), time.Since(begun).Seconds())
}

// AwaitReady is WaitReady for goroutines other than the test's, with a deadline of the caller.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	select {
	case <-c.up:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.upErr != nil {
		return c.upErr
	}
	for _, m := range c.Members {
		if m.Running() {
			if _, err := m.Await(ctx); err != nil {
				return err
			}
		}
	}
	_, err := c.AwaitLeader(ctx)
	return err
}

// Leader returns the member that takes writes, waiting up to a minute until there is exactly one; without one it fails the test.
func (c *Cluster) Leader() *Member {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	m, err := c.AwaitLeader(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// AwaitLeader polls until exactly one running member says that it is the leader, or ctx is done.
func (c *Cluster) AwaitLeader(ctx context.Context) (*Member, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		leaders, said := c.leaders(ctx)
		if len(leaders) == 1 {
			return leaders[0], nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("labs: no single leader in lab %s: %w (members say: %s)", c.Lab.Name, context.Cause(ctx), said)
		case <-tick.C:
		}
	}
}

func (c *Cluster) leaders(ctx context.Context) (leaders []*Member, said string) {
	for _, m := range c.Members {
		if !m.Running() {
			said += m.Name + " does not run; "
			continue
		}
		role, err := m.Role(ctx)
		said += fmt.Sprintf("%s is %q (%v); ", m.Name, role, err)
		if role == Leader {
			leaders = append(leaders, m)
		}
	}
	return leaders, said
}

// Others returns the members that are not m.
func (c *Cluster) Others(m *Member) []*Member {
	var others []*Member
	for _, o := range c.Members {
		if o != m {
			others = append(others, o)
		}
	}
	return others
}

// end kills what runs: the data is thrown away, so nobody waits for an orderly end.
func (c *Cluster) end() {
	<-c.up // the test's context has ended, and with it bringUp
	ran := time.Since(c.started)
	for _, m := range c.Members {
		if err := m.Kill(); err != nil {
			c.t.Error(err)
		}
		if c.t.Failed() {
			c.t.Logf("lab %s: the end of what %s printed:\n%s", c.Lab.Name, m.Name, m.tail())
		}
	}
	c.t.Logf("lab %s: took %.1fs in all", c.Lab.Name, ran.Seconds())
	recordTime(c.Lab.Name, ran)
}
