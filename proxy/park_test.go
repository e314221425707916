package proxy

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/netio"
)

// parked counts the sessions that wait on a goroutine of their own for waiting.
func (g *gate) parked() int {
	n := 0
	g.server.mu.Lock()
	defer g.server.mu.Unlock()
	for c := range g.server.clients {
		if c.session != nil && c.session.waits().word.Load()&isParked != 0 {
			n++
		}
	}
	return n
}

func (g *gate) awaitParked(n int) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); g.parked() != n; time.Sleep(time.Millisecond) {
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

// TestASessionIsPassedOnOutOfItsSleep: it holds nothing then but its connection.
func TestASessionIsPassedOnOutOfItsSleep(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab, server: Options{ParkEvery: 5 * time.Millisecond}})
	query(t, g.dial(bolt.V5_8), "MATCH (n) RETURN n", nil, nil)
	g.awaitParked(1)
	before := g.server.Sessions()
	stop := g.server.PassOn(func(context.Context, []byte, syscall.Conn) error { return nil })
	defer stop()
	for deadline := time.Now().Add(patience); g.server.passed.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session was not passed on")
		}
	}
	g.awaitParked(0)
	if n := g.server.Sessions(); n != before-1 {
		t.Errorf("%d clients before, %d after one was passed on", before, n)
	}
}

func TestAParkedSessionStillHasItsTimeLimit(t *testing.T) {
	g := startGate(t, gateOptions{
		standin: lab, server: Options{ParkEvery: 5 * time.Millisecond},
		frontend: func(f *Frontend) { f.Timeouts.ClientIdle = 2 * time.Second },
	})
	c := g.dial(bolt.V5_8)
	g.awaitParked(1)
	if _, err := c.Conn.Read(make([]byte, 1)); err == nil {
		t.Error("the gate said something to an idle client")
	} else if n, ok := err.(net.Error); ok && n.Timeout() {
		t.Error("the session outlived timeouts.client_idle")
	}
}

// deadlined is a connection that knows nothing but its read deadline.
type deadlined struct {
	net.Conn
	passed atomic.Bool
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	d.passed.Store(!t.IsZero())
	return nil
}

func TestANudgeMeetsAWaitAndNothingElse(t *testing.T) {
	conn := new(deadlined)
	n := napping{link: &netio.Link{Conn: conn}}
	look := func(what string, round uint32, nudged, first bool) {
		t.Helper()
		if got := n.nudge(round); got != first || conn.passed.Load() != nudged {
			t.Errorf("%s: nudged %v, for the first time %v; want %v, %v", what, conn.passed.Load(), got, nudged, first)
		}
	}
	look("a session that never waited", 1, false, false)
	look("and again", 1, false, false)
	n.fallAsleep()
	look("a wait that is new", 1, false, false)
	n.wakeUp()
	n.fallAsleep()
	look("another wait", 1, false, false)
	look("the same wait", 1, true, true)
	look("one that was nudged", 1, true, false)
	if !n.wakeUp() || conn.passed.Load() {
		t.Error("the session does not know that it was nudged, or the deadline is still there")
	}
	n.parkAsleep(1)
	look("a parked session", 1, false, false)
	look("the same", 1, false, false)
	look("the same in another round", 2, true, false)
	n.wakeUp()
	done := n.greet()
	look("a handshake", 2, false, false)
	look("the same handshake", 2, false, false)
	if idle := n.idle(); !idle {
		t.Error("a session in its handshake is not idle")
	}
	done()
	if n.idle() {
		t.Error("a session after its handshake is idle")
	}
}

func TestANudgeThatComesLateLeavesNoDeadline(t *testing.T) {
	conn := new(deadlined)
	n := napping{link: &netio.Link{Conn: conn}}
	var stop atomic.Bool
	var sweep sync.WaitGroup
	sweep.Go(func() {
		for !stop.Load() {
			n.nudge(1)
		}
	})
	nudged := 0
	for deadline := time.Now().Add(patience); nudged < 1000 && time.Now().Before(deadline); {
		n.fallAsleep()
		if n.wakeUp() {
			nudged++
		}
		if conn.passed.Load() {
			t.Error("a session that woke up has a read deadline that has passed")
			break
		}
	}
	stop.Store(true)
	sweep.Wait()
	if nudged == 0 {
		t.Error("no nudge met a wait")
	}
}

func BenchmarkNap(b *testing.B) {
	n := new(napping)
	for b.Loop() {
		n.fallAsleep()
		n.wakeUp()
	}
}
