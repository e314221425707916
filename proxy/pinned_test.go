package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// ticketed logs on with a credential that is good for one connection.
func (g *gate) ticketed() *wire {
	g.t.Helper()
	w := g.open(bolt.V5_8)
	w.expect("SUCCESS(connection_id hints protocol_version server) SUCCESS()", logonMessages(w.v, "", "")[0],
		message(bolt.TagLogon, m{"scheme": "kerberos", "principal": standin.DefaultUser, "credentials": standin.DefaultPassword}))
	return w
}

func TestKerberosTakesNoSlotBetweenUnitsOfWork(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, health: limited(1)})
	first, second := g.ticketed(), g.ticketed()
	first.row(aWrite, nil, nil)
	second.row(aWrite, nil, nil)
	other := g.logged(bolt.V5_8)
	dials := g.dials.Load()
	g.awaitStats("all are idle", func(s pool.Stats) bool { return s.Open == 3 && s.InFlight == 0 })
	other.ask(beginTx(other.v, nil)...)
	first.send(write(first.v, "first", nil), pull(first.v))
	g.awaitStats("it waits like others", func(s pool.Stats) bool { return s.InFlight == 1 && s.Queued == 1 })
	second.send(write(second.v, "second", nil), pull(second.v))
	g.awaitStats("and so does the next", func(s pool.Stats) bool { return s.Queued == 2 })
	first.send(bolt.Reset)
	if got := show(first.answers(3)); got != "IGNORED IGNORED SUCCESS()" {
		t.Errorf("RESET in the line: %s", got)
	}
	other.ask(commitTx(other.v)...)
	second.answers(2)
	first.ask(write(first.v, "again", nil), pull(first.v))
	first.ask(join(beginTx(first.v, nil), auto(first.v, aWrite), commitTx(first.v))...)
	if n := g.dials.Load() - dials; n != 0 {
		t.Errorf("%d connections were made: a ticket is good for one", n)
	}
	for _, w := range []*wire{first, second, other} {
		w.conn.Close()
	}
	g.settled()
	if log := fmt.Sprint(g.marks()); strings.Contains(log, "first") || !strings.Contains(log, "second") || !strings.Contains(log, "again") {
		t.Errorf("carried out: %v", log)
	}
}

func TestKerberosThatWaitsTooLongKeepsItsConnection(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, health: limited(1), frontend: func(f *Frontend) { f.Timeouts.Queue = 50 * time.Millisecond }})
	w, other := g.ticketed(), g.logged(bolt.V5_8)
	other.ask(beginTx(other.v, nil)...)
	if list := w.ask(auto(w.v, oneRow)...); list[0].code() != bolt.CodeNoThreads {
		t.Errorf("after timeouts.queue: %s", show(list))
	}
	other.ask(rollbackTx(other.v)...)
	w.ask(bolt.Reset)
	w.row(oneRow, nil, nil)
}

func TestKerberosHearsThatItsConnectionWasClosed(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w := g.ticketed()
	w.row(oneRow, nil, nil)
	g.kill("s1")
	g.restart("s1")
	list := w.ask(auto(w.v, oneRow)...)
	if list[0].code() != bolt.CodeAuthExpired {
		t.Errorf("got %s; want AuthorizationExpired, for which drivers log on anew", show(list))
	}
	w.conn.Close()
	g.settled()
}
