package proxy

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// second is one more gate before the same cluster: it knows nothing of what passes the first.
func (g *gate) second(scope Causality) *gate {
	g.t.Helper()
	log := testLog(g.t)
	other := &gate{t: g.t, cluster: g.cluster, current: g.current, pools: pool.NewSet(pool.Options{}, log)}
	other.server = New(Options{}, g.current, other.pools, log)
	f := *g.server.fronts["main"].settings.Load()
	f.Causality = scope
	if err := other.server.Apply(Options{}, []*Frontend{&f}); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		other.shutdown(g.t)
		other.pools.Close() //nolint:errcheck // never fails
	})
	other.address = other.server.Addresses("main")[0].String()
	return other
}

func TestReadsSeeWhatWasWrittenThroughAnotherGate(t *testing.T) {
	for _, c := range []struct {
		generation cluster.Generation
		server     string
		version    bolt.Version
		away       bool
	}{
		{cluster.Causal, "3.5.35", bolt.V1, false},
		{cluster.Causal, "3.5.35", bolt.V3, true},
		{cluster.Causal, "4.4.48", bolt.V4_4, true},
		{cluster.Autonomous, "", bolt.V5_8, true},
	} {
		t.Run(c.version.String(), func(t *testing.T) {
			t.Parallel()
			o := gateOptions{standin: lagging(c.generation, c.server, 20*time.Millisecond)}
			var reads watched
			reads.into(&o.standin)
			g := startGate(t, o)
			writer, reader := g.dial(c.version), g.second(CausalityCluster).dial(c.version)
			for i := range 30 {
				query(t, writer, aMark, m{"mark": i}, nil)
				if !sees(t, reader, i) {
					t.Fatalf("round %d: a read misses what was written through another gate", i)
				}
			}
			leader := g.cluster.Leader("")
			if off, n := reads.offLeader(leader); c.away && off < n*95/100 {
				t.Errorf("%d of %d reads ran off the leader; want 95 %%", off, n)
			}
		})
	}
}

func TestWithScopeUserAReadMayMissWhatWasWrittenThroughAnotherGate(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 20*time.Millisecond)})
	writer, reader := g.dial(bolt.V5_8), g.second(CausalityUser).dial(bolt.V5_8)
	for i := range 40 {
		query(t, writer, aMark, m{"mark": i}, nil)
		if !sees(t, reader, i) {
			return
		}
	}
	t.Error("no read missed a write through another gate, though members lag: the test of scope cluster proves nothing")
}

func TestManyReadsShareOneQuestionToTheLeader(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 5*time.Millisecond)})
	all := g.second(CausalityCluster)
	var readers sync.WaitGroup
	for range 20 {
		c := all.dial(bolt.V5_8)
		w := g.dial(bolt.V5_8)
		readers.Go(func() {
			for i := range 20 {
				if _, err := w.Query(aMark, m{"mark": i}, m{}); err != nil {
					t.Error(err)
					return
				}
				res, err := c.Query(theCount, m{"mark": i}, m{})
				if err != nil || res.Rows[0][0].(int64) < 1 {
					t.Errorf("round %d: got %+v, %v", i, res, err)
					return
				}
			}
		})
	}
	readers.Wait()
	all.server.newest.mu.Lock()
	defer all.server.newest.mu.Unlock()
	if len(all.server.newest.per) > 0 {
		t.Errorf("%d questions are remembered when none is under way", len(all.server.newest.per))
	}
}

// TestAReadNeverSharesAQuestionThatWasAskedBefore: the answer would not show what was committed in between.
func TestAReadNeverSharesAQuestionThatWasAskedBefore(t *testing.T) {
	var n newest
	q := question{db: "neo4j"}
	a, first, before := n.join(q)
	if !first || before != nil {
		t.Fatal("the first read has to ask")
	}
	if b, first, _ := n.join(q); first || b != a {
		t.Fatal("a read that comes before the question is asked shares it")
	}
	n.ask(q)
	b, first, before := n.join(q)
	if !first || b == a || before != a {
		t.Fatal("a read that comes after the question was asked needs the next one, which waits for the end of this one")
	}
	if c, first, _ := n.join(q); first || c != b {
		t.Fatal("the next question is shared too")
	}
	if other, first, _ := n.join(question{db: "neo4j", old: true}); !first || other == b {
		t.Fatal("bookmarks of another format cannot be shared")
	}
	n.end(q, a, true)
	select {
	case <-a.done:
	default:
		t.Fatal("the answer was not handed out")
	}
	n.ask(q)
	n.end(q, b, true)
	if n.per[q] != nil {
		t.Error("a question that is over is remembered")
	}
}

// oldAnswer is a session whose leader does not lead any more, and does not know it.
type oldAnswer struct{ at bolt.Position }

func (o oldAnswer) askNewest(context.Context, string) ([]bolt.Position, bolt.BookmarkFormat, error) {
	return []bolt.Position{o.at}, bolt.BookmarkFabric, nil
}

func (oldAnswer) await(context.Context, *batch) error { return nil }

// TestTheNewestBookmarkIsNoOlderThanWhatWentThroughTheGate: an ex-leader answers a question that only reads with what it has.
func TestTheNewestBookmarkIsNoOlderThanWhatWentThroughTheGate(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", time.Hour)})
	writer := g.dial(bolt.V5_8)
	query(t, writer, aMark, m{"mark": 1}, nil)
	status := g.current.View().Leader("")
	known := g.server.progress.of(status.Member)
	seen := (*known.list.Load())[0]
	b, err := g.server.newest.of(t.Context(), question{db: "neo4j"}, oldAnswer{bolt.Position{DB: seen.db, Tx: 1}})
	if err != nil || b.err != nil {
		t.Fatal(err, b.err)
	}
	want := seen.tx.Load()
	if got := b.list[0].Tx; got != want || want < 2 {
		t.Errorf("reads have to see transaction %d; the gate has seen %d", got, want)
	}
	if p := g.onlyLogin().marks.atLeast(bolt.Position{DB: seen.db, Tx: 1}); p.Tx != want {
		t.Errorf("the user's reads have to see %v; the user has seen %d", p, want)
	}
	known.since.Store(1) // it has been down since, and may have lost something
	if b, _ = g.server.newest.of(t.Context(), question{db: "neo4j"}, oldAnswer{bolt.Position{DB: seen.db, Tx: 1}}); b.list[0].Tx != 1 {
		t.Errorf("reads have to see transaction %d, of a member that was down since", b.list[0].Tx)
	}
	g.kill(status.Name)
	g.await(func(v *cluster.View) bool { return !v.Member(status.Name).Up })
	if b, _ = g.server.newest.of(t.Context(), question{db: "neo4j"}, oldAnswer{bolt.Position{DB: seen.db, Tx: 1}}); b.list[0].Tx != want {
		t.Errorf("reads have to see transaction %d; a member that is down gave out %d", b.list[0].Tx, want)
	}
	other := bolt.Position{DB: [16]byte{9}, Tx: 5}
	if b, _ := g.server.newest.of(t.Context(), question{db: "other"}, oldAnswer{other}); b.list[0] != other {
		t.Errorf("of a database that the gate knows nothing of: %v", b.list)
	}
}
