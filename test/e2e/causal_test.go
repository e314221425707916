package e2e

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/test/labs"
)

const whoamiBolt = "CALL dbms.listConfig('dbms.connector.bolt.listen_address') YIELD value RETURN value"

// causalGate uses a causal cluster through the gate as an application does: writes at the leader, reads at followers and
// the replica, and work goes on when the leader is killed. Beside it a gate whose checks have no login learns all that from
// routing tables.
func causalGate(t *testing.T, c *labs.Cluster) {
	ctx := t.Context()
	leader := c.Leader()
	run := application(t, c, gateConfig(c, "causal", ""))
	blind := application(t, c, withoutCheckUser(gateConfig(c, "auto", "")))
	for _, run := range []runner{run, blind} {
		goesWhereItBelongs(t, run, leader)
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
	if again, err := blind(neo4j.AccessModeWrite, "CREATE (n:Gate) WITH n "+whoamiBolt); err != nil || again != who {
		t.Fatalf("the same without a login for checks: answered by %s, %v; want the new leader %s", again, err, who)
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

// runner runs a text in a transaction function of its mode, and returns the first value of its result.
type runner func(mode neo4j.AccessMode, text string) (string, error)

// application is a driver that goes through a gate with this configuration.
func application(t *testing.T, c *labs.Cluster, config string) runner {
	t.Helper()
	g := startGate(t, c, config)
	driver, err := neo4j.NewDriverWithContext("neo4j://"+g.Address, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close(context.Background()) }) //nolint:errcheck // the test is over
	return func(mode neo4j.AccessMode, text string) (string, error) {
		return managed(t.Context(), driver, mode, text)
	}
}

var checkUser = regexp.MustCompile(`, user: \S+, password: "[^"]*"}`)

// withoutCheckUser takes the login of checks out of a configuration.
func withoutCheckUser(config string) string { return checkUser.ReplaceAllString(config, "}") }

// goesWhereItBelongs has reads answered by all who are not the leader, and writes by the leader.
func goesWhereItBelongs(t *testing.T, run runner, leader *labs.Member) {
	t.Helper()
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
