package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/labs"
)

// whoami makes a 3.x member say which one it is.
const whoami = "CALL dbms.listConfig('dbms.connector.http.listen_address') YIELD value RETURN value"

// classicConfig is examples/pi-cluster/boltgate.yaml with the lab's addresses.
func classicConfig(t testing.TB, c *labs.Cluster, leaderReads string) string {
	text, err := os.ReadFile("../../examples/pi-cluster/boltgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for i, m := range c.Members {
		config = replaceOnce(t, config, fmt.Sprintf("10.0.0.%d:7474", i+1), m.HTTP)
	}
	config = replaceOnce(t, config, `":8090"`, `"BIND"`)
	config = replaceOnce(t, config, "user: neo4j", "user: "+c.User)
	return replaceOnce(t, config, "leader_reads: always", "leader_reads: "+leaderReads)
}

func replaceOnce(t testing.TB, text, old, new string) string {
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q stands %d times in the example", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, new, 1)
}

// share sends n requests and counts who answered.
func share(t testing.TB, g *gate, c *labs.Cluster, n int, statement string, header map[string]string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		who, err := g.cypherHTTP(t.Context(), c, "/db/data/transaction/commit", statement, header)
		if err != nil {
			t.Fatal(err)
		}
		counts[who]++
	}
	return counts
}

var declareWrite = map[string]string{"X-Write": "1"}

// classicHA holds boltgate to what the classic HAProxy set-up does in front of a HA cluster.
func classicHA(t *testing.T, c *labs.Cluster) {
	master := c.Leader()
	t.Run("reads on all three members with leader_reads always", func(t *testing.T) {
		g := startGate(t, c, classicConfig(t, c, "always"))
		awaitMembers(t, g, c, 3)
		if counts := share(t, g, c, 100, "CREATE (n:Classic) WITH n "+whoami, declareWrite); counts[master.HTTP] != 100 {
			t.Errorf("100 writes were answered by %v; want all by the master %s", counts, master.HTTP)
		}
		counts := share(t, g, c, 300, whoami, nil)
		for _, m := range c.Members {
			if counts[m.HTTP] != 100 {
				t.Errorf("300 reads were answered by %v; want 100 each", counts)
			}
		}
	})
	t.Run("reads on the slaves with leader_reads fallback", func(t *testing.T) {
		g := startGate(t, c, classicConfig(t, c, "fallback"))
		awaitMembers(t, g, c, 2)
		counts := share(t, g, c, 300, whoami, nil)
		for _, m := range c.Others(master) {
			if counts[m.HTTP] != 150 {
				t.Errorf("300 reads were answered by %v; want 150 by each slave", counts)
			}
		}
		classicLosses(t, g, c, master)
	})
}

// awaitMembers waits until reads are shared by n members: the gate knows them all.
func awaitMembers(t testing.TB, g *gate, c *labs.Cluster, n int) {
	eventually(t, 20*time.Second, "the gate knows the members", func() error {
		seen := map[string]bool{}
		for range 3 * n {
			who, err := g.cypherHTTP(t.Context(), c, "/db/data/transaction/commit", whoami, nil)
			if err != nil {
				return err
			}
			seen[who] = true
		}
		if len(seen) != n {
			return fmt.Errorf("reads were answered by %v", seen)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the gate takes writes", func() error {
		_, err := g.cypherHTTP(t.Context(), c, "/db/data/transaction/commit", "RETURN 1", declareWrite)
		return err
	})
}

// classicLosses kills a slave and then the master: reads go on without an error, writes after the election.
func classicLosses(t *testing.T, g *gate, c *labs.Cluster, master *labs.Member) {
	slave := c.Others(master)[0]
	if err := slave.Kill(); err != nil {
		t.Fatal(err)
	}
	if counts := share(t, g, c, 50, whoami, nil); counts[slave.HTTP] != 0 {
		t.Errorf("after a slave was killed, reads were answered by %v", counts)
	}
	if err := slave.Restart(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := slave.Await(ctx, labs.Follower); err != nil {
		t.Fatal(err)
	}
	if err := master.Kill(); err != nil {
		t.Fatal(err)
	}
	if counts := share(t, g, c, 50, whoami, nil); counts[master.HTTP] != 0 {
		t.Errorf("after the master was killed, reads were answered by %v", counts)
	}
	eventually(t, 90*time.Second, "writes after the master was killed", func() error {
		who, err := g.cypherHTTP(t.Context(), c, "/db/data/transaction/commit", "CREATE (n:Classic) WITH n "+whoami, declareWrite)
		if err == nil && who == master.HTTP {
			err = fmt.Errorf("%s answered, which was killed", who)
		}
		return err
	})
	if err := master.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := master.Await(ctx, labs.Follower, labs.Leader); err != nil {
		t.Fatal(err)
	}
}
