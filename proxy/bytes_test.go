package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file holds the counters of bytes, and the timers of the access log, to what passed.

// countedConn is a client's connection that counts what passes.
type countedConn struct {
	net.Conn
	sent, got atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// take returns what passed since the last call.
func (c *countedConn) take() (sent, got float64) {
	return float64(c.sent.Swap(0)), float64(c.got.Swap(0))
}

// TestBytesAreThoseThatPassed: each line's, in full, and the frontend's and the members' together.
func TestBytesAreThoseThatPassed(t *testing.T) {
	log := new(accessLog)
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, log: log.logger(), frontend: func(f *Frontend) { f.Causality = CausalityNone }})
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	c := &countedConn{Conn: conn}
	w := wireOn(t, c, bolt.V5_4)
	w.logOn(standin.DefaultUser, standin.DefaultPassword)
	read := m{"mode": "r", "db": "neo4j"}
	fromClients, toClients := c.take() // all that has passed, beside what was counted below
	tests := []struct {
		name string
		do   func()
	}{
		{"a read", func() { w.ask(run(w.v, oneRow, nil, read), pull(w.v)) }},
		{"a long result", func() { w.ask(run(w.v, "RETURN 1 /*standin rows=50000*/", nil, read), pull(w.v)) }},
		{"a long request in a transaction", func() {
			w.ask(beginTx(w.v, read)...)
			w.ask(run(w.v, oneRow, m{"p": string(make([]byte, 300_000))}, nil), pull(w.v))
			w.ask(commitTx(w.v)...)
		}},
		{"a refusal of the gate's own", func() {
			g.change(func(f *Frontend) { f.Access = AccessReadOnly })
			w.ask(run(w.v, "CREATE (n)", nil, nil))
			g.change(func(f *Frontend) { f.Access = AccessAny })
		}},
	}
	for _, test := range tests {
		test.do()
		line := log.await(t, 1)[0]
		sent, got := c.take()
		fromClients, toClients = fromClients+sent, toClients+got
		if line["in"] != sent || line["out"] != got {
			t.Errorf("%s: the line says in=%v out=%v; the client sent %v and got %v", test.name, line["in"], line["out"], sent, got)
		}
	}
	w.ask(bolt.Reset)
	w.send(run(w.v, oneRow, nil, read), pull(w.v), run(w.v, someRows, nil, read), pull(w.v)) // the second's bytes are not the first's
	w.answers(4)
	lines := log.await(t, 2)
	want := len(run(w.v, oneRow, nil, read)) + len(pull(w.v))
	if lines[0]["in"] != float64(want) || lines[1]["in"] != float64(len(run(w.v, someRows, nil, read))+len(pull(w.v))) {
		t.Errorf("two in one write: %v and %v bytes; the first has %d", lines[0]["in"], lines[1]["in"], want)
	}
	sent, got := c.take()
	fromClients, toClients = fromClients+sent, toClients+got
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // the last answer may be there before it was counted
		f := g.server.Frontends()["main"]
		if float64(f.In) == fromClients && float64(f.Out) == toClients {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the frontend counted %d and %d; its client sent %v and got %v", f.In, f.Out, fromClients, toClients)
		}
	}
}

// TestBytesOfMembers: requests and answers of units of work, and nothing of log-ons.
func TestBytesOfMembers(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1, Generation: lab.Generation}, frontend: func(f *Frontend) { f.Causality = CausalityNone }})
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	c := &countedConn{Conn: conn}
	w := wireOn(t, c, bolt.V5_4)
	w.logOn(standin.DefaultUser, standin.DefaultPassword)
	c.take()
	total := func() (in, out float64) {
		for _, m := range g.cluster.Members() {
			n := g.pools.Counters(m.Name)
			in, out = in+float64(n.In), out+float64(n.Out)
		}
		return in, out
	}
	for range 20 {
		w.ask(run(w.v, someRows, nil, m{"mode": "r", "db": "neo4j"}), pull(w.v))
	}
	sent, got := c.take()
	if in, out := total(); in != sent || out != got {
		t.Errorf("the members got %v bytes and answered %v; the client sent %v and got %v", in, out, sent, got)
	}
	before, _ := total()
	a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow))
	if in, out := total(); a.status != 200 || in <= before+float64(len(stmt(oneRow))) || out <= got+float64(len(a.body)) {
		t.Errorf("over HTTP (%d): %v and %v more; the body has %d bytes, the answer's %d", a.status, in-before, out-got, len(stmt(oneRow)), len(a.body))
	}
}

// TestTimersSayWhereTheTimeWent: the wait for a place, the new connection, the member, in that order, and all of it.
func TestTimersSayWhereTheTimeWent(t *testing.T) {
	log := new(accessLog)
	var all *gate
	far := func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(150 * time.Millisecond)
		return all.dialMember(ctx, network, address)
	}
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, pool: pool.Options{Dial: far}, log: log.logger()}, func(t *testing.T, g *gate) {
		all = g
		w := g.logged(bolt.V5_8)
		for range 3 { // each member has a connection then
			w.ask(run(w.v, oneRow, nil, m{"db": "neo4j"}), pull(w.v))
		}
		connected := 0
		for _, line := range log.await(t, 3) {
			queue, connect := time.Duration(line["queue"].(float64)), time.Duration(line["connect"].(float64))
			if connect >= 150*time.Millisecond && connect < 170*time.Millisecond && queue < 10*time.Millisecond {
				connected++
			} else if connect != 0 {
				t.Errorf("connect %v, queue %v; want 150ms and none", connect, queue)
			}
		}
		if connected == 0 {
			t.Error("no unit of work waited for a connection")
		}
		w.ask(run(w.v, "RETURN 1 /*standin delay=300ms row_delay=200ms rows=2*/", nil, m{"mode": "r"}), pull(w.v))
		line := log.await(t, 1)[0]
		for key, want := range map[string][2]time.Duration{
			"queue": {0, 10 * time.Millisecond}, "first": {500 * time.Millisecond, 520 * time.Millisecond}, "took": {700 * time.Millisecond, 740 * time.Millisecond},
		} {
			if got := time.Duration(line[key].(float64)); got < want[0] || got > want[1] {
				t.Errorf("%s is %v; want %v to %v", key, got, want[0], want[1])
			}
		}
		leader := g.cluster.Leader("neo4j")
		g.kill(leader)
		w.ask(auto(w.v, aWrite)...)
		line = log.await(t, 1)[0]
		queue, took := time.Duration(line["queue"].(float64)), time.Duration(line["took"].(float64))
		if line["sent"] != 1.0 || queue < time.Second || queue > took {
			t.Errorf("a write that waited for an election: %v", line)
		}
	})
}
