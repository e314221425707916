package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// TestWhatOperatorsSeeOfClients has a session in a transaction, an idle one, one that has not logged on, and an HTTP request that
// takes its time.
func TestWhatOperatorsSeeOfClients(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	g.logged(bolt.V5_4)
	open := g.open(bolt.V5_0)
	busy := g.logged(bolt.V5_4)
	busy.expect("SUCCESS()", bolt.AppendMessage(nil, bolt.TagBegin, m{"db": "neo4j"}))
	done := make(chan int, 1)
	go func() {
		done <- g.web("POST", "/db/neo4j/tx/commit", stmt("/*standin delay=2s*/ CREATE (n) RETURN n")).status
	}()
	leader := g.cluster.Leader("neo4j")
	want := []string{
		"main bolt 5.0   idle   false", "main bolt 5.4 neo4j test idle   false", "main bolt 5.4 neo4j test in transaction " + leader + " neo4j false",
		"main http   working " + leader + " neo4j false",
	}
	var got []string
	var clients []Client // a connection that is not told apart yet has no ID
	for deadline := time.Now().Add(patience); !slices.Equal(got, want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
		got, clients = got[:0], g.server.Clients()
		for _, c := range clients {
			agent, _, _ := strings.Cut(c.Agent, "/")
			got = append(got, fmt.Sprint(c.Frontend, " ", c.Protocol, " ", c.User, " ", agent, " ", c.State, " ", c.Member, " ", c.Work.DB, " ", c.Work.Read))
		}
		slices.Sort(got)
	}
	for _, c := range clients {
		if !strings.HasPrefix(c.ID, "boltgate-") || c.Address == "" || (c.Member != "") != (c.Since(time.Now()) > 0) {
			t.Errorf("got %+v", c)
		}
	}
	if status := <-done; status != http.StatusOK {
		t.Errorf("the request ended with %d", status)
	}
	_ = open
}

func TestAKilledClientIsGoneAndItsMemberFree(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	other, w := g.logged(bolt.V5_4), g.logged(bolt.V5_4)
	w.expect("SUCCESS()", bolt.AppendMessage(nil, bolt.TagBegin, m{"db": "neo4j"}))
	if g.server.Kill("boltgate-0") {
		t.Error("a client that is not there was killed")
	}
	id, member := "", ""
	for _, c := range g.server.Clients() {
		if c.State == ClientTransaction {
			id, member = c.ID, c.Member
		}
	}
	if !g.server.Kill(id) {
		t.Fatalf("no client %q", id)
	}
	w.closed()
	for deadline := time.Now().Add(patience); g.pools.Stats(member).InFlight > 0 || g.server.Sessions() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after the kill: %+v, %d sessions", g.pools.Stats(member), g.server.Sessions())
		}
	}
	other.row("RETURN 1", nil, nil)
}
