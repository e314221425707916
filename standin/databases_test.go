package standin

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

func TestAliasesAndComposites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Databases: []string{"neo4j", "orders"}, Aliases: map[string]string{"Sales": "orders"},
			Composites: map[string][]string{"all": {"neo4j", "orders"}}, SSR: true})
		c := b.client(b.Leader("orders"), bolt.V5_8)
		if got, _ := row(t, c, "CREATE (n) RETURN n", nil, map[string]any{"db": "sales"}); got["db"] != "orders" {
			t.Errorf("by its alias: got %v", got)
		}
		if got, _ := row(t, c, "USE all.orders CREATE (n) RETURN n", nil, map[string]any{"db": "all"}); got["db"] != "orders" {
			t.Errorf("a part of a composite: got %v", got)
		}
		_, err := c.Query("CREATE (n)", nil, map[string]any{"db": "all"})
		wantCode(t, err, "Neo.ClientError.Statement.SemanticError")
		res, err := c.Query("SHOW DATABASES YIELD name, type, aliases, constituents, writer WHERE name = 'all'", nil, nil)
		if err != nil || fmt.Sprint(res.Rows[0]) != "[all composite [] [all.neo4j all.orders] false]" || len(res.Rows) != 3 {
			t.Errorf("got %v, %v", res, err)
		}
		res, err = c.Query("SHOW DATABASES YIELD name, aliases WHERE name = 'orders'", nil, nil)
		if err != nil || fmt.Sprint(res.Rows[0]) != "[orders [all.orders sales]]" {
			t.Errorf("got %v, %v", res, err)
		}
		sys := b.client(b.Leader("system"), bolt.V5_8)
		admin := map[string]any{"db": "system"}
		row(t, sys, "CREATE ALIAS far FOR DATABASE x AT 'neo4j://elsewhere' USER u PASSWORD 'p'", nil, admin)
		if got, _ := row(t, b.client("s3", bolt.V5_8), "CREATE (n) RETURN n", nil, map[string]any{"db": "far"}); got["db"] != "far" || got["member"] != "s3" {
			t.Errorf("a remote alias: got %v", got)
		}
		if got, _ := row(t, sys, "SHOW ALIASES FOR DATABASE YIELD name, location WHERE name = 'far'", nil, admin); got["location"] != "remote" {
			t.Errorf("got %v", got)
		}
		row(t, sys, "DROP ALIAS far FOR DATABASE", nil, admin)
		_, err = c.Query("RETURN 1", nil, map[string]any{"db": "far"})
		wantCode(t, err, bolt.CodeDatabaseNotFound)
	})
}

func TestADatabaseTakesItsTimeToAppear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{CreateTime: time.Second, Lag: 300 * time.Millisecond})
		sys := b.client(b.Leader("system"), bolt.V5_4)
		row(t, sys, "CREATE DATABASE extra", nil, map[string]any{"db": "system"})
		far := "s1"
		if b.Leader("system") == far {
			far = "s2"
		}
		ask := func(member string) error {
			_, err := b.client(member, bolt.V5_4).Query("RETURN 1", nil, map[string]any{"db": "extra"})
			return err
		}
		wantCode(t, ask(far), bolt.CodeDatabaseNotFound)
		wantCode(t, ask(b.Leader("system")), bolt.CodeDatabaseUnavailable)
		time.Sleep(500 * time.Millisecond)
		wantCode(t, ask(far), bolt.CodeDatabaseUnavailable)
		time.Sleep(500 * time.Millisecond)
		if err := ask(far); err != nil {
			t.Error(err)
		}
		if err := b.StopDatabase("extra"); err != nil {
			t.Error(err)
		}
		wantCode(t, ask(far), bolt.CodeDatabaseUnavailable)
		if err := b.DropDatabase("extra"); err != nil {
			t.Error(err)
		}
		wantCode(t, ask(far), bolt.CodeDatabaseNotFound)
		if b.DropDatabase("extra") == nil {
			t.Error("dropped twice")
		}
	})
}
