package proxy

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// scarce is a gate whose memory is what the test says, in percent of its limit.
func scarce(t *testing.T) (g *gate, percent *atomic.Int64) {
	g = startGate(t, gateOptions{server: Options{ParkEvery: 10 * time.Millisecond}})
	return g, g.inUse()
}

// inUse has the gate's memory be what is stored there, in percent of its limit.
func (g *gate) inUse() *atomic.Int64 {
	percent := new(atomic.Int64)
	g.server.memory.inUse = percent.Load
	g.server.memory.limit.Store(100)
	return percent
}

func TestNewWorkIsRefusedWhileMemoryIsUsedUp(t *testing.T) {
	g, percent := scarce(t)
	v := bolt.V5_4
	tx := g.logged(v)
	tx.ask(beginTx(v, nil)...)
	percent.Store(96)
	waitFor(t, "memory to be full", g.server.memory.full.Load)
	tx.row(oneRow, nil, nil) // idle clients go, one at work does not
	tx.ask(commitTx(v)...)
	tx.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", run(v, oneRow, nil, nil), pull(v))
	if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)); a.status != 503 || a.code() != bolt.CodeNoThreads || a.header.Get("Retry-After") == "" {
		t.Errorf("over HTTP got %v", a)
	}
	if a := g.web("GET", "/", ""); a.status != 200 {
		t.Errorf("what costs nothing got %v", a)
	}
	late := g.open(v)
	late.send(logonMessages(v, standin.DefaultUser, standin.DefaultPassword)...)
	late.read()
	if a := late.read(); a.code() != bolt.CodeNoThreads {
		t.Errorf("a log-on got %v", a)
	}
	late.closed()
	if n := g.server.Counts().Refused["memory"]; n != 3 {
		t.Errorf("%d refusals are counted; want 3", n)
	}
	percent.Store(91) // it goes on until there is some room
	time.Sleep(3 * memoryLook)
	if !g.server.memory.full.Load() {
		t.Error("at 91 % new work was let in again")
	}
	percent.Store(50)
	waitFor(t, "room", func() bool { return !g.server.memory.full.Load() })
	g.logged(v).row(oneRow, nil, nil)
}

func TestIdleClientsGoFirst(t *testing.T) {
	g, percent := scarce(t)
	v := bolt.V5_4
	busy := g.logged(v)
	busy.ask(beginTx(v, nil)...)
	kept := g.raw()
	kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	kept.answer("GET")
	var idle []*wire
	for range 20 {
		idle = append(idle, g.logged(v))
	}
	percent.Store(86)
	for _, w := range idle {
		w.closed()
	}
	kept.closed()
	if g.server.memory.full.Load() {
		t.Error("at 86 % new work is refused")
	}
	busy.row(oneRow, nil, nil)
	busy.ask(commitTx(v)...)
	percent.Store(10)
	g.logged(v).row(oneRow, nil, nil)
}

func TestMemoryInUse(t *testing.T) {
	before := memoryInUse()
	hold := make([]byte, 64<<20)
	for i := range hold {
		hold[i] = 1
	}
	waitFor(t, "the collector to see it", func() bool {
		runtime.GC()
		return memoryInUse()-before > 48<<20
	})
	hold[0]++
	hold = nil
	waitFor(t, "it to be gone", func() bool {
		runtime.GC()
		return memoryInUse()-before < 32<<20
	})
	if n := testing.AllocsPerRun(10, func() { memoryInUse() }); n > 2 {
		t.Errorf("a look makes %v allocations", n)
	}
}
