package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/boltgate/boltgate/test/gates"
	"github.com/boltgate/boltgate/test/labs"
	"github.com/boltgate/boltgate/test/loopback"
	"github.com/boltgate/boltgate/test/reloads"
)

// reloaded is the stage that reloads a gate a hundred times under load: no unit of work fails, and every write that was acknowledged is there once.
// The same before stand-ins is in cmd/boltgate.
func reloaded(t *testing.T, c *labs.Cluster) {
	w := &reloads.World{
		User: c.User, Password: c.Password, Writing: "CREATE (:Reload {mark: $mark})", Reading: "MATCH (n:Reload) RETURN n.mark LIMIT 1",
		File: t.TempDir() + "/boltgate.yaml", Dir: t.TempDir(), Main: loopback.Reserve(t), Extra: loopback.Reserve(t), Admin: loopback.Reserve(t), Pause: 5 * time.Millisecond,
	}
	for _, m := range c.Members {
		w.Members = append(w.Members, reloads.Member{Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP})
	}
	w.Put(t, 0)
	first, err := os.ReadFile(w.File)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{gates.Start(t, string(first))}
	g.Address, w.File = w.Main, g.Config
	w.Ready(t)
	result := w.Run(t, 100)
	there, err := g.cypherHTTP(t.Context(), c, "/db/neo4j/tx/commit", "MATCH (n:Reload) RETURN count(n)", nil)
	if err != nil || there != fmt.Sprint(result.Writes) {
		t.Errorf("%s writes are there, %v; %d were acknowledged", there, err, result.Writes)
	}
	if _, err := g.cypherHTTP(t.Context(), c, "/db/neo4j/tx/commit", "MATCH (n:Reload) DETACH DELETE n", nil); err != nil {
		t.Error(err)
	}
}
