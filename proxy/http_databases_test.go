package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// startSeveral is startGate before the cluster of several, with its leaders in place; on sockets, as HTTP tests are.
func startSeveral(t *testing.T, ssr bool, f func(*Frontend)) *gate {
	t.Helper()
	o := several()
	o.SSR = ssr
	g := startGate(t, gateOptions{standin: o, frontend: func(front *Frontend) {
		front.Causality = CausalityNone
		if f != nil {
			f(front)
		}
	}})
	g.leaders(severalLeaders)
	return g
}

func TestHTTPWorkGoesByTheDatabaseThatItNames(t *testing.T) {
	g := startSeveral(t, true, nil)
	for _, tt := range []struct{ name, db, text, access, want, in string }{
		{"a write", "orders", aWrite, "", "s2", "orders"},
		{"in any case", "ORDERS", aWrite, "", "s2", "orders"},
		{"its name escaped", "%6frders", aWrite, "", "s2", "orders"},
		{"an alias", "sales", aWrite, "", "s2", "orders"},
		{"a judged read", "orders", oneRow, "", "s1 s3", "orders"},
		{"a declared read", "stock", oneRow, "READ", "s2", "stock"},
		{"USE in a write", "orders", "USE stock " + aWrite, "", "s3", "stock"},
		{"USE in a judged read", "neo4j", "USE stock " + oneRow, "", "s2", "stock"},
		{"USE in a declared read", "neo4j", "USE stock " + oneRow, "READ", "s2", "stock"},
		{"a command of one member", "orders", "SHOW TRANSACTIONS", "", "s2", "orders"},
		{"the same, declared a read", "orders", "SHOW TRANSACTIONS", "READ", "s2", "orders"},
		{"on system", "neo4j", "USE system " + oneRow, "", "s1", "system"},
		{"a part of a composite", "all", "USE all.orders " + aWrite, "", "s1 s2 s3", "orders"},
	} {
		for path, body := range map[string]string{"/tx/commit": stmt(tt.text), "/query/v2": queryBody(tt.text)} {
			headers := []string{"Access-Mode", tt.access}
			if path == "/query/v2" && tt.access != "" {
				body = strings.Replace(body, "{", `{"accessMode":"Read",`, 1)
			}
			for range 3 {
				a := g.web("POST", "/db/"+tt.db+path, body, headers...)
				if a.status >= 300 || !strings.Contains(tt.want, a.field("member")) || a.field("member") == "" || a.field("db") != tt.in {
					t.Errorf("%s, %s: got %v; want %s on %s", tt.name, path, a, tt.in, tt.want)
				}
			}
		}
	}
	tx := g.web("POST", "/db/stock/tx", stmt(aWrite))
	if tx.field("member") != "s3" {
		t.Fatalf("a transaction: got %v; want s3", tx)
	}
	if a := g.web("DELETE", tx.header.Get("Location"), ""); a.status != 200 {
		t.Errorf("its end: %v", a)
	}
	if a := g.web("GET", "/db/stock/cluster/writable", ""); a.status != 200 {
		t.Errorf("writable of a database: %v", a)
	}
}

func TestHTTPDatabasesComeAndGo(t *testing.T) {
	g := startSeveral(t, true, nil)
	ask := func(db string) (webAnswer, time.Duration) {
		began := time.Now()
		return g.web("POST", "/db/"+db+"/tx/commit", stmt(aWrite)), time.Since(began)
	}
	if a, took := ask("nowhere"); a.code() != bolt.CodeDatabaseNotFound || took > 5*time.Second {
		t.Errorf("an unknown database: %v after %v", a, took)
	}
	if a := g.web("POST", "/db/system/tx/commit", stmt("CREATE DATABASE extra")); a.code() != "" {
		t.Fatalf("got %v", a)
	}
	if a, _ := ask("extra"); a.field("db") != "extra" || a.field("member") != g.cluster.Leader("extra") {
		t.Errorf("a new database: %v; its leader is %s", a, g.cluster.Leader("extra"))
	}
	g.await(func(v *cluster.View) bool { return v.Leader("extra") != nil })
	if a := g.web("POST", "/db/neo4j/tx/commit", stmt("STOP DATABASE extra")); a.code() != "" {
		t.Fatalf("got %v", a)
	}
	if a, took := ask("extra"); a.code() != bolt.CodeDatabaseUnavailable || took > 5*time.Second {
		t.Errorf("a stopped database: %v after %v", a, took)
	}
	g.web("POST", "/db/system/tx/commit", stmt("DROP DATABASE extra"))
	if a, took := ask("extra"); a.code() != bolt.CodeDatabaseNotFound || took > 5*time.Second {
		t.Errorf("a dropped database: %v after %v", a, took)
	}
}

// TestHTTPBeforeDatabasesHadNames: /db/data has one leader for all.
func TestHTTPBeforeDatabasesHadNames(t *testing.T) {
	g := startWhole(t, gateOptions{standin: standin.Options{Generation: cluster.Causal, ServerVersion: "3.5.35", Seed: 2}})
	leader := g.cluster.Leader("")
	for range 3 {
		if a := g.web("POST", "/db/data/transaction/commit", stmt("CREATE (use) RETURN use")); a.field("member") != leader {
			t.Errorf("got %v; want %s", a, leader)
		}
	}
}

func TestHTTPOfAOneMemberFrontend(t *testing.T) {
	g := startSeveral(t, false, func(f *Frontend) { f.Policy.Member = "s2" })
	for path, want := range map[string]string{
		"/db/neo4j/cluster/writable": "404 false", "/db/neo4j/cluster/read-only": "200 true", "/db/orders/cluster/writable": "200 true",
	} {
		if a := g.web("GET", path, ""); a.String() != want {
			t.Errorf("%s: got %v; want what s2 says: %s", path, a, want)
		}
	}
	for _, text := range []string{oneRow, "SHOW TRANSACTIONS", "USE orders " + aWrite} {
		if a := g.web("POST", "/db/neo4j/tx/commit", stmt(text)); a.field("member") != "s2" {
			t.Errorf("%s: got %v; want s2", text, a)
		}
	}
	tx := g.web("POST", "/db/orders/tx", stmt(aWrite))
	if tx.field("member") != "s2" || !strings.Contains(tx.header.Get("Location"), "/s2-") {
		t.Fatalf("a transaction: %v %v", tx, tx.header)
	}
	elsewhere := strings.Replace(tx.header.Get("Location"), "/s2-", "/s3-", 1)
	if a := g.web("POST", elsewhere, stmt(aWrite)); a.status != 404 || a.code() != codeTxNotFound {
		t.Errorf("another member's transaction: %v", a)
	}
	if a := g.web("DELETE", tx.header.Get("Location"), ""); a.status != 200 {
		t.Errorf("its end: %v", a)
	}
}

// TestHTTPStatementsOfTwoDatabases: the path's counts, and only a server can tell what becomes of the others.
func TestHTTPStatementsOfTwoDatabases(t *testing.T) {
	g := startSeveral(t, false, nil)
	for _, body := range []string{
		`{"statements":[{"statement":"USE stock MATCH (n) RETURN n"},{"statement":"MATCH (n) RETURN n"}]}`,
		`{"statements":[{"statement":"USE stock MATCH (n) RETURN n"},{"statement":"USE orders MATCH (n) RETURN n"}]}`,
	} {
		for range 3 {
			if a := g.web("POST", "/db/orders/tx/commit", body); a.field("member") != "s2" {
				t.Errorf("%s: got %v; want the leader of the path's", body, a)
			}
		}
	}
}
