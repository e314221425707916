package standin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/db"

	"github.com/boltgate/boltgate/cluster"
)

// The official driver, without a gate: a stand-in that a driver does not take for a cluster shows nothing about the gate.
func TestOfficialDriver(t *testing.T) {
	for name, o := range map[string]Options{
		"causal 3.5":      {Generation: cluster.Causal, ServerVersion: "3.5.35"},
		"causal 4.0":      {Generation: cluster.Causal, ServerVersion: "4.0.12"},
		"causal 4.3":      {Generation: cluster.Causal, ServerVersion: "4.3.24"},
		"causal 4.4":      {Generation: cluster.Causal, ServerVersion: "4.4.48"},
		"autonomous":      {ServerVersion: "5.26.30", SSR: true},
		"autonomous 5.12": {ServerVersion: "5.12.0"},
		"autonomous 2026": {ServerVersion: "2026.08.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Replicas, o.ElectionTime, o.Lag = 1, 300*time.Millisecond, 10*time.Millisecond
			driverSmoke(t, o)
		})
	}
}

func driverSmoke(t *testing.T, o Options) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	driver, err := neo4j.NewDriverWithContext("neo4j://"+c.Members()[1].Bolt, neo4j.BasicAuth(DefaultUser, DefaultPassword, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close(ctx)
	session := driver.NewSession(ctx, neo4j.SessionConfig{})
	defer session.Close(ctx)
	leader := managed(ctx, t, session.ExecuteWrite, "CREATE (n) RETURN n", "w")
	if leader["role"] != "leader" || leader["mark"] != "w" {
		t.Errorf("write: got %v", leader)
	}
	if got := managed(ctx, t, session.ExecuteRead, "MATCH (n) RETURN n", "r"); got["role"] == "leader" || got["applied"] != int64(2) || got["mark"] != "r" {
		t.Errorf("read behind the write: got %v", got)
	}
	explicit(ctx, t, session)
	if err := c.Kill(leader["member"].(string)); err != nil {
		t.Fatal(err)
	}
	if got := managed(ctx, t, session.ExecuteWrite, "CREATE (n) RETURN n", "after"); got["member"] == leader["member"] || got["role"] != "leader" {
		t.Errorf("write after the election: got %v", got)
	}
}

type managedWork = func(context.Context, neo4j.ManagedTransactionWork, ...func(*neo4j.TransactionConfig)) (any, error)

// managed runs one query in a transaction function and returns its only row.
func managed(ctx context.Context, t *testing.T, execute managedWork, text, mark string) map[string]any {
	t.Helper()
	got, err := execute(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		res, err := tx.Run(ctx, text, map[string]any{"mark": mark})
		if err != nil {
			return nil, err
		}
		record, err := res.Single(ctx)
		if err != nil {
			return nil, err
		}
		return record.AsMap(), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return got.(map[string]any)
}

// explicit goes through a failure, a rollback, and a result left in mid-stream.
func explicit(ctx context.Context, t *testing.T, session neo4j.SessionWithContext) {
	t.Helper()
	var refused *db.Neo4jError
	if _, err := session.Run(ctx, "this is no Cypher", nil); !errors.As(err, &refused) || refused.Code != codeSyntaxError {
		t.Errorf("got %v; want %s", err, codeSyntaxError)
	}
	tx, err := session.BeginTransaction(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Run(ctx, "MATCH (n) RETURN n", map[string]any{"rows": 100_000}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Errorf("rollback in mid-stream: %v", err)
	}
	res, err := session.Run(ctx, "RETURN 1 AS one", nil)
	if err != nil {
		t.Fatal(err)
	}
	if record, err := res.Single(ctx); err != nil || record.Values[0] != int64(1) {
		t.Errorf("got %v, %v; want 1", record, err)
	}
}
