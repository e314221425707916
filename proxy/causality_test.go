package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what reads have to see, over Bolt, before members that lag.

const (
	aMark    = "CREATE (n {mark: $mark})"
	theCount = "MATCH (n {mark: $mark}) RETURN count(n) AS n"
)

// lagging is a cluster whose followers are behind.
func lagging(g cluster.Generation, server string, lag time.Duration) standin.Options {
	o := standin.Options{Generation: g, ServerVersion: server, Members: 3, Replicas: 1, Seed: 1, Lag: lag}
	if g == cluster.HA {
		o.Replicas = 0
	}
	return o
}

// watched counts who ran the reads of theCount.
type watched struct {
	mu sync.Mutex
	by map[string]int
}

func (w *watched) into(o *standin.Options) {
	w.by = map[string]int{}
	o.OnQuery = func(q standin.Query) {
		if q.Text == theCount {
			w.mu.Lock()
			w.by[q.Runs]++
			w.mu.Unlock()
		}
	}
}

// offLeader is how many reads others than the leader ran, and how many there were.
func (w *watched) offLeader(leader string) (off, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for member, n := range w.by {
		all += n
		if member != leader {
			off += n
		}
	}
	return off, all
}

// sees tells whether a read finds what was written with a mark.
func sees(t testing.TB, c *bolt.Client, mark any) bool {
	t.Helper()
	return query(t, c, theCount, m{"mark": mark}, nil)["n"] == int64(1)
}

func TestAReadThatWeMovedSeesWhatItsUserWroteElsewhere(t *testing.T) {
	for _, c := range []struct {
		generation cluster.Generation
		server     string
		version    bolt.Version
		away       bool // from the leader, though the user wrote just before
	}{
		{cluster.Causal, "3.5.35", bolt.V1, false},
		{cluster.Causal, "3.5.35", bolt.V2, false},
		{cluster.Causal, "3.5.35", bolt.V3, true},
		{cluster.HA, "3.5.35", bolt.V3, false},
		{cluster.Causal, "4.0.12", bolt.V3, true},
		{cluster.Causal, "4.0.12", bolt.V4_0, true},
		{cluster.Causal, "4.4.48", bolt.V3, true},
		{cluster.Causal, "4.4.48", bolt.V4_4, true},
		{cluster.Autonomous, "5.26.30", bolt.V5_8, true},
		{cluster.Autonomous, "2026.08.1", bolt.V6_1, true},
	} {
		t.Run(fmt.Sprintf("%v %s Bolt %v", c.generation, c.server, c.version), func(t *testing.T) {
			t.Parallel()
			var reads watched
			o := gateOptions{standin: lagging(c.generation, c.server, 20*time.Millisecond)}
			reads.into(&o.standin)
			g := startGate(t, o)
			writer, reader := g.dial(c.version), g.dial(c.version)
			const rounds = 40
			for i := range rounds {
				query(t, writer, aMark, m{"mark": i}, nil)
				if !sees(t, reader, i) {
					t.Fatalf("round %d: the read does not see the write before it; reads ran at %v, the leader is %s", i, reads.by, g.cluster.Leader(""))
				}
			}
			off, all := reads.offLeader(g.cluster.Leader(""))
			if c.away && off < rounds*95/100 {
				t.Errorf("%d of %d reads ran off the leader (%v); want 95 %%", off, all, reads.by)
			}
			if !c.away && all == off {
				t.Error("no read ran at the leader: how did it see the write?")
			}
		})
	}
}

// TestReadsAfterTheLastWriteAreForAllMembers: whoever answered first does not serve all of them.
func TestReadsAfterTheLastWriteAreForAllMembers(t *testing.T) {
	var reads watched
	o := gateOptions{standin: lagging(cluster.Causal, "4.4.48", 0)} // checks do not tell transactions
	reads.into(&o.standin)
	g := startGate(t, o)
	c := g.dial(bolt.V4_4)
	query(t, c, aMark, m{"mark": "a"}, nil)
	const rounds = 600
	for range rounds {
		if !sees(t, c, "a") {
			t.Fatal("a read misses the write before it")
		}
	}
	for s := range g.current.View().Readers("neo4j") {
		if n := reads.by[s.Name]; n < rounds/6 {
			t.Errorf("%s served %d of %d reads (%v)", s.Name, n, rounds, reads.by)
		}
	}
}

func TestWithoutCausalityAReadMayMissWhatItsUserWrote(t *testing.T) {
	o := gateOptions{standin: lagging(cluster.Autonomous, "", 20*time.Millisecond), frontend: func(f *Frontend) { f.Causality = CausalityNone }}
	g := startGate(t, o)
	writer, reader := g.dial(bolt.V5_8), g.dial(bolt.V5_8)
	for i := range 40 {
		query(t, writer, aMark, m{"mark": i}, nil)
		if !sees(t, reader, i) {
			return
		}
	}
	t.Error("no read missed its user's write, though members lag: this test's sister proves nothing")
}

func TestASessionSeesItsOwnWritesAndMayMissThoseOfOthers(t *testing.T) {
	o := gateOptions{standin: lagging(cluster.Autonomous, "", 20*time.Millisecond), frontend: func(f *Frontend) { f.Causality = CausalitySession }}
	g := startGate(t, o)
	writer, reader := g.dial(bolt.V5_8), g.dial(bolt.V5_8)
	missed := 0
	for i := range 40 {
		query(t, writer, aMark, m{"mark": i}, nil)
		if !sees(t, reader, i) {
			missed++
		}
		if !sees(t, writer, i) {
			t.Fatalf("round %d: a session does not see its own write", i)
		}
	}
	if missed == 0 {
		t.Error("no session waited less for another's write than for its own")
	}
}

func TestTransactionsAreSeenToo(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 20*time.Millisecond)})
	w, reader := g.logged(bolt.V5_8), g.dial(bolt.V5_8)
	for i := range 20 {
		w.ask(beginTx(w.v, nil)...)
		w.ask(run(w.v, aMark, m{"mark": i}, nil), pull(w.v))
		w.ask(commitTx(w.v)...)
		if !sees(t, reader, i) {
			t.Fatalf("round %d: the read does not see the transaction before it", i)
		}
	}
}

func TestAReadLeavesAMemberThatDoesNotCatchUp(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		o := gateOptions{
			standin:  standin.Options{Generation: cluster.Causal, Members: 3, Seed: 1},
			frontend: func(f *Frontend) { f.CausalityWait = 100 * time.Millisecond },
		}
		if v > bolt.V4_4 {
			o.standin.Generation = cluster.Autonomous
		}
		var reads watched
		reads.into(&o.standin)
		g := startGate(t, o)
		leader := g.cluster.Leader("neo4j")
		var lame, sound string
		for _, name := range []string{"s1", "s2", "s3"} {
			switch {
			case name == leader:
			case lame == "":
				lame = name
			default:
				sound = name
			}
		}
		g.cluster.SetLag(lame, time.Hour) //nolint:errcheck // it is there
		writer, reader := g.dial(v), g.dial(v)
		for i := range 20 {
			query(t, writer, aMark, m{"mark": i}, nil)
			if !sees(t, reader, i) {
				t.Fatalf("Bolt %v, round %d: the read does not see the write before it", v, i)
			}
		}
		if reads.by[sound] < 19 || reads.by[lame] > 0 {
			t.Errorf("Bolt %v: reads ran at %v; want nearly all at %s, which is not behind", v, reads.by, sound)
		}
		g.cluster.SetLag(sound, time.Hour) //nolint:errcheck // it is there
		started := time.Now()
		query(t, writer, aMark, m{"mark": "last"}, nil)
		if !sees(t, reader, "last") || reads.by[leader] == 0 {
			t.Errorf("Bolt %v: with all others behind reads ran at %v; want the leader %s", v, reads.by, leader)
		}
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("Bolt %v: with all others behind a read took %v", v, took)
		}
	}
}

// TestAReadThatWaitsForABookmarkGoesToTheNextLeader: it began when there was none, at a member that does not get there.
func TestAReadThatWaitsForABookmarkGoesToTheNextLeader(t *testing.T) {
	const election = 5 * time.Second
	for _, v := range []bolt.Version{bolt.V3, bolt.V5_8} {
		o := gateOptions{standin: standin.Options{Generation: cluster.Causal, ServerVersion: "3.5.35", Members: 3, Seed: 1, ElectionTime: election}}
		if v > bolt.V3 {
			o.standin.Generation, o.standin.ServerVersion = cluster.Autonomous, ""
		}
		for _, explicit := range []bool{true, false} {
			inBubble(t, o, func(t *testing.T, g *gate) {
				w := g.logged(v)
				leader := g.cluster.Leader("")
				for _, name := range []string{"s1", "s2", "s3"} {
					g.cluster.SetLag(name, time.Hour) //nolint:errcheck // it is there
				}
				list := w.ask(run(v, aMark, m{"mark": "b"}, nil), pull(v))
				bookmark := list[len(list)-1].meta()["bookmark"]
				g.kill(leader)
				g.await(func(v *cluster.View) bool { return v.Leader("") == nil })
				extra := m{"mode": "r", "bookmarks": []any{bookmark}}
				started := time.Now()
				if explicit {
					w.ask(beginTx(v, extra)...)
					extra = nil
				}
				row := w.row(theCount, m{"mark": "b"}, extra)
				if took := time.Since(started); row["n"] != int64(1) || row["member"] == leader || took > election+election/4+2*time.Second {
					t.Errorf("Bolt %v, explicit %v: answered %v after %v", v, explicit, row, took)
				}
			})
		}
	}
}

func TestADeclaredReadGoesToAMemberThatHasItsBookmark(t *testing.T) {
	o := gateOptions{standin: standin.Options{Members: 3, Seed: 1}, frontend: func(f *Frontend) { f.CausalityWait = 100 * time.Millisecond }}
	var reads watched
	reads.into(&o.standin)
	g := startGate(t, o)
	leader := g.cluster.Leader("neo4j")
	for _, name := range []string{"s1", "s2", "s3"} {
		if name != leader {
			g.cluster.SetLag(name, time.Hour) //nolint:errcheck // it is there
			break
		}
	}
	w := g.dial(bolt.V5_8)
	for i := range 10 {
		res, err := w.Query(aMark, m{"mark": i}, m{})
		if err != nil {
			t.Fatal(err)
		}
		row := query(t, w, theCount, m{"mark": i}, m{"mode": "r", "bookmarks": []any{res.Summary["bookmark"]}})
		if row["n"] != int64(1) {
			t.Fatalf("round %d: a read does not see what its bookmark says", i)
		}
	}
	if off, all := reads.offLeader(leader); off < all {
		t.Errorf("%d of %d declared reads went to the leader, though another member has all", all-off, all)
	}
}

// TestTheFirstReadGoesToTheMemberThatChecksFoundCaughtUp: no answer has told yet how far any reader is.
func TestTheFirstReadGoesToTheMemberThatChecksFoundCaughtUp(t *testing.T) {
	for _, declared := range []bool{true, false} {
		for _, first := range []string{"s2", "s3", "s4"} {
			t.Run(fmt.Sprintf("%s, declared %v", first, declared), func(t *testing.T) { firstReadGoesTo(t, first, declared) })
		}
	}
}

func firstReadGoesTo(t *testing.T, first string, declared bool) {
	o := gateOptions{standin: standin.Options{Members: 4, Seed: 1, BookmarkWait: 2 * time.Hour}, frontend: func(f *Frontend) { f.CausalityWait = time.Hour }}
	var reads watched
	reads.into(&o.standin)
	inBubble(t, o, func(t *testing.T, g *gate) {
		g.leaders(map[string]string{"neo4j": "s1"})
		for _, name := range []string{"s2", "s3", "s4"} {
			if name != first {
				g.cluster.SetLag(name, time.Hour) //nolint:errcheck // it is there
			}
		}
		w := g.logged(bolt.V5_8)
		list := w.ask(run(w.v, aMark, m{"mark": "a"}, nil), pull(w.v))
		extra := m{}
		if declared {
			extra = m{"mode": "r", "bookmarks": []any{list[len(list)-1].meta()["bookmark"]}}
		}
		g.await(func(v *cluster.View) bool {
			return v.Member(first).ProgressOf("neo4j").Tx == g.cluster.Applied("", "s1")
		})
		began := time.Now()
		row := w.row(theCount, m{"mark": "a"}, extra)
		if took := time.Since(began); row["n"] != int64(1) || reads.by[first] != 1 || len(reads.by) > 1 || took > time.Second {
			t.Errorf("got %v by %v after %v; want %s at once, which has the transaction", row, reads.by, took, first)
		}
	})
}

func TestARefusedBookmarkOfOursIsNotForTheClient(t *testing.T) {
	o := gateOptions{standin: lagging(cluster.Autonomous, "", 0), frontend: func(f *Frontend) { f.CausalityWait = 50 * time.Millisecond }}
	o.standin.BookmarkWait = 200 * time.Millisecond
	g := startGate(t, o)
	writer, reader := g.dial(bolt.V5_8), g.dial(bolt.V5_8)
	query(t, writer, aMark, m{"mark": "a"}, nil)
	l := g.onlyLogin()
	for what, p := range map[string]bolt.Position{
		"of a database that is gone": {DB: [16]byte{1, 2, 3}, Tx: 1},
		"ahead of all":               {DB: l.marks.all()[0].db, Tx: 1 << 40},
	} {
		l.marks.raise(p, bolt.BookmarkFabric, time.Now())
		g.server.databases.known.Store(nil) // so that all marks are added
		if !sees(t, reader, "a") {
			t.Errorf("a bookmark %s: the read does not see the write", what)
		}
		for _, k := range l.marks.all() {
			if k.db == p.DB && k.tx.Load() == p.Tx {
				t.Errorf("a bookmark %s is kept, and will be refused again", what)
			}
		}
	}
}

// onlyLogin is the login of tests that have one user.
func (g *gate) onlyLogin() *login {
	g.server.logins.mu.Lock()
	defer g.server.logins.mu.Unlock()
	for _, l := range g.server.logins.known {
		return l
	}
	g.t.Fatal("nobody is logged on")
	return nil
}

func TestBookmarksThatAreNonePassUntouched(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 0)})
	c := g.dial(bolt.V5_8)
	query(t, c, aMark, m{"mark": "a"}, nil)
	for _, extra := range []m{
		{"bookmarks": []any{"nonsense"}}, {"bookmarks": []any{int64(1)}}, {"bookmarks": "nonsense"}, {"bookmarks": int64(7)},
		{"bookmarks": []any{"FB:", "FB:%"}}, {"bookmarks": []any{"nonsense"}, "mode": "r"},
	} {
		_, err := c.Query(theCount, m{"mark": "a"}, extra)
		if f, ok := errors.AsType[*bolt.Failure](err); !ok || f.Code != bolt.CodeInvalidBookmark {
			t.Errorf("%v: got %v; want the member's own InvalidBookmark", extra, err)
		}
	}
	for _, extra := range []m{{"bookmarks": nil}, {"bookmarks": []any{}}, {"bookmarks": []any{"FB:"}}} {
		if got := query(t, c, theCount, m{"mark": "a"}, extra)["n"]; got != int64(1) {
			t.Errorf("%v: the read does not see the write", extra)
		}
	}
}

// TestWhereNoBookmarkCanBeAddedReadsComeBackWithTheChecks has Bolt 1, which has none.
func TestWhereNoBookmarkCanBeAddedReadsComeBackWithTheChecks(t *testing.T) {
	for _, generation := range []cluster.Generation{cluster.Causal, cluster.HA} {
		t.Run(generation.String(), func(t *testing.T) {
			t.Parallel()
			o := gateOptions{standin: lagging(generation, "3.5.35", time.Hour), health: func(h *health.Options) { h.Interval = 20 * time.Millisecond }}
			var reads watched
			reads.into(&o.standin)
			g := startGate(t, o)
			leader := g.cluster.Leader("")
			writer, reader := g.dial(bolt.V1), g.dial(bolt.V1)
			query(t, writer, aMark, m{"mark": "a"}, nil)
			before := g.current.View().At
			for range 5 { // through some checks
				g.await(func(v *cluster.View) bool { return v.At.Sub(before) > 100*time.Millisecond })
				before = g.current.View().At
				if !sees(t, reader, "a") {
					t.Fatal("a read does not see its user's write, which only the leader has")
				}
			}
			if off, _ := reads.offLeader(leader); off > 0 {
				t.Fatalf("reads ran at %v; want the leader %s alone", reads.by, leader)
			}
			for _, s := range g.current.View().Members {
				g.cluster.SetLag(s.Name, 0) //nolint:errcheck // it is there
			}
			for deadline := time.Now().Add(patience); ; {
				if !sees(t, reader, "a") {
					t.Fatal("a read does not see its user's write")
				}
				if off, _ := reads.offLeader(leader); off > 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("reads stay at the leader for good: %+v", g.current.View().Members[1].Progress)
				}
			}
		})
	}
}

func TestWhatIsRememberedOfAUserIsBounded(t *testing.T) {
	var k marks
	now := time.Now()
	for i := range 3 * maxMarks {
		now = now.Add(time.Second)
		k.raise(bolt.Position{DB: [16]byte{byte(i)}, Tx: int64(i)}, bolt.BookmarkFabric, now)
		if len(k.all()) > maxMarks {
			t.Fatalf("%d databases are remembered", len(k.all()))
		}
		if want := i >= maxMarks; (k.since(true, now).IsZero()) == want {
			t.Fatalf("after %d databases: a mark that made room is remembered by time: %v; want %v", i+1, !want, want)
		}
		if k.of([16]byte{byte(i)}) == nil {
			t.Fatal("the newest database made room for itself")
		}
	}
	k.forget(now)
	if len(k.all()) > 0 || k.since(true, now).IsZero() {
		t.Error("what is forgotten has to be remembered by time")
	}
}

func TestMarksKeepTheHighestTransaction(t *testing.T) {
	var k marks
	now := time.Now()
	for _, tx := range []int64{5, 9, 7} {
		k.raise(bolt.Position{DB: [16]byte{1}, Tx: tx}, bolt.BookmarkFabric, now)
	}
	if got := k.of([16]byte{1}).tx.Load(); got != 9 {
		t.Errorf("after 5, 9 and 7 the mark is %d; want 9", got)
	}
}

func TestTheNamesOfDatabasesAreBounded(t *testing.T) {
	var d databases
	for i := range maxDatabases + 100 {
		d.learn([]byte(fmt.Sprint("db", i)), [16]byte{byte(i >> 8), byte(i)}, true)
	}
	if n := len(d.known.Load().ids); n > maxDatabases {
		t.Errorf("%d names are kept", n)
	}
	if _, known := d.id([]byte(fmt.Sprint("db", maxDatabases+99))); !known {
		t.Error("the newest name is not kept")
	}
}

// TestASlowQueryAtAMemberThatHasItsBookmarkIsLeftAlone: it is not the bookmark that takes time.
func TestASlowQueryAtAMemberThatHasItsBookmarkIsLeftAlone(t *testing.T) {
	o := gateOptions{standin: lagging(cluster.Autonomous, "", 0), frontend: func(f *Frontend) { f.CausalityWait = 50 * time.Millisecond }}
	var reads watched
	reads.into(&o.standin)
	g := startGate(t, o)
	writer, reader := g.dial(bolt.V5_8), g.dial(bolt.V5_8)
	query(t, writer, aMark, m{"mark": "a"}, nil)
	for range 2 { // the member that reads go to now is seen to have it
		if !sees(t, reader, "a") {
			t.Fatal("a read misses the write before it")
		}
	}
	_, before := reads.offLeader("")
	started := time.Now()
	if row := query(t, reader, theCount, m{"mark": "a", "delay": "300ms"}, nil); row["n"] != int64(1) {
		t.Fatalf("got %v", row)
	}
	if _, after := reads.offLeader(""); after != before+1 || time.Since(started) < 300*time.Millisecond {
		t.Errorf("a query of 300 ms was run %d times in %v; want once", after-before, time.Since(started))
	}
}

// TestHeard: what a bookmark says does not depend on which one came before it.
func TestHeard(t *testing.T) {
	a := bolt.AppendBookmark(nil, bolt.BookmarkFabric, bolt.Position{DB: [16]byte{1}, Tx: 7})
	b := bolt.AppendBookmark(nil, bolt.BookmarkUUID, bolt.Position{DB: [16]byte{2}, Tx: 8})
	long := append([]byte("FB:"), bytes.Repeat([]byte("A"), 2*maxHeard)...)
	var h heard
	for i, text := range [][]byte{a, a, b, nil, a, []byte("nonsense"), b, b, long, long, a, nil, nil} {
		want, wantFormat := bolt.ParseBookmark(nil, text)
		text = slices.Clone(text)
		list, format := h.parse(text)
		if format != wantFormat || !slices.Equal(list, want) {
			t.Errorf("%d: %q says %v %v, not %v %v", i, text, format, list, wantFormat, want)
		}
		clear(text) // it was borrowed
	}
	if n := testing.AllocsPerRun(100, func() { h.parse(a); h.parse(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
