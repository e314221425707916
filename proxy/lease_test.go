package proxy

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file holds rows of the table in docs/leases.md: when a member connection is taken, and what becomes of it.

// single is one server, so that it is clear which connections are meant.
var single = standin.Options{Generation: cluster.Standalone, Seed: 1}

// stats of the first member, once they are what want says.
func (g *gate) awaitStats(what string, want func(pool.Stats) bool) {
	g.t.Helper()
	name := g.cluster.Members()[0].Name
	for deadline := time.Now().Add(patience); !want(g.pools.Stats(name)); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: %+v", what, g.pools.Stats(name))
		}
	}
}

func inFlight(n int) func(pool.Stats) bool {
	return func(s pool.Stats) bool { return s.InFlight == n && s.Queued == 0 }
}

// marks are the marks of what was committed, in order.
func (g *gate) marks() (list []any) {
	for _, e := range g.cluster.Log("") {
		list = append(list, e.Marks...)
	}
	return list
}

func write(v bolt.Version, mark string, more m) []byte {
	params := m{"mark": mark}
	for k, val := range more {
		params[k] = val
	}
	return run(v, aWrite, params, nil)
}

func TestALeaseLastsOneUnitOfWork(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	var clients []*wire
	for range 5 {
		clients = append(clients, g.logged(bolt.V5_8))
	}
	dials := g.dials.Load()
	for _, w := range clients {
		w.ask(auto(w.v, aWrite)...)
		g.awaitStats("after an auto-commit query", inFlight(0))
		w.ask(beginTx(w.v, nil)...)
		g.awaitStats("in a transaction", inFlight(1))
		w.ask(auto(w.v, aWrite)...)
		w.ask(commitTx(w.v)...)
		g.awaitStats("after the transaction", inFlight(0))
		w.ask(run(w.v, oneRow, nil, nil))
		g.awaitStats("with an open result", inFlight(1))
		w.ask(pull(w.v))
		g.awaitStats("after the result", inFlight(0))
	}
	if more := g.dials.Load() - dials; more > 0 {
		t.Errorf("five clients, one after the other, made %d connections more; one was there", more)
	}
}

func TestAFailureGivesTheLeaseBackAtOnce(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		g := startGate(t, gateOptions{standin: single})
		w, other := g.logged(v), g.logged(v)
		dials := g.dials.Load()
		for range 3 {
			w.ask(auto(v, failRun)...)
			g.awaitStats("while its client is in the failed state", inFlight(0))
			other.expect(show(other.ask(auto(v, oneRow)...)), auto(v, oneRow)...)
			w.expect("IGNORED IGNORED", auto(v, oneRow)...)
			w.expect("SUCCESS()", bolt.Reset)
		}
		if more := g.dials.Load() - dials; more > 0 {
			t.Errorf("Bolt %v: %d connections more; failures should cost none", v, more)
		}
	}
}

func TestRESETInMidStreamKeepsTheConnection(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w := g.logged(bolt.V5_8)
	dials := g.dials.Load()
	for range 5 {
		w.send(auto(w.v, endless)...)
		for w.read().tag != bolt.TagRecord {
		}
		w.send(bolt.Reset)
		if got := show(w.answers(2)); got != "RECORD FAILURE(Neo.ClientError.Transaction.Terminated) SUCCESS()" && got != "FAILURE(Neo.ClientError.Transaction.Terminated) SUCCESS()" {
			t.Fatalf("after RESET: %s", got)
		}
		g.awaitStats("after RESET", inFlight(0))
		w.row(oneRow, nil, nil)
	}
	if more := g.dials.Load() - dials; more > 0 {
		t.Errorf("%d connections more; RESET should cost none", more)
	}
}

func TestRESETInterruptsOnlyItsOwnQuery(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	slow, other := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	slow.send(auto(slow.v, "MATCH (n) RETURN n /*standin delay=300ms mark=slow*/")...)
	for range 20 {
		other.send(auto(other.v, endless)...)
		other.read()
		other.send(bolt.Reset)
		other.answers(2)
	}
	if row, err := firstRow(slow.answers(2)); err != nil || row["mark"] != "slow" {
		t.Errorf("the other's query: %v %v", row, err)
	}
}

func TestRESETOvertakesWhatIsHeld(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w := g.logged(bolt.V5_8)
	w.send(slices.Concat(auto(w.v, endless), auto(w.v, oneRow), auto(w.v, aWrite))...)
	for w.read().tag != bolt.TagRecord {
	}
	w.send(bolt.Reset, slices.Concat(auto(w.v, oneRow)...))
	got := show(w.answers(1 + 4 + 1 + 2))
	want := "FAILURE(Neo.ClientError.Transaction.Terminated) IGNORED IGNORED IGNORED IGNORED SUCCESS() " + show(w.ask(auto(w.v, oneRow)...))
	if got != want && got != "RECORD "+want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if log := g.cluster.Log(""); len(log) > 0 {
		t.Errorf("a write in front of RESET was carried out: %v", log)
	}
}

func TestLOGOFFHandsNothingOn(t *testing.T) {
	o := single
	o.Users = isolationLogins()
	g := startGate(t, gateOptions{standin: o})
	logon := func(scheme string, user int) []byte {
		return message(bolt.TagLogon, m{"scheme": scheme, "principal": fmt.Sprintf("user%d", user), "credentials": fmt.Sprintf("secret%d", user)})
	}
	w := g.open(bolt.V5_8)
	w.ask(logonMessages(w.v, "user0", "secret0")...)
	for i, scheme := range []string{"basic", "basic", "kerberos", "custom", "basic", "kerberos", "basic"} {
		w.expect("SUCCESS() SUCCESS()", message(bolt.TagLogoff), logon(scheme, i))
		for _, text := range []string{oneRow, "USE neo4j MATCH (n) RETURN n", aWrite} {
			if row := w.row(text, nil, nil); row["user"] != fmt.Sprintf("user%d", i) {
				t.Fatalf("%s (%s) of user%d was run as %v", text, scheme, i, row["user"])
			}
		}
	}
	w.conn.Close()
	g.settled()
}

// TestAClientThatLeaves covers all the places where a client can leave: what it held is free again at once, and a
// transaction that it had open is rolled back.
func TestAClientThatLeaves(t *testing.T) {
	small := "MATCH (n) RETURN n /*standin rows=1000 row_delay=1ms*/"
	for name, do := range map[string]func(g *gate, w *wire){
		"when idle": func(g *gate, w *wire) { w.row(oneRow, nil, nil) },
		"in a transaction": func(g *gate, w *wire) {
			w.ask(join(beginTx(w.v, nil), [][]byte{write(w.v, "lost", nil), pull(w.v)})...)
		},
		"with an open result": func(g *gate, w *wire) { w.ask(write(w.v, "lost", nil)) },
		"in mid-stream":       func(g *gate, w *wire) { w.send(auto(w.v, small)...); w.read(); w.read() },
		"in a long stream": func(g *gate, w *wire) {
			w.send(run(w.v, oneRow, m{"rows": 100000, "bytes": 1000}, nil), pull(w.v))
			w.read()
		},
		"while a query runs": func(g *gate, w *wire) { w.send(write(w.v, "lost", m{"delay": "1m"}), pull(w.v)) },
		"in its own request": func(g *gate, w *wire) { w.send(write(w.v, "lost", nil)[:20]) },
		"in a large request": func(g *gate, w *wire) {
			w.ask(beginTx(w.v, nil)...)
			w.send(write(w.v, "lost", m{"large": string(make([]byte, 1<<20))})[:1<<19])
		},
		"after GOODBYE": func(g *gate, w *wire) { w.ask(run(w.v, oneRow, nil, nil)); w.send(bolt.Goodbye) },
	} {
		for _, how := range []string{"", " by reset", " by half"} {
			t.Run(name+how, func(t *testing.T) {
				g := startGate(t, gateOptions{standin: single})
				w := g.logged(bolt.V5_8)
				do(g, w)
				conn := w.conn.(*net.TCPConn)
				switch how {
				case " by reset":
					conn.SetLinger(0) //nolint:errcheck // it leaves either way
				case " by half": // Bolt is a dialogue: who ends its own side is done, as Neo4j sees it
					conn.CloseWrite()           //nolint:errcheck // as above
					io.Copy(io.Discard, w.conn) //nolint:errcheck // until the gate has closed as well
				}
				conn.Close()
				g.settled()
				if got := g.marks(); len(got) > 0 {
					t.Errorf("committed: %v", got)
				}
				g.logged(bolt.V5_8).row(oneRow, nil, nil)
			})
		}
	}
}

func TestWhatIsLeftOfAShortStreamIsReadOver(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	w, next := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	next.row(oneRow, nil, nil)
	dials := g.dials.Load()
	w.send(run(w.v, oneRow, m{"rows": 500, "bytes": 1000, "row_delay": "1ms"}, nil), pull(w.v))
	w.read()
	w.conn.Close()
	g.awaitStats("after it left", inFlight(0))
	next.row(oneRow, nil, nil)
	if more := g.dials.Load() - dials; more != 0 {
		t.Errorf("%d connections more; the client left little to read over", more)
	}
}

// limited makes the one member take n units of work at once.
func limited(n int) func(*health.Options) {
	return func(h *health.Options) {
		one := *h.Members[0]
		one.MaxInFlight = n
		h.Members = []*cluster.Member{&one}
	}
}

func TestMoreThanMaxInFlightWaitInOrder(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, health: limited(1)})
	var clients []*wire
	for range 4 {
		clients = append(clients, g.logged(bolt.V5_8))
	}
	first, rest := clients[0], clients[1:]
	first.ask(beginTx(first.v, nil)...)
	for i, w := range rest {
		w.send(write(w.v, fmt.Sprint(i), nil), pull(w.v))
		g.awaitStats("one more in line", func(s pool.Stats) bool { return s.InFlight == 1 && s.Queued == i+1 })
	}
	first.ask(write(first.v, "first", nil), pull(first.v)) // who holds a lease goes on
	first.ask(commitTx(first.v)...)
	for _, w := range rest {
		w.answers(2)
	}
	if got := fmt.Sprint(g.marks()); got != "[first 0 1 2]" {
		t.Errorf("carried out in the order %v", got)
	}
}

func TestWhoLeavesTheLineFreesItsPlace(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, health: limited(1)})
	first, second, third, fourth := g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.logged(bolt.V5_8)
	first.ask(beginTx(first.v, nil)...)
	for i, w := range []*wire{second, third, fourth} {
		w.send(write(w.v, fmt.Sprint(i), nil), pull(w.v))
		g.awaitStats("one more in line", func(s pool.Stats) bool { return s.Queued == i+1 })
	}
	second.conn.Close()
	g.awaitStats("one left", func(s pool.Stats) bool { return s.Queued == 2 })
	third.send(bolt.Reset)
	if got := show(third.answers(3)); got != "IGNORED IGNORED SUCCESS()" {
		t.Errorf("RESET in the line: %s", got)
	}
	g.awaitStats("one thought again", func(s pool.Stats) bool { return s.Queued == 1 })
	first.ask(rollbackTx(first.v)...)
	fourth.answers(2)
	if got := fmt.Sprint(g.marks()); got != "[2]" {
		t.Errorf("carried out: %v", got)
	}
	third.row(oneRow, nil, nil)
}

func TestAFullLineAndALongWaitAreSaid(t *testing.T) {
	for name, o := range map[string]gateOptions{
		"full": {standin: single, health: limited(1), pool: pool.Options{MaxQueue: 1}},
		"long": {standin: single, health: limited(1)},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGate(t, o)
			first, second, third := g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.logged(bolt.V5_8)
			first.ask(beginTx(first.v, nil)...)
			if name == "full" {
				second.send(auto(second.v, aWrite)...)
				g.awaitStats("the line is full", func(s pool.Stats) bool { return s.Queued == 1 })
			} else {
				g.change(func(f *Frontend) { f.Timeouts.Queue = 100 * time.Millisecond })
			}
			third.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", auto(third.v, aWrite)...)
			g.change(func(f *Frontend) { f.Timeouts.Queue = 10 * time.Second })
			first.ask(commitTx(first.v)...)
			third.expect("SUCCESS()", bolt.Reset)
			third.row(oneRow, nil, nil)
		})
	}
}

func TestAFullPoolTakesTheLongestIdleOfAnotherUser(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		t.Run(v.String(), func(t *testing.T) {
			o := single
			o.Users = isolationLogins()
			g := startGate(t, gateOptions{standin: o, pool: pool.Options{MaxPerMember: 2}})
			var clients []*wire
			for i := range 4 {
				w := g.open(v)
				w.logOn(fmt.Sprintf("user%d", i), fmt.Sprintf("secret%d", i))
				clients = append(clients, w)
			}
			dials := g.dials.Load()
			for range 3 {
				for i, w := range clients {
					if row := w.row(oneRow, nil, nil); row["user"] != fmt.Sprintf("user%d", i) {
						t.Fatalf("user%d was served as %v", i, row["user"])
					}
				}
			}
			s := g.pools.Stats(g.cluster.Members()[0].Name)
			more := g.dials.Load() - dials
			if s.Open > 2 || v >= bolt.V5_1 && more != 0 || v < bolt.V5_1 && more == 0 {
				t.Errorf("%d connections more, %+v; from 5.1 on the user of a connection changes, before another is made, never more than 2", more, s)
			}
		})
	}
}

func TestAnOldConnectionIsNotLent(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, pool: pool.Options{MaxLifetime: 100 * time.Millisecond}})
	w := g.logged(bolt.V5_8)
	w.row(oneRow, nil, nil) // asks for the home database as well
	dials := g.dials.Load()
	for deadline := time.Now().Add(20 * time.Second); g.dials.Load() == dials; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection was lent for 20 s; it may be for 0.1 s, and the moment until that is noticed")
		}
		w.row(oneRow, nil, nil)
	}
}

// TestAStaleConnectionIsNoticed: connections that a member closed while they lay idle cost nobody an error, writes
// included.
func TestAStaleConnectionIsNoticed(t *testing.T) {
	o := single
	o.ElectionTime = 100 * time.Millisecond
	g := startGate(t, gateOptions{standin: o})
	clients := []*wire{g.logged(bolt.V5_8), g.logged(bolt.V5_8), g.logged(bolt.V4_4)}
	for round := range 5 {
		for i, w := range clients {
			if row := w.row(aWrite, m{"mark": fmt.Sprintf("%d.%d", round, i)}, nil); row["member"] == nil {
				t.Fatalf("round %d: %v", round, row)
			}
		}
		time.Sleep(2 * trusted) // so soon after an answer nobody looks
		name := g.cluster.Members()[0].Name
		if err := g.cluster.Kill(name); err != nil {
			t.Fatal(err)
		}
		if err := g.cluster.Restart(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(g.marks()); got != 15 {
		t.Errorf("%d writes were carried out; want 15", got)
	}
}

// TestAMemberThatReadsNoMoreHoldsNobody: a client that leaves, or a shutdown, ends work that is stuck in sending.
func TestAMemberThatReadsNoMoreHoldsNobody(t *testing.T) {
	large := string(make([]byte, 15<<20)) // more than sockets hold, less than limits.request
	for name, send := range map[string]func(w *wire){
		"the opening request": func(w *wire) { w.send(write(w.v, "stuck", m{"large": large})) },
		"a request in a transaction": func(w *wire) {
			go w.conn.Write(write(w.v, "stuck", m{"large": large + large})) //nolint:errcheck // cut at the end
			time.Sleep(300 * time.Millisecond)
		},
	} {
		for _, end := range []string{"the client leaves", "the gate shuts down"} {
			if name == "a request in a transaction" && end == "the client leaves" {
				continue // nobody reads the client then: its leaving shows when the member's connection ends
			}
			t.Run(name+", "+end, func(t *testing.T) {
				g := startGate(t, gateOptions{standin: single, health: func(h *health.Options) { h.Timeout = time.Hour }}) // it stays up
				w := g.logged(bolt.V5_8)
				w.row(oneRow, nil, nil)
				if name == "a request in a transaction" {
					w.ask(beginTx(w.v, nil)...)
				}
				member := g.cluster.Members()[0].Name
				if err := g.cluster.Freeze(member); err != nil {
					t.Fatal(err)
				}
				defer g.cluster.Thaw(member) //nolint:errcheck // the test is over
				send(w)
				g.awaitStats("at the member", inFlight(1))
				if end == "the client leaves" {
					w.conn.Close()
					g.settled()
					return
				}
				select {
				case <-shutdownIn(g, 300*time.Millisecond):
				case <-time.After(patience):
					t.Fatal("Shutdown hangs")
				}
			})
		}
	}
}

func TestAMemberThatDiesInALargeRequest(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1, ElectionTime: 100 * time.Millisecond}})
	w := g.logged(bolt.V5_8)
	w.ask(beginTx(w.v, nil)...)
	request := write(w.v, "lost", m{"large": string(make([]byte, 8<<20))})
	w.send(request[:4<<20])
	g.kill(g.cluster.Leader(""))
	w.send(request[4<<20:], pull(w.v), commitTx(w.v)[0])
	if got := show(w.answers(3)); got != "FAILURE("+bolt.CodeLeaderSwitch+") IGNORED IGNORED" {
		t.Errorf("got %s", got)
	}
	w.expect("SUCCESS()", bolt.Reset)
	w.row(aWrite, m{"mark": "next"}, nil)
	if got := fmt.Sprint(g.marks()); got != "[next]" {
		t.Errorf("committed: %s", got)
	}
}

func TestTooLargeOpeningsAreRefused(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{RequestLimit: 1 << 20}})
	w := g.logged(bolt.V5_8)
	w.send(write(w.v, "large", m{"large": string(make([]byte, 3<<20))}), pull(w.v))
	if got := show(w.answers(2)); got != "FAILURE("+bolt.CodeInvalidRequest+") IGNORED" {
		t.Errorf("got %s", got)
	}
	w.expect("SUCCESS()", bolt.Reset)
	w.ask(beginTx(w.v, nil)...)
	list := w.ask(write(w.v, "inside", m{"large": string(make([]byte, 3<<20))}), pull(w.v), commitTx(w.v)[0])
	if _, err := firstRow(list); err != nil {
		t.Errorf("in a transaction a request may have any size: %v", err)
	}
	if got := fmt.Sprint(g.marks()); got != "[inside]" {
		t.Errorf("committed: %s", got)
	}
}

// TestHomeDatabases: work without a database goes to its user's home, of whoever it is done as.
func TestHomeDatabases(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		g := startGate(t, gateOptions{standin: standin.Options{
			Seed: 3, Databases: []string{"neo4j", "bobs", "third"}, Home: map[string]string{"bob": "bobs"},
			Users: map[string]string{standin.DefaultUser: standin.DefaultPassword, "bob": "b"},
		}})
		g.await(func(v *cluster.View) bool { return v.Leader("bobs") != nil && v.Leader("neo4j") != nil })
		members := g.cluster.Members()
		for db, member := range map[string]string{"neo4j": members[0].Name, "bobs": members[1].Name} {
			if err := g.cluster.Elect(db, member); err != nil {
				t.Fatal(err)
			}
		}
		g.await(func(v *cluster.View) bool {
			return v.Leader("neo4j").Name == members[0].Name && v.Leader("bobs").Name == members[1].Name
		})
		w := g.logged(v)
		for range 3 {
			if row := w.row(aWrite, nil, m{"imp_user": "bob"}); row["db"] != "bobs" || row["user"] != "bob" {
				t.Errorf("Bolt %v as bob: %v", v, row)
			}
			if row := w.row(aWrite, nil, nil); row["db"] != "neo4j" || row["member"] != members[0].Name {
				t.Errorf("Bolt %v as oneself: %v", v, row)
			}
		}
	}
}

// TestExtrasOfAnyShapeAreRebuilt: a read that we judged is sent with mode "r", whatever its extra was.
func TestExtrasOfAnyShapeAreRebuilt(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	w := g.logged(bolt.V5_8)
	for _, extra := range []m{nil, {"mode": "w"}, {"mode": nil}, {"db": "neo4j"}, {"mode": "w", "db": "neo4j", "bookmarks": []any{}, "tx_timeout": 1000, "tx_metadata": m{"a": []any{1, m{"b": nil}}}}} {
		if row := w.row(oneRow, nil, extra); row["mode"] != "r" || row["role"] == "leader" {
			t.Errorf("with extra %v: %v", extra, row)
		}
	}
}
