package proxy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cypher"
)

func TestRoutesSayWhatARequestIs(t *testing.T) {
	for _, c := range []struct {
		target string
		kind   routeKind
		db, id string
		commit bool
	}{
		{"/", routeRoot, "", "", false},
		{"/?x=y", routeRoot, "", "", false},
		{"*", routeOther, "", "", false},
		{"/db/data/", routeOther, "", "", false},
		{"/db/data/transaction", routeBegin, "", "", false},
		{"/db/data/transaction/", routeBegin, "", "", false},
		{"/db/data/transaction/commit", routeStatements, "", "", false},
		{"/db/data/transaction/commit?includeStats=true", routeStatements, "", "", false},
		{"/db/data/transaction/s1-7", routeInside, "", "s1-7", false},
		{"/db/data/transaction/s1-7/commit", routeInside, "", "s1-7", true},
		{"/db/data/cypher", routeStatements, "", "", false},
		{"/db/data/node/1", routeOther, "", "", false},
		{"/db/neo4j/tx", routeBegin, "neo4j", "", false},
		{"/db/neo4j/tx/commit", routeStatements, "neo4j", "", false},
		{"/db/my%2Ddb/tx/commit", routeStatements, "my%2Ddb", "", false},
		{"/db/neo4j/tx/s1-7", routeInside, "neo4j", "s1-7", false},
		{"/db/data/tx/commit", routeStatements, "data", "", false},
		{"/db/neo4j/query/v2", routeStatements, "neo4j", "", false},
		{"/db/neo4j/query/v2/tx", routeBegin, "neo4j", "", false},
		{"/db/neo4j/query/v2/tx/s1-af01/commit", routeInside, "neo4j", "s1-af01", true},
		{"/db/neo4j/query/v2/tx/commit", routeInside, "neo4j", "commit", false},
		{"/db/neo4j/cluster/writable", routeRole, "neo4j", "", false},
		{"/db/manage/server/ha/master", routeRole, "", "", false},
		{"/dbms/cluster/status", routeRole, "", "", false},
		{"/browser/index.html", routeStatic, "", "", false},
		{"//db/neo4j/tx/commit", routeOther, "", "", false},
		{"/db//neo4j/tx/commit", routeOther, "", "", false},
		{"/db/neo4j/../x/tx/commit", routeOther, "", "", false},
		{"/db/neo4j/%74x/commit", routeOther, "", "", false},
		{"/DB/neo4j/tx/commit", routeOther, "", "", false},
		{"/a/b/c/d/e/f/g/h/i", routeOther, "", "", false},
	} {
		r := parseRoute([]byte(c.target))
		db, id := string(r.db.of([]byte(c.target))), string(r.id.of([]byte(c.target)))
		if r.kind != c.kind || db != c.db || id != c.id || r.commit != c.commit {
			t.Errorf("%s: got kind %d, db %q, id %q, commit %v; want %d, %q, %q, %v", c.target, r.kind, db, id, r.commit, c.kind, c.db, c.id, c.commit)
		}
	}
}

func TestBodiesThatAreReads(t *testing.T) {
	tx, query, legacy := httpRoute{kind: routeStatements}, httpRoute{kind: routeStatements, query: true}, httpRoute{kind: routeStatements, legacy: true}
	for _, c := range []struct {
		name, body string
		route      httpRoute
		read       bool
	}{
		{"one read", `{"statements":[{"statement":"MATCH (n) RETURN n"}]}`, tx, true},
		{"two reads", ` { "statements" : [ {"statement":"RETURN 1","parameters":{"statement":"CREATE (n)"}} , {"resultDataContents":["row"],"statement":"RETURN 2"} ] } `, tx, true},
		{"a read and a write", `{"statements":[{"statement":"RETURN 1"},{"statement":"CREATE (n)"}]}`, tx, false},
		{"a write behind an escape", `{"statements":[{"statement":"MATCH (n) SE\u0054 n.x = 1"}]}`, tx, false},
		{"no statement", `{"statements":[]}`, tx, false},
		{"nothing", ``, tx, false},
		{"a statement that is no string", `{"statements":[{"statement":1}]}`, tx, false},
		{"statements that are no list", `{"statements":{"statement":"RETURN 1"}}`, tx, false},
		{"statements twice", `{"statements":[{"statement":"RETURN 1"}],"statements":[{"statement":"CREATE (n)"}]}`, tx, false},
		{"a statement twice", `{"statements":[{"statement":"RETURN 1","statement":"CREATE (n)"}]}`, tx, false},
		{"a key with an escape", `{"st\u0061tements":[{"statement":"CREATE (n)"}],"statements":[{"statement":"RETURN 1"}]}`, tx, false},
		{"a statement without a text", `{"statements":[{"statement":"RETURN 1"},{}]}`, tx, false},
		{"something behind it", `{"statements":[{"statement":"RETURN 1"}]} {"statements":[{"statement":"CREATE (n)"}]}`, tx, false},
		{"a comment", `{"statements":[{"statement":"RETURN 1"}]/* */}`, tx, false},
		{"single quotes", `{'statements':[{'statement':'RETURN 1'}]}`, tx, false},
		{"a comma too many", `{"statements":[{"statement":"RETURN 1"},]}`, tx, false},
		{"not UTF-8", "{\"statements\":[{\"statement\":\"RETURN '\xff'\"}]}", tx, false},
		{"UTF-16", "{\x00\"\x00s\x00", tx, false},
		{"a byte order mark", "\ufeff{\"statements\":[{\"statement\":\"RETURN 1\"}]}", tx, false},
		{"half a surrogate pair", `{"statements":[{"statement":"RETURN '\ud83d'"}]}`, tx, false},
		{"a whole surrogate pair", `{"statements":[{"statement":"RETURN '\ud83d\ude00'"}]}`, tx, true},
		{"a line break in a string", "{\"statements\":[{\"statement\":\"RETURN\n1\"}]}", tx, false},
		{"too deep", `{"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `,"statements":[{"statement":"RETURN 1"}]}`, tx, false},
		{"USE", `{"statements":[{"statement":"USE other MATCH (n) RETURN n"}]}`, tx, true},
		{"Query API", `{"statement":"RETURN 1","parameters":{}}`, query, true},
		{"Query API, statements", `{"statements":[{"statement":"RETURN 1"}]}`, query, false},
		{"Query API, twice", `{"statement":"RETURN 1","statement":"RETURN 1"}`, query, false},
		{"Query API, a mode twice", `{"statement":"RETURN 1","accessMode":"Read","accessMode":"Write"}`, query, false},
		{"legacy", `{"query":"RETURN 1","params":{}}`, legacy, true},
		{"legacy, a write", `{"query":"CREATE (n)"}`, legacy, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := httpUnit{body: []byte(c.body), held: true}
			if got := u.readTexts(c.route); got.read != c.read {
				t.Errorf("got %+v; want read %v", got, c.read)
			}
		})
	}
}

// FuzzStatementBodies holds the scanner to encoding/json: a body that is taken for a read is JSON to it as well, and all its
// statements are reads.
func FuzzStatementBodies(f *testing.F) {
	f.Add([]byte(`{"statements":[{"statement":"MATCH (n) RETURN n","parameters":{"a":[1,-2.5e3,true,null,"x\n"]}}]}`))
	f.Add([]byte(`{"statements":[{"statement":"RETURN 1","0":{"":[00]}}]}`)) // found: a number with a leading zero
	f.Add([]byte(`{"a":{},"b":[],"c":[[{}],{"d":"\ud83d\ude00\"\\"}],"statements":[{"statement":"RETURN 1"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		u := httpUnit{body: body, held: true}
		if !u.readTexts(httpRoute{kind: routeStatements}).read {
			return
		}
		var all struct {
			Statements []struct{ Statement string }
		}
		if err := json.Unmarshal(body, &all); err != nil {
			t.Fatalf("%q is no JSON: %v", body, err)
		}
		if strings.Contains(strings.ToLower(string(body)), `"statement`) && strings.Count(string(body), "tatement") > 1+len(all.Statements) {
			return // encoding/json ignores case and takes the last of several; servers do not
		}
		for _, s := range all.Statements {
			if cypher.ClassifyString(s.Statement, nil).Access != cypher.Read {
				t.Fatalf("%q was taken for a read, but has %q", body, s.Statement)
			}
		}
	})
}
