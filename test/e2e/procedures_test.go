package e2e

// This file owns what checks learn of procedures from real servers.

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/test/labs"
)

// procedures holds what a server lists against the built-in table, lets checks learn it, and looks at what that makes of a read and of a write.
func procedures(t *testing.T, c *labs.Cluster) {
	t.Run("table", func(t *testing.T) { listed(t, c) })
	var members []*cluster.Member
	for _, m := range c.Members {
		members = append(members, &cluster.Member{Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP})
	}
	current := new(cluster.Current)
	monitor := health.New(health.Options{Members: members, Interval: 500 * time.Millisecond, Timeout: 10 * time.Second, User: c.User, Password: c.Password}, current, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go monitor.Run(ctx) //nolint:errcheck // it ends with ctx
	for {
		v := current.View()
		if v.Procedures != nil {
			t.Logf("%d procedures are listed that the built-in table does not have, or takes for less", v.Procedures.Len())
			if got := cypher.ClassifyString("CALL db.labels()", v.Procedures).Access; got != cypher.Read {
				t.Errorf("db.labels is a %v by the servers' lists", got)
			}
			if got := cypher.ClassifyString("CALL db.createLabel('A')", v.Procedures).Access; got != cypher.Write {
				t.Errorf("db.createLabel is a %v by the servers' lists", got)
			}
			return
		}
		select {
		case <-v.Replaced():
		case <-ctx.Done():
			t.Fatal("no server listed its procedures within a minute")
		}
	}
}

// listed goes through all that a server lists with its mode. Nothing that changes data or schema may be a read for the table. What has mode DBMS and
// is one, and what the table does not know, which is a write until checks have learned it, is for a person to look at.
func listed(t *testing.T, c *labs.Cluster) {
	addr := c.Members[0].Bolt
	versions := offered(t, addr)
	client, err := logon(addr, versions[len(versions)-1], c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	modes, err := procedureModes(client)
	if err != nil {
		t.Fatal(err)
	}
	if len(modes) < 30 {
		t.Errorf("only %d procedures are listed", len(modes))
	}
	found := holdAgainstTable(modes)
	for _, name := range found.missed {
		t.Errorf("%s has mode %s, and is a read for the table", name, modes[name])
	}
	t.Logf("%d procedures; of mode DBMS and reads: %q; not in the table: %q", len(modes), found.dbms, found.unknown)
}

// tableFindings are names of procedures, sorted.
type tableFindings struct {
	missed  []string // they change data or schema, and are reads for the built-in table
	dbms    []string // their mode tells nothing about writing, and they are reads
	unknown []string // to the table
}

// holdAgainstTable holds modes by name against the built-in table.
func holdAgainstTable(modes map[string]string) (f tableFindings) {
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		v := cypher.ClassifyString("CALL "+name+"()", nil)
		switch mode := modes[name]; {
		case v.Reason == "procedure outside the table":
			f.unknown = append(f.unknown, name)
		case v.Access == cypher.Write:
		case mode == "WRITE" || mode == "SCHEMA":
			f.missed = append(f.missed, name)
		case mode == "DBMS":
			f.dbms = append(f.dbms, name)
		}
	}
	return f
}
