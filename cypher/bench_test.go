package cypher

import "testing"

// typicalQuery is what applications send most: some 300 bytes, a pattern, predicates, parameters and a page of results.
const typicalQuery = `MATCH (u:User {id: $userId})-[:FOLLOWS]->(f:User)-[:POSTED]->(p:Post)
WHERE p.createdAt > $since AND NOT (u)-[:BLOCKED]->(f) AND p.visibility IN ['public', 'friends']
OPTIONAL MATCH (p)<-[l:LIKED]-(:User)
RETURN p.id AS id, p.title AS title, f.name AS author, count(l) AS likes
ORDER BY likes DESC, p.createdAt DESC SKIP $skip LIMIT 25`

// BenchmarkCache is what the gate pays for a text that comes again.
func BenchmarkCache(b *testing.B) {
	c, text := NewCache(nil), []byte(typicalQuery)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c.Classify(text)
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, bench := range []struct{ name, query string }{
		{"typical", typicalQuery},
		{"write", "MERGE (u:User {id: $id}) ON CREATE SET u.created = timestamp() SET u.name = $name, u.mail = $mail RETURN u.id"},
		{"call", "CALL db.index.fulltext.queryNodes('titles', $q) YIELD node, score RETURN node.title, score LIMIT 10"},
		{"short", "RETURN 1"},
		{"escaped", `MATCH (n) WHERE n.name = 'Andr\u00e9' RETURN n`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.query)))
			b.ReportAllocs()
			for b.Loop() {
				ClassifyString(bench.query, nil)
			}
		})
	}
}
