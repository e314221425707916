package cypher

import (
	"encoding/json"
	"io"
	"os"
	"testing"
)

// This file owns what real servers said of some thousand statements: testdata/statements.ndjson, which test/e2e writes from EXPLAIN on each server.

// No server may call a write what Classify calls a read, and few reads may go to the leader for nothing.
func TestClassifyAgreesWithServers(t *testing.T) {
	type count struct{ reads, writes, careful int }
	counts := map[string]*count{}
	for query, servers := range serverAnswers(t) {
		v := ClassifyString(query, nil)
		for version, said := range servers {
			n := counts[version]
			if n == nil {
				n = new(count)
				counts[version] = n
			}
			switch said {
			case "r":
				n.reads++
				if v.Access == Write && !v.OneMember { // what concerns one member goes to the leader on purpose
					n.careful++
				}
			case "rw", "w", "s":
				n.writes++
				if v.Access == Read {
					t.Errorf("Neo4j %s: %s, and Classify says %s (%s): %q", version, said, v.flags(), v.Reason, query)
				}
			}
		}
	}
	if len(counts) < 4 {
		t.Errorf("answers of %d servers are kept; want at least 4", len(counts))
	}
	for version, n := range counts {
		t.Logf("Neo4j %s: %d reads, %d writes, %d reads that go to the leader", version, n.reads, n.writes, n.careful)
		if n.reads < 200 || n.writes < 200 {
			t.Errorf("Neo4j %s understood too little: %+v", version, *n)
		}
		if n.careful*100 > n.reads+n.writes {
			t.Errorf("Neo4j %s: %d of %d go to the leader although they read; at most 1 %% may", version, n.careful, n.reads+n.writes)
		}
	}
}

// serverAnswers returns what is kept: by statement, and then by version.
func serverAnswers(t *testing.T) map[string]map[string]string {
	t.Helper()
	file, err := os.Open("testdata/statements.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all := map[string]map[string]string{}
	for d := json.NewDecoder(file); ; {
		var line struct {
			Query   string
			Servers map[string]string
		}
		if err := d.Decode(&line); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[line.Query] = line.Servers
	}
}
