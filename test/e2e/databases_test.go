package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/labs"
)

// This file owns the check that work which names databases, aliases or one member gets through the gate what it gets from the
// server itself. Community servers have two databases and no aliases; what they refuse has to be refused the same way.

// asked is one question about databases.
type asked struct {
	text  string
	extra map[string]any
	loose bool // what it lists changes from one moment to the next: only its columns are compared
}

var (
	onSystem  = map[string]any{"db": "system"}
	nowhere   = map[string]any{"db": "nowhere"}
	questions = []asked{
		{"RETURN 1 AS x", nil, false}, {"RETURN 1 AS x", map[string]any{"db": "neo4j"}, false}, {"RETURN 1 AS x", map[string]any{"db": "NEO4J", "mode": "r"}, false},
		{"RETURN 1 AS x", onSystem, false}, {"RETURN 1 AS x", nowhere, false}, {"CREATE (n:Nowhere)", nowhere, false},
		{"MATCH (n:Nowhere) RETURN n", map[string]any{"db": "nowhere", "mode": "r"}, false},
		{"USE neo4j RETURN 1 AS x", nil, false}, {"USE `neo4j` MATCH (n:Nowhere) RETURN n", map[string]any{"mode": "r"}, false},
		{"USE neo4j RETURN 1 AS x", onSystem, false}, {"USE system RETURN 1 AS x", nil, false}, {"USE system SHOW DATABASES", nil, true},
		{"USE nowhere RETURN 1 AS x", nil, false}, {"USE nowhere CREATE (n:Nowhere)", nil, false}, {"USE graph.byName('neo4j') RETURN 1 AS x", nil, false},
		{"EXPLAIN USE neo4j MATCH (n) RETURN n", nil, false}, {"USE neo4j USE neo4j RETURN 1", nil, false}, {"USE", nil, false},
		{"SHOW DATABASES", nil, true}, {"SHOW DATABASES", onSystem, true}, {"SHOW DATABASES", map[string]any{"mode": "r"}, true},
		{"SHOW HOME DATABASE", nil, true}, {"SHOW DEFAULT DATABASE", nil, true}, {"SHOW DATABASE nowhere", nil, false},
		{"SHOW TRANSACTIONS", nil, true}, {"SHOW TRANSACTIONS", map[string]any{"mode": "r"}, true}, {"TERMINATE TRANSACTIONS 'neo4j-transaction-999999'", nil, false},
		{"SHOW SETTINGS YIELD name WHERE name = 'nothing' RETURN name", nil, false},
		{"CALL dbms.listConnections() YIELD connectionId RETURN 1 AS x LIMIT 1", nil, false}, {"CALL dbms.killConnection('bolt-999999')", nil, true},
		{"CREATE DATABASE extra", nil, false}, {"CREATE DATABASE extra", onSystem, false}, {"DROP DATABASE extra", onSystem, false},
		{"STOP DATABASE neo4j", onSystem, false}, {"CREATE ALIAS other FOR DATABASE neo4j", onSystem, false}, {"SHOW ALIASES FOR DATABASE", onSystem, false},
		{"CREATE COMPOSITE DATABASE whole", onSystem, false},
	}
)

// databases holds the gate against the server itself, in several Bolt versions, over HTTP and through a driver.
func databases(t *testing.T, c *labs.Cluster) {
	direct := c.Members[0]
	patient := strings.Replace(gateConfig(c, "auto", ""), "interval: 1s,", "interval: 1s, timeout: 10s,", 1) // the server may have just started
	gate := startGate(t, c, patient)
	awaitVersions(t, gate.Address)
	versions := offered(t, gate.Address)
	for i, v := range versions {
		if i != 0 && i != len(versions)-1 && v != bolt.V4_4 {
			continue
		}
		t.Run("bolt "+v.String(), func(t *testing.T) {
			for _, q := range questions {
				want, got := answerTo(t, c, direct.Bolt, v, q), answerTo(t, c, gate.Address, v, q)
				if got != want {
					t.Errorf("%s %v:\n got  %s\n want %s", q.text, q.extra, got, want)
				}
			}
			sameInTransactions(t, c, direct.Bolt, gate.Address, v)
			sameTables(t, c, direct.Bolt, gate.Address, v)
		})
	}
	t.Run("terminate", func(t *testing.T) { terminate(t, c, gate.Address) })
	t.Run("http", func(t *testing.T) { sameOverHTTP(t, c, direct.HTTP, gate.Address) })
	t.Run("driver", func(t *testing.T) { driverDatabases(t, c, gate.Address) })
}

// answerTo is what a client is told, as far as it does not depend on the moment.
func answerTo(t *testing.T, c *labs.Cluster, address string, v bolt.Version, q asked) string {
	t.Helper()
	client, err := logon(address, v, c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it has served
	result, err := client.Query(q.text, nil, q.extra)
	if f, ok := errors.AsType[*bolt.Failure](err); ok {
		return f.Code + ": " + f.Message
	}
	if err != nil {
		t.Fatalf("%s: %v", q.text, err)
	}
	text := fmt.Sprintf("columns %v, db %v, type %v", result.Fields, result.Summary["db"], result.Summary["type"])
	if !q.loose {
		text += fmt.Sprintf(", rows %v", result.Rows)
	}
	return text
}

// sameInTransactions compares what transactions that name databases are told, step by step.
func sameInTransactions(t *testing.T, c *labs.Cluster, direct, gate string, v bolt.Version) {
	t.Helper()
	for _, extra := range []map[string]any{nil, onSystem, nowhere, {"db": "neo4j", "mode": "r"}} {
		for _, text := range []string{"RETURN 1 AS x", "USE neo4j RETURN 1 AS x", "USE system RETURN 1 AS x", "USE nowhere RETURN 1 AS x", "SHOW DATABASES"} {
			steps := func(address string) (said []string) {
				client, err := logon(address, v, c)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close() //nolint:errcheck // it has served
				_, err = client.AskReady(bolt.AppendMessage(nil, bolt.TagBegin, extra))
				if said = append(said, codeOf(err)); err != nil {
					return said
				}
				_, err = client.Query(text, nil, map[string]any{})
				if said = append(said, codeOf(err)); err == nil {
					_, err = client.AskReady(bolt.AppendMessage(nil, bolt.TagCommit))
					said = append(said, codeOf(err))
				}
				return said
			}
			if got, want := fmt.Sprint(steps(gate)), fmt.Sprint(steps(direct)); got != want {
				t.Errorf("a transaction %v with %s:\n got  %s\n want %s", extra, text, got, want)
			}
		}
	}
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*bolt.Failure](err); ok {
		return f.Code
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// sameTables compares for which databases there is a routing table, and what they are called in it.
func sameTables(t *testing.T, c *labs.Cluster, direct, gate string, v bolt.Version) {
	t.Helper()
	for _, db := range []any{nil, "neo4j", "Neo4J", "system", "nowhere"} {
		table := func(address string) string {
			client, err := logon(address, v, c)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close() //nolint:errcheck // it has served
			var extra any = map[string]any{"db": db}
			if v < bolt.V4_4 {
				extra = db
			}
			if v < bolt.V4_3 {
				_, err := client.Query("CALL dbms.routing.getRoutingTable($c, $db)", map[string]any{"c": map[string]any{}, "db": db}, nil)
				return codeOf(err)
			}
			answer, err := client.AskReady(bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, extra))
			rt, _ := answer["rt"].(map[string]any)
			return fmt.Sprint(codeOf(err), " ", rt["db"])
		}
		if got, want := table(gate), table(direct); got != want {
			t.Errorf("a table for %v: got %s, want %s", db, got, want)
		}
	}
}

// terminate finds an open transaction of one session through another, and ends it.
func terminate(t *testing.T, c *labs.Cluster, gate string) {
	v := offered(t, gate)[0]
	session := func() *bolt.Client {
		client, err := logon(gate, v, c)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	working, looking := session(), session()
	begin := bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{"tx_metadata": map[string]any{"work": "to be ended"}})
	if _, err := working.Ask(begin); err != nil {
		t.Fatal(err)
	}
	if _, err := working.Query("RETURN 1", nil, map[string]any{}); err != nil {
		t.Fatal(err)
	}
	result, err := looking.Query("SHOW TRANSACTIONS YIELD transactionId, metaData", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, row := range result.Rows {
		if data, _ := row[1].(map[string]any); data["work"] == "to be ended" {
			id = fmt.Sprint(row[0])
		}
	}
	if id == "" {
		t.Fatalf("the transaction is not in SHOW TRANSACTIONS: %v", result.Rows)
	}
	if _, err := looking.Query("TERMINATE TRANSACTIONS $id", map[string]any{"id": id}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := working.Query("RETURN 1", nil, map[string]any{}); !strings.Contains(codeOf(err), "Terminated") {
		t.Errorf("%s was terminated, and its next query ended with %v", id, err)
	}
}

// sameOverHTTP compares status and code of statements by database.
func sameOverHTTP(t *testing.T, c *labs.Cluster, direct, gate string) {
	post := func(address, path, body string) string {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(c.User, c.Password)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			Errors []struct{ Code string }
		}
		json.Unmarshal(raw, &said) //nolint:errcheck // then it has no code
		return fmt.Sprint(answer.StatusCode, said.Errors)
	}
	for _, text := range []string{"RETURN 1", "CREATE (n:Nowhere) DELETE n", "USE neo4j RETURN 1", "USE nowhere RETURN 1", "USE system SHOW DATABASES", "SHOW DATABASES", "SHOW TRANSACTIONS", "CREATE DATABASE extra"} {
		quoted, _ := json.Marshal(text)
		for _, db := range []string{"neo4j", "NEO4J", "system", "nowhere"} {
			for path, body := range map[string]string{
				"/db/" + db + "/tx/commit": `{"statements":[{"statement":` + string(quoted) + `}]}`,
				"/db/" + db + "/query/v2":  `{"statement":` + string(quoted) + `}`,
			} {
				if got, want := post(gate, path, body), post(direct, path, body); got != want {
					t.Errorf("%s %s: got %s, want %s", path, text, got, want)
				}
			}
		}
	}
}

// driverDatabases is what an application does with the official driver.
func driverDatabases(t *testing.T, c *labs.Cluster, gate string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+gate, neo4j.BasicAuth(c.User, c.Password, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	ask := func(db, text string, more ...neo4j.ExecuteQueryConfigurationOption) (*neo4j.EagerResult, error) {
		return neo4j.ExecuteQuery(ctx, driver, text, nil, neo4j.EagerResultTransformer, append(more, neo4j.ExecuteQueryWithDatabase(db))...)
	}
	for _, db := range []string{"", "neo4j", "NEO4J"} {
		result, err := ask(db, "CREATE (n:Gate) DELETE n RETURN 1 AS x")
		if err != nil || strings.ToLower(result.Summary.Database().Name()) != "neo4j" {
			t.Errorf("database %q: %v, %v", db, result, err)
		}
	}
	result, err := ask("system", "SHOW DATABASES YIELD name", neo4j.ExecuteQueryWithReadersRouting())
	if err != nil || len(result.Records) != 2 {
		t.Errorf("SHOW DATABASES: %v, %v; want neo4j and system", result, err)
	}
	if result, err := ask("", "USE neo4j RETURN 1 AS x", neo4j.ExecuteQueryWithReadersRouting()); err != nil || len(result.Records) != 1 {
		t.Errorf("USE: %v, %v", result, err)
	}
	began := time.Now()
	_, err = ask("nowhere", "RETURN 1")
	if refused, ok := errors.AsType[*neo4j.Neo4jError](err); !ok || refused.Code != bolt.CodeDatabaseNotFound || time.Since(began) > 5*time.Second {
		t.Errorf("an unknown database: %v after %v", err, time.Since(began))
	}
}
