package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

// This file owns one round: the workers begin, a fault comes, it is mended, they end, and all is accounted for.

const (
	warmUp   = 3 * time.Second // of work before the fault
	coolDown = 3 * time.Second // of work after it was mended
	mendTime = 3 * time.Minute // for the cluster to be whole again
)

// round is what came of one.
type round struct {
	account
	election time.Duration // the longest time without any member that said it leads
	took     time.Duration
}

// prepare gives the lab what the workers' texts want.
func prepare(t *testing.T, c *labs.Cluster) {
	t.Helper()
	ctx := t.Context()
	driver := drive(t, "bolt://"+c.Leader().Bolt, c)
	defer driver.Close(ctx) //nolint:errcheck // nothing is left to be said
	for _, property := range []string{"id", "run"} {
		if _, err := neo4j.ExecuteQuery(ctx, driver, "CREATE INDEX ON :Chaos("+property+")", nil, neo4j.EagerResultTransformer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := neo4j.ExecuteQuery(ctx, driver, "CALL db.awaitIndexes(60)", nil, neo4j.EagerResultTransformer); err != nil {
		t.Fatal(err)
	}
}

// run takes the cluster through a fault, with work by way of the contender.
func run(t *testing.T, c *labs.Cluster, by *contender, f fault) round {
	t.Helper()
	begun := time.Now()
	name := fmt.Sprintf("%s %s %d", by.name, f.name, begun.UnixNano())
	to := by.target(t)
	defer to.close()
	work := startWorkload(to, name)
	time.Sleep(warmUp)
	watch := watchLeader(c)
	ctx, cancel := context.WithTimeout(t.Context(), mendTime)
	defer cancel()
	hit, err := f.bring(ctx, c, watch)
	if err == nil {
		err = whole(ctx, c)
	}
	time.Sleep(coolDown)
	ended := time.Now()
	r := round{election: watch.end()}
	ops := work.end()
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	r.account = balance(ops, stored(t, c, name), begun, ended)
	r.took = time.Since(begun)
	t.Logf("%s: %s", hit, r.String())
	return r
}

// whole waits until every member is there again and one leads.
func whole(ctx context.Context, c *labs.Cluster) error {
	for _, m := range c.Members {
		if !m.Running() {
			if err := m.Restart(); err != nil {
				return err
			}
		}
	}
	return c.AwaitReady(ctx)
}
