package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

// This file freezes members, as SIGSTOP does, under all kinds of work: none is left hanging, and what becomes of it follows the rules. There is
// no timeouts.server. All of it is in memory, on a clock that passes at once.

// foundSilent is when a frozen member is found at the latest, and what waits for it has ended: check.interval, check.timeout x fall, and a look at all
// of the sessions. Of a check that began before, one half may have been answered, so that it does not count: then it takes one more.
const foundSilent = 3*time.Second + 2*silenceLook

// freeze freezes the members, and says when.
func (g *gate) freeze(names ...string) time.Time {
	g.t.Helper()
	for _, name := range names {
		if err := g.cluster.Freeze(name); err != nil {
			g.t.Fatal(err)
		}
	}
	return time.Now()
}

func (g *gate) foundBy(t *testing.T, what string, frozen time.Time, more time.Duration) {
	t.Helper()
	if took := time.Since(frozen) - more; took > foundSilent {
		t.Errorf("%s: ended %v after the member froze; want %v at most", what, took, foundSilent)
	}
}

// worksAt is the member that has work in flight; "" when none has.
func (g *gate) worksAt() string {
	for _, m := range g.cluster.Members() {
		if g.pools.Stats(m.Name).InFlight > 0 {
			return m.Name
		}
	}
	return ""
}

// restful waits until no member has work. In memory the pool's own look at idle connections counts as such for a moment.
func (g *gate) restful(t *testing.T) {
	t.Helper()
	for range 100 {
		if g.worksAt() == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s still has work", g.worksAt())
}

// hasty makes checks find a silent member soon; the machine has to be awake for that long.
func hasty(h *health.Options) { h.Interval, h.Timeout = 200*time.Millisecond, time.Second }

// taking makes a text take so long at the member.
func taking(d time.Duration) m { return m{"delay": d.String()} }

func TestWorkAtAFrozenMember(t *testing.T) {
	const second = time.Second
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		reading := m{"mode": "r"}
		for _, c := range []struct {
			name   string
			reader bool // it is a reader that freezes, not the leader
			before [][]byte
			asks   [][]byte
			want   string // ROW MEMBER stands for a row from another member
		}{
			{name: "a read goes elsewhere", reader: true, asks: [][]byte{run(v, oneRow, taking(second), reading), pull(v)}, want: "other"},
			{name: "a read judged as one goes elsewhere", reader: true, asks: [][]byte{run(v, oneRow, taking(second), nil), pull(v)}, want: "other"},
			{name: "a read whose rows had begun does not", reader: true, asks: [][]byte{run(v, oneRow, m{"rows": 100, "row_delay": "100ms"}, reading), pull(v)}, want: bolt.CodeLeaderSwitch},
			{name: "a write is in doubt", asks: [][]byte{run(v, aWrite, taking(second), nil), pull(v)}, want: bolt.CodeCommitFailed},
			{name: "a transaction can be tried again", before: join(beginTx(v, nil), [][]byte{run(v, aWrite, nil, nil), pull(v)}),
				asks: [][]byte{run(v, aWrite, taking(second), nil), pull(v)}, want: bolt.CodeLeaderSwitch},
			{name: "its COMMIT is in doubt", before: join(beginTx(v, nil), [][]byte{run(v, aWrite, m{"delay": "1s", "delay_at": "commit"}, nil), pull(v)}),
				asks: commitTx(v), want: bolt.CodeCommitFailed},
			{name: "its ROLLBACK succeeds", before: join(beginTx(v, nil), [][]byte{run(v, aWrite, nil, nil), pull(v)}), asks: rollbackTx(v), want: "SUCCESS"},
			{name: "a long opening request goes elsewhere", reader: true, asks: [][]byte{run(v, oneRow, m{"delay": "1s", "text": strings.Repeat("x", 4*muchToSend)}, reading), pull(v)}, want: "other"},
		} {
			t.Run(fmt.Sprint(c.name, " ", v), func(t *testing.T) {
				inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					w.row(aWrite, nil, nil) // connections are there
					if len(c.before) > 0 {
						w.ask(c.before...)
					}
					began := false
					if c.name == "its ROLLBACK succeeds" {
						g.freeze(g.cluster.Leader(""))
						began = true
					}
					w.send(c.asks...)
					time.Sleep(500 * time.Millisecond)
					frozen := time.Now()
					target := g.worksAt()
					if !began {
						g.freeze(target)
					}
					list := w.answers(len(c.asks))
					g.foundBy(t, c.name, frozen, map[bool]time.Duration{true: second}[c.want == "other"]) // it takes its time there too
					got := show(list)
					switch row, err := firstRow(list); {
					case c.want == "other":
						if err != nil || row["member"] == target || row["member"] == nil {
							t.Errorf("got %v %v; want a row of another member than %s", row, err, target)
						}
					case !strings.Contains(got, c.want):
						t.Errorf("got %s; want %s", got, c.want)
					}
					g.restful(t)
				})
			})
		}
	}
}

// TestAnIdleTransactionAtAFrozenMember: nobody waits for the member while it freezes; the client's next request is told.
func TestAnIdleTransactionAtAFrozenMember(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.ask(join(beginTx(w.v, nil), [][]byte{write(w.v, "in it", nil), pull(w.v)})...)
		leader := g.cluster.Leader("")
		g.freeze(leader)
		time.Sleep(time.Minute)
		began := time.Now()
		w.expect("FAILURE("+bolt.CodeLeaderSwitch+") IGNORED", write(w.v, "more", nil), pull(w.v))
		if took := time.Since(began); took > 2*silenceLook {
			t.Errorf("said after %v", took)
		}
		w.expect("SUCCESS()", bolt.Reset)
		if row := w.row(aWrite, m{"mark": "again"}, nil); row["member"] == leader {
			t.Errorf("the transaction that came after it was served by %v, which is frozen", row["member"])
		}
	})
}

// TestAMemberThatComesBackInTime goes on with what it had, for it was not found to be down.
func TestAMemberThatComesBackInTime(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		leader := g.cluster.Leader("")
		w.send(run(w.v, aWrite, m{"delay": "1s", "mark": "kept"}, nil), pull(w.v))
		time.Sleep(500 * time.Millisecond)
		g.freeze(leader)
		time.Sleep(time.Second)
		if err := g.cluster.Thaw(leader); err != nil {
			t.Fatal(err)
		}
		if row, err := firstRow(w.answers(2)); err != nil || row["member"] != leader {
			t.Errorf("got %v %v; want a row of %s", row, err, leader)
		}
	})
}

func TestSlowIsNotDead(t *testing.T) {
	t.Run("a long query at a healthy member", func(t *testing.T) {
		seldom := func(o *health.Options) { o.Interval = 5 * time.Second } // an hour of checks takes a minute else
		inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, health: seldom}, func(t *testing.T, g *gate) {
			w := g.logged(bolt.V5_8)
			if row := w.row(aWrite, taking(time.Hour), nil); row["member"] != g.cluster.Leader("") {
				t.Errorf("got %v", row)
			}
		})
	})
	t.Run("rows that come while the checks hear nothing", func(t *testing.T) {
		inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
			w := g.logged(bolt.V5_8)
			leader := g.cluster.Leader("")
			w.send(run(w.v, aWrite, m{"rows": 60, "row_delay": "1s"}, nil), pull(w.v))
			time.Sleep(100 * time.Millisecond)
			g.deafen(leader, true)
			g.await(func(v *cluster.View) bool { return !v.Member(leader).Silent.IsZero() })
			if _, err := firstRow(w.answers(2)); err != nil {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("a query at a member that the checks hear, if only that it is not well", func(t *testing.T) {
		inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
			w := g.logged(bolt.V5_8)
			leader := g.cluster.Leader("")
			w.send(run(w.v, aWrite, taking(time.Minute), nil), pull(w.v))
			time.Sleep(100 * time.Millisecond)
			for _, port := range []string{":7687", ":7474"} { // every answer comes too late for a check, but it comes
				g.network.Link("checks", leader+port).Delay(300 * time.Millisecond)
			}
			g.await(func(v *cluster.View) bool { return !v.Member(leader).Up })
			if _, err := firstRow(w.answers(2)); err != nil {
				t.Errorf("got %v", err)
			}
		})
	})
}

// deafen takes the checks' packets to a member away, and no others.
func (g *gate) deafen(name string, on bool) {
	for _, port := range []string{":7687", ":7474"} {
		g.network.Link("checks", name+port).Blackhole(on)
	}
}

// TestWaitingForAConnectionToAFrozenMember: its system accepts connections, and nothing comes. Who waits for one goes elsewhere when the member
// is found, not only when connect_timeout has passed.
func TestWaitingForAConnectionToAFrozenMember(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		leader := g.cluster.Leader("")
		for _, s := range g.cluster.Members() {
			if s.Name != leader {
				g.freeze(s.Name)
			}
		}
		frozen := time.Now()
		if row := w.row(oneRow, nil, m{"mode": "r"}); row["member"] != leader {
			t.Errorf("got %v; want a row of %s", row, leader)
		}
		g.foundBy(t, "a read", frozen, 0)
	})
}

func TestHTTPAtAFrozenMember(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, health: hasty})
	leader := g.cluster.Leader("")
	ask := func(text, mode string) webAnswer {
		return g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"statement": %q, "accessMode": %q}`, text, mode))
	}
	tx := g.web("POST", "/db/neo4j/tx", `{"statements": [{"statement": "CREATE (n) RETURN n"}]}`)
	for range 3 { // connections to all are there
		ask(oneRow, "READ")
	}
	for _, m := range g.cluster.Members() {
		if m.Name != leader {
			g.freeze(m.Name)
			defer g.cluster.Thaw(m.Name) //nolint:errcheck // so that it can end
		}
	}
	if a := ask(oneRow, "READ"); a.status != 202 || a.field("member") != leader {
		t.Errorf("a read when all readers are frozen: got %v; want it from %s", a, leader)
	}
	g.await(func(v *cluster.View) bool { return v.Leader("") != nil })
	g.freeze(leader)
	defer g.cluster.Thaw(leader) //nolint:errcheck // as above
	if a := ask(aWrite, "WRITE"); a.status != 502 || !strings.Contains(a.raw, bolt.CodeCommitFailed) {
		t.Errorf("a write at a leader that is frozen: got %v; want 502, in doubt", a)
	}
	if a := g.web("POST", tx.header.Get("Location"), `{"statements": []}`); a.status/100 == 2 && !strings.Contains(a.raw, "Neo.TransientError") {
		t.Errorf("the transaction that was open there: got %v", a)
	}
}
