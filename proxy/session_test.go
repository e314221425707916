package proxy

import (
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

var lab = standin.Options{Generation: cluster.Autonomous, Members: 3, Replicas: 1, Seed: 1}

func TestWritesGoToTheLeaderAndReadsToTheOthers(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	c := g.dial(bolt.V5_8)
	leader := g.cluster.Leader("neo4j")
	for range 8 {
		if row := query(t, c, "MATCH (n) RETURN n", nil, map[string]any{"mode": "r"}); row["member"] == leader || row["mode"] != "r" {
			t.Fatalf("a declared read was answered by %v (leader %s)", row, leader)
		}
	}
	for range 8 {
		if row := query(t, c, "MATCH (n) RETURN n", nil, nil); row["member"] == leader || row["mode"] != "r" {
			t.Fatalf("a judged read was answered by %v (leader %s)", row, leader)
		}
	}
	for range 3 {
		if row := query(t, c, "CREATE (n) RETURN n", nil, nil); row["member"] != leader {
			t.Fatalf("a write was answered by %v; want %s", row, leader)
		}
	}
	if row := query(t, c, "MATCH (n) RETURN n", nil, nil); row["member"] == leader || row["applied"] != int64(4) {
		t.Fatalf("a judged read right after three writes of the same user was answered by %v (leader %s)", row, leader)
	}
}

func TestReadsTakeTurnsOverMembersThatHaveNoConnectionYet(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	g.await(func(v *cluster.View) bool { return len(slices.Collect(v.Readers("neo4j"))) == 3 })
	c := g.dial(bolt.V5_8)
	seen := map[any]int{}
	for range 9 {
		seen[query(t, c, "MATCH (n) RETURN n", nil, map[string]any{"mode": "r"})["member"]]++
	}
	for member, n := range seen {
		if n != 3 || len(seen) != 3 {
			t.Fatalf("9 reads were answered by %v; want 3 each (%v)", seen, member)
		}
	}
}
