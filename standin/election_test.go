package standin

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// claimants are the members that say they lead the first database.
func (b *bench) claimants() (names []string) {
	for _, m := range b.Members() {
		if b.Role("", m.Name) == cluster.Leader {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestAPartitionedLeaderClaimsForAWhileButCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Members: 5, Seed: 3, ElectionTime: 4 * time.Second})
		old := b.client("s1", bolt.V5_8)
		if err := b.Partition("s1", "s2"); err != nil {
			t.Fatal(err)
		}
		_, err := old.Query("CREATE (n)", nil, nil)
		wantCode(t, err, "Neo.TransientError.Cluster.ReplicationFailure")
		next := b.WaitLeader("", time.Minute)
		if !slices.Contains([]string{"s3", "s4", "s5"}, next) {
			t.Fatalf("got leader %q; want one of the majority", next)
		}
		if got := b.claimants(); len(got) != 2 {
			t.Errorf("right after the election: got claimants %v; want two", got)
		}
		time.Sleep(3 * time.Second)
		if got := b.claimants(); len(got) != 1 || got[0] != next {
			t.Errorf("later: got claimants %v; want %s", got, next)
		}
		row(t, b.client(next, bolt.V5_8), "CREATE (n)", nil, nil)
		if b.Applied("", "s2") != 1 || b.Applied("", next) != 2 {
			t.Error("an entry crossed the partition")
		}
		b.Heal()
		if !b.WaitApplied("", "s1", 2, time.Minute) || b.Role("", "s1") != cluster.Follower {
			t.Error("after healing the old leader does not follow")
		}
	})
}

func TestWithoutAMajorityThereIsNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Replicas: 2})
		b.Kill("s1")
		b.Kill("s2")
		if got := b.WaitLeader("", time.Hour); got != "" {
			t.Errorf("got leader %s of one voter in three", got)
		}
		b.Restart("s2")
		if got := b.WaitLeader("", time.Minute); got == "" {
			t.Error("no leader although a majority is back")
		}
	})
}

func TestAFrozenMemberAcceptsAndAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{ElectionTime: time.Second})
		w := b.wire("s1", bolt.V5_4)
		b.Freeze("s1")
		w.send(w.run("RETURN 1"), w.pull(-1))
		conn, err := b.net.Dial(t.Context(), "", "s1:7687")
		if err != nil {
			t.Fatalf("a frozen member refuses: %v", err)
		}
		defer conn.Close()
		for _, c := range []interface{ SetReadDeadline(time.Time) error }{w, conn} {
			c.SetReadDeadline(time.Now().Add(time.Hour))
		}
		if n, err := w.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("an answer of %d bytes from a frozen member", n)
		}
		if got := b.Leader(""); got == "s1" || got == "" {
			t.Errorf("got leader %q; want another", got)
		}
		b.Thaw("s1")
		w.expect("SUCCESS, RECORD, SUCCESS")
		if b.Role("", "s1") != cluster.Follower {
			t.Error("thawed, it does not follow")
		}
	})
}

func TestLagIsPerMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Replicas: 1, Lag: time.Second})
		b.SetLag("r1", time.Minute)
		row(t, b.client("s1", bolt.V5_0), "CREATE (n)", nil, nil)
		begin := time.Now()
		for member, lag := range map[string]time.Duration{"s2": time.Second, "r1": time.Minute} {
			if at := b.Applied("", member); at != 1 && time.Since(begin) < lag {
				t.Errorf("%s has transaction %d at once", member, at)
			}
		}
		b.WaitApplied("", "r1", 2, time.Hour)
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("r1 had it after %v; want 1m", took)
		}
	})
}

func TestABookmarkAheadTimesOut(t *testing.T) {
	for version, want := range map[string]string{"3.5.35": codeStateChanged, "4.4.48": codeBookmarkTimeout, "5.26.30": codeBookmarkTimeout} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{Generation: cluster.Causal, ServerVersion: version, Lag: time.Hour})
			v := b.member("s1").release().versions[0]
			_, end := row(t, b.client("s1", v), "CREATE (n)", nil, nil)
			begin := time.Now()
			_, err := b.client("s2", v).Query("MATCH (n) RETURN n", nil, map[string]any{"bookmarks": []any{end["bookmark"]}})
			wantCode(t, err, want)
			if took := time.Since(begin); took != 30*time.Second {
				t.Errorf("%s: gave up after %v; want 30s", version, took)
			}
			_, err = b.client("s2", v).Query("MATCH (n) RETURN n", nil, map[string]any{"bookmarks": []any{"rubbish"}})
			wantCode(t, err, codeInvalidBookmark)
		})
	}
}

func TestBookmarkFormats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for version, cases := range map[string]map[bolt.Version]string{
			"3.5.35":  {bolt.V1: "neo4j:bookmark:v1:tx7", bolt.V3: "neo4j:bookmark:v1:tx7"},
			"4.0.12":  {bolt.V3: "neo4j:bookmark:v1:tx7", bolt.V4_0: "00000000-0000-0000-0000-000000000001:7"},
			"4.4.48":  {bolt.V4_4: "FB:kcwQAAAAAAAAAAAAAAAAAAAAAQeQ"},
			"5.26.30": {bolt.V4_4: "FB:kcwQAAAAAAAAAAAAAAAAAAAAAQeQ", 0: "FB:kcwQAAAAAAAAAAAAAAAAAAAAAQeQ"},
		} {
			b := start(t, Options{Generation: cluster.Causal, ServerVersion: version})
			m := b.member("s1")
			for v, want := range cases {
				got := m.bookmark(v, systemUUID, 7)
				list, f := m.parseBookmark(v, got)
				if got != want || f != nil || len(list) != 1 || list[0].tx != 7 {
					t.Errorf("%s over %v: got %s, read back as %v, %v; want %s", version, v, got, list, f, want)
				}
			}
			b.Close()
		}
	})
}

// The real 4.4.48 does so, and drivers of 1.7 fail on it.
func TestBolt3On44RefusesItsOwnBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Generation: cluster.Causal, ServerVersion: "4.4.48"})
		c := b.client("s1", bolt.V3)
		_, end := row(t, c, "CREATE (n)", nil, nil)
		_, err := c.Query("RETURN 1", nil, map[string]any{"bookmarks": []any{end["bookmark"]}})
		wantCode(t, err, codeInvalidBookmark)
		row(t, c, "RETURN 1", nil, map[string]any{"bookmarks": []any{oldBookmark + "2"}})
	})
}

func TestEachDatabaseHasItsOwnLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Databases: []string{"neo4j", "orders"}, Home: map[string]string{"neo4j": "orders"}, Hosting: map[string][]string{"orders": {"s2", "s3"}}})
		if n, o := b.Leader("neo4j"), b.Leader("Orders"); n != "s1" || o != "s3" {
			t.Fatalf("got leaders %s and %s", n, o)
		}
		if err := b.Elect("orders", "s2"); err != nil {
			t.Fatal(err)
		}
		if err := b.Elect("orders", "s1"); err == nil {
			t.Error("a member without the database was elected")
		}
		c := b.client("s2", bolt.V5_8)
		if got, end := row(t, c, "CREATE (n) RETURN n", nil, nil); got["db"] != "orders" || end["db"] != "orders" {
			t.Errorf("home database: got %v, %v", got, end)
		}
		_, err := b.client("s1", bolt.V5_8).Query("MATCH (n) RETURN n", nil, nil)
		wantCode(t, err, bolt.CodeRouting)
		res, err := c.Query("SHOW DATABASES YIELD name, address, writer WHERE name = $db", map[string]any{"db": "orders"}, map[string]any{"db": "system"})
		if err != nil || fmt.Sprint(res.Rows) != "[[orders s2:7687 true] [orders s3:7687 false]]" {
			t.Errorf("got %v, %v", res, err)
		}
		row(t, b.client(b.Leader("system"), bolt.V4_4), "CREATE DATABASE extra", nil, map[string]any{"db": "system"})
		if b.Leader("extra") == "" {
			t.Error("the new database has no leader")
		}
		row(t, b.client(b.Leader("system"), bolt.V4_4), "STOP DATABASE extra", nil, map[string]any{"db": "system"})
		_, err = c.Query("RETURN 1", nil, map[string]any{"db": "extra"})
		wantCode(t, err, bolt.CodeDatabaseUnavailable)
	})
}

func TestServerSideRouting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{SSR: true})
		c := bolt.NewClient(b.raw("s2", bolt.V5_4), bolt.V5_4)
		if err := c.Logon(bolt.HelloOptions{Routing: map[string]string{}}, bolt.Basic(DefaultUser, DefaultPassword)); err != nil {
			t.Fatal(err)
		}
		if got, _ := row(t, c, "CREATE (n) RETURN n", nil, nil); got["member"] != "s1" {
			t.Errorf("got %v; want it forwarded to s1", got)
		}
		if got, _ := row(t, c, "MATCH (n) RETURN n", nil, map[string]any{"mode": "r"}); got["member"] != "s2" {
			t.Errorf("a read: got %v; want s2 itself", got)
		}
		_, err := b.client("s2", bolt.V5_4).Query("CREATE (n)", nil, nil) // its HELLO had no routing
		wantCode(t, err, bolt.CodeNotALeader)
	})
}

func TestMixedVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{ServerVersion: "5.26.30", Override: map[string]Release{"s2": {ServerVersion: "5.4.0"}, "s3": {Versions: []bolt.Version{bolt.V4_4}}}})
		b.client("s1", bolt.V5_8)
		if c := b.client("s2", bolt.V5_0); c.Server != "Neo4j/5.4.0" {
			t.Errorf("got %s", c.Server)
		}
		if _, err := bolt.Handshake(must(b.net.Dial(t.Context(), "", "s3:7687")), bolt.V5_8, bolt.V5_0); err != bolt.ErrNoVersion {
			t.Errorf("got %v; want no version in common", err)
		}
	})
}

func TestAnUpgradeTakesEffectAtTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{ServerVersion: "4.4.48"})
		if err := b.Upgrade("s1", Release{ServerVersion: "5.26.30"}); err == nil {
			t.Error("a running member was upgraded")
		}
		b.client(b.Leader(""), bolt.V4_4).Query("CREATE (n)", map[string]any{"mark": "before"}, nil)
		for _, version := range []string{"5.26.30", "2026.08.1", "4.4.48"} {
			b.Kill("s1")
			if err := b.Upgrade("s1", Release{ServerVersion: version}); err != nil {
				t.Fatal(err)
			}
			b.Restart("s1")
			if c := b.client("s1", bolt.V4_4); c.Server != "Neo4j/"+version {
				t.Errorf("got %s; want %s", c.Server, version)
			}
		}
		b.Kill("s1")
		if err := b.Upgrade("s1", Release{ServerVersion: "3.5.35"}); err == nil {
			t.Error("a member of 4.4 became a 3.5, whose databases have no names")
		}
		if log := b.Log(""); len(log) != 1 || log[0].Marks[0] != "before" {
			t.Errorf("the log after all that: %v", log)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestNoCommittedWriteIsLost kills, freezes and cuts off members under writers, and asks afterwards for every write that
// was acknowledged.
func TestNoCommittedWriteIsLost(t *testing.T) {
	for seed := range int64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{Seed: seed, ElectionTime: time.Second, Lag: 50 * time.Millisecond})
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			acknowledged := make(map[any]bool)
			for i := range 60 {
				b.trouble(random)
				if leader := b.Leader(""); leader != "" {
					c := b.client(leader, bolt.V5_4)
					if _, err := c.Query("CREATE (n)", map[string]any{"mark": i}, nil); err == nil {
						acknowledged[int64(i)] = true
					}
					c.Close()
				}
				time.Sleep(300 * time.Millisecond)
			}
			for _, e := range b.Log("") {
				delete(acknowledged, e.Marks[0])
			}
			if len(acknowledged) > 0 {
				t.Errorf("seed %d: lost %v", seed, acknowledged)
			}
		})
	}
}

func (b *bench) trouble(random *rand.Rand) {
	name := fmt.Sprintf("s%d", 1+random.IntN(3))
	switch random.IntN(8) {
	case 0:
		b.Kill(name)
	case 1:
		b.Freeze(name)
	case 2:
		b.Partition(name)
	case 3, 4:
		b.Heal()
		for _, m := range b.Members() {
			b.Thaw(m.Name)
			if !b.Alive(m.Name) {
				b.Restart(m.Name)
			}
		}
	}
}
