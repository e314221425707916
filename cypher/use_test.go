package cypher

import "testing"

func TestUsedDatabase(t *testing.T) {
	for _, tt := range []struct {
		query, want string
		ok          bool
	}{
		{"USE orders MATCH (n) RETURN n", "orders", true},
		{"use Orders\nMATCH (n) RETURN n", "Orders", true},
		{"USE `my db` RETURN 1", "my db", true},
		{"USE `a.b` RETURN 1", "a.b", true},
		{"USE all.part MATCH (n) RETURN n", "all.part", true},
		{"USE all . `part two` MATCH (n) RETURN n", "all.part two", true},
		{"/* USE no */ USE yes // there\n RETURN 1", "yes", true},
		{"EXPLAIN USE orders RETURN 1", "orders", true},
		{"CYPHER 5 runtime=slotted PROFILE USE orders RETURN 1", "orders", true},
		{"USE GRAPH orders RETURN 1", "orders", true},
		{"USE graph RETURN 1", "graph", true},
		{"USE graph.part RETURN 1", "graph.part", true},
		{"USE größe RETURN 1", "größe", true},
		{"USE orders", "orders", true},
		{"USE orders;", "orders", true},
		{"USE orders MATCH (n) RETURN n UNION USE orders MATCH (n) RETURN n", "orders", true},

		{"USE graph.byName('orders') RETURN 1", "", false},
		{"USE graph.byElementId($id) RETURN 1", "", false},
		{"USE $db RETURN 1", "", false},
		{"USE `a``b` RETURN 1", "", false},
		{"USE `ab RETURN 1", "", false},
		{`USE ord\u0065rs RETURN 1`, "", false},
		{`\u0055SE orders RETURN 1`, "", false},
		{"USE 1", "", false},
		{"USE", "", false},
		{"", "", false},
		{"MATCH (n) CALL { USE all.part RETURN 1 } RETURN n", "", false},
		{"USING PERIODIC COMMIT", "", false},
		{"RETURN 'USE x'", "", false},
		{"USE a.b.c.d.e RETURN 1", "", false},
	} {
		if got, ok := UsedDatabase([]byte(tt.query)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %q, %v; want %q, %v", tt.query, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzUsedDatabase: whatever is found stands behind a USE that Classify sees too.
func FuzzUsedDatabase(f *testing.F) {
	f.Add("USE orders MATCH (n) RETURN n")
	f.Add("CYPHER 5 USE `a b`.c RETURN 1")
	f.Add("EXPLAIN /* x */ USE GRAPH g")
	f.Fuzz(func(t *testing.T, query string) {
		name, ok := UsedDatabase([]byte(query))
		if ok && (name == "" || !ClassifyString(query, nil).UsesUse && ClassifyString(query, nil).Reason != "invalid UTF-8") {
			t.Errorf("%q: got %q, where Classify sees no USE", query, name)
		}
	})
}
