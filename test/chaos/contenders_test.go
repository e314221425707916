package chaos

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file owns what stands between the drivers and the members: the gate, nothing, or HAProxy.

// target is where workers' drivers go.
type target struct{ writer, reader neo4j.DriverWithContext }

func (to target) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	to.writer.Close(ctx) //nolint:errcheck // nothing is left to be said
	to.reader.Close(ctx) //nolint:errcheck // as above
}

// contender makes targets; each round has drivers of its own.
type contender struct {
	name    string
	target  func(t *testing.T) target
	inDoubt func(error) bool // which failure of a write leaves open whether it was done
	log     func() string    // what it has to say for itself; nil: nothing
}

// drive makes a driver with its default settings.
func drive(t *testing.T, uri string, c *labs.Cluster) neo4j.DriverWithContext {
	t.Helper()
	driver, err := neo4j.NewDriverWithContext(uri, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// throughGate is boltgate with its default settings.
func throughGate(t *testing.T, c *labs.Cluster) *contender {
	t.Helper()
	g := gates.Start(t, defaults(c))
	awaitGate(t, c, g)
	return &contender{name: "boltgate", inDoubt: toldInDoubt, log: g.Log, target: func(t *testing.T) target {
		driver := drive(t, "neo4j://"+g.Address, c)
		return target{driver, driver}
	}}
}

// defaults is a configuration that says what has to be said and nothing else.
func defaults(c *labs.Cluster) string {
	return configuration(c, func(m *labs.Member) string { return m.Bolt })
}

// configuration is the same with members' Bolt elsewhere.
func configuration(c *labs.Cluster, bolt func(*labs.Member) string) string {
	var b strings.Builder
	fmt.Fprint(&b, "frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  members:\n")
	for _, m := range c.Members {
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q}\n", m.Name, bolt(m), m.HTTP)
	}
	fmt.Fprintf(&b, "  check: {user: %s, password: %q}\n", c.User, c.Password)
	if level := os.Getenv("BOLTGATE_CHAOS_LOG"); level != "" {
		fmt.Fprintf(&b, "log: {level: %s}\n", level)
	}
	return b.String()
}

// awaitGate waits until the gate takes writes.
func awaitGate(t *testing.T, c *labs.Cluster, g *gates.Gate) {
	t.Helper()
	awaitWrites(t, drive(t, "neo4j://"+g.Address, c))
}

// awaitWrites waits until writes are taken, and closes the driver.
func awaitWrites(t *testing.T, driver neo4j.DriverWithContext) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	for {
		_, err := neo4j.ExecuteQuery(ctx, driver, "CREATE (n:Prepared) DELETE n", nil, neo4j.EagerResultTransformer)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no writes are taken: %v", err)
		}
		pauseFor(ctx, 100*time.Millisecond)
	}
}

// alone is the driver with nothing in between: it is told a member that does not lead, and finds the others by its routing table.
func alone(c *labs.Cluster) *contender {
	return &contender{name: "the driver alone", inDoubt: assumedInDoubt, target: func(t *testing.T) target {
		driver := drive(t, "neo4j://"+c.Others(c.Leader())[0].Bolt, c)
		return target{driver, driver}
	}}
}

// throughHAProxy is HAProxy the usual way: one port for the leader, which it finds by a check every 2 s, and one for every member that answers.
func throughHAProxy(t *testing.T, c *labs.Cluster) *contender {
	t.Helper()
	writes, reads := loopback.Reserve(t), loopback.Reserve(t)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(haproxyConfig(c, writes, reads)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("haproxy", "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // by our hand
	})
	awaitWrites(t, drive(t, "bolt://"+writes, c))
	return &contender{name: "HAProxy", inDoubt: assumedInDoubt, target: func(t *testing.T) target {
		return target{drive(t, "bolt://"+writes, c), drive(t, "bolt://"+reads, c)}
	}}
}

func haproxyConfig(c *labs.Cluster, writes, reads string) string {
	leader, living := "/db/manage/server/causalclustering/writable", "/db/manage/server/causalclustering/available"
	if c.Lab.Kind == labs.HAMode {
		leader, living = "/db/manage/server/ha/master", "/db/manage/server/ha/available"
	}
	login := base64.StdEncoding.EncodeToString([]byte(c.User + ":" + c.Password))
	var b strings.Builder
	b.WriteString("defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n")
	for _, side := range []struct{ name, bind, path string }{{"writes", writes, leader}, {"reads", reads, living}} {
		fmt.Fprintf(&b, "listen %s\n  bind %s\n  option httpchk\n  http-check send meth GET uri %s hdr Authorization \"Basic %s\"\n  http-check expect status 200\n", side.name, side.bind, side.path, login)
		for _, m := range c.Members {
			_, port, _ := net.SplitHostPort(m.HTTP)
			fmt.Fprintf(&b, "  server %s %s check port %s inter 2s on-marked-down shutdown-sessions\n", m.Name, m.Bolt, port)
		}
	}
	return b.String()
}

// TestContenders brings the same fault about with the gate, with the driver alone and with HAProxy in between, for the comparison in
// docs/reliability.md. Nobody is held to bars here.
func TestContenders(t *testing.T) {
	n := rounds(t, "contenders")
	c := labs.Start(t, labs.Causal)
	c.WaitReady()
	prepare(t, c)
	for _, by := range []func() *contender{
		func() *contender { return throughGate(t, c) },
		func() *contender { return alone(c) },
		func() *contender {
			_, err := exec.LookPath("haproxy")
			labs.Require(t, "HAProxy", err)
			return throughHAProxy(t, c)
		},
	} {
		by := by()
		for range n {
			f := faults(c.Lab)[0]
			r := run(t, c, by, f)
			results.add(c.Lab.Name, by.name, f.name, r)
			t.Logf("%s: %s", by.name, r)
		}
	}
}
