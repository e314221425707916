package routing

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cluster"
)

// many is a View in which each database has another leader, a composite database among them.
func many() *cluster.View {
	v := view("a leader", "b follower", "c follower")
	for i, db := range []string{"orders", System} {
		for j, s := range v.Members {
			s.Roles[db] = cluster.Follower
			if j == i+1 {
				s.Roles[db] = cluster.Leader
			}
		}
	}
	v.Composites = map[string]bool{"all": true, "all.part": true}
	return v
}

func TestPickByDatabase(t *testing.T) {
	noSystem := func(v *cluster.View) { v.Member("c").Up = false }
	for _, tt := range []struct {
		name   string
		change func(*cluster.View)
		in     Intent
		tried  string
		want   string
	}{
		{"the default database", nil, Intent{}, "", "a"},
		{"its name in any case", nil, Intent{DB: "Neo4j"}, "", "a"},
		{"another database", nil, Intent{DB: "ORDERS"}, "", "b"},
		{"a write to system", nil, Intent{DB: "system"}, "", "c"},
		{"a read of system goes to its leader too", nil, Intent{DB: "System", Mode: Read}, "", "c"},
		{"while that has refused it, to a follower", nil, Intent{DB: "system", Mode: Read}, "c", "a b"},
		{"while system has no leader, to a follower", noSystem, Intent{DB: "system", Mode: Read}, "", "a b"},
		{"a write to system without a leader", noSystem, Intent{DB: "system"}, "", "none"},
		{"a read at the leader", nil, Intent{DB: "orders", Mode: Read, AtLeader: true}, "", "b"},
		{"a read at the leader of system", noSystem, Intent{DB: "system", Mode: Read, AtLeader: true}, "", "none"},
		{"a composite database is everywhere", nil, Intent{DB: "All", Mode: Read}, "", "a b c"},
		{"for writes too", nil, Intent{DB: "all.part"}, "", "a b c"},
		{"but where it was tried", nil, Intent{DB: "all"}, "b", "a c"},
		{"a database that nobody knows: who knows them all", nil, Intent{DB: "new"}, "", "c"},
		{"then the default's leader", nil, Intent{DB: "new"}, "c", "a"},
		{"and while system has no leader", noSystem, Intent{DB: "new"}, "", "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, r, got := many(), new(Router), map[string]bool{}
			if tt.change != nil {
				tt.change(v)
			}
			var tried []*cluster.Member
			if tt.tried != "" {
				tried = members(v, tt.tried)
			}
			for range 12 {
				s, err := r.Pick(v, tt.in, tried)
				switch {
				case err == nil:
					got[s.Name] = true
				case errors.Is(err, ErrNoLeader):
					got["none"] = true
				default:
					t.Fatal(err)
				}
			}
			if text := strings.Join(slices.Sorted(maps.Keys(got)), " "); text != tt.want {
				t.Errorf("got %s; want %s", text, tt.want)
			}
		})
	}
}

func TestACompositeWithoutMembers(t *testing.T) {
	v := many()
	if s, err := new(Router).Pick(v, Intent{DB: "all"}, members(v, "a", "b", "c")); !errors.Is(err, ErrTried) {
		t.Errorf("all were tried: got %v, %v", s, err)
	}
	for _, m := range v.Members {
		m.Up = false
	}
	if s, err := new(Router).Pick(v, Intent{DB: "all"}, nil); !errors.Is(err, ErrNoReader) {
		t.Errorf("all are down: got %v, %v", s, err)
	}
}
