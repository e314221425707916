package admin

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/querystats"
)

// This file holds the page to its bars, in a large world: with 100 members and 10,000 shapes of queries it renders within 100 ms, and its stream costs less
// than a hundredth of a core.

// large is such a world, with a thousand clients, some of them at work.
func large(tb testing.TB) *testWorld {
	w := newTestWorld(tb, Options{})
	v := &cluster.View{Generation: cluster.Autonomous, Default: "db0"}
	w.gate.stats, w.gate.counters = map[string]pool.Stats{}, map[string]pool.Counters{}
	for i := range 100 {
		name := fmt.Sprintf("member-%d", i)
		roles := map[string]cluster.Role{}
		for db := range 10 {
			roles[fmt.Sprint("db", db)] = cluster.Follower
			if i == db {
				roles[fmt.Sprint("db", db)] = cluster.Leader
			}
		}
		v.Members = append(v.Members, &cluster.Status{Member: &cluster.Member{Name: name, Bolt: name + ":7687", HTTP: name + ":7474", Weight: 1}, Up: true, Since: time.Now(), Roles: roles, Agent: "Neo4j/5.26.0"})
		n := pool.Counters{Opened: 6, In: 1 << 30, Out: 1 << 40, Failures: map[string]uint64{"Neo.ClientError.Statement.SyntaxError": uint64(i)}}
		n.Reads[pool.Bolt].Buckets[i%8] = uint64(i * 1000)
		w.gate.counters[name], w.gate.stats[name] = n, pool.Stats{Open: 40, Idle: 30, InFlight: i % 7}
	}
	w.current.Publish(v)
	for i := range querystats.MaxShapes {
		id := w.gate.queries.ID(fmt.Appendf(nil, "MATCH (n:Label%d)-[:R%d]->(m) WHERE n.x = $x RETURN n, m ORDER BY n.y LIMIT 10", i, i))
		w.gate.queries.Add(id, 0, time.Duration(i)*time.Microsecond, 3, i%100 == 0)
	}
	for i := range 1000 {
		c := proxy.Client{ID: fmt.Sprint("boltgate-", i), Frontend: "main", Address: "10.0.0.9:5000", Protocol: "bolt 5.4", User: "ann", Agent: fmt.Sprintf("neo4j-go/5.%d", i%30), State: proxy.ClientIdle}
		if i%10 == 0 {
			c.State, c.Member, c.Query, c.Work = proxy.ClientWorking, "member-1", "MATCH (n) RETURN n", pool.Work{Began: time.Now(), DB: "db1"}
		}
		w.gate.clients = append(w.gate.clients, c)
	}
	w.gate.fronts = map[string]proxy.FrontendStats{"main": {Name: "main", Bind: []string{":7687"}, Open: 1000, Max: 10000}}
	return w
}

// spent is the processor time of this process so far.
func spent(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// leastOf is the least processor time of several runs of f: what it costs when nothing else of this process does anything.
func leastOf(tb testing.TB, runs int, f func()) time.Duration {
	least := time.Hour
	for range runs {
		before := spent(tb)
		f()
		least = min(least, spent(tb)-before)
	}
	return least
}

func TestThePageOfALargeClusterIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which short runs have, makes everything slow")
	}
	w := large(t)
	page := func() {
		if got := w.do("GET", "/", "", "Accept: text/html"); got.Code != http.StatusOK || got.Body.Len() < 10_000 {
			t.Fatalf("got %d, %d bytes", got.Code, got.Body.Len())
		}
	}
	page()
	if took := leastOf(t, 5, page); took > 100*time.Millisecond {
		t.Errorf("the page takes %v; want 100ms at most", took)
	} else {
		t.Logf("the page takes %v of a processor", took)
	}
	piece := leastOf(t, 5, func() {
		w.livePiece(who{name: "local", role: Operator})
		w.sample()
	})
	if share := float64(piece) / float64(sampleEvery); share > 0.01 {
		t.Errorf("a piece of the stream takes %v, each %v: %.1f %% of a core; want less than 1 %%", piece, sampleEvery, 100*share)
	} else {
		t.Logf("a piece of the stream takes %v: %.2f %% of a core", piece, 100*share)
	}
}

func BenchmarkThePageOfALargeCluster(b *testing.B) {
	w := large(b)
	for b.Loop() {
		w.do("GET", "/", "", "Accept: text/html")
	}
}
