package proxy

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/standin"
)

// blindGate is a gate whose checks have no login; members tell roles to nobody without one.
func blindGate(t *testing.T, so standin.Options, more func(*gateOptions)) *gate {
	t.Helper()
	o := gateOptions{standin: so, health: func(h *health.Options) {
		h.User, h.Password, h.Generation = "", "", cluster.UnknownGeneration
	}}
	o.server.Learn = Learn{Every: 100 * time.Millisecond, Fast: 20 * time.Millisecond, Timeout: 5 * time.Second}
	if more != nil {
		more(&o)
	}
	g := startGateBlind(t, o)
	g.await(func(v *cluster.View) bool {
		for _, m := range v.Members {
			if !m.Up {
				return false
			}
		}
		return v.Blind && len(v.Versions) > 0
	})
	return g
}

// oneRole says that a database of a stand-in's is told to have this role by the View.
func (g *gate) agrees(db string) func(*cluster.View) bool {
	return func(v *cluster.View) bool {
		for _, m := range v.Members {
			if m.Role(db) != g.cluster.Role(db, m.Name) {
				return false
			}
		}
		return v.Leader(db) != nil
	}
}

func TestRolesAreLearnedFromRoutingTablesWhereChecksHaveNoLogin(t *testing.T) {
	for _, tt := range []struct {
		server     string
		generation cluster.Generation
		versions   []bolt.Version
	}{
		{"3.1.9", cluster.Causal, []bolt.Version{bolt.V1}},
		{"3.5.35", cluster.Causal, []bolt.Version{bolt.V3, bolt.V2}},
		{"4.0.12", cluster.Causal, []bolt.Version{bolt.V4_0}},
		{"4.3.24", cluster.Causal, []bolt.Version{bolt.V4_3}},
		{"4.4.48", cluster.Causal, []bolt.Version{bolt.V4_4}},
		{"5.0.0", cluster.Autonomous, []bolt.Version{bolt.V5_0}},
		{"5.26.30", cluster.Autonomous, []bolt.Version{bolt.V5_8}},
	} {
		for _, v := range tt.versions {
			t.Run(fmt.Sprintf("%s Bolt %v", tt.server, v), func(t *testing.T) {
				t.Parallel()
				so := standin.Options{Generation: tt.generation, ServerVersion: tt.server, Members: 3, Replicas: 1, Seed: 5}
				if tt.server >= "4" {
					so.Databases = []string{"neo4j", "orders"}
				}
				g := blindGate(t, so, nil)
				if g.current.View().Leader("") != nil {
					t.Fatal("a leader is known although nobody could tell")
				}
				w := g.dial(v)
				row := query(t, w, "CREATE (n) RETURN n", nil, nil)
				if leader := g.cluster.Leader(row0(so)); row["member"] != leader {
					t.Errorf("the first write was taken by %v; want the leader %s", row["member"], leader)
				}
				if got := g.current.View().Generation; got != tt.generation {
					t.Errorf("generation: got %v", got)
				}
				g.await(g.agrees(row0(so)))
				if so.Databases == nil {
					return
				}
				query(t, w, "CREATE (n) RETURN n", nil, map[string]any{"db": "orders"})
				g.await(g.agrees("orders"))
				g.await(g.agrees("system"))
			})
		}
	}
}

// row0 is the name of the first database; "" where there is one without a name.
func row0(o standin.Options) string {
	if len(o.Databases) == 0 {
		return ""
	}
	return o.Databases[0]
}

func TestALearnedLeaderThatIsLostIsReplaced(t *testing.T) {
	for name, lose := range map[string]func(*gate, string) error{
		"killed": func(g *gate, leader string) error { return g.cluster.Kill(leader) },
		"steps down": func(g *gate, leader string) error {
			return g.cluster.Elect("neo4j", map[bool]string{true: "s2", false: "s1"}[leader == "s1"])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := blindGate(t, standin.Options{Seed: 3, Databases: []string{"neo4j"}, ElectionTime: 300 * time.Millisecond}, nil)
			w := g.dial(bolt.V5_8)
			query(t, w, "CREATE (n) RETURN n", nil, nil)
			old := g.cluster.Leader("neo4j")
			if err := lose(g, old); err != nil {
				t.Fatal(err)
			}
			if name == "killed" { // while the gate believes in it, a write may be lost with it
				g.await(func(v *cluster.View) bool { return !v.Member(old).Up })
			}
			row := query(t, w, "CREATE (n) RETURN n", nil, nil)
			if leader := g.cluster.Leader("neo4j"); row["member"] != leader || leader == old {
				t.Errorf("the write after %s was lost was taken by %v; the leader is %s", old, row["member"], leader)
			}
			g.await(func(v *cluster.View) bool {
				l := v.Leader("neo4j")
				return l != nil && l.Name == g.cluster.Leader("neo4j")
			})
		})
	}
}

func TestATableWithASingleAddressLetsWorkWait(t *testing.T) {
	g := blindGate(t, standin.Options{Generation: cluster.Standalone, ServerVersion: "4.4.48"}, func(o *gateOptions) {
		o.server.Hold = 500 * time.Millisecond
		blind := o.health
		o.health = func(h *health.Options) {
			blind(h)
			for _, m := range h.Members {
				m.HTTP = "" // whose document would say that it is on its own
			}
		}
	})
	w := g.dial(bolt.V4_4)
	_, err := w.Query("CREATE (n) RETURN n", nil, nil)
	if f, ok := errors.AsType[*bolt.Failure](err); !ok || f.Code != bolt.CodeLeaderSwitch {
		t.Errorf("got %v; want LeaderSwitch", err)
	}
	if v := g.current.View(); v.Generation != cluster.UnknownGeneration || v.Leader("") != nil {
		t.Errorf("a single address was taken for evidence: %v", v.Generation)
	}
}

// A wrong password that clients send must not be repeated by us, and one that is changed must not be tried for ever.
func TestALoginThatIsRefusedIsNotAskedBy(t *testing.T) {
	g := blindGate(t, standin.Options{Seed: 2, Databases: []string{"neo4j"}}, nil)
	if _, err := g.tryDial(bolt.V5_8, bolt.Basic(standin.DefaultUser, "wrong")); err == nil {
		t.Fatal("a wrong password was accepted")
	}
	if u, id := g.server.logins.asker(nil); u != nil || id != nil {
		t.Error("a login that no member accepted is asked by")
	}
	w := g.dial(bolt.V5_8)
	g.await(g.agrees("neo4j"))
	u, _ := g.server.logins.asker(nil)
	g.server.logins.mute(u)
	if again, _ := g.server.logins.asker(u); again != nil {
		t.Error("a login that was refused is asked by")
	}
	w.Close()
	g.dial(bolt.V5_8)
	if again, _ := g.server.logins.asker(nil); again == nil {
		t.Error("a login that was accepted anew is not asked by")
	}
}

func TestNobodyIsAskedByTheLoginOfAClientThatLeft(t *testing.T) {
	g := blindGate(t, standin.Options{Seed: 2, Databases: []string{"neo4j"}}, nil)
	w := g.dial(bolt.V5_8)
	g.await(g.agrees("neo4j"))
	w.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if u, _ := g.server.logins.asker(nil); u == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the credential of a client that left is kept")
		}
	}
}

func TestMembersAreAskedOnceAnInterval(t *testing.T) {
	const fast = 20 * time.Millisecond
	var asked atomic.Int64
	g := blindGate(t, standin.Options{Generation: cluster.Causal, ServerVersion: "3.5.35", Seed: 4, OnQuery: func(q standin.Query) {
		if isRoutingCall([]byte(q.Text)) {
			asked.Add(1)
		}
	}}, func(o *gateOptions) { o.server.Learn = Learn{Every: time.Hour, Fast: fast} })
	w := g.dial(bolt.V3)
	g.await(g.agrees(""))
	settled := func() int64 { // what was under way has come
		n := asked.Load()
		time.Sleep(10 * fast)
		return asked.Load() - n
	}
	waitFor(t, "the questions pause", func() bool { return settled() == 0 })
	before := asked.Load()
	for range 50 {
		query(t, w, "MATCH (n) RETURN n", nil, nil)
	}
	g.dial(bolt.V3) // a new session is no reason, but that there was none
	if more := asked.Load() - before + settled(); more > 3 {
		t.Errorf("%d questions in an hour's pause; want one a member at most", more)
	}
	if err := g.cluster.Elect("", map[bool]string{true: "s2", false: "s1"}[g.cluster.Leader("") == "s1"]); err != nil {
		t.Fatal(err)
	}
	query(t, w, "CREATE (n) RETURN n", nil, nil) // refused by the old leader: that is a reason
	g.await(g.agrees(""))
}
