package cypher

import "testing"

func TestSmoke(t *testing.T) {
	for q, want := range map[string]Access{
		"MATCH (n:Person {name: $x}) WHERE n.set = 1 AND NOT n:CREATE RETURN n.name AS delete ORDER BY n.x DESC LIMIT 10": Read,
		"CREATE (n)":            Write,
		"MATCH (n) SET n.x = 1": Write,
		"CALL db.labels() YIELD label RETURN label": Read,
		"CALL foo.bar()":     Write,
		"EXPLAIN CREATE (n)": Read,
		"CYPHER 25 runtime=slotted EXPLAIN CREATE (n)": Read,
		"PROFILE CREATE (n)":                           Write,
		"MATCH (n) WHERE x IS :: LIST<INT> SET n.x=1":  Write,
		"MATCH ((a)-->(b))+ SET a.x = 1":               Write,
		"MATCH (n) WHERE n:% SET n.x = 1":              Write,
		"RETURN 'a\\u0027 CREATE (n)'":                 Write,
	} {
		if got := ClassifyString(q, nil); got.Access != want {
			t.Errorf("%s: got %+v", q, got)
		}
	}
}
