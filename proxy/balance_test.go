package proxy

import (
	"fmt"
	"slices"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/routing"
	"github.com/boltgate/boltgate/standin"
)

// TestReadsAvoidABusyMember: with least-busy an open transaction at one reader sends the next reads to the other.
func TestReadsAvoidABusyMember(t *testing.T) {
	g := startGate(t, gateOptions{
		standin:  standin.Options{Members: 3, Seed: 1},
		frontend: func(f *Frontend) { f.Policy.Balance = routing.LeastBusy },
	})
	g.await(func(v *cluster.View) bool { return len(slices.Collect(v.Readers(""))) == 2 })
	holder, other := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	holder.ask(beginTx(holder.v, m{"mode": "r"})...)
	busy := holder.row("MATCH (n) RETURN n", nil, nil)["member"]
	for range 10 {
		if got := other.row("MATCH (n) RETURN n", nil, m{"mode": "r"})["member"]; got == busy {
			t.Errorf("a read went to %v, which has a transaction open; the other reader has nothing to do", got)
		}
	}
	holder.ask(rollbackTx(holder.v)...)
	seen := map[string]bool{}
	for range 10 {
		seen[fmt.Sprint(other.row("MATCH (n) RETURN n", nil, m{"mode": "r"})["member"])] = true
	}
	if len(seen) != 2 {
		t.Errorf("with nothing open reads went to %v only", seen)
	}
}

// TestLatencyIsNoted: the balance latency has times to go by, and nobody else pays for them.
func TestLatencyIsNoted(t *testing.T) {
	for balance, noted := range map[routing.Balance]bool{routing.Latency: true, routing.RoundRobin: false} {
		g := startGate(t, gateOptions{standin: single, frontend: func(f *Frontend) { f.Policy.Balance = balance }})
		w := g.logged(bolt.V5_8)
		w.row(oneRow, nil, m{"mode": "r"})
		if l := g.pools.Load(g.cluster.Members()[0].Name); (l.Latency > 0) != noted {
			t.Errorf("balance %d: a latency of %v is known; want some: %v", balance, l.Latency, noted)
		}
	}
}

// TestTheOperatorsWordOnProcedures: it wins over the built-in table.
func TestTheOperatorsWordOnProcedures(t *testing.T) {
	const text = "CALL db.labels() YIELD label RETURN label"
	var careful cypher.Procedures
	if err := careful.Set("db.*", "write"); err != nil {
		t.Fatal(err)
	}
	if err := careful.Set("db.labels", "write"); err != nil {
		t.Fatal(err)
	}
	for procedures, leads := range map[*cypher.Procedures]bool{nil: false, &careful: true} {
		g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, frontend: func(f *Frontend) { f.Procedures = procedures }})
		g.await(func(v *cluster.View) bool { return len(slices.Collect(v.Readers(""))) == 2 })
		w := g.logged(bolt.V5_8)
		for range 4 {
			if got := w.row(text, nil, nil)["role"]; (got == "leader") != leads {
				t.Errorf("Bolt, with the operator's word %v: served by a %v", procedures != nil, got)
			}
		}
	}
}
