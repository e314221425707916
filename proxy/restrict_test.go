package proxy

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/standin"
)

// seen is what reached the members.
type seen struct {
	mu   sync.Mutex
	list []standin.Query
}

func (s *seen) note(q standin.Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, q)
}

// texts are those that reached a member from clients, with the modes they came with.
func (s *seen) texts() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.list {
		if q.User == standin.DefaultUser && !strings.HasPrefix(q.Text, "SHOW ") && !strings.HasPrefix(q.Text, "CALL dbms.") { // the checks ask these
			all = append(all, q.Mode+" "+q.Text)
		}
	}
	return all
}

// readOnlyGate starts one with access: read-only.
func readOnlyGate(t *testing.T, o gateOptions) (*gate, *seen) {
	t.Helper()
	members := new(seen)
	o.standin.OnQuery = members.note
	set := o.frontend
	o.frontend = func(f *Frontend) {
		f.Access = AccessReadOnly
		if set != nil {
			set(f)
		}
	}
	return startGate(t, o), members
}

// refusedTexts are what a client that may only read is refused, each a way around that somebody may try.
var refusedTexts = []string{
	"CREATE (n)", "create (n)", "MERGE (n)", "MATCH (n) SET n.x = 1", "MATCH (n) DETACH DELETE n", "MATCH (n) REMOVE n.x",
	"MATCH (n) FOREACH (x IN [1] | CREATE ())", "INSERT (n)", "LOAD CSV FROM 'http://x/y' AS line CREATE ({v: line[0]})",
	"USING PERIODIC COMMIT 1 LOAD CSV FROM 'x' AS l CREATE (n)",
	"/* MATCH */ CREATE (n)", "// MATCH (n)\nCREATE (n)", "MATCH (n) /* RETURN n */ SET n.x = 1", "MATCH (n) RETURN n //\nUNION CREATE (m) RETURN m",
	"MATCH (n) WHERE n.x = '\\u0027 CREATE (m) //' RETURN n", "\\u0043REATE (n)", "CR\\u0045ATE (n)", "MATCH (n)/\\u002a*/ CREATE (m)",
	"MATCH (n) RETURN n; CREATE (m)", "RETURN 1;\nCREATE (m);", "RETURN 1 CREATE", "RETURN 'unterminated", "RETURN /* unterminated",
	"PROFILE CREATE (n)", "CYPHER 5 CREATE (n)", "CYPHER runtime=slotted PROFILE MERGE (n)", "EXPLAIN RETURN 1; CREATE (n)",
	"USE neo4j CREATE (n)", "CALL { CREATE (n) }", "CALL { CREATE (n) } IN TRANSACTIONS OF 1 ROW", "MATCH (n) CALL (n) { SET n.x = 1 }",
	"MATCH (n) WHERE EXISTS { CREATE (m) } RETURN n", "RETURN COUNT { MATCH (n) DELETE n }",
	"CREATE INDEX FOR (n:A) ON (n.b)", "CREATE CONSTRAINT FOR (n:A) REQUIRE n.b IS UNIQUE", "DROP INDEX a", "CREATE DATABASE x", "DROP DATABASE neo4j",
	"STOP DATABASE neo4j", "CREATE USER x SET PASSWORD 'y'", "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'", "GRANT ROLE admin TO x",
	"ALTER USER neo4j SET PASSWORD 'x'", "TERMINATE TRANSACTIONS 'a'", "SHOW TRANSACTIONS YIELD * TERMINATE TRANSACTIONS 'x'", "ENABLE SERVER 'x'",
	"CALL db.createLabel('x')", "CALL `db`.`createLabel`('x')", "CALL db . createLabel ('x')", "CALL my.own('x')", "MATCH (n) CALL my.own(n) YIELD x RETURN x",
	"CALL apoc.cypher.doIt('CREATE (n)', {})", "CALL apoc.cypher.runTimeboxed('CREATE (n)', {}, 1)", "CALL apoc.cypher.runWrite('CREATE (n)', {})",
	"CALL apoc.periodic.iterate('MATCH (n) RETURN n', 'DELETE n', {})", "CALL apoc.periodic.commit('CREATE (n)')", "CALL apoc.create.node([], {})",
	"CALL apoc.cypher.runSchema('DROP INDEX x', {})", "CALL apoc.trigger.add('x', 'y', {})", "CALL apoc.export.csv.all('x', {})",
	"CALL dbms.security.createUser('a', 'b')", "CALL dbms.security.changePassword('b')", "CALL dbms.setConfigValue('a', 'b')", "CALL dbms.killQuery('1')",
	"CALL dbms.killConnection('1')", "CALL db.clearQueryCaches()", "CALL dbms.cluster.routing.getRoutingTable({}) YIELD ttl CALL dbms.killQuery('x') YIELD queryId RETURN 1",
	"CALL db.index.fulltext.createNodeIndex('a', ['b'], ['c'])", "CALL gds.graph.drop('x')", "CALL standin.write()",
	"BEGIN; CREATE (n)", "COMMIT; CREATE (n)", "MATCH (n) RETURN \xff CREATE", "", " ", "nonsense",
	"MATCH\u00a0(n)\u00a0SET\u00a0n.x=1", "MATCH (n)\u2028SET n.x = 1",
	"RETURN 1 //\rCREATE (n)\nCREATE (n)", "\ufeffCREATE (n)",
}

var allowedTexts = []string{
	"MATCH (n) RETURN n", "RETURN 'CREATE (n)'", "MATCH (create:Delete {set: 1}) RETURN create.merge", "EXPLAIN CREATE (n)", "PROFILE MATCH (n) RETURN n",
	"MATCH (n) RETURN n // CREATE (n)", "CALL db.labels()", "USE neo4j MATCH (n) RETURN n", "MATCH (n) RETURN n;", "UNWIND [1] AS x RETURN x",
}

var restrictedVersions = []struct {
	v       bolt.Version
	standin standin.Options
}{
	{bolt.V1, standin.Options{Generation: cluster.HA}},
	{bolt.V2, standin.Options{Generation: cluster.HA}},
	{bolt.V3, standin.Options{Generation: cluster.HA}},
	{bolt.V4_4, standin.Options{Generation: cluster.Causal}},
	{bolt.V5_8, standin.Options{}},
	{bolt.V6_1, standin.Options{ServerVersion: "2026.08.1"}},
}

// everyVersion runs a test in each of them, in front of one gate each.
func everyVersion(t *testing.T, test func(t *testing.T, v bolt.Version, g *gate, members *seen)) {
	for _, c := range restrictedVersions {
		t.Run(c.v.String(), func(t *testing.T) {
			g, members := readOnlyGate(t, gateOptions{standin: c.standin})
			test(t, c.v, g, members)
		})
	}
}

const forbiddenAnswer = "FAILURE(Neo.ClientError.Security.Forbidden)"

func TestReadOnlyRefusesEveryWrite(t *testing.T) {
	everyVersion(t, func(t *testing.T, v bolt.Version, g *gate, members *seen) {
		w := g.logged(v)
		for _, text := range refusedTexts {
			for _, extra := range []m{nil, {"mode": "w"}, {"mode": "r"}} {
				if v < bolt.V3 && extra != nil {
					continue
				}
				t.Logf("%q %v", text, extra)
				w.expect(forbiddenAnswer+" IGNORED", run(v, text, nil, extra), pull(v))
				w.expect("SUCCESS()", bolt.Reset)
			}
		}
		if got := members.texts(); len(got) > 0 {
			t.Fatalf("members got %q", got)
		}
	})
}

func TestReadOnlyLetsReadsThroughInModeR(t *testing.T) {
	everyVersion(t, func(t *testing.T, v bolt.Version, g *gate, members *seen) {
		w := g.logged(v)
		for _, text := range allowedTexts {
			for _, extra := range []m{nil, {"mode": "w", "tx_timeout": 30000}, {"mode": "r"}} {
				if v < bolt.V3 && extra != nil {
					continue
				}
				if list := w.ask(run(v, text, nil, extra), pull(v)); list[len(list)-1].tag != bolt.TagSuccess {
					t.Fatalf("%q %v: %v %v", text, extra, show(list), list[len(list)-1].value)
				}
			}
		}
		for _, text := range members.texts() {
			if v >= bolt.V3 && !strings.HasPrefix(text, "r ") {
				t.Errorf("a member got mode %s", text)
			}
		}
	})
}

func TestReadOnlyLooksAtEachRunOfATransaction(t *testing.T) {
	everyVersion(t, func(t *testing.T, v bolt.Version, g *gate, members *seen) {
		for _, text := range refusedTexts {
			for _, extra := range []m{nil, {"mode": "r"}} {
				if v < bolt.V3 && extra != nil {
					continue
				}
				for _, pipelined := range []bool{false, true} {
					refusedInside(t, g, v, text, extra, pipelined)
				}
			}
		}
		for _, text := range members.texts() {
			if rest := strings.TrimPrefix(text, "r "); v >= bolt.V3 && rest == text {
				t.Errorf("a member got mode %s", text)
			} else if !strings.HasSuffix(rest, "RETURN 7") {
				t.Fatalf("a member got %q", text)
			}
		}
		g.settled()
	})
}

// refusedInside reads in a transaction, is refused text, and sees the transaction dead until RESET.
func refusedInside(t *testing.T, g *gate, v bolt.Version, text string, extra m, pipelined bool) {
	t.Helper()
	w := g.logged(v)
	defer w.conn.Close()
	messages := slices.Concat(beginTx(v, extra), [][]byte{run(v, "RETURN 7", nil, m{}), pull(v), run(v, text, nil, m{}), pull(v)}, commitTx(v))
	var list []answer
	if pipelined {
		list = w.ask(messages...)
	} else {
		for _, message := range messages {
			list = append(list, w.ask(message)...)
		}
	}
	summaries := slices.DeleteFunc(list, func(a answer) bool { return a.tag == bolt.TagRecord })
	begins := len(beginTx(v, nil))
	for i, a := range summaries {
		want := "SUCCESS"
		switch {
		case i == begins+2:
			want = forbiddenAnswer
		case i > begins+2:
			want = "IGNORED"
		}
		if !strings.HasPrefix(a.String(), want) {
			t.Fatalf("Bolt %v, %q, pipelined %v: answer %d is %v, want %s; all: %s", v, text, pipelined, i, a, want, show(list))
		}
	}
	w.expect("SUCCESS()", bolt.Reset)
	if row := w.row("RETURN 7", nil, nil); len(row) == 0 {
		t.Fatal("no row after RESET")
	}
}

func TestReadOnlyReadsRunsHoweverTheyAreCut(t *testing.T) {
	g, members := readOnlyGate(t, gateOptions{server: Options{RequestLimit: 100_000}})
	v := bolt.V5_8
	long := strings.Repeat(" ", 70_000)
	for _, c := range []struct {
		name string
		text string
		size int // of the chunks
		want string
	}{
		{"a byte a chunk", "CREATE (n)", 1, forbiddenAnswer},
		{"a long write", "MATCH (n)" + long + "SET n.x = 1", 10_000, forbiddenAnswer},
		{"a long write in small chunks", "MATCH (n)" + long + "SET n.x = 1", 7, forbiddenAnswer},
		{"too long to be read", "RETURN 7" + long + long, 10_000, forbiddenAnswer},
		{"a long read", "RETURN" + long + "7", 10_000, "SUCCESS(fields qid t_first)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := g.logged(v)
			w.expect("SUCCESS()", inNeo4j(v)...)
			sent := rechunk(run(v, c.text, m{"p": 1}, m{}), c.size)
			half := len(sent) / 2
			w.send(sent[:half])
			w.send(sent[half:])
			if got := show(w.answers(1)); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if c.want == forbiddenAnswer {
				w.expect("IGNORED IGNORED", pull(v), commitTx(v)[0])
				w.expect("SUCCESS()", bolt.Reset)
			}
		})
	}
	t.Run("too long to open with", func(t *testing.T) {
		w := g.logged(v)
		w.expect("FAILURE(Neo.ClientError.Request.Invalid)", run(v, "CREATE (n)"+long+long, nil, nil))
	})
	t.Run("behind a slow read, by the pump", func(t *testing.T) {
		w := g.logged(v)
		w.expect("SUCCESS()", inNeo4j(v)...)
		w.send(run(v, "RETURN 7", m{"delay": 300}, m{}), pull(v))
		for _, b := range slices.Concat(run(v, "CREATE (n)", nil, m{}), pull(v)) {
			w.send([]byte{b})
		}
		if got, want := show(w.answers(4)), "SUCCESS(fields qid t_first) RECORD SUCCESS(db statuses t_last type) "+forbiddenAnswer+" IGNORED"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
	t.Run("a RESET overtakes a write that is held", func(t *testing.T) {
		w := g.logged(v)
		w.expect("SUCCESS()", inNeo4j(v)...)
		w.send(run(v, "RETURN 7", m{"delay": 2000}, m{}), run(v, "CREATE (n)", nil, m{}), bolt.Reset)
		list := w.answers(3)
		if list[1].tag != bolt.TagIgnored || list[2].tag != bolt.TagSuccess {
			t.Fatalf("got %s", show(list))
		}
	})
	for _, text := range members.texts() {
		if strings.Contains(text, "CREATE") || strings.Contains(text, "SET") {
			t.Fatalf("a member got %.40q", text)
		}
	}
}

func TestReadOnlyRefusesWhatHidesInARequest(t *testing.T) {
	g, members := readOnlyGate(t, gateOptions{})
	v := bolt.V5_8
	text := func(s string) []byte { return packstream.AppendString(nil, s) }
	pairs := func(list ...[]byte) []byte {
		return append(packstream.AppendMap(nil, len(list)/2), slices.Concat(list...)...)
	}
	message := func(tag byte, fields ...[]byte) []byte {
		return bolt.AppendChunks(nil, append(packstream.AppendStruct(nil, tag, len(fields)), slices.Concat(fields...)...))
	}
	read, none := text("RETURN 7"), pairs()
	twice := pairs(text("mode"), text("r"), text("mode"), text("w"))
	for _, c := range []struct {
		name string
		sent []byte
	}{
		{"impersonation", run(v, "RETURN 7", nil, m{"imp_user": "boss"})},
		{"impersonation of nobody", run(v, "RETURN 7", nil, m{"imp_user": ""})},
		{"impersonation by a number", run(v, "RETURN 7", nil, m{"imp_user": 7})},
		{"impersonation in BEGIN", beginTx(v, m{"imp_user": "boss"})[0]},
		{"impersonation in ROUTE", bolt.AppendMessage(nil, bolt.TagRoute, m{}, []any{}, m{"imp_user": "boss"})},
		{"mode twice", message(bolt.TagRun, read, none, twice)},
		{"mode twice in BEGIN", message(bolt.TagBegin, twice)},
		{"db twice", message(bolt.TagRun, read, none, pairs(text("db"), text("neo4j"), text("db"), text("system")))},
		{"a second extra behind the first", bolt.AppendChunks(nil, slices.Concat(packstream.AppendStruct(nil, bolt.TagRun, 3), read, none, pairs(text("mode"), text("w")), none))},
		{"bytes behind BEGIN", bolt.AppendChunks(nil, slices.Concat(packstream.AppendStruct(nil, bolt.TagBegin, 1), none, pairs(text("mode"), text("w"))))},
		{"a routing procedure with more behind", run(v, "CALL dbms.routing.getRoutingTable({}) YIELD ttl CREATE (n)", nil, nil)},
		{"a routing procedure, as somebody else", run(v, "CALL dbms.routing.getRoutingTable({})", nil, m{"imp_user": "boss"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := g.logged(v)
			w.expect(forbiddenAnswer, c.sent)
			w.expect("SUCCESS()", bolt.Reset)
		})
		if strings.Contains(c.name, "BEGIN") || strings.Contains(c.name, "ROUTE") || strings.Contains(c.name, "routing") {
			continue
		}
		t.Run(c.name+", in a transaction", func(t *testing.T) {
			w := g.logged(v)
			w.expect("SUCCESS()", inNeo4j(v)...)
			w.expect(forbiddenAnswer+" IGNORED", c.sent, pull(v))
		})
	}
	t.Run("a null imp_user is nobody", func(t *testing.T) {
		w := g.logged(v)
		w.row("RETURN 7", nil, m{"imp_user": nil})
	})
	t.Run("ROUTE", func(t *testing.T) {
		g.logged(v).expect("SUCCESS(rt)", bolt.AppendMessage(nil, bolt.TagRoute, m{}, []any{}, m{"db": "neo4j"}))
	})
	for _, text := range members.texts() {
		if !strings.HasPrefix(text, "r RETURN 7") {
			t.Errorf("a member got %q", text)
		}
	}
}

func TestReadOnlyOverTLSAndWebSocket(t *testing.T) {
	g, members := readOnlyGate(t, gateOptions{frontend: func(f *Frontend) { f.TLS = testTLS(t) }})
	v := bolt.V5_8
	for name, dial := range clientsOf(t, g) {
		t.Run(name, func(t *testing.T) {
			w := wireOn(t, dial(), v)
			w.logOn(standin.DefaultUser, standin.DefaultPassword)
			w.expect(forbiddenAnswer+" IGNORED", run(v, "CREATE (n)", nil, nil), pull(v))
			w.expect("SUCCESS()", bolt.Reset)
			w.row("RETURN 7", nil, nil)
			w.expect("SUCCESS()", inNeo4j(v)...)
			w.expect(forbiddenAnswer+" IGNORED IGNORED", run(v, "CREATE (n)", nil, m{}), pull(v), commitTx(v)[0])
			w.expect("SUCCESS()", bolt.Reset)
		})
	}
	if got := members.texts(); slices.ContainsFunc(got, func(text string) bool { return !strings.HasPrefix(text, "r RETURN 7") }) {
		t.Fatalf("members got %q", got)
	}
}

// What only a member's list calls a read stays refused; what only it calls a write becomes one; the operator's word counts.
func TestReadOnlyTakesNoMembersWordForARead(t *testing.T) {
	operator := new(cypher.Procedures)
	if err := operator.Set("ours.*", "read"); err != nil {
		t.Fatal(err)
	}
	g, _ := readOnlyGate(t, gateOptions{frontend: func(f *Frontend) { f.Procedures = operator }})
	listed := new(cypher.Procedures)
	for name, mode := range map[string]string{"theirs.look": "READ", "db.labels": "WRITE"} {
		if err := listed.Add(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	f := g.server.fronts["main"]
	view := &cluster.View{Procedures: listed}
	for text, refused := range map[string]bool{"CALL theirs.look()": true, "CALL db.labels()": true, "CALL ours.look()": false, "CALL db.propertyKeys()": false} {
		if why := f.refusesText(view, []byte(text)); why != "" != refused {
			t.Errorf("%s: %q", text, why)
		}
	}
}

// A reload counts from the next request on, inside a transaction too.
func TestReadOnlyByReload(t *testing.T) {
	members := new(seen)
	g := startGate(t, gateOptions{standin: standin.Options{OnQuery: members.note}})
	v := bolt.V5_8
	w := g.logged(v)
	w.expect("SUCCESS()", inNeo4j(v)...)
	w.expect("SUCCESS(fields qid t_first) SUCCESS(db stats statuses t_last type)", run(v, "CREATE (n)", nil, m{}), pull(v))
	g.change(func(f *Frontend) { f.Access = AccessReadOnly })
	w.expect(forbiddenAnswer+" IGNORED", run(v, "CREATE (m)", nil, m{}), pull(v))
	w.expect("SUCCESS()", bolt.Reset)
	w.expect(forbiddenAnswer, run(v, "CREATE (m)", nil, nil))
	if got := members.texts(); len(got) != 1 {
		t.Fatalf("members got %q", got)
	}
}

// A text that the look takes for a read, and a member for a write, is refused all the same: it is not sent to the leader.
func TestReadOnlyIsEnforcedByMembersToo(t *testing.T) {
	operator := new(cypher.Procedures)
	if err := operator.Set("standin.write", "read"); err != nil { // it is none
		t.Fatal(err)
	}
	for _, v := range []bolt.Version{bolt.V5_8, bolt.V3} {
		o := gateOptions{standin: lab, frontend: func(f *Frontend) { f.Procedures = operator }}
		want := "FAILURE(Neo.ClientError.Statement.AccessMode) IGNORED"
		if v == bolt.V3 {
			o.standin.Generation = cluster.Causal
			o.standin.ServerVersion = "3.5.35"
			want = forbiddenAnswer + " IGNORED"
		}
		g, members := readOnlyGate(t, o)
		g.await(func(v *cluster.View) bool { return len(slices.Collect(v.Readers(""))) == 3 })
		w := g.logged(v)
		w.expect(want, run(v, "CALL standin.write()", nil, nil), pull(v))
		w.expect("SUCCESS()", bolt.Reset)
		if got := members.texts(); len(got) != 1 {
			t.Fatalf("members got %q", got)
		}
	}
}

// Work that goes to the leader all the same is told to be a read there as well.
func TestReadOnlySaysSoAtTheLeaderToo(t *testing.T) {
	g, _ := readOnlyGate(t, gateOptions{standin: lab, frontend: func(f *Frontend) { f.Undeclared = UndeclaredLeader }})
	leader := g.cluster.Leader("neo4j")
	const read = "MATCH (n) RETURN n"
	w := g.logged(bolt.V5_4)
	rows := []m{w.row(read, nil, nil), w.row(read, nil, m{"mode": "w"})}
	for _, at := range []struct{ path, body string }{{"/db/neo4j/tx/commit", stmt(read)}, {"/db/neo4j/query/v2", queryBody(read)}} {
		a := g.web("POST", at.path, at.body, "X-Write", "1")
		rows = append(rows, m{"member": a.field("member"), "mode": a.field("mode")})
	}
	for i, row := range rows {
		if row["member"] != leader || row["mode"] != "r" {
			t.Errorf("read %d was answered by %v with mode %v; want the leader %s, r", i, row["member"], row["mode"], leader)
		}
	}
	w.expect("SUCCESS()", beginTx(w.v, m{"db": "neo4j", "mode": "w"})...)
	if row, err := firstRow(w.ask(run(w.v, read, nil, m{}), pull(w.v))); err != nil || row["mode"] != "r" {
		t.Errorf("a transaction that was declared a write has %v, %v", row, err)
	}
}

// inNeo4j is a BEGIN in the database neo4j.
func inNeo4j(v bolt.Version) [][]byte { return beginTx(v, m{"db": "neo4j"}) }

// clientsOf are ways to connect to a gate that has TLS.
func clientsOf(t *testing.T, g *gate) map[string]func() net.Conn {
	plain := func() net.Conn { return dialTCP(t, g.address) }
	secure := func() net.Conn {
		return tls.Client(plain(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's own certificate
	}
	return map[string]func() net.Conn{
		"plain": plain, "TLS": secure,
		"WebSocket":          func() net.Conn { return upgrade(t, plain(), g.address, 1000) },
		"WebSocket over TLS": func() net.Conn { return upgrade(t, secure(), g.address, 1000) },
	}
}
