package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

func TestPlacesGoByPriorityAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p places
		r := room{inFlight: 1, queued: 3}
		full := errors.New("full")
		if !p.try(1, r) || p.try(1, r) || !p.try(2, r) {
			t.Fatal("one place a key, and each key has its own")
		}
		var order []string
		enter := func(name string, priority int) {
			go func() {
				err := p.enter(t.Context(), 1, r, priority, full)
				if err != nil {
					name += " " + err.Error()
				}
				order = append(order, name)
				if err == nil {
					p.leave(1)
				}
			}()
			synctest.Wait()
		}
		enter("low", -1)
		enter("first", 0)
		enter("second", 0)
		enter("late low", -1) // the line is full
		enter("high", 1)      // pushes the low one out
		p.leave(1)
		synctest.Wait()
		if want := []string{"late low full", "low full", "high", "first", "second"}; !slices.Equal(order, want) {
			t.Errorf("got %q; want %q", order, want)
		}
		p.leave(2)
		for i := range p.shards {
			if n := len(p.shards[i].byKey); n > 0 {
				t.Errorf("%d keys are left over", n)
			}
		}
	})
}

func TestAPlaceIsNotLostWithItsWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p places
		r := room{inFlight: 1, queued: 10}
		p.try(1, r)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errUserTime)
		defer cancel()
		if err := p.enter(ctx, 1, r, 0, errUserPlaces); err != errUserTime {
			t.Errorf("got %v; want %v", err, errUserTime)
		}
		p.leave(1)
		for i, want := range []bool{true, true, false} {
			if p.try(1, room{inFlight: 2}) != want {
				t.Errorf("place %d: the place of who gave up is gone, or a new limit does not count", i)
			}
		}
	})
}

const longRead = "MATCH (n) RETURN n /*standin delay=30s*/"

// waiting waits until n units of work are in line for a place.
func (g *gate) waiting(n int) {
	g.t.Helper()
	waitFor(g.t, "units of work in line", func() bool { return g.crowds(func(c *crowd) int { return len(c.line) }) == n })
}

// taken waits until n places are.
func (g *gate) taken(n int) {
	g.t.Helper()
	waitFor(g.t, "places are taken", func() bool { return g.crowds(func(c *crowd) int { return c.in }) == n })
}

// crowds is the sum of what count says of each crowd.
func (g *gate) crowds(count func(*crowd) int) int {
	n := 0
	for i := range g.server.places.shards {
		s := &g.server.places.shards[i]
		s.mu.Lock()
		for _, c := range s.byKey {
			n += count(c)
		}
		s.mu.Unlock()
	}
	return n
}

// noPlaces fails when a place is still taken.
func (g *gate) noPlaces() {
	g.t.Helper()
	waitFor(g.t, "the places to be free", func() bool { return g.crowds(func(*crowd) int { return 1 }) == 0 })
}

func TestInFlightOfAUser(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V3, bolt.V5_4} {
		t.Run(v.String(), func(t *testing.T) {
			o := gateOptions{standin: twoUsers, server: Options{Limits: Limits{PerUser: UserLimits{MaxInFlight: 2}, UserQueue: 2}}}
			o.standin.Versions = []bolt.Version{v}
			g := startGate(t, o)
			tx := g.logged(v)
			tx.ask(beginTx(v, nil)...)
			busy := g.logged(v)
			busy.send(run(v, longRead, nil, nil), pull(v))
			g.taken(2)
			waits, leaves := g.logged(v), g.logged(v)
			waits.send(run(v, oneRow, nil, nil), pull(v))
			g.waiting(1)
			leaves.send(run(v, oneRow, nil, nil), pull(v))
			g.waiting(2)
			g.logged(v).expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", run(v, oneRow, nil, nil), pull(v))
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)); a.status != 503 || a.code() != bolt.CodeNoThreads || a.header.Get("Retry-After") == "" {
				t.Errorf("over HTTP got %v", a)
			}
			if a := g.web("POST", "/db/neo4j/tx/commit", stmt(oneRow), "Authorization", basicHeader("ann", "secret")); a.status != 200 {
				t.Errorf("another user got %v", a)
			}
			leaves.conn.Close()
			g.waiting(1)
			tx.ask(rollbackTx(v)...)
			if list := waits.answers(2); list[0].tag != bolt.TagSuccess || list[1].tag != bolt.TagRecord {
				t.Errorf("who waited got %v", list)
			}
			busy.conn.Close()
			waits.row(oneRow, nil, nil)
			g.noPlaces()
			if got := g.server.Counts().Refused; got["user_queue"] != 2 {
				t.Errorf("counted %v", got)
			}
		})
	}
}

func TestInFlightOverHTTP(t *testing.T) {
	g := startGate(t, gateOptions{standin: twoUsers, server: Options{Limits: Limits{PerUser: UserLimits{MaxInFlight: 1}, UserQueue: 1}},
		frontend: func(f *Frontend) { f.Timeouts.Queue = 200 * time.Millisecond }})
	busy := g.logged(bolt.V5_4)
	busy.send(run(bolt.V5_4, longRead, nil, nil), pull(bolt.V5_4))
	g.taken(1)
	if a := g.keeping().web("POST", "/db/neo4j/tx/commit", stmt(oneRow)); a.status != 503 || !strings.Contains(a.raw, "did not end within timeouts.queue") {
		t.Errorf("got %v", a)
	}
	gone := g.raw()
	gone.send("POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: a\r\nAuthorization: ", basicHeader(standin.DefaultUser, standin.DefaultPassword),
		"\r\nContent-Length: 0\r\n\r\n")
	gone.Close()
	g.waiting(0)
	busy.conn.Close()
	kept := g.keeping()
	for range 3 {
		waitFor(t, "the place of the query that was left", func() bool { return kept.web("POST", "/db/neo4j/tx/commit", stmt(oneRow)).status == 200 })
	}
	g.noPlaces()
}

func TestInFlightOnADatabase(t *testing.T) {
	v := bolt.V5_4
	o := gateOptions{standin: twoUsers, server: Options{Limits: Limits{PerDatabase: 1, DatabaseQueue: 0}}}
	o.standin.Databases = []string{"neo4j", "other"}
	g := startGate(t, o)
	busy := g.logged(v)
	busy.ask(beginTx(v, m{"db": "other"})...)
	w := g.open(v)
	w.logOn("ann", "secret")
	w.row(oneRow, nil, nil)
	w.expect("FAILURE("+bolt.CodeNoThreads+") IGNORED", run(v, oneRow, nil, m{"db": "OTHER"}), pull(v))
	w.ask(bolt.Reset)
	if a := g.web("POST", "/db/other/query/v2", queryBody(oneRow)); a.status != 503 {
		t.Errorf("over HTTP got %v", a)
	}
	busy.conn.Close()
	waitFor(t, "the place to be free", func() bool { return g.web("POST", "/db/other/query/v2", queryBody(oneRow)).status == 202 })
	g.noPlaces()
}

// TestPriorityAtAMember: of those who wait for the one slot of a member, the frontend and the user of the higher priority go first.
func TestPriorityAtAMember(t *testing.T) {
	v := bolt.V5_4
	var mu sync.Mutex
	var order []string
	users := []string{"low", standin.DefaultUser, "ann"}
	o := gateOptions{
		standin: standin.Options{Members: 1, Users: map[string]string{}, OnQuery: func(q standin.Query) {
			if strings.Contains(q.Text, "turn") {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, q.User)
			}
		}},
		server: Options{Limits: Limits{Users: map[string]UserLimits{"ann": {Priority: 5}, "low": {Priority: -5}}}},
	}
	for _, user := range users {
		o.standin.Users[user] = standin.DefaultPassword
	}
	o.pool.MaxPerMember = 1
	g := startGate(t, o)
	open := func(user string) *wire {
		w := g.open(v)
		w.logOn(user, standin.DefaultPassword)
		return w
	}
	clients := []*wire{open(users[0]), open(users[1]), open(users[2])}
	busy := open(users[1])
	busy.ask(beginTx(v, nil)...)
	for i, w := range clients {
		w.send(run(v, "RETURN 'turn'", nil, nil), pull(v))
		waitFor(t, "the member's line", func() bool { return g.pools.Stats("s1").Queued == i+1 })
	}
	web := make(chan webAnswer, 1)
	go func() {
		web <- g.web("POST", "/db/neo4j/tx/commit", stmt("RETURN 'turn'"), "Authorization", basicHeader("ann", standin.DefaultPassword))
	}()
	waitFor(t, "HTTP in the member's line", func() bool { return g.pools.Stats("s1").Queued == 4 })
	busy.ask(rollbackTx(v)...)
	for _, w := range clients {
		w.answers(2)
	}
	if a := <-web; a.status != 200 {
		t.Errorf("over HTTP got %v", a)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"ann", "ann", standin.DefaultUser, "low"}; !slices.Equal(order, want) {
		t.Errorf("got %q; want %q", order, want)
	}
}

// TestAFrontendsPriority puts its clients in front in every line; the user's is added.
func TestAFrontendsPriority(t *testing.T) {
	v := bolt.V5_4
	for line, limits := range map[string]Limits{
		"a member's":   {},
		"a database's": {PerDatabase: 1, DatabaseQueue: 10},
	} {
		var mu sync.Mutex
		var order []string
		o := gateOptions{
			standin: standin.Options{Members: 1, Users: twoUsers.Users, OnQuery: func(q standin.Query) {
				if _, who, ok := strings.Cut(q.Text, "turn of "); ok {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, strings.Trim(who, "'"))
				}
			}},
			server: Options{Limits: limits},
		}
		o.server.Limits.Users = map[string]UserLimits{"ann": {Priority: 7}}
		o.pool.MaxPerMember = 1
		inBubble(t, o, func(t *testing.T, g *gate) {
			main := g.server.fronts["main"].settings.Load()
			low, high := *main, *main
			low.Name, low.Bind, low.Priority = "low", []string{"low:7687"}, -5
			high.Name, high.Bind, high.Priority = "high", []string{"high:7687"}, 5
			if err := g.server.Apply(o.server, []*Frontend{main, &low, &high}); err != nil {
				t.Fatal(err)
			}
			var clients []*wire
			names := []string{"neo4j at low", "neo4j at gate", "neo4j at high", "ann at low"}
			for _, name := range names {
				user, address, _ := strings.Cut(name, " at ")
				conn, err := g.network.Dial(t.Context(), "tcp", address+":7687")
				if err != nil {
					t.Fatal(err)
				}
				w := wireOn(t, conn, v)
				conn.SetDeadline(time.Time{}) //nolint:errcheck // in a bubble a wait without end is found
				w.logOn(user, twoUsers.Users[user])
				clients = append(clients, w)
			}
			busy := g.logged(v)
			busy.ask(beginTx(v, nil)...)
			for i, w := range clients {
				w.send(run(v, "RETURN 'turn of "+names[i]+"'", nil, m{"db": "neo4j"}), pull(v))
				synctest.Wait() // it is in line
			}
			busy.ask(rollbackTx(v)...)
			for _, w := range clients {
				w.answers(2)
			}
		})
		if want := []string{"neo4j at high", "ann at low", "neo4j at gate", "neo4j at low"}; !slices.Equal(order, want) {
			t.Errorf("in %s line: got %q; want %q", line, order, want)
		}
	}
}
