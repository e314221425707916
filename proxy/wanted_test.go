package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// TestAReadIsNotKeptAtTheLeaderUntilTheNextCheck: where time stands for bookmarks a read asks for news itself.
func TestAReadIsNotKeptAtTheLeaderUntilTheNextCheck(t *testing.T) {
	for _, c := range []struct {
		generation cluster.Generation
		server     string
		version    bolt.Version // 0: HTTP
	}{
		{cluster.Causal, "3.5.35", 0}, {cluster.Causal, "4.4.48", 0}, {cluster.HA, "3.5.35", 0}, {cluster.Causal, "3.5.35", bolt.V1}, {cluster.HA, "3.5.35", bolt.V3},
	} {
		t.Run(fmt.Sprint(c.generation, " ", c.server, " ", c.version), func(t *testing.T) {
			t.Parallel()
			var reads watched
			o := gateOptions{standin: lagging(c.generation, c.server, 20*time.Millisecond)}
			reads.into(&o.standin)
			g := startGate(t, o)
			g.checkSeldom()
			leader, path := g.cluster.Leader(""), "/db/neo4j/tx/commit"
			if c.server < "4" {
				path = "/db/data/transaction/commit"
			}
			read := func() string {
				n, _ := g.count(path, "a", "")
				return n
			}
			if c.version == 0 {
				g.mark(path, "a")
			} else {
				client := g.dial(c.version)
				query(t, client, aMark, m{"mark": "a"}, nil)
				read = func() string { return fmt.Sprint(query(t, client, theCount, m{"mark": "a"}, nil)["n"]) }
			}
			for until := time.Now().Add(wantFor); ; time.Sleep(20 * time.Millisecond) {
				if n := read(); n != "1" {
					t.Fatalf("a read found %s (%v); want what was written before it", n, reads.by)
				}
				if off, _ := reads.offLeader(leader); off > 0 {
					return
				}
				if time.Now().After(until) {
					t.Fatalf("reads are still at the leader %v after the write", wantFor)
				}
			}
		})
	}
}

// checkSeldom leaves the checks to those who ask for them.
func (g *gate) checkSeldom() {
	g.t.Helper()
	o, began := g.checks, time.Now()
	o.Interval = time.Hour
	g.monitor.Update(o)
	g.await(func(v *cluster.View) bool { // the first checks of the new checkers are over
		for s := range v.Readers("") {
			if !s.ProgressOf(v.Resolve("")).CaughtUp.After(began) {
				return false
			}
		}
		return true
	})
}
