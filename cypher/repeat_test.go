package cypher

import "testing"

func TestRepeatable(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE (n:Person {name: $name}) RETURN n.name":                       true,
		"MATCH (n) WHERE n.id = $id SET n.seen = n.seen + 1 RETURN count(n)":  true,
		"MATCH (n) WHERE n.time > 5 AND n.date < $date RETURN n":              true,
		"UNWIND $rows AS row MERGE (n {k: row.k}) ON CREATE SET n.new = true": true,
		"MATCH (n) CALL { WITH n RETURN n.x AS x } RETURN x":                  true,
		"RETURN 'rand() and `timestamp()`', \"id(\" // rand()":                true,
		"MATCH (a)-[r]->(b) RETURN r /* randomUUID() */":                      true,
		"MATCH (n) RETURN coalesce(n.x, toUpper(n.y)), size(n.list)":          true,
		"CREATE (n {x: rand()})":                                              false,
		"CREATE (n {x: RAND ( )})":                                            false,
		"CREATE (n {x: rand/* */()})":                                         false,
		"CREATE (n {x: `rand`()})":                                            false,
		"CREATE (n {x: \\u0072and()})":                                        false,
		"CREATE (n {x: '\\u0027, y: rand(), z: '})":                           false,
		"CREATE (n {x: randomUUID()})":                                        false,
		"CREATE (n {at: timestamp()})":                                        false,
		"CREATE (n {at: datetime()})":                                         false,
		"CREATE (n {at: datetime.realtime()})":                                false,
		"CREATE (n {at: datetime . transaction ()})":                          false,
		"MATCH (n) WHERE id(n) = $id RETURN n":                                false,
		"MATCH (n) WHERE elementId(n) = $id RETURN n":                         false,
		"MATCH (n) RETURN apoc.create.uuid()":                                 false,
		"CALL db.labels()":                                                    false,
		"MATCH (n) CALL apoc.lock.nodes([n]) RETURN n":                        false,
		"CALL db.labels":                                                      false,
		"LOAD CSV FROM 'x' AS row CREATE (n)":                                 false,
		"UNWIND range(1, 9) AS i CALL { CREATE (n) } IN TRANSACTIONS":         false,
		"SHOW TRANSACTIONS":                                                   false,
		"CREATE USER x SET PASSWORD 'secret'":                                 false,
		"USE other MATCH (n) RETURN n":                                        false,
		"RETURN 'open":                                                        false,
		"RETURN `open":                                                        false,
		"":                                                                    true,
	} {
		if got := Repeatable([]byte(text), nil); got != want {
			t.Errorf("%q: %v; want %v", text, got, want)
		}
	}
}
