package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns what a real server sees of clients that may only read: a frontend with access: read-only, and a gate user. A
// raw client in every version, a driver and HTTP try to write, and at the end the server has what it had.

// tempting are texts that the lab's server would run, and that change something.
var tempting = []string{
	"CREATE (:ReadOnly)", "MERGE (:ReadOnly {x: 1})", "UNWIND [1] AS x CREATE (:ReadOnly)", "MATCH (n) SET n.readOnly = 1", "MATCH (n) DETACH DELETE n",
	"/* MATCH */ CREATE (:ReadOnly)", "// RETURN 1\nCREATE (:ReadOnly)", "RETURN 1 AS one UNION CREATE (n:ReadOnly) RETURN n.x AS one", "FOREACH (x IN [1] | CREATE (:ReadOnly))",
	"PROFILE CREATE (:ReadOnly)", "CYPHER CREATE (:ReadOnly)", "MATCH (n) WHERE '\\u0027' <> '' CREATE (:ReadOnly)",
	"CALL db.createProperty('readOnly')", "CREATE INDEX FOR (n:ReadOnly) ON (n.x)", "CREATE CONSTRAINT FOR (n:ReadOnly) REQUIRE n.x IS UNIQUE",
	"CALL dbms.setConfigValue('a', 'b')", "CALL db.clearQueryCaches()",
}

// guarded holds a server's data against everybody who may only read.
func guarded(t *testing.T, c *labs.Cluster) {
	before := inventory(t, c)
	t.Run("frontend", func(t *testing.T) { guardedFrontend(t, c) })
	if !strings.HasPrefix(c.Lab.Version(), "3.") { // whose users are another's business
		t.Run("gate user", func(t *testing.T) { guardedUser(t, c) })
	}
	if after := inventory(t, c); after != before {
		t.Fatalf("the server has changed: %s before, %s after", before, after)
	}
}

// inventory is what the leader holds, asked without the gate.
func inventory(t *testing.T, c *labs.Cluster) string {
	t.Helper()
	client := guest(t, c.Leader().Bolt, offered(t, c.Leader().Bolt)[0], c.User, c.Password)
	text := ""
	for _, q := range []string{"MATCH (n) RETURN count(n)", "MATCH (n) WHERE n.readOnly IS NOT NULL RETURN count(n)", "CALL db.labels() YIELD label RETURN count(label)"} {
		r, err := client.Query(q, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		text += fmt.Sprint(r.Rows[0][0], " ")
	}
	return text
}

// guest connects and logs on.
func guest(t *testing.T, addr string, v bolt.Version, user, password string) *bolt.Client {
	t.Helper()
	client, err := tryGuest(t, addr, v, user, password)
	if err != nil {
		t.Fatalf("Bolt %v as %s: %v", v, user, err)
	}
	return client
}

func tryGuest(t *testing.T, addr string, v bolt.Version, user, password string) (*bolt.Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, v); err != nil {
		return nil, err
	}
	client := bolt.NewClient(conn, v)
	return client, client.Logon(bolt.HelloOptions{Agent: "boltgate-e2e/1"}, bolt.Basic(user, password))
}

// guardedConfig is the lab's with every frontend limited to reads, and one wrong word on a procedure that writes: members
// have to refuse what the gate then lets through.
func guardedConfig(c *labs.Cluster) string {
	config := gateConfig(c, "auto", "routing: {procedures: {db.createLabel: read}}\n")
	return strings.Replace(config, `bind: "BIND"}`, `bind: "BIND", access: read-only}`, 1)
}

func guardedFrontend(t *testing.T, c *labs.Cluster) {
	g := startGate(t, c, guardedConfig(c))
	awaitVersions(t, g.Address)
	for _, v := range offered(t, g.Address) {
		t.Run("Bolt "+v.String(), func(t *testing.T) { refusedByBolt(t, c, guest(t, g.Address, v, c.User, c.Password), v) })
	}
	t.Run("driver", func(t *testing.T) { refusedByDriver(t, g.Address, c.User, c.Password) })
	t.Run("HTTP", func(t *testing.T) { refusedByHTTP(t, g, c, c.User, c.Password) })
}

// isRefusal tells whether err is the gate's.
func isRefusal(err error) bool {
	var f *bolt.Failure
	var n *neo4j.Neo4jError
	return errors.As(err, &f) && f.Code == bolt.CodeForbidden || errors.As(err, &n) && n.Code == bolt.CodeForbidden
}

func refusedByBolt(t *testing.T, c *labs.Cluster, client *bolt.Client, v bolt.Version) {
	modes := []map[string]any{{}, {"mode": "w"}, {"mode": "r"}}
	if v < bolt.V3 {
		modes = modes[:1]
	}
	for _, text := range tempting {
		for _, extra := range modes {
			if _, err := client.Query(text, nil, extra); !isRefusal(err) {
				t.Fatalf("%s %v: %v", text, extra, err)
			}
		}
		refusedInside(t, client, v, text)
	}
	if enforcesMode(c) {
		refusedByMember(t, client, v)
	}
	if r, err := client.Query("MATCH (n) RETURN count(n)", nil, nil); err != nil || len(r.Rows) != 1 {
		t.Fatalf("a read: %v, %v", r, err)
	}
}

// refusedInside reads in a transaction and is refused the text; then nothing is left of the transaction.
func refusedInside(t *testing.T, client *bolt.Client, v bolt.Version, text string) {
	t.Helper()
	inTx := func(text string) (bolt.Message, error) {
		m := bolt.AppendMessage(nil, bolt.TagRun, text, map[string]any{})
		if v >= bolt.V3 {
			m = bolt.AppendMessage(nil, bolt.TagRun, text, map[string]any{}, map[string]any{})
		}
		_, err := client.Ask(m)
		return bolt.Message{}, err
	}
	pull := bolt.AppendMessage(nil, bolt.TagPull)
	if v >= bolt.V4_0 {
		pull = bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": -1})
	}
	rows := func() {
		t.Helper()
		if _, err := client.Conn.Write(pull); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := client.Answer()
			if err != nil {
				t.Fatalf("reading in a transaction: %v", err)
			}
			if m.Tag == bolt.TagSuccess {
				return
			}
		}
	}
	begin := func() error {
		if v < bolt.V3 {
			if _, err := inTx("BEGIN"); err != nil {
				return err
			}
			rows()
			return nil
		}
		_, err := client.Ask(bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{}))
		return err
	}
	if err := begin(); err != nil {
		t.Fatalf("BEGIN: %v", err)
	}
	if _, err := inTx("RETURN 1"); err != nil {
		t.Fatalf("a read in a transaction: %v", err)
	}
	rows()
	if _, err := inTx(text); !isRefusal(err) {
		t.Fatalf("%s, in a transaction: %v", text, err)
	}
	if err := client.Reset(0); err != nil {
		t.Fatalf("RESET: %v", err)
	}
}

// refusedByMember sends a write that the gate was told to take for a read: mode r, which the gate sent, makes the member refuse it.
func refusedByMember(t *testing.T, client *bolt.Client, v bolt.Version) {
	t.Helper()
	var f *bolt.Failure
	if _, err := client.Query(slip, nil, map[string]any{"mode": "w"}); !errors.As(err, &f) || f.Code != bolt.CodeAccessMode {
		t.Fatalf("Bolt %v: a write that the gate lets through: %v", v, err)
	}
	_, err := client.Ask(bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{"mode": "w"}))
	if err == nil {
		_, err = client.Ask(bolt.AppendMessage(nil, bolt.TagRun, slip, map[string]any{}, map[string]any{}))
	}
	if err == nil { // it fails with its first row
		pull := bolt.AppendMessage(nil, bolt.TagPull)
		if v >= bolt.V4_0 {
			pull = bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": -1})
		}
		_, err = client.Ask(pull)
	}
	if f = nil; !errors.As(err, &f) || f.Code != bolt.CodeAccessMode {
		t.Fatalf("Bolt %v: a write in a transaction that the gate lets through: %v", v, err)
	}
	if err := client.Reset(0); err != nil {
		t.Fatalf("RESET: %v", err)
	}
}

// slip is a write that the gate in these tests is told to take for a read.
const slip = "CALL db.createLabel('ReadOnly')"

// enforcesMode tells whether the lab's server refuses to write in mode r.
func enforcesMode(c *labs.Cluster) bool { return !strings.HasPrefix(c.Lab.Version(), "3.") }

func refusedByDriver(t *testing.T, address, user, password string) {
	ctx := t.Context()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+address, neo4j.BasicAuth(user, password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	for _, mode := range []neo4j.AccessMode{neo4j.AccessModeRead, neo4j.AccessModeWrite} {
		if got, err := managed(ctx, driver, mode, "RETURN 7"); err != nil || got != "7" {
			t.Fatalf("a read with mode %v: %q, %v", mode, got, err)
		}
		for _, text := range tempting[:3] {
			if got, err := managed(ctx, driver, mode, text+" RETURN 1"); !isRefusal(err) {
				t.Fatalf("%s with mode %v: %q, %v", text, mode, got, err)
			}
		}
	}
}

// refusedByHTTP tries the endpoints of statements that the server has.
func refusedByHTTP(t *testing.T, g *gate, c *labs.Cluster, user, password string) {
	old := strings.HasPrefix(c.Lab.Version(), "3.")
	tx, query := "/db/neo4j/tx", "/db/neo4j/query/v2"
	if old {
		tx, query = "/db/data/transaction", ""
	} else if strings.HasPrefix(c.Lab.Version(), "4.") {
		query = ""
	}
	ask := func(path string, body any) (int, string) { return g.post(t, path, body, user, password) }
	statements := func(text string) any {
		return map[string]any{"statements": []any{map[string]any{"statement": text}}}
	}
	statement := func(text string) any { return map[string]any{"statement": text, "accessMode": "WRITE"} }
	for _, text := range tempting {
		for path, body := range map[string]any{tx + "/commit": statements(text), tx: statements(text), query: statement(text)} {
			if path == "" {
				continue
			}
			if status, answer := ask(path, body); status != 403 || !strings.Contains(answer, bolt.CodeForbidden) {
				t.Fatalf("%s, %s: HTTP %d %s", path, text, status, answer)
			}
		}
	}
	if status, answer := ask(tx+"/commit", statements("RETURN 7")); status != 200 || !strings.Contains(answer, "[7]") {
		t.Fatalf("a read: HTTP %d %s", status, answer)
	}
	// What the gate lets through the member refuses, in whose header or body the mode was changed.
	if !enforcesMode(c) {
		return
	}
	refusal := bolt.CodeAccessMode
	if query == "" { // 4.4 takes it for a write that would have to be routed
		refusal = bolt.CodeInvalidRequest
	}
	if status, answer := ask(tx+"/commit", statements(slip)); !strings.Contains(answer, refusal) {
		t.Fatalf("a write that the gate lets through: HTTP %d %s", status, answer)
	}
	if query == "" {
		return
	}
	if status, answer := ask(query, statement("RETURN 7")); status != 202 || !strings.Contains(answer, "[[7]]") {
		t.Fatalf("a read by the Query API: HTTP %d %s", status, answer)
	}
	if status, answer := ask(query, statement(slip)); !strings.Contains(answer, bolt.CodeAccessMode) {
		t.Fatalf("a write that the gate lets through, by the Query API: HTTP %d %s", status, answer)
	}
	guardedTx(t, g, user, password)
}

// guardedTx opens an explicit transaction of the Query API with and without a body, and loses it with the first write.
func guardedTx(t *testing.T, g *gate, user, password string) {
	const path = "/db/neo4j/query/v2/tx"
	for _, first := range []any{nil, map[string]any{}, map[string]any{"statement": "RETURN 7"}} {
		status, answer := g.post(t, path, first, user, password)
		var begun struct{ Transaction struct{ ID string } }
		if err := json.Unmarshal([]byte(answer), &begun); status != 202 || err != nil || begun.Transaction.ID == "" {
			t.Fatalf("begin with %v: HTTP %d %s", first, status, answer)
		}
		at := path + "/" + begun.Transaction.ID
		if status, answer := g.post(t, at, map[string]any{"statement": "RETURN 7"}, user, password); status != 202 || !strings.Contains(answer, "[[7]]") {
			t.Fatalf("a read: HTTP %d %s", status, answer)
		}
		if status, answer := g.post(t, at, map[string]any{"statement": "CREATE (:ReadOnly)"}, user, password); status != 403 {
			t.Fatalf("a write: HTTP %d %s", status, answer)
		}
		if status, answer := g.post(t, at, map[string]any{"statement": "RETURN 7"}, user, password); status != 404 {
			t.Fatalf("the transaction is there after a refusal: HTTP %d %s", status, answer)
		}
	}
}

// post sends a JSON body; nil is none.
func (g *gate) post(t *testing.T, path string, body any, user, password string) (status int, answer string) {
	t.Helper()
	var content []byte
	if body != nil {
		content, _ = json.Marshal(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+g.Address+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, password)
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

// guardedUser gives a server without roles a user who may only read, on a frontend where others write.
func guardedUser(t *testing.T, c *labs.Cluster) {
	direct := guest(t, c.Leader().Bolt, offered(t, c.Leader().Bolt)[0], c.User, c.Password)
	system := map[string]any{"db": "system"}
	for _, text := range []string{"DROP USER reports IF EXISTS", "CREATE USER reports SET PASSWORD 'of-reports' CHANGE NOT REQUIRED"} {
		if _, err := direct.Query(text, nil, system); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	defer direct.Query("DROP USER reports", nil, system) //nolint:errcheck // nobody else uses it
	g := startGate(t, c, gateConfig(c, "auto", "routing: {procedures: {db.createLabel: read}}\n"+
		"users: [{name: agent, password: of-agent, access: read-only, member_user: reports, member_password: of-reports}]\n"))
	awaitVersions(t, g.Address)
	versions := offered(t, g.Address)
	for _, v := range []bolt.Version{versions[0], versions[len(versions)-1]} {
		t.Run("Bolt "+v.String(), func(t *testing.T) {
			client := guest(t, g.Address, v, "agent", "of-agent")
			refusedByBolt(t, c, client, v)
			if r, err := client.Query("SHOW CURRENT USER YIELD user", nil, nil); v >= bolt.V4_4 && (err != nil || fmt.Sprint(r.Rows) != "[[reports]]") {
				t.Errorf("the members see %+v, %v", r, err)
			}
		})
	}
	t.Run("driver", func(t *testing.T) { refusedByDriver(t, g.Address, "agent", "of-agent") })
	t.Run("HTTP", func(t *testing.T) { refusedByHTTP(t, g, c, "agent", "of-agent") })
	t.Run("a wrong password", func(t *testing.T) {
		var f *bolt.Failure
		if _, err := tryGuest(t, g.Address, versions[0], "agent", "of-reports"); !errors.As(err, &f) || f.Code != bolt.CodeUnauthorized {
			t.Errorf("got %v", err)
		}
	})
	t.Run("others write", func(t *testing.T) {
		client := guest(t, g.Address, versions[0], c.User, c.Password)
		for _, text := range []string{"CREATE (:Others)", "MATCH (n:Others) DELETE n"} {
			if _, err := client.Query(text, nil, nil); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}
