package chaos

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
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
	name   string
	target func(t *testing.T) target
	log    func() string // what it has to say for itself; nil: nothing
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
	return &contender{"boltgate", func(t *testing.T) target {
		driver := drive(t, "neo4j://"+g.Address, c)
		return target{driver, driver}
	}, g.Log}
}

// defaults is a configuration that says what has to be said and nothing else.
func defaults(c *labs.Cluster) string {
	var b strings.Builder
	fmt.Fprint(&b, "frontends:\n  - {name: main, bind: \"BIND\"}\ncluster:\n  members:\n")
	for _, m := range c.Members {
		fmt.Fprintf(&b, "    - {name: %s, bolt: %q, http: %q}\n", m.Name, m.Bolt, m.HTTP)
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
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	driver := drive(t, "neo4j://"+g.Address, c)
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	for {
		_, err := neo4j.ExecuteQuery(ctx, driver, "CREATE (n:Prepared) DELETE n", nil, neo4j.EagerResultTransformer)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the gate takes no writes: %v", err)
		}
		pauseFor(ctx, 100*time.Millisecond)
	}
}
