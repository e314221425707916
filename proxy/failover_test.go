package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// This file holds rows of the table in docs/leases.md: what becomes of work when members and leaders go away. Most of it
// runs in memory, on a clock that passes at once.

// inBubble starts a gate in memory inside a synctest bubble.
func inBubble(t *testing.T, o gateOptions, f func(t *testing.T, g *gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.network = memnet.New(1)
		f(t, startGate(t, o))
	})
}

// misjudged is a text that the gate takes for a read and the stand-in for a write.
const misjudged = "MATCH (create) RETURN create"

func (g *gate) kill(names ...string) {
	g.t.Helper()
	for _, name := range names {
		if err := g.cluster.Kill(name); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gate) restart(names ...string) {
	g.t.Helper()
	for _, name := range names {
		if err := g.cluster.Restart(name); err != nil {
			g.t.Fatal(err)
		}
	}
}

func TestAWriteWaitsForTheNextLeader(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
			w := g.logged(v)
			w.row(aWrite, m{"mark": "before"}, nil)
			old := g.cluster.Leader("")
			g.kill(old)
			began := time.Now()
			row := w.row(aWrite, m{"mark": "after"}, nil)
			if row["member"] == old || time.Since(began) > 5*time.Second {
				t.Errorf("served by %v after %v; the leader %s was killed", row["member"], time.Since(began), old)
			}
			list := w.ask(join(beginTx(v, nil), [][]byte{write(v, "tx", nil), pull(v)}, commitTx(v))...)
			if row, err := firstRow(list); err != nil || row["mark"] != "tx" {
				t.Errorf("a transaction after it: %v %v", row, err)
			}
			if got := fmt.Sprint(g.marks()); got != "[before after tx]" {
				t.Errorf("committed: %s", got)
			}
		})
	}
}

func TestATransactionWaitsForTheNextLeader(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row(aWrite, nil, nil)
		g.kill(g.cluster.Leader(""))
		list := w.ask(join(beginTx(w.v, nil), [][]byte{write(w.v, "tx", nil), pull(w.v)}, commitTx(w.v))...)
		if row, err := firstRow(list); err != nil || row["mark"] != "tx" {
			t.Errorf("got %v %v", row, err)
		}
	})
}

func TestAnExpiredHoldIsALeaderSwitch(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		leader := g.cluster.Leader("")
		for _, member := range g.cluster.Members() {
			if member.Name != leader {
				g.kill(member.Name)
			}
		}
		g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
		began := time.Now()
		w.expect("FAILURE("+bolt.CodeLeaderSwitch+") IGNORED", auto(w.v, aWrite)...)
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("said after %v; failover.hold is 20 s", took)
		}
		w.expect("SUCCESS()", bolt.Reset)
		w.send(auto(w.v, aWrite)...)
		time.Sleep(3 * time.Second)
		w.send(bolt.Reset)
		if got := show(w.answers(3)); got != "IGNORED IGNORED SUCCESS()" {
			t.Errorf("RESET of a held write: %s", got)
		}
		if row := w.row(oneRow, nil, m{"mode": "r"}); row["member"] != leader {
			t.Errorf("a read meanwhile: %v", row)
		}
	})
}

func TestTooMuchHeldIsSaid(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{MaxHeld: 1}}, func(t *testing.T, g *gate) {
		first, second := g.logged(bolt.V5_8), g.logged(bolt.V5_8)
		leader := g.cluster.Leader("")
		g.kill(leader)
		g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
		first.send(auto(first.v, aWrite)...)
		for g.server.held.units.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		second.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", auto(second.v, aWrite)...)
		if _, err := firstRow(first.answers(2)); err != nil {
			t.Error(err)
		}
	})
}

func TestLogOnsWaitForAMember(t *testing.T) {
	for name, restart := range map[string]bool{"served": true, "given up": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
				all := []string{"s1", "s2", "s3"}
				w := g.open(bolt.V5_8)
				w.expect("SUCCESS(connection_id hints protocol_version server)", logonMessages(w.v, "", "")[0])
				g.kill(all...)
				g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
				w.send(logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)[1])
				time.Sleep(8 * time.Second)
				if restart {
					g.restart(all...)
					if a := w.read(); a.tag != bolt.TagSuccess {
						t.Errorf("got %v %v", a, a.value)
					}
					return
				}
				if a := w.read(); a.code() != bolt.CodeLeaderSwitch {
					t.Errorf("got %v %v", a, a.value)
				}
				w.closed()
			})
		})
	}
}

// TestALogOnWaitsForItself: how long the session's last unit of work looked for a member is nothing to the log-on behind it.
func TestALogOnWaitsForItself(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		next := "s1"
		if g.cluster.Leader("") == next {
			next = "s2"
		}
		if err := g.cluster.Elect("", next); err != nil {
			t.Fatal(err)
		}
		w.row(aWrite, nil, nil) // refused by the one that led, and sent to the next
		time.Sleep(time.Minute)
		all := []string{"s1", "s2", "s3"}
		g.kill(all...)
		g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
		w.send(message(bolt.TagLogoff), logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)[1])
		time.Sleep(8 * time.Second)
		g.restart(all...)
		if got := show(w.answers(2)); got != "SUCCESS() SUCCESS()" {
			t.Errorf("LOGOFF and LOGON: %s", got)
		}
	})
}

// TestNoopsWhileAClientWaits: from 4.3 on a client hears something every 30 s, and only while it waits.
func TestNoopsWhileAClientWaits(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V3, bolt.V(4, 2), bolt.V4_3, bolt.V4_4} {
		for name, do := range map[string]func(g *gate, w *wire){
			"for the member": func(g *gate, w *wire) { w.ask(auto(v, "MATCH (n) RETURN n /*standin delay=100s*/")...) },
			"for records": func(g *gate, w *wire) {
				w.ask(run(v, "MATCH (n) RETURN n /*standin delay=100s delay_at=pull*/", nil, nil))
				time.Sleep(200 * time.Second)
				w.ask(pull(v))
			},
			"for COMMIT": func(g *gate, w *wire) {
				w.ask(beginTx(v, nil)...)
				w.ask(auto(v, "CREATE (n) RETURN n /*standin delay=100s delay_at=commit*/")...)
				w.ask(commitTx(v)...)
			},
			"for a leader": func(g *gate, w *wire) {
				g.kill("s1", "s2", "s3")
				g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
				w.send(auto(v, aWrite)...)
				time.Sleep(99 * time.Second)
				g.restart("s1", "s2", "s3")
				w.answers(2)
			},
			"for a large request's answer": func(g *gate, w *wire) {
				w.ask(beginTx(v, nil)...)
				w.ask(run(v, "MATCH (n) RETURN n /*standin delay=100s*/", m{"large": string(make([]byte, 1<<17))}, nil))
			},
		} {
			t.Run(v.String()+" "+name, func(t *testing.T) {
				o := gateOptions{standin: standin.Options{Generation: cluster.Causal, Seed: 1}, server: Options{Hold: 5 * time.Minute}}
				inBubble(t, o, func(t *testing.T, g *gate) {
					w := g.logged(v)
					counted := &counting{Conn: w.conn, on: true}
					w.in = bolt.Reader{Source: counted}
					do(g, w)
					want := 0
					if v >= bolt.V4_3 {
						want = 3
					}
					if counted.noops != want {
						t.Errorf("%d NOOPs in about 100 s; want %d", counted.noops, want)
					}
				})
			})
		}
	}
}

// recorded keeps what was written to a connection.
type recorded struct {
	net.Conn
	mu    sync.Mutex
	bytes []byte
}

func (r *recorded) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.bytes = append(r.bytes, b...)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

func TestALongIdleConnectionAnswersARESETFirst(t *testing.T) {
	var mu sync.Mutex
	var last *recorded
	o := gateOptions{standin: single}
	synctest.Test(t, func(t *testing.T) {
		o.network = memnet.New(1)
		o.pool.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := o.network.DialFrom(ctx, "gate", address)
			mu.Lock()
			defer mu.Unlock()
			last = &recorded{Conn: conn}
			return last, err
		}
		g := startGate(t, o)
		w := g.logged(bolt.V5_8)
		w.row(oneRow, nil, nil)
		dials := g.dials.Load()
		for idle, want := range map[time.Duration]bool{29 * time.Second: false, 31 * time.Second: true} {
			time.Sleep(idle)
			before := len(last.written())
			w.row(oneRow, nil, nil)
			if got := bytes.HasPrefix(last.written()[before:], bolt.Reset); got != want {
				t.Errorf("after %v without work: RESET first: %v, want %v", idle, got, want)
			}
		}
		if more := g.dials.Load() - dials; more != 0 {
			t.Errorf("%d connections more; one that answers RESET is good", more)
		}
		time.Sleep(31 * time.Second)
		link := g.network.Link("gate", g.cluster.Members()[0].Bolt)
		link.Blackhole(true) // the connection is half-open now
		w.send(auto(w.v, aWrite)...)
		time.Sleep(6 * time.Second) // past connect_timeout
		link.Blackhole(false)
		if _, err := firstRow(w.answers(2)); err != nil {
			t.Error(err)
		}
	})
}

func (r *recorded) written() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.bytes)
}

func TestAJudgedReadThatIsAWriteGoesToTheLeader(t *testing.T) {
	for _, r := range releases {
		for _, late := range []bool{false, true} {
			for _, v := range r.versions {
				t.Run(fmt.Sprintf("%s Bolt %v late=%v", r.server, v, late), func(t *testing.T) {
					o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, LateRefusal: late, NoopEvery: time.Millisecond}
					inBubble(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
						g.server.fronts["main"].settings.Load().Causality = CausalityNone
						w := g.logged(v)
						leader := g.cluster.Leader("")
						first := show(w.ask(run(v, misjudged, m{"mark": "a"}, nil), pull(v)))
						if !strings.HasPrefix(first, "SUCCESS") || strings.Contains(first, "FAILURE") || strings.Count(first, "SUCCESS") != 2 {
							t.Fatalf("first: %s", first)
						}
						row := w.row(misjudged, m{"mark": "b"}, nil)
						if row["member"] != leader || v >= bolt.V4_0 && row["mode"] != "w" {
							t.Errorf("the second time: %v; want the leader %s at once", row, leader)
						}
						if !g.server.writes.contains([]byte(misjudged)) {
							t.Error("the text was not remembered as a write")
						}
						if got := fmt.Sprint(g.marks()); got != "[a b]" {
							t.Errorf("committed: %s", got)
						}
					})
				})
			}
		}
	}
}

// stale makes the View name a leader that is none any more.
func (g *gate) stale() (old string) {
	g.t.Helper()
	old = g.cluster.Leader("")
	for _, member := range g.cluster.Members() {
		if member.Name != old {
			if err := g.cluster.Elect("", member.Name); err != nil {
				g.t.Fatal(err)
			}
			return old
		}
	}
	return old
}

func slowChecks(h *health.Options) { h.Interval = 10 * time.Second }

func TestNotALeaderIsOurBusiness(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			t.Run(fmt.Sprintf("%s Bolt %v", r.server, v), func(t *testing.T) {
				o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}
				inBubble(t, gateOptions{standin: o, health: slowChecks}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					w.row(aWrite, m{"mark": "a"}, nil)
					old := g.stale()
					if row := w.row(aWrite, m{"mark": "b"}, nil); row["member"] == old {
						t.Errorf("a write was carried out by %s, which is no leader", old)
					}
					g.stale()
					list := w.ask(join(beginTx(v, nil), [][]byte{write(v, "c", nil), pull(v)})...)
					if last := list[len(list)-1]; show(list[len(list)-2:]) != "FAILURE("+bolt.CodeLeaderSwitch+") IGNORED" {
						t.Errorf("a write in a transaction: %v %v", last, last.value)
					}
					w.ask(bolt.Reset)
					time.Sleep(100 * time.Millisecond) // as a driver does before it tries again
					list = w.ask(join(beginTx(v, nil), [][]byte{write(v, "d", nil), pull(v)}, commitTx(v))...)
					if _, err := firstRow(list); err != nil {
						t.Error(err)
					}
					if got := fmt.Sprint(g.marks()); got != "[a b d]" {
						t.Errorf("committed: %s", got)
					}
				})
			})
		}
	}
}

// TestADeclaredReadHearsTheMember: what the client declared is passed on as the member said it.
func TestADeclaredReadHearsTheMember(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	w := g.logged(bolt.V5_8)
	read := m{"mode": "r"}
	w.expect("FAILURE("+bolt.CodeAccessMode+") IGNORED", run(w.v, aWrite, nil, read), pull(w.v))
	w.expect("SUCCESS()", bolt.Reset)
	w.ask(beginTx(w.v, read)...)
	w.expect("FAILURE("+bolt.CodeAccessMode+") IGNORED", run(w.v, aWrite, nil, nil), pull(w.v))
}

func TestALostCommitIsInDoubt(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			for _, at := range []string{"commit", "committed"} {
				t.Run(fmt.Sprintf("%s Bolt %v %s", r.server, v, at), func(t *testing.T) {
					g := startGate(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}})
					committed := map[string]int{"commit": 0, "committed": 1}[at]
					check := func(what string, list []answer) {
						t.Helper()
						if got := show(list); !strings.Contains(got, "FAILURE("+bolt.CodeCommitFailed+")") {
							t.Errorf("%s: %s", what, got)
						}
						count := 0
						for _, mark := range g.marks() {
							if mark == what {
								count++
							}
						}
						if count != committed {
							t.Errorf("%s was committed %d times", what, count)
						}
					}
					w := g.logged(v)
					w.ask(beginTx(v, nil)...)
					w.ask(write(v, "explicit", m{"close": at}), pull(v))
					check("explicit", w.ask(commitTx(v)...))
					w.expect("SUCCESS()", bolt.Reset)
					check("pipelined", w.ask(join(beginTx(v, nil), [][]byte{write(v, "pipelined", m{"close": at}), pull(v)}, commitTx(v))...))
					w.expect("SUCCESS()", bolt.Reset)
					check("auto", w.ask(run(v, "CREATE (n)", m{"mark": "auto", "close": at}, nil), pull(v)))
					w.expect("SUCCESS()", bolt.Reset)
					w.row(oneRow, nil, nil)

					// With a record delivered the answer cannot be taken back: the connection breaks.
					w.send(write(v, "half", m{"close": at}), pull(v))
					list := w.answers(2)
					if got := show(list); !strings.HasSuffix(got, "RECORD CLOSED") && !strings.HasSuffix(got, ") CLOSED") {
						t.Errorf("half delivered: %s", got)
					}
				})
			}
		}
	}
}

// A transaction that reads leaves nothing in doubt when its COMMIT gets no answer: its driver may try again. Before 4.0, where no member holds
// it to reading, every one of its texts has to say so.
func TestALostCommitOfATransactionThatReads(t *testing.T) {
	long := "MATCH (n) RETURN n //" + strings.Repeat(" ", 1<<20)
	for _, tt := range []struct {
		name  string
		texts []string
		doubt bool // on Bolt 3; from 4.0 on never
	}{
		{"it reads", []string{oneRow, oneRow}, false},
		{"a text writes", []string{oneRow, "CREATE (n)", oneRow}, true},
		{"a text is too long to be looked at", []string{oneRow, long}, true},
	} {
		for _, r := range releases {
			for _, v := range r.versions {
				if v < bolt.V3 || r.server != releases[0].server && slices.Contains(tt.texts, "CREATE (n)") { // refused there
					continue
				}
				t.Run(fmt.Sprintf("%s, %s Bolt %v", tt.name, r.server, v), func(t *testing.T) {
					want := bolt.CodeLeaderSwitch
					if tt.doubt && v == bolt.V3 {
						want = bolt.CodeCommitFailed
					}
					g := startGate(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Members: 1, Seed: 1}})
					check := func(how string, w *wire, list []answer) {
						t.Helper()
						if got := show(list); !strings.Contains(got, "FAILURE("+want+")") {
							t.Errorf("%s: %s; want %s", how, got, want)
						}
						w.expect("SUCCESS()", bolt.Reset)
					}
					w := g.logged(v)
					for _, at := range []string{"commit", "committed"} { // before it is done, and after
						all := beginTx(v, m{"mode": "r"})
						for _, text := range tt.texts {
							all = append(all, run(v, text, m{"close": at}, nil), pull(v))
						}
						all = append(all, commitTx(v)...)
						for _, request := range all[:len(all)-1] {
							w.ask(request)
						}
						check("one by one", w, w.ask(all[len(all)-1]))
						if !slices.Contains(tt.texts, long) { // which may be there whole when it comes with others
							check("pipelined", w, w.ask(all...))
							w.ask(all[0]) // the rest is passed on behind it, by a pump
							check("behind BEGIN", w, w.ask(all[1:]...))
						}
					}
					w.row(oneRow, nil, nil)
				})
			}
		}
	}
}

func TestATransactionThatDiedIsALeaderSwitch(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			t.Run(fmt.Sprintf("%s Bolt %v", r.server, v), func(t *testing.T) {
				inBubble(t, gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}}, func(t *testing.T, g *gate) {
					for name, next := range map[string][][]byte{"RUN": auto(v, oneRow), "COMMIT": commitTx(v), "ROLLBACK": rollbackTx(v)} {
						w := g.logged(v)
						w.ask(beginTx(v, nil)...)
						w.ask(write(v, name, nil), pull(v))
						leader := g.cluster.Leader("")
						g.kill(leader)
						got := show(w.ask(next...))
						switch {
						case name == "ROLLBACK" && strings.Contains(got, "FAILURE"):
							t.Errorf("ROLLBACK of a dead transaction: %s", got)
						case name != "ROLLBACK" && !strings.HasPrefix(got, "FAILURE("+bolt.CodeLeaderSwitch+")"):
							t.Errorf("%s in a dead transaction: %s", name, got)
						}
						w.ask(bolt.Reset)
						w.row(aWrite, m{"mark": "next"}, nil)
						g.restart(leader)
						g.await(func(v *cluster.View) bool { s := v.Member(leader); return s.Up && v.Leader("") != nil })
					}
					if got := fmt.Sprint(g.marks()); got != "[next next next]" {
						t.Errorf("committed: %s", got)
					}
				})
			})
		}
	}
}

func TestAChangedPasswordIsNoticed(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{Remember: time.Hour}})
	old, err := g.tryDial(bolt.V5_8, bolt.Basic(standin.DefaultUser, standin.DefaultPassword))
	if err != nil {
		t.Fatal(err)
	}
	query(t, old, oneRow, nil, nil)
	g.cluster.SetPassword(standin.DefaultUser, "new")
	query(t, old, "ALTER USER neo4j SET PASSWORD 'new'", nil, nil) // what goes by makes the gate ask again
	if _, err := g.tryDial(bolt.V5_8, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err == nil || !strings.Contains(err.Error(), bolt.CodeUnauthorized) {
		t.Errorf("a log-on with the old password: %v", err)
	}
	if _, err := g.tryDial(bolt.V5_8, bolt.Basic(standin.DefaultUser, "new")); err != nil {
		t.Errorf("a log-on with the new one: %v", err)
	}
	if _, err := old.Ask(bolt.AppendMessage(nil, bolt.TagBegin, m{"db": "system"})); err != nil {
		t.Fatal(err)
	}
	g.cluster.SetPassword(standin.DefaultUser, "newer")
	query(t, old, "ALTER USER neo4j SET PASSWORD 'newer'", nil, nil)
	if _, err := old.Ask(bolt.AppendMessage(nil, bolt.TagCommit)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.tryDial(bolt.V5_8, bolt.Basic(standin.DefaultUser, "new")); err == nil {
		t.Error("a log-on with the password before the transaction on system was accepted")
	}
}

// TestALogOnThatIsRefusedLater: the client is logged in, but a member does not take its password any more.
func TestALogOnThatIsRefusedLater(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{Remember: time.Hour}})
	for name, ask := range map[string]func(w *wire) [][]byte{
		"RUN":   func(w *wire) [][]byte { return auto(w.v, aWrite) },
		"ROUTE": func(w *wire) [][]byte { return [][]byte{message(bolt.TagRoute, m{}, []any{}, m{})} },
	} {
		g.cluster.SetPassword(standin.DefaultUser, standin.DefaultPassword)
		w := g.logged(bolt.V5_8)
		g.cluster.SetPassword(standin.DefaultUser, "new")
		member := g.cluster.Members()[0].Name
		g.kill(member) // and with it every connection that was logged on
		g.restart(member)
		w.send(ask(w)...)
		if a := w.read(); a.code() != bolt.CodeAuthExpired {
			t.Errorf("%s: %v %v", name, a, a.value)
		}
		for range ask(w)[1:] {
			w.read()
		}
		w.closed()
	}
}

func TestAuthorizationExpiredCostsTheConnection(t *testing.T) {
	g := startGate(t, gateOptions{standin: lab})
	w := g.logged(bolt.V5_8)
	w.ask(beginTx(w.v, nil)...)
	w.expect("FAILURE("+bolt.CodeAuthExpired+") IGNORED", run(w.v, aWrite, m{"fail": bolt.CodeAuthExpired}, nil), pull(w.v))
	w.closed()
	w = g.logged(bolt.V5_8)
	list := w.ask(run(w.v, oneRow, m{"fail": bolt.CodeAuthExpired}, nil), pull(w.v))
	if got := show(list); got != "FAILURE("+bolt.CodeAuthExpired+") IGNORED" {
		t.Errorf("when new connections say so too: %s", got)
	}
	g.settled()
}

func TestKerberosKeepsItsConnection(t *testing.T) {
	for _, scheme := range []string{"kerberos", "custom"} {
		t.Run(scheme, func(t *testing.T) {
			g := startGate(t, gateOptions{standin: lab, server: Options{Remember: time.Hour}})
			dials := g.dials.Load()
			logOn := func() *wire {
				w := g.open(bolt.V5_8)
				w.expect("SUCCESS(connection_id hints protocol_version server) SUCCESS()", logonMessages(w.v, "", "")[0],
					message(bolt.TagLogon, m{"scheme": scheme, "principal": standin.DefaultUser, "credentials": standin.DefaultPassword}))
				return w
			}
			w := logOn()
			for range 3 {
				w.row(aWrite, nil, nil)
				w.row(oneRow, nil, nil)
				w.row(oneRow, nil, m{"mode": "r"})
				w.ask(join(beginTx(w.v, nil), auto(w.v, aWrite), commitTx(w.v))...)
				w.ask(auto(w.v, failRun)...)
				w.ask(bolt.Reset)
				w.ask(message(bolt.TagRoute, m{}, []any{}, m{}))
			}
			if n := g.dials.Load() - dials; n != 1 {
				t.Errorf("%d connections were logged on; its ticket is good for one", n)
			}
			leader := g.cluster.Leader("")
			g.kill(leader)
			g.restart(leader)
			w.send(auto(w.v, aWrite)...)
			if a := w.read(); a.code() != bolt.CodeAuthExpired && a.code() != bolt.CodeLeaderSwitch {
				t.Errorf("when its connection is lost: %v %v", a, a.value)
			}
			w.conn.Close()
			g.settled()
		})
	}
}

// A hold of nothing is for those who would rather hear at once that no leader is there; connecting to members that are takes its
// time all the same.
func TestWithoutAHoldMembersAreConnectedAllTheSame(t *testing.T) {
	g := startGate(t, gateOptions{standin: single, server: Options{Hold: time.Nanosecond}})
	w := g.logged(bolt.V5_8)
	w.row(aWrite, nil, nil)
	if a := g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n) RETURN n")); a.status != 200 || a.code() != "" {
		t.Errorf("over HTTP: %v", a)
	}
	if err := g.cluster.Kill(g.cluster.Leader("neo4j")); err != nil {
		t.Fatal(err)
	}
	g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
	if got := w.ask(write(w.v, "x", nil))[0].code(); got != bolt.CodeLeaderSwitch {
		t.Errorf("without a leader: got %s at once; want LeaderSwitch", got)
	}
}

// TestAReadLeavesAHAMemberThatSwitches: a HA member that changes its role rolls back what it runs and says so; a read that has delivered nothing goes to another. On
// causal clusters the same code is about bookmarks.
func TestAReadLeavesAHAMemberThatSwitches(t *testing.T) {
	for generation, moves := range map[cluster.Generation]bool{cluster.HA: true, cluster.Causal: false} {
		inBubble(t, gateOptions{standin: standin.Options{Generation: generation, Members: 3, Seed: 4}}, func(t *testing.T, g *gate) {
			w := g.logged(bolt.V3)
			told := bolt.CodeStateChanged
			if moves { // for as long as failover.hold, here from one to the next
				told = bolt.CodeLeaderSwitch
			}
			w.expect("FAILURE("+told+") IGNORED", run(w.v, "MATCH (n) RETURN n", m{"fail": bolt.CodeStateChanged}, nil), pull(w.v))
			if n := g.server.Counts().Resent["refused"]; n > 0 != moves {
				t.Errorf("%v: sent again %d times; %v", generation, n, g.server.Counts().Resent)
			}
			w.expect("SUCCESS()", bolt.Reset)
			w.expect("SUCCESS(fields t_first) FAILURE("+bolt.CodeStateChanged+")", run(w.v, aWrite, m{"fail": bolt.CodeStateChanged, "fail_at": "pull"}, nil), pull(w.v))
		})
	}
}
