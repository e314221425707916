package routing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// view makes a View from lines such as "a leader", "b follower down", "c replica drain w3 v4.4". Roles are those of the
// database neo4j, which is the default.
func view(lines ...string) *cluster.View {
	v := &cluster.View{Generation: cluster.Autonomous, Default: "neo4j"}
	for _, line := range lines {
		words := strings.Fields(line)
		s := &cluster.Status{Member: &cluster.Member{Name: words[0]}, Up: true, Roles: map[string]cluster.Role{}, Versions: []bolt.Version{bolt.V5_8, bolt.V4_4}}
		for _, word := range words[1:] {
			say(s, word)
		}
		v.Members = append(v.Members, s)
	}
	return v
}

func say(s *cluster.Status, word string) {
	switch word {
	case "leader":
		s.Roles["neo4j"] = cluster.Leader
	case "follower":
		s.Roles["neo4j"] = cluster.Follower
	case "replica":
		s.Roles["neo4j"] = cluster.Replica
	case "down":
		s.Up = false
	case "drain":
		s.Condition = cluster.Drain
	case "maint":
		s.Condition = cluster.Maint
	case "w3":
		s.Weight = 3
	case "v4.4":
		s.Versions = []bolt.Version{bolt.V4_4}
	case "utc":
		s.UTC = true
	case "mute":
		s.Versions = nil
	default:
		panic(word)
	}
}

func members(v *cluster.View, names ...string) (list []*cluster.Member) {
	for _, n := range names {
		list = append(list, v.Member(n).Member)
	}
	return list
}

func TestPick(t *testing.T) {
	three := []string{"a leader", "b follower", "c replica"}
	tests := []struct {
		name   string
		policy Policy
		view   []string
		in     Intent
		tried  []string
		want   string // the members that may be picked
		err    error
	}{
		{"a write goes to the leader", Policy{}, three, Intent{}, nil, "a", nil},
		{"a read goes to those who serve reads", Policy{}, three, Intent{Mode: Read}, nil, "b c", nil},
		{"a second try avoids the first member", Policy{}, three, Intent{Mode: Read}, []string{"b"}, "c", nil},
		{"then the leader reads", Policy{}, three, Intent{Mode: Read}, []string{"b", "c"}, "a", nil},
		{"then nobody does", Policy{}, three, Intent{Mode: Read}, []string{"b", "c", "a"}, "", ErrTried},
		{"a write has one member to try", Policy{}, three, Intent{}, []string{"a"}, "", ErrTried},
		{"the leader may always read", Policy{LeaderAlwaysReads: true}, three, Intent{Mode: Read}, nil, "a b c", nil},
		{"a leader that was tried does not", Policy{LeaderAlwaysReads: true}, three, Intent{Mode: Read}, []string{"a"}, "b c", nil},
		{"the first in the list", Policy{Balance: First}, three, Intent{Mode: Read}, nil, "b", nil},
		{"the first that was not tried", Policy{Balance: First}, three, Intent{Mode: Read}, []string{"b"}, "c", nil},
		{"a leader alone reads", Policy{}, []string{"a leader"}, Intent{Mode: Read}, nil, "a", nil},
		{"no leader, no write", Policy{}, []string{"b follower", "c replica"}, Intent{}, nil, "", ErrNoLeader},
		{"no leader, reads go on", Policy{}, []string{"b follower"}, Intent{Mode: Read}, nil, "b", nil},
		{"no leader, and all readers tried", Policy{}, []string{"b follower"}, Intent{Mode: Read}, []string{"b"}, "", ErrTried},
		{"nobody has a role that serves", Policy{}, []string{"b follower down"}, Intent{Mode: Read}, nil, "", ErrNoReader},
		{"a leader that is down", Policy{}, []string{"a leader down", "b follower"}, Intent{}, nil, "", ErrNoLeader},
		{"a leader in drain", Policy{}, []string{"a leader drain", "b follower"}, Intent{}, nil, "", ErrNoLeader},
		{"a reader in maint", Policy{}, []string{"a leader", "b follower maint"}, Intent{Mode: Read}, nil, "a", nil},
		{"no members at all", Policy{}, nil, Intent{}, nil, "", ErrNoLeader},
		{"no members to read from", Policy{}, nil, Intent{Mode: Read}, nil, "", ErrNoReader},

		{"the leader speaks another version", Policy{}, []string{"a leader v4.4", "b follower"}, Intent{Version: bolt.V5_8}, nil, "", ErrVersion},
		{"readers that speak the session's", Policy{}, []string{"a leader", "b follower v4.4", "c follower"}, Intent{Mode: Read, Version: bolt.V5_8}, nil, "c", nil},
		{"no reader speaks it: the leader", Policy{}, []string{"a leader", "b follower v4.4"}, Intent{Mode: Read, Version: bolt.V5_8}, nil, "a", nil},
		{"no reader speaks it, no leader", Policy{}, []string{"b follower v4.4"}, Intent{Mode: Read, Version: bolt.V5_8}, nil, "", ErrVersion},
		{"nobody speaks it", Policy{}, []string{"a leader v4.4", "b follower v4.4"}, Intent{Mode: Read, Version: bolt.V5_8}, nil, "", ErrVersion},
		{"versions are not known yet", Policy{}, []string{"a leader mute"}, Intent{Version: bolt.V5_8}, nil, "", ErrNoLeader},
		{"of no reader the versions are known yet", Policy{}, []string{"b follower mute"}, Intent{Mode: Read, Version: bolt.V5_8}, nil, "", ErrNoReader},
		{"HTTP needs none", Policy{}, []string{"a leader mute"}, Intent{}, nil, "a", nil},
		{"the utc patch", Policy{}, []string{"a leader", "b follower", "c follower utc"}, Intent{Mode: Read, Version: bolt.V4_4, UTC: true}, nil, "c", nil},
		{"a leader without the patch", Policy{}, []string{"a leader"}, Intent{Version: bolt.V4_4, UTC: true}, nil, "", ErrVersion},
		{"from 5.0 there is no patch", Policy{}, []string{"a leader"}, Intent{Version: bolt.V5_8, UTC: true}, nil, "a", nil},

		{"database names have no case", Policy{}, three, Intent{DB: "Neo4J"}, nil, "a", nil},
		{"nobody knows the database: the default's leader", Policy{}, three, Intent{DB: "new", Mode: Read}, nil, "a", nil},
		{"then anybody", Policy{}, three, Intent{DB: "new"}, []string{"a"}, "b", nil},
		{"then nobody", Policy{}, three, Intent{DB: "new"}, []string{"a", "b", "c"}, "", ErrTried},
		{"a database is not new when all are down", Policy{}, []string{"a leader down"}, Intent{DB: "new"}, nil, "", ErrNoLeader},

		{"one member only, whatever its role", Policy{Member: "b"}, three, Intent{}, nil, "b", nil},
		{"it is down", Policy{Member: "a"}, []string{"a leader down", "b follower"}, Intent{}, nil, "", ErrAbsent},
		{"it is in maint", Policy{Member: "a"}, []string{"a leader maint"}, Intent{}, nil, "", ErrAbsent},
		{"it was removed", Policy{Member: "z"}, three, Intent{}, nil, "", ErrAbsent},
		{"it was tried", Policy{Member: "b"}, three, Intent{}, []string{"b"}, "", ErrTried},
		{"it speaks another version", Policy{Member: "b"}, []string{"b follower v4.4"}, Intent{Version: bolt.V5_8}, nil, "", ErrVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := view(tt.view...)
			r := &Router{Policy: tt.policy}
			got := map[string]bool{}
			for range 12 {
				s, err := r.Pick(v, tt.in, members(v, tt.tried...))
				if !errors.Is(err, tt.err) || (s == nil) != (err != nil) {
					t.Fatalf("got %v, %v; want %q, %v", s, err, tt.want, tt.err)
				}
				if s != nil {
					got[s.Name] = true
				}
			}
			want := strings.Fields(tt.want)
			if len(got) != len(want) || slices.ContainsFunc(want, func(n string) bool { return !got[n] }) {
				t.Errorf("got %v; want %v", got, want)
			}
		})
	}
}

func TestWhileTheGenerationIsUnknownNothingIsAStranger(t *testing.T) {
	v := view("a", "b")
	v.Generation = cluster.UnknownGeneration
	if s, err := new(Router).Pick(v, Intent{DB: "new"}, nil); !errors.Is(err, ErrNoLeader) {
		t.Errorf("got %v, %v; want ErrNoLeader", s, err)
	}
}

func TestRolesOfTheMemberServeEveryDatabase(t *testing.T) {
	v := view("a", "b")
	v.Default = ""
	v.Members[0].Roles[cluster.AnyDatabase], v.Members[1].Roles[cluster.AnyDatabase] = cluster.Follower, cluster.Leader
	for _, db := range []string{"", "graph.db"} {
		if s, err := new(Router).Pick(v, Intent{DB: db}, nil); err != nil || s.Name != "b" {
			t.Errorf("%q: got %v, %v; want b", db, s, err)
		}
	}
}

func TestWeightsAreExact(t *testing.T) {
	v := view("a leader", "b follower w3", "c replica", "d follower", "e replica w3")
	r := new(Router)
	const rounds = 50
	got := map[string]int{}
	for range rounds * 8 {
		s, err := r.Pick(v, Intent{Mode: Read}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got[s.Name]++
	}
	if want := map[string]int{"b": 3 * rounds, "c": rounds, "d": rounds, "e": 3 * rounds}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestWeightsAreExactForManyAtOnce(t *testing.T) {
	v := view("a leader", "b follower w3", "c replica")
	r := new(Router)
	var b, c atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				switch s, _ := r.Pick(v, Intent{Mode: Read}, nil); s.Name {
				case "b":
					b.Add(1)
				case "c":
					c.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if b.Load() != 6000 || c.Load() != 2000 {
		t.Errorf("got %d and %d; want 6000 and 2000", b.Load(), c.Load())
	}
}

func TestMoreMembersThanUsual(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("m%d follower", i))
	}
	v, r, got := view(lines...), new(Router), map[string]int{}
	for range 80 {
		s, err := r.Pick(v, Intent{Mode: Read}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got[s.Name]++
	}
	for name, n := range got {
		if n != 2 || len(got) != 40 {
			t.Fatalf("%s was picked %d times, of %d members; want each of 40 twice", name, n, len(got))
		}
	}
}

// TestAWriteNeverGoesToAnotherThanTheLeader tries Views with any roles and conditions.
func TestAWriteNeverGoesToAnotherThanTheLeader(t *testing.T) {
	dbs := []string{"neo4j", "system", "sales"}
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := randomView(r, dbs)
		in := Intent{Mode: Mode(r.IntN(2)), DB: append(dbs, "")[r.IntN(4)], Version: []bolt.Version{0, bolt.V4_4, bolt.V5_8}[r.IntN(3)]}
		router := &Router{Policy: Policy{LeaderAlwaysReads: r.IntN(2) == 0, Balance: Balance(r.IntN(5)), SlowStart: time.Duration(r.IntN(2)) * time.Second}}
		var tried []*cluster.Member
		for range len(v.Members) + 1 {
			s, err := router.Pick(v, in, tried)
			if err != nil {
				break
			}
			checkPick(t, seed, v, in, s, tried)
			tried = append(tried, s.Member)
		}
		if len(tried) > len(v.Members) {
			t.Fatalf("seed %d: %d picks from %d members", seed, len(tried), len(v.Members))
		}
	}
}

func randomView(r *rand.Rand, dbs []string) *cluster.View {
	v := &cluster.View{Generation: cluster.Autonomous, Default: "neo4j"}
	for i := range 1 + r.IntN(5) {
		s := &cluster.Status{Member: &cluster.Member{Name: fmt.Sprint(i), Weight: r.IntN(3)}, Up: r.IntN(4) > 0,
			Condition: cluster.Condition(max(r.IntN(6)-3, 0)), Roles: map[string]cluster.Role{}}
		for _, db := range dbs {
			if r.IntN(4) > 0 {
				s.Roles[db] = cluster.Role(r.IntN(4))
			}
		}
		s.Versions = [][]bolt.Version{nil, {bolt.V4_4}, {bolt.V5_8, bolt.V4_4}}[r.IntN(3)]
		v.Members = append(v.Members, s)
	}
	return v
}

func checkPick(t *testing.T, seed uint64, v *cluster.View, in Intent, s *cluster.Status, tried []*cluster.Member) {
	t.Helper()
	db := in.DB
	if db == "" {
		db = v.Default
	}
	role := s.Role(db)
	hosted := slices.ContainsFunc(v.Members, func(m *cluster.Status) bool { _, ok := m.Roles[db]; return ok })
	switch {
	case slices.Contains(tried, s.Member):
		t.Fatalf("seed %d: %s was tried before", seed, s.Name)
	case !s.Up || s.Condition != cluster.Ready:
		t.Fatalf("seed %d: %s takes no work", seed, s.Name)
	case !s.Speaks(in.Version):
		t.Fatalf("seed %d: %s does not speak %v", seed, s.Name, in.Version)
	case hosted && in.Mode == Write && role != cluster.Leader:
		t.Fatalf("seed %d: a write to %q went to %s, which is %v", seed, in.DB, s.Name, role)
	case hosted && role == cluster.Unknown:
		t.Fatalf("seed %d: a read of %q went to %s, which does not host it", seed, in.DB, s.Name)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	v := view("a leader", "b follower", "c replica", "d follower")
	r := new(Router)
	tried := members(v, "b")
	for _, in := range []Intent{{Version: bolt.V5_8}, {Mode: Read, Version: bolt.V5_8}, {Mode: Read, DB: "neo4j"}} {
		if n := testing.AllocsPerRun(100, func() { r.Pick(v, in, tried) }); n != 0 { //nolint:errcheck // only counted
			t.Errorf("%+v: Pick allocates %v times", in, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	v := view("a leader", "b follower", "c replica", "d follower", "e follower")
	r := new(Router)
	for _, mode := range []Mode{Write, Read} {
		b.Run(map[Mode]string{Write: "write", Read: "read"}[mode], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Pick(v, Intent{Mode: mode, Version: bolt.V5_8}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
