package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

// several is a cluster of three databases, each led by another member: neo4j by s1, orders by s2, stock by s3, system by s1;
// stock is on s2 and s3 alone. It has server-side routing.
func several() standin.Options {
	return standin.Options{
		Seed: 4, SSR: true, Databases: []string{"neo4j", "orders", "stock"}, Hosting: map[string][]string{"stock": {"s2", "s3"}},
		Aliases: map[string]string{"sales": "orders"}, Composites: map[string][]string{"all": {"neo4j", "orders"}},
		Users: map[string]string{standin.DefaultUser: standin.DefaultPassword, "olga": "o"}, Home: map[string]string{"olga": "orders"},
	}
}

// lead makes members the leaders of databases and waits until the gate knows.
func (g *gate) leaders(by map[string]string) {
	g.t.Helper()
	for db, member := range by {
		if err := g.cluster.Elect(db, member); err != nil {
			g.t.Fatal(err)
		}
	}
	g.await(func(v *cluster.View) bool {
		for db, member := range by {
			if l := v.Leader(db); l == nil || l.Name != member {
				return false
			}
		}
		return true
	})
}

var severalLeaders = map[string]string{"neo4j": "s1", "orders": "s2", "stock": "s3", "system": "s1"}

// inSeveral runs f with a gate before such a cluster, in memory.
func inSeveral(t *testing.T, o gateOptions, f func(t *testing.T, g *gate)) {
	t.Helper()
	if o.standin.Databases == nil {
		o.standin = several()
	}
	o.health = func(h *health.Options) { h.FastInterval = 100 * time.Millisecond } // checks are most of what such a test costs
	inBubble(t, o, func(t *testing.T, g *gate) {
		g.leaders(severalLeaders)
		f(t, g)
	})
}

// placed is one unit of work and where it belongs.
type placed struct {
	name, text string
	extra      m
	want       string // members that may serve it
	db         string
}

func TestWorkGoesByTheDatabaseThatItNames(t *testing.T) {
	r := func(db string) m { return m{"mode": "r", "db": db} }
	for _, v := range []bolt.Version{bolt.V4_1, bolt.V4_4, bolt.V5_8} {
		inSeveral(t, gateOptions{frontend: func(f *Frontend) { f.Causality = CausalityNone }}, func(t *testing.T, g *gate) {
			w := g.logged(v)
			for _, tt := range []placed{
				{"no database: the home", aWrite, nil, "s1", "neo4j"},
				{"a database", aWrite, m{"db": "orders"}, "s2", "orders"},
				{"in any case", aWrite, m{"db": "ORDERS"}, "s2", "orders"},
				{"a read", oneRow, r("orders"), "s1 s3", "orders"},
				{"a database on two members", oneRow, r("stock"), "s2", "stock"},
				{"its leader", aWrite, m{"db": "stock"}, "s3", "stock"},
				{"an alias", aWrite, m{"db": "sales"}, "s2", "orders"},
				{"USE", "USE orders CREATE (n) RETURN n", nil, "s2", "orders"},
				{"USE from another database", "USE stock CREATE (n) RETURN n", m{"db": "orders"}, "s3", "stock"},
				{"USE in any case", "use `Stock` CREATE (n) RETURN n", nil, "s3", "stock"},
				{"USE of an alias", "USE sales CREATE (n) RETURN n", nil, "s2", "orders"},
				{"USE in a judged read", "USE orders MATCH (n) RETURN n", nil, "s1 s3", "orders"},
				{"USE in a declared read", "USE stock MATCH (n) RETURN n", r("neo4j"), "s2", "stock"},
				{"a part of a composite", "USE all.orders CREATE (n) RETURN n", m{"db": "all"}, "s2", "orders"},
				{"a command of one member", "SHOW TRANSACTIONS", m{"db": "orders"}, "s2", "orders"},
				{"the same, declared a read", "SHOW TRANSACTIONS", r("orders"), "s2", "orders"},
				{"TERMINATE", "TERMINATE TRANSACTIONS 'orders-transaction-1'", m{"db": "orders"}, "s2", "orders"},
				{"a procedure of one member", "CALL dbms.listConnections()", r("stock"), "s3", "stock"},
				{"kill", "CALL dbms.killQuery('query-1')", m{"db": "stock"}, "s3", "stock"},
			} {
				for range 4 {
					row := w.row(tt.text, nil, tt.extra)
					if member, _ := row["member"].(string); !strings.Contains(tt.want, member) || row["db"] != tt.db {
						t.Errorf("Bolt %v, %s: got %v; want %s on %s", v, tt.name, row, tt.db, tt.want)
					}
				}
			}
			settings := "SHOW SETTINGS YIELD name, value WHERE name = 'server.bolt.advertised_address'"
			if row := w.row(settings, nil, r("stock")); !strings.HasPrefix(fmt.Sprint(row["value"]), "s3:") {
				t.Errorf("Bolt %v, SHOW SETTINGS: got %v; want those of s3", v, row)
			}
		})
	}
}

// TestSystemIsAskedAtItsLeader: a member of its own mind shows who was asked.
func TestSystemIsAskedAtItsLeader(t *testing.T) {
	o, seen := several(), new(record)
	o.OnQuery = seen.note
	inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		for i, member := range []string{"s2", "s3", "s1"} {
			g.leaders(map[string]string{"system": member})
			for _, tt := range []struct {
				text  string
				extra m
			}{
				{oneRow, m{"db": "system"}}, {oneRow, m{"db": "System", "mode": "r"}}, {"USE system " + oneRow, nil},
			} {
				if row := w.row(tt.text, nil, tt.extra); row["member"] != member {
					t.Errorf("%s %v: %v; want %s", tt.text, tt.extra, row, member)
				}
			}
			for _, extra := range []m{nil, {"mode": "r"}, {"db": "orders"}} {
				w.row("SHOW DATABASES"+ours, nil, extra)
				if seen.last() != member {
					t.Errorf("SHOW DATABASES %v was served by %s; want %s", extra, seen.last(), member)
				}
			}
			w.row(fmt.Sprintf("CREATE DATABASE new%d"+ours, i), nil, nil)
			if seen.last() != member {
				t.Errorf("CREATE DATABASE was served by %s; want %s", seen.last(), member)
			}
		}
	})
}

func TestHomeDatabasesOfEveryVersion(t *testing.T) {
	for _, tt := range []struct {
		server  string
		v       bolt.Version
		want    string
		queries int // about the home, for two units of work of a user and two of another session
	}{
		{"5.26.30", bolt.V5_8, "orders", 0}, {"5.26.30", bolt.V4_4, "orders", 0}, {"5.26.30", bolt.V4_1, "orders", 1},
		{"4.4.48", bolt.V4_0, "orders", 1}, {"4.4.48", bolt.V3, "orders", 1}, {"4.3.20", bolt.V4_3, "orders", 1},
	} {
		o := several()
		o.ServerVersion = tt.server
		if tt.server < "5" {
			o.Generation = cluster.Causal
		}
		asked := 0
		o.OnQuery = func(q standin.Query) {
			if strings.HasPrefix(q.Text, "SHOW HOME") || strings.HasPrefix(q.Text, "SHOW DEFAULT") {
				asked++
			}
		}
		inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
			for range 2 {
				w := g.open(tt.v)
				w.logOn("olga", "o")
				for range 2 {
					if row := w.row(aWrite, nil, nil); row["db"] != tt.want || row["member"] != "s2" {
						t.Errorf("server %s, Bolt %v: got %v; want %s at s2", tt.server, tt.v, row, tt.want)
					}
				}
			}
		})
		if asked != tt.queries {
			t.Errorf("server %s, Bolt %v: asked %d times; want %d", tt.server, tt.v, asked, tt.queries)
		}
	}
}

// TestOldBoltAsksForTables: over Bolt 3 too a member of 4.x says which databases there are.
func TestOldBoltAsksForTables(t *testing.T) {
	o := several()
	o.ServerVersion, o.Generation = "4.4.48", cluster.Causal
	inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
		for _, v := range []bolt.Version{bolt.V3, bolt.V4_1} {
			w := g.logged(v)
			text := "CALL dbms.routing.getRoutingTable($context, $database)"
			w.expect("FAILURE("+bolt.CodeDatabaseNotFound+") IGNORED", run(v, text, m{"context": m{}, "database": "nowhere"}, nil), pull(v))
			w.expect("SUCCESS()", bolt.Reset)
			if row := w.row(text, m{"context": m{}, "database": "orders"}, nil); row["ttl"] != int64(300) {
				t.Errorf("Bolt %v: a table for orders: %v", v, row)
			}
		}
	})
}

// TestAHomeThatMoves: the gate follows what answers say, and asks anew when the home that it remembers is wrong.
func TestAHomeThatMoves(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		o, seen := several(), new(record)
		o.OnQuery = seen.note
		inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
			w := g.open(v)
			w.logOn("olga", "o")
			w.row(aWrite, nil, nil)
			for _, home := range []string{"stock", "neo4j", "orders"} {
				g.cluster.SetHome("olga", home)
				began := time.Now()
				for range 3 {
					if row := w.row(aWrite+ours, nil, nil); row["db"] != home || row["member"] != severalLeaders[home] {
						t.Errorf("Bolt %v: got %v; want %s at its leader", v, row, home)
					}
				}
				if took := time.Since(began); took > 300*time.Millisecond {
					t.Errorf("Bolt %v: the move to %s cost %v", v, home, took)
				}
			}
			if n := seen.count(); n > 9+2*3 {
				t.Errorf("Bolt %v: %d tries for 9 writes and 3 moves", v, n)
			}
			list := w.ask(join(beginTx(v, nil), [][]byte{run(v, "SHOW DATABASES", nil, nil), pull(v)}, commitTx(v))...)
			if _, err := firstRow(list); err != nil {
				t.Fatal(err)
			}
			if row := w.row(oneRow, nil, nil); row["db"] != "orders" {
				t.Errorf("Bolt %v: after a command on system: got %v; want orders, still the home", v, row)
			}
		})
	}
}

func TestDatabasesComeAndGo(t *testing.T) {
	o := several()
	o.CreateTime, o.Lag = time.Second, 200*time.Millisecond
	inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		for i := range 4 {
			db := fmt.Sprint("new", i)
			w.row("CREATE DATABASE "+db, nil, nil)
			began := time.Now()
			table := w.ask(message(bolt.TagRoute, m{}, []any{}, m{"db": strings.ToUpper(db)}))
			if rt, _ := table[0].meta()["rt"].(m); rt["db"] != db {
				t.Errorf("ROUTE for %s: %v", db, table[0].value)
			}
			if row := w.row(aWrite, nil, m{"db": db}); row["db"] != db || row["member"] != g.cluster.Leader(db) {
				t.Errorf("the first write to %s: %v; its leader is %s", db, row, g.cluster.Leader(db))
			}
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("%s was usable after %v; it was created within 1 s", db, took)
			}
			g.await(func(v *cluster.View) bool { return v.Leader(db) != nil })
		}
		w.row("CREATE ALIAS other FOR DATABASE new1", nil, nil)
		if row := w.row(aWrite, nil, m{"db": "other"}); row["db"] != "new1" {
			t.Errorf("a new alias: %v", row)
		}
		w.row("CREATE ALIAS far FOR DATABASE x AT 'neo4j://elsewhere' USER u PASSWORD 'p'", nil, nil)
		for _, ask := range [][2]string{{aWrite, "far"}, {oneRow, "far"}, {"USE far " + aWrite, ""}} {
			if row := w.row(ask[0], nil, m{"db": ask[1]}); row["db"] != "far" {
				t.Errorf("%s by an alias of another cluster's database: %v", ask[0], row)
			}
		}
		w.row("STOP DATABASE new1", nil, nil)
		for _, db := range []string{"new1", "NEW1", "other"} {
			began := time.Now()
			w.expect("FAILURE("+bolt.CodeDatabaseUnavailable+") IGNORED", run(w.v, aWrite, nil, m{"db": db}), pull(w.v))
			w.expect("SUCCESS()", bolt.Reset)
			w.expect("FAILURE("+bolt.CodeDatabaseUnavailable+")", message(bolt.TagRoute, m{}, []any{}, m{"db": db}))
			w.expect("SUCCESS()", bolt.Reset)
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s, which was stopped, was said to be so after %v", db, took)
			}
		}
		w.row("START DATABASE new1", nil, nil)
		if row := w.row(aWrite, nil, m{"db": "new1"}); row["db"] != "new1" {
			t.Errorf("a started database: %v", row)
		}
		w.row("DROP DATABASE new2", nil, nil)
		for range 2 { // the View still has it the first time
			began := time.Now()
			w.expect("FAILURE("+bolt.CodeDatabaseNotFound+") IGNORED", run(w.v, aWrite, nil, m{"db": "new2"}), pull(w.v))
			w.expect("SUCCESS()", bolt.Reset)
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("a dropped database was said to be gone after %v", took)
			}
			g.await(func(v *cluster.View) bool { return !v.Hosted("new2") })
		}
		w.expect("FAILURE("+bolt.CodeDatabaseNotFound+")", message(bolt.TagRoute, m{}, []any{}, m{"db": "nowhere"}))
		w.expect("SUCCESS()", bolt.Reset)
		for i := range 3 { // one of the same name is another database: what its user saw of the former does not count
			began := time.Now()
			step := func(what string) {
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s took %v, round %d", what, took, i)
				}
				began = time.Now()
			}
			w.row("CREATE OR REPLACE DATABASE new3", nil, nil)
			step("replacing a database")
			if row := w.row(oneRow, nil, m{"db": "new3"}); row["db"] != "new3" {
				t.Errorf("a read of the new new3, round %d: %v", i, row)
			}
			step("the first read")
			w.row(aWrite, nil, m{"db": "new3"})
			step("the first write")
			if row := w.row(oneRow, nil, m{"db": "new3"}); row["db"] != "new3" || row["applied"] != int64(2) {
				t.Errorf("a read after a write, round %d: %v", i, row)
			}
			step("the read after it")
		}
	})
}

// TestADatabaseThatNobodyServes: a ROUTE for it ends, and so does its work, after failover.hold.
func TestADatabaseThatNobodyServes(t *testing.T) {
	o := several()
	o.CreateTime = time.Hour
	inSeveral(t, gateOptions{standin: o, server: Options{Hold: 3 * time.Second}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row("CREATE DATABASE slow", nil, nil)
		for _, ask := range [][][]byte{
			{message(bolt.TagRoute, m{}, []any{}, m{"db": "slow"})}, {run(w.v, aWrite, nil, m{"db": "slow"}), pull(w.v)},
		} {
			began := time.Now()
			list := w.ask(ask...)
			took := time.Since(began)
			if list[0].code() != bolt.CodeLeaderSwitch || took < 2*time.Second || took > 5*time.Second {
				t.Errorf("got %s after %v; want LeaderSwitch after failover.hold", show(list), took)
			}
			w.expect("SUCCESS()", bolt.Reset)
		}
	})
}

func TestServerSideRouting(t *testing.T) {
	for _, side := range []ServerSide{ServerSideWhenNeeded, ServerSideAlways, ServerSideNever} {
		o := several()
		inSeveral(t, gateOptions{standin: o, frontend: func(f *Frontend) { f.ServerSide = side }}, func(t *testing.T, g *gate) {
			w := g.logged(bolt.V5_8)
			// A transaction that turns out to belong elsewhere: its client tries again, and then it works.
			begin := beginTx(w.v, m{"db": "orders"})
			inside := run(w.v, "USE stock CREATE (n) RETURN n", nil, nil)
			g.leaders(map[string]string{"orders": "s1"}) // which does not host stock
			list := w.ask(join(begin, [][]byte{inside, pull(w.v)}, commitTx(w.v))...)
			code := list[1].code()
			switch {
			case side == ServerSideAlways && code != "", side == ServerSideWhenNeeded && code != bolt.CodeLeaderSwitch,
				side == ServerSideNever && code != bolt.CodeRouting:
				t.Fatalf("server_side %v: got %s", side, show(list))
			case code != "":
				w.expect("SUCCESS()", bolt.Reset)
			}
			if side != ServerSideWhenNeeded {
				return
			}
			list = w.ask(join(begin, [][]byte{inside, pull(w.v)}, commitTx(w.v))...)
			if row, err := firstRow(list); err != nil || row["db"] != "stock" || row["member"] != "s3" {
				t.Errorf("the second try: %v, %v", row, err)
			}
		})
	}
}

// TestOnlyWorkThatNeedsItIsRoutedByTheServers: a member that may route hides what the gate sent to the wrong one.
func TestOnlyWorkThatNeedsItIsRoutedByTheServers(t *testing.T) {
	o, seen := several(), new(record)
	o.OnQuery = seen.note
	inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
		g.logged(bolt.V5_8).row("CREATE ALIAS far FOR DATABASE x AT 'neo4j://elsewhere' USER u PASSWORD 'p'", nil, nil)
		g.await(func(v *cluster.View) bool { return v.Composites["all"] })
		for _, v := range []bolt.Version{bolt.V4_0, bolt.V4_1, bolt.V4_4, bolt.V5_8} {
			for _, side := range []ServerSide{ServerSideWhenNeeded, ServerSideAlways, ServerSideNever} {
				g.change(func(f *Frontend) { f.ServerSide = side })
				w := g.logged(v)
				for _, tt := range []struct {
					name, text string
					extra      m
					needed     bool
				}{
					{"a write", aWrite, nil, false},
					{"a judged read", oneRow, nil, false},
					{"a declared read of a database", oneRow, m{"mode": "r", "db": "stock"}, false},
					{"a command", "SHOW DATABASES", nil, false},
					{"an alias", aWrite, m{"db": "sales"}, false},
					{"an alias of another cluster's database: members reach it", aWrite, m{"db": "far"}, false},
					{"USE", "USE orders " + aWrite, nil, true},
					{"USE of the same database", "USE orders " + aWrite, m{"db": "orders"}, true},
					{"USE of an alias", "USE sales " + aWrite, nil, true},
					{"USE of an alias of another cluster's database", "USE far " + aWrite, nil, true},
					{"USE in a judged read", "USE orders " + oneRow, nil, true},
					{"USE in a declared read", "USE stock " + oneRow, m{"mode": "r"}, true},
					{"a composite database", oneRow, m{"db": "all"}, true},
					{"the same, declared a read", oneRow, m{"mode": "r", "db": "All"}, true},
					{"USE of a composite database", "USE all " + oneRow, nil, true},
					{"a part of it", aWrite, m{"db": "all.orders"}, true},
					{"USE of a part of it", "USE all.orders " + aWrite, m{"db": "all"}, true},
				} {
					want := v >= bolt.V4_1 && (side == ServerSideAlways || side == ServerSideWhenNeeded && tt.needed)
					ask := map[string][][]byte{"by itself": {run(v, tt.text+ours, nil, tt.extra), pull(v)}}
					if !strings.HasPrefix(tt.text, "USE") && tt.name != "a command" { // inside one, only a refusal tells: TestServerSideRouting
						ask["in a transaction"] = join(beginTx(v, tt.extra), [][]byte{run(v, tt.text+ours, nil, nil), pull(v)}, commitTx(v))
					}
					for how, requests := range ask {
						before := seen.count()
						if _, err := firstRow(w.ask(requests...)); err != nil || seen.count() != before+1 {
							t.Fatalf("Bolt %v, server_side %v, %s %s: %v, run %d times", v, side, tt.name, how, err, seen.count()-before)
						}
						if q := seen.newest(); q.Routed != want {
							t.Errorf("Bolt %v, server_side %v, %s %s: routed %v; want %v", v, side, tt.name, how, q.Routed, want)
						}
					}
				}
			}
		}
	})
}

// TestAnotherMembersDatabaseIsReachedByTheServers: one that no check has seen is not where the gate asks for it.
func TestAnotherMembersDatabaseIsReachedByTheServers(t *testing.T) {
	o, seen := several(), new(record)
	o.OnQuery = seen.note
	o.Hosting["new"] = []string{"s3"} // s1 leads system
	inSeveral(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		if err := g.cluster.CreateDatabase("new"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if row := w.row(aWrite+ours, nil, m{"db": "new"}); row["db"] != "new" || row["member"] != "s3" {
				t.Errorf("got %v; want new at s3", row)
			}
			if q := seen.newest(); q.Member == "s3" || !q.Routed {
				t.Errorf("it was asked of %s, routed %v; want another member that may route", q.Member, q.Routed)
			}
		}
		g.await(func(v *cluster.View) bool { return v.Leader("new") != nil })
		time.Sleep(nameFor) // in the bubble
		if row := w.row(aWrite+ours, nil, m{"db": "new"}); row["member"] != "s3" || seen.newest().Member != "s3" || seen.newest().Routed {
			t.Errorf("once it is known: %v, asked %+v; want s3 itself", row, seen.newest())
		}
	})
}

// TestOneMemberFrontends: what such a frontend says is what its member says, whatever its role.
func TestOneMemberFrontends(t *testing.T) {
	inSeveral(t, gateOptions{frontend: func(f *Frontend) { f.Policy.Member = "s2" }}, func(t *testing.T, g *gate) {
		for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
			w := g.logged(v)
			for _, extra := range []m{{"mode": "r"}, nil, {"db": "orders"}, {"db": "stock", "mode": "r"}} {
				if row := w.row(oneRow, nil, extra); row["member"] != "s2" {
					t.Errorf("Bolt %v, %v: got %v; want s2", v, extra, row)
				}
			}
			w.row("SHOW TRANSACTIONS", nil, nil)
			began := time.Now()
			w.expect("FAILURE("+bolt.CodeNotALeader+") IGNORED", auto(v, aWrite)...)
			w.expect("SUCCESS()", bolt.Reset)
			list := w.ask(join(beginTx(v, nil), auto(v, aWrite))...)
			if got := list[1].code(); got != bolt.CodeNotALeader {
				t.Errorf("Bolt %v, in a transaction: %s", v, show(list))
			}
			w.expect("SUCCESS()", bolt.Reset)
			w.expect("FAILURE("+bolt.CodeDatabaseNotFound+")", message(bolt.TagRoute, m{}, []any{}, m{"db": "nowhere"}))
			w.expect("SUCCESS()", bolt.Reset)
			list = w.ask(message(bolt.TagRoute, m{"address": "gate.example:7687"}, []any{}, m{"db": "stock"}))
			rt, _ := list[0].meta()["rt"].(m)
			if servers, _ := rt["servers"].([]any); len(servers) != 3 || !strings.Contains(fmt.Sprint(servers), "gate.example:7687") || strings.Contains(fmt.Sprint(servers), "s2:") {
				t.Errorf("Bolt %v: ROUTE said %v", v, list[0].value)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("Bolt %v: the member's refusals took %v", v, took)
			}
			g.kill("s2")
			w.send(run(v, oneRow, nil, nil), pull(v))
			time.Sleep(2 * time.Second)
			g.restart("s2")
			if row, err := firstRow(w.answers(2)); err != nil || row["member"] != "s2" {
				t.Errorf("Bolt %v: after its restart: %v, %v", v, row, err)
			}
			g.leaders(severalLeaders)
		}
	})
}

// ours marks the texts of a test, for checks ask the same things.
const ours = " /* ours */"

// record keeps what members ran for a test.
type record struct {
	mu   sync.Mutex
	seen []standin.Query
}

func (r *record) note(q standin.Query) {
	if !strings.Contains(q.Text, ours) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, q)
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// last is the member that ran the newest of them.
func (r *record) last() string { return r.newest().Runs }

// newest is the zero Query while there is none.
func (r *record) newest() (q standin.Query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) > 0 {
		q = r.seen[len(r.seen)-1]
	}
	return q
}
