package e2e

// This file owns what checks learn of procedures from real servers.

import (
	"context"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/test/labs"
)

// procedures lets checks learn what the servers list, and looks at what that makes of a read and of a write.
func procedures(t *testing.T, c *labs.Cluster) {
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
