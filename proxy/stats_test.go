package proxy

import (
	"fmt"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

func TestUnitsOfWorkAreCountedByFrontendAndMember(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab})
	w := g.logged(bolt.V5_4)
	leader := g.cluster.Leader("neo4j")
	before := g.pools.Counters(leader)
	for range 3 {
		w.row("CREATE (n) RETURN n", nil, m{"db": "neo4j"})
	}
	w.row("MATCH (n) RETURN n", nil, m{"db": "neo4j", "mode": "r"})
	g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n) RETURN n"))
	w.send(bolt.AppendMessage(nil, bolt.TagRun, "/*standin fail=Neo.ClientError.Statement.SyntaxError*/ CREATE (n)", m{}, m{"db": "neo4j"}), bolt.Reset)
	w.answers(2)
	f := g.server.Frontends()["main"]
	if f.Writes != [2]uint64{4, 1} || f.Reads != [2]uint64{1, 0} || f.Open != 1 && f.Open != 2 || f.Accepted != 2 || f.Units() != 6 || f.Failed() != 0 {
		t.Errorf("the frontend: %+v", f)
	}
	c := g.pools.Counters(leader)
	if writes := c.Writes[pool.Bolt].Count() - before.Writes[pool.Bolt].Count(); writes != 4 || c.Writes[pool.HTTPUnits].Count() != 1 ||
		c.Failures["Neo.ClientError.Statement.SyntaxError"] != 1 || c.Writes[pool.Bolt].Sum <= 0 || c.Writes[pool.Bolt].Sum > patience {
		t.Errorf("the leader: %d Bolt writes, %+v", writes, c)
	}
}

func TestFailuresOfAFrontendAreCountedByFewCodes(t *testing.T) {
	var f frontStats
	const codes = 5 * maxCodes
	for range 2 {
		for i := range codes {
			f.failed(fmt.Sprint("Neo.ClientError.", i))
		}
	}
	if first := f.failures["Neo.ClientError.0"]; len(f.failures) != maxCodes+1 || first != 2 || f.failures["other"] != 2*(codes-maxCodes) {
		t.Errorf("got %d codes, the first %d times: %v", len(f.failures), first, f.failures)
	}
}
