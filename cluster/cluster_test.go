package cluster

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// up is a member that is up and ready, with roles by database.
func up(name string, roles map[string]Role) *Status {
	return &Status{Member: &Member{Name: name}, Up: true, Roles: roles}
}

func names(v *View, db string) (leader string, readers []string) {
	if l := v.Leader(db); l != nil {
		leader = l.Name
	}
	for s := range v.Readers(db) {
		readers = append(readers, s.Name)
	}
	return leader, readers
}

func TestRolesByDatabase(t *testing.T) {
	v := &View{Default: "neo4j", Members: []*Status{
		up("a", map[string]Role{"neo4j": Leader, "system": Follower, "sales": Follower}),
		up("b", map[string]Role{"neo4j": Follower, "system": Leader}),
		up("c", map[string]Role{"neo4j": Replica, "system": Follower, "sales": Leader}),
	}}
	tests := []struct {
		db, leader string
		readers    []string
	}{
		{"neo4j", "a", []string{"b", "c"}},
		{"", "a", []string{"b", "c"}},
		{"system", "b", []string{"a", "c"}},
		{"sales", "c", []string{"a"}},
		{"nowhere", "", nil},
	}
	for _, tt := range tests {
		if leader, readers := names(v, tt.db); leader != tt.leader || !slices.Equal(readers, tt.readers) {
			t.Errorf("%q: got %s, readers %v; want %s, %v", tt.db, leader, readers, tt.leader, tt.readers)
		}
	}
}

func TestRolesOfTheMember(t *testing.T) {
	v := &View{Members: []*Status{up("a", map[string]Role{AnyDatabase: Leader}), up("b", map[string]Role{AnyDatabase: Follower})}}
	for _, db := range []string{"", "neo4j", "graph.db"} {
		if leader, readers := names(v, db); leader != "a" || !slices.Equal(readers, []string{"b"}) {
			t.Errorf("%q: got %s, %v; want a, b", db, leader, readers)
		}
	}
	own := up("a", map[string]Role{AnyDatabase: Follower, "sales": Leader})
	if own.Role("sales") != Leader || own.Role("other") != Follower {
		t.Error("a role for one database does not come before the member's")
	}
}

func TestWhatTakesAMemberOut(t *testing.T) {
	out := map[string]func(*Status){
		"down":  func(s *Status) { s.Up = false },
		"drain": func(s *Status) { s.Condition = Drain },
		"maint": func(s *Status) { s.Condition = Maint },
	}
	for name, take := range out {
		a, b := up("a", map[string]Role{AnyDatabase: Leader}), up("b", map[string]Role{AnyDatabase: Follower})
		v := &View{Members: []*Status{a, b}}
		take(a)
		if leader, readers := names(v, ""); leader != "" || !slices.Equal(readers, []string{"b"}) || a.Role("") != Unknown {
			t.Errorf("the leader is %s: got %q, %v; want none, b", name, leader, readers)
		}
		take(b)
		if leader, readers := names(v, ""); leader != "" || readers != nil {
			t.Errorf("all are %s: got %q, %v; want nobody", name, leader, readers)
		}
		for s := range v.Up() {
			t.Errorf("all are %s: %s is up for new work", name, s.Name)
		}
		if v.Member("a") != a || v.Member("b") != b || v.Member("c") != nil {
			t.Errorf("all are %s: members cannot be found by name", name)
		}
	}
}

func TestReadersStopEarly(t *testing.T) {
	v := &View{Members: []*Status{up("a", map[string]Role{"": Follower}), up("b", map[string]Role{"": Replica})}}
	for s := range v.Readers("") {
		if s.Name != "a" {
			t.Errorf("got %s; want the first alone", s.Name)
		}
		break
	}
	for s := range v.Up() {
		if s.Name != "a" {
			t.Errorf("got %s; want the first alone", s.Name)
		}
		break
	}
}

func TestSpeaks(t *testing.T) {
	s := &Status{Versions: []bolt.Version{bolt.V5_8, bolt.V4_4}}
	for v, want := range map[bolt.Version]bool{0: true, bolt.V5_8: true, bolt.V4_4: true, bolt.V5_7: false, bolt.V3: false} {
		if s.Speaks(v) != want {
			t.Errorf("%v: got %v; want %v", v, !want, want)
		}
	}
	if (&Status{}).Speaks(bolt.V5_8) {
		t.Error("a member that was never probed speaks 5.8")
	}
}

func TestLookUpsDoNotAllocate(t *testing.T) {
	v := &View{Default: "neo4j", Members: []*Status{up("a", map[string]Role{"neo4j": Follower}), up("b", map[string]Role{"neo4j": Leader})}}
	n := testing.AllocsPerRun(100, func() {
		for range v.Readers("") {
		}
		for range v.Up() {
		}
		v.Leader("neo4j")
		v.Member("b")
	})
	if n != 0 {
		t.Errorf("looking up allocates %v times", n)
	}
}

func TestPublishWakes(t *testing.T) {
	var c Current
	first := c.View()
	if len(first.Members) != 0 || c.View() != first {
		t.Fatalf("the zero Current's View is %v", first)
	}
	select {
	case <-first.Replaced():
		t.Fatal("the first View was replaced by nothing")
	default:
	}
	for i := range 3 {
		old, next := c.View(), &View{Default: fmt.Sprint(i)}
		c.Publish(next)
		select {
		case <-old.Replaced():
		default:
			t.Fatal("nobody was woken")
		}
		if c.View() != next {
			t.Fatalf("got %v; want the View that was published", c.View())
		}
	}
}

func TestPublishBeforeAnybodyLooked(t *testing.T) {
	var c Current
	v := &View{Default: "neo4j"}
	c.Publish(v)
	if c.View() != v {
		t.Errorf("got %v; want what was published", c.View())
	}
}

func TestReportNeverBlocks(t *testing.T) {
	var c Current
	for range 3 * reportQueue {
		c.Report("a", "neo4j", NotALeader)
	}
	for range reportQueue {
		if r := <-c.Reports(); r != (Report{Member: "a", DB: "neo4j", Why: NotALeader}) {
			t.Fatalf("got %v", r)
		}
	}
	select {
	case r := <-c.Reports():
		t.Errorf("more than %d reports wait: %v", reportQueue, r)
	default:
	}
}

// TestCurrentUnderLoad has readers who follow every View by its Replaced, from before the first was published.
func TestCurrentUnderLoad(t *testing.T) {
	const views = 300
	var c Current
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for last := -1; last < views-1; {
				v := c.View()
				for _, s := range v.Members {
					if s.Weight < last {
						t.Errorf("View %d came after %d", s.Weight, last)
						return
					}
					last = s.Weight
				}
				c.Report("a", "", Broken)
				if last == views-1 {
					return
				}
				select {
				case <-v.Replaced():
				case <-time.After(10 * time.Second):
					t.Errorf("nobody woke the reader of View %d", last)
					return
				}
			}
		})
	}
	for i := range views {
		c.Publish(&View{Members: []*Status{{Member: &Member{Weight: i}}}})
		select {
		case <-c.Reports():
		default:
		}
	}
	wg.Wait()
}

func TestNames(t *testing.T) {
	got := fmt.Sprint(Unknown, Leader, Follower, Replica, Ready, Drain, Maint, Broken, NotALeader, Unserved, Told, Changed)
	if want := "unknown leader follower replica ready drain maint connection broke not a leader database unavailable routing table databases changed"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	for _, g := range []Generation{HA, Causal, Autonomous, Standalone} {
		if back, err := ParseGeneration(g.String()); back != g || err != nil {
			t.Errorf("%v: read back as %v, %v", g, back, err)
		}
	}
	for _, s := range []string{"", "auto", "unknown"} {
		if g, err := ParseGeneration(s); g != UnknownGeneration || err != nil {
			t.Errorf("%q: got %v, %v; want unknown", s, g, err)
		}
	}
	if _, err := ParseGeneration("raft"); err == nil {
		t.Error("raft is a generation; want an error")
	}
}

func TestATableWithASingleAddressIsNoEvidence(t *testing.T) {
	for name, tt := range map[string]struct {
		table Table
		want  bool
	}{
		"empty":                    {Table{}, false},
		"a server on its own":      {Table{Writers: []string{"a"}, Readers: []string{"a"}, Routers: []string{"a"}}, false},
		"a leader and a follower":  {Table{Writers: []string{"a"}, Readers: []string{"b"}}, true},
		"no leader, two followers": {Table{Readers: []string{"a", "b"}}, true},
		"a leader alone, and one that only gives out tables": {Table{Writers: []string{"a"}, Readers: []string{"a"}, Routers: []string{"a", "b"}}, true},
	} {
		if got := tt.table.Evidence(); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestATableReachesTheChecks(t *testing.T) {
	var c Current
	table := &Table{Member: "a", DB: "neo4j", Writers: []string{"b", "b"}, Routers: []string{"a"}}
	c.Tell(table)
	if got := <-c.Reports(); got != (Report{Member: "a", DB: "neo4j", Why: Told, Table: table}) {
		t.Errorf("got %+v", got)
	}
	if got := table.Addresses(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("addresses: got %v", got)
	}
}
