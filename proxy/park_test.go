package proxy

import (
	"net"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// parked counts the sessions that wait on a goroutine of their own for waiting.
func (g *gate) parked() int {
	n := 0
	g.server.mu.Lock()
	defer g.server.mu.Unlock()
	for c := range g.server.clients {
		if b := c.bolt.Load(); b != nil {
			b.mu.Lock()
			if b.nap.asleep && b.nap.parked > 0 {
				n++
			}
			b.mu.Unlock()
		}
	}
	return n
}

func (g *gate) awaitParked(n int) {
	g.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); g.parked() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%d sessions are parked; want %d", g.parked(), n)
		}
	}
}

func TestIdleSessionsParkAndServeOn(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab, server: Options{ParkEvery: 5 * time.Millisecond}})
	idle, open := g.dial(bolt.V5_8), g.dial(bolt.V4_4)
	begin := bolt.AppendMessage(nil, bolt.TagBegin, map[string]any{})
	if _, err := open.Ask(begin); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.awaitParked(1) // not the one with a transaction
		query(t, idle, "MATCH (n) RETURN n", nil, nil)
	}
	if _, err := open.Ask(bolt.AppendMessage(nil, bolt.TagCommit)); err != nil {
		t.Error(err)
	}
	g.awaitParked(2)
	g.server.parkRound.Add(1) // as after memory was given back: they park once more
	g.awaitParked(2)
	query(t, open, "MATCH (n) RETURN n", nil, nil)
	query(t, idle, "MATCH (n) RETURN n", nil, nil)
	idle.Close()
	g.awaitParked(1)
}

func TestAParkedSessionStillHasItsTimeLimit(t *testing.T) {
	g := startGate(t, gateOptions{
		standin: lab, server: Options{ParkEvery: 5 * time.Millisecond},
		frontend: func(f *Frontend) { f.Timeouts.ClientIdle = 300 * time.Millisecond },
	})
	c := g.dial(bolt.V5_8)
	g.awaitParked(1)
	if _, err := c.Conn.Read(make([]byte, 1)); err == nil {
		t.Error("the gate said something to an idle client")
	} else if n, ok := err.(net.Error); ok && n.Timeout() {
		t.Error("the session outlived timeouts.client_idle")
	}
}
