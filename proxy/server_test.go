package proxy

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/test/loopback"
)

// This file holds the server's life: shutdown in the order clients feel it, reloads that drop nobody, limits.

func shutdownIn(g *gate, limit time.Duration) chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		done <- g.server.Shutdown(ctx)
	}()
	return done
}

func TestShutdownLetsWorkEndAndClosesIdleSessionsLast(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	idle, inTx, streaming := g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	inTx.ask(beginTx(inTx.v, nil)...)
	streaming.send(auto(streaming.v, "MATCH (n) RETURN n /*standin rows=100 row_delay=2ms*/")...)
	streaming.read()
	done := shutdownIn(g, patience)
	waitFor(t, "connections were not accepted any more", g.refuses)
	if got := show(streaming.answers(1)); !strings.HasPrefix(got, "RECORD SUCCESS") {
		t.Errorf("the open result: %s", got)
	}
	idle.row(oneRow, nil, nil) // as long as others work, it is served
	select {
	case err := <-done:
		t.Fatalf("over while a transaction was open: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	inTx.ask(auto(inTx.v, aWrite)...)
	if got := show(inTx.ask(commitTx(inTx.v)...)); got != "SUCCESS(bookmark)" {
		t.Errorf("COMMIT: %s", got)
	}
	for _, w := range []*wire{idle, inTx, streaming} {
		w.closed()
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := g.server.Sessions(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w, held := g.logged(bolt.V5_8), g.open(bolt.V5_8)
	w.ask(beginTx(w.v, nil)...)
	began := time.Now()
	err := <-shutdownIn(g, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "1 unit") {
		t.Errorf("Shutdown: %v; want how much was cut", err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	w.closed()
	held.closed()
}

func TestShutdownDoesNotWaitForAFullFrontend(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, frontend: func(f *Frontend) { f.MaxConnections = 1 }})
	w := g.logged(bolt.V5_8)
	waiting, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	select {
	case err := <-shutdownIn(g, patience):
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Shutdown hangs while max_connections is reached")
	}
	w.closed()
}

func TestMaxConnectionsWaitUnaccepted(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, frontend: func(f *Frontend) { f.MaxConnections = 1 }})
	first := g.logged(bolt.V5_8)
	second, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	second.Write(handshakeOf(bolt.V5_8))                           //nolint:errcheck // shows below
	second.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) //nolint:errcheck // as above
	if _, err := second.Read(make([]byte, 4)); !isTimeout(err) {
		t.Errorf("a second connection was served: %v", err)
	}
	first.conn.Close()
	second.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck // shows in Read
	if _, err := second.Read(make([]byte, 4)); err != nil {
		t.Errorf("after the first had left: %v", err)
	}
}

func TestAReloadDropsNobody(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	inTx, idle := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	inTx.ask(beginTx(inTx.v, nil)...)
	was := *g.server.fronts["main"].settings.Load()

	changed := was
	changed.Undeclared = UndeclaredLeader
	changed.Advertise = []string{"elsewhere.example:7687"}
	changed.MaxConnections = 2 // as many as there are
	extra := was
	extra.Name, extra.Bind = "second", []string{loopback.Reserve(t)}
	if err := g.server.Apply(Options{}, []*Frontend{&changed, &extra}); err != nil {
		t.Fatal(err)
	}
	leader := g.cluster.Leader("")
	for range 6 {
		if row := idle.row(oneRow, nil, nil); row["member"] != leader {
			t.Errorf("after the reload an undeclared read was served by %v", row["member"])
		}
	}
	list := idle.ask(message(bolt.TagRoute, m{}, []any{}, m{}))
	if rt, _ := list[0].meta()["rt"].(map[string]any); !strings.Contains(strings.Join(addressesIn(rt), " "), "elsewhere.example:7687") {
		t.Errorf("ROUTE after the reload: %v", rt)
	}
	second := openWire(t, g.server.Addresses("second")[0].String(), bolt.V5_8)
	second.logOn("neo4j", "standin")
	inTx.ask(auto(inTx.v, aWrite)...)
	if got := show(inTx.ask(commitTx(inTx.v)...)); got != "SUCCESS(bookmark)" {
		t.Errorf("COMMIT after the reload: %s", got)
	}

	if err := g.server.Apply(Options{}, []*Frontend{&was}); err != nil { // the second address goes, its session stays
		t.Fatal(err)
	}
	second.row(oneRow, nil, nil)
	if conn, err := net.Dial("tcp", second.conn.RemoteAddr().String()); err == nil {
		conn.Close()
		t.Error("the address that is not wanted any more is still open")
	}
	g.logged(bolt.V5_8).row(oneRow, nil, nil)

	bad := was
	bad.Bind = []string{"127.0.0.1:0", "256.0.0.1:1"}
	if err := g.server.Apply(Options{}, []*Frontend{&bad}); err == nil {
		t.Error("an address that cannot be opened was taken")
	}
	g.logged(bolt.V5_8).row(oneRow, nil, nil)
}

func addressesIn(table map[string]any) (all []string) {
	servers, _ := table["servers"].([]any)
	for _, s := range servers {
		for _, a := range s.(map[string]any)["addresses"].([]any) {
			all = append(all, a.(string))
		}
	}
	return all
}
