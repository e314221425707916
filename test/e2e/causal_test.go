package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

const whoamiBolt = "CALL dbms.listConfig('dbms.connector.bolt.listen_address') YIELD value RETURN value"

// causalGate uses a causal cluster through the gate as an application does: writes at the leader, reads at followers and
// the replica, and work goes on when the leader is killed.
func causalGate(t *testing.T, c *labs.Cluster) {
	g := startGate(t, c, gateConfig(c, "causal", ""))
	ctx := t.Context()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	leader := c.Leader()
	run := func(mode neo4j.AccessMode, text string) (string, error) { return managed(ctx, driver, mode, text) }
	eventually(t, 30*time.Second, "reads at three members", func() error {
		seen := map[string]bool{}
		for range 9 {
			who, err := run(neo4j.AccessModeRead, whoamiBolt)
			if err != nil {
				return err
			}
			seen[who] = true
		}
		if len(seen) != 3 || seen[leader.Bolt] {
			return fmt.Errorf("reads were answered by %v; the leader is %s", seen, leader.Bolt)
		}
		return nil
	})
	for range 20 {
		who, err := run(neo4j.AccessModeWrite, "CREATE (n:Gate) WITH n "+whoamiBolt)
		if err != nil || who != leader.Bolt {
			t.Fatalf("a write was answered by %s, %v; want the leader %s", who, err, leader.Bolt)
		}
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	for i := range 20 {
		if who, err := run(neo4j.AccessModeRead, whoamiBolt); err != nil || who == leader.Bolt {
			t.Fatalf("read %d after the leader was killed: answered by %s, %v", i, who, err)
		}
	}
	who, err := run(neo4j.AccessModeWrite, "CREATE (n:Gate) WITH n "+whoamiBolt)
	if err != nil || who == leader.Bolt {
		t.Fatalf("the first write after the leader was killed: answered by %s, %v", who, err)
	}
	t.Logf("the first write after kill -9 of the leader was done %.1f s later, without an error", time.Since(killed).Seconds())
	if err := leader.Restart(); err != nil {
		t.Fatal(err)
	}
	await, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if _, err := leader.Await(await, labs.Follower, labs.Leader); err != nil {
		t.Fatal(err)
	}
}

// managed runs text in a transaction function and returns its first value.
func managed(ctx context.Context, driver neo4j.DriverWithContext, mode neo4j.AccessMode, text string) (string, error) {
	session := driver.NewSession(ctx, neo4j.SessionConfig{AccessMode: mode})
	defer session.Close(ctx)
	work := func(tx neo4j.ManagedTransaction) (any, error) {
		result, err := tx.Run(ctx, text, nil)
		if err != nil {
			return nil, err
		}
		record, err := result.Single(ctx)
		if err != nil {
			return nil, err
		}
		return record.Values[0], nil
	}
	execute := session.ExecuteWrite
	if mode == neo4j.AccessModeRead {
		execute = session.ExecuteRead
	}
	v, err := execute(ctx, work)
	return fmt.Sprint(v), err
}
