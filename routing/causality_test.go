package routing

import (
	"errors"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

func TestReadsGoWhereTheirTransactionsAre(t *testing.T) {
	now := time.Unix(1000, 0)
	marks := []bolt.Position{{Tx: 7}}
	for _, c := range []struct {
		name      string
		has, late string // names of members
		tried     string
		in        Intent
		want      map[string]bool
	}{
		{"only members that have them", "cd", "", "", Intent{Mode: Read, Marks: marks}, map[string]bool{"c": true, "d": true}},
		{"none has them: only members that were in time of late", "", "bd", "", Intent{Mode: Read, Marks: marks}, map[string]bool{"c": true}},
		{"a late member that has them by now is as good as any", "d", "d", "", Intent{Mode: Read, Marks: marks}, map[string]bool{"d": true}},
		{"all were late", "", "bcd", "", Intent{Mode: Read, Marks: marks}, map[string]bool{"b": true, "c": true, "d": true}},
		{"those that have them were tried", "c", "b", "c", Intent{Mode: Read, Marks: marks}, map[string]bool{"d": true}},
		{"all were tried: the leader", "", "", "bcd", Intent{Mode: Read, Marks: marks}, map[string]bool{"a": true}},
		{"nothing to see", "c", "bd", "", Intent{Mode: Read}, map[string]bool{"b": true, "c": true, "d": true}},
		{"a write", "c", "", "", Intent{Marks: marks}, map[string]bool{"a": true}},
		{"by time: who caught up since", "", "", "", Intent{Mode: Read, Since: now}, map[string]bool{"c": true, "d": true}},
		{"by time, later: nobody but the leader", "", "", "", Intent{Mode: Read, Since: now.Add(time.Hour)}, map[string]bool{"a": true}},
	} {
		v := view("a leader", "b follower", "c follower", "d replica")
		for i, at := range []time.Time{{}, {}, now, now.Add(time.Second)} {
			v.Members[i].Progress = map[string]cluster.Progress{cluster.AnyDatabase: {CaughtUp: at}}
		}
		in := func(list, name string) bool {
			for i := range list {
				if list[i:i+1] == name {
					return true
				}
			}
			return false
		}
		r := &Router{
			Has: func(s *cluster.Status, got []bolt.Position) bool {
				return len(got) == 1 && got[0] == marks[0] && in(c.has, s.Name)
			},
			Late: func(m *cluster.Member, _ time.Time) bool { return in(c.late, m.Name) },
		}
		var tried []*cluster.Member
		for _, s := range v.Members {
			if in(c.tried, s.Name) {
				tried = append(tried, s.Member)
			}
		}
		got := map[string]bool{}
		for range 12 {
			s, err := r.Pick(v, c.in, tried)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got[s.Name] = true
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v; want %v", c.name, got, c.want)
		}
		for name := range c.want {
			if !got[name] {
				t.Errorf("%s: got %v; want %v", c.name, got, c.want)
			}
		}
	}
}

// TestAMemberOfWhichNothingIsKnownIsAskedNowAndThen: else nothing would ever become known of it.
func TestAMemberOfWhichNothingIsKnownIsAskedNowAndThen(t *testing.T) {
	v := view("a leader", "b follower", "c follower", "d replica")
	known, late := map[string]bool{"b": true}, map[string]bool{"d": true}
	r := &Router{
		Has:  func(s *cluster.Status, _ []bolt.Position) bool { return known[s.Name] },
		Late: func(m *cluster.Member, _ time.Time) bool { return late[m.Name] },
	}
	count := func() map[string]int {
		got := map[string]int{}
		for range 10 * askEvery {
			s, err := r.Pick(v, Intent{Mode: Read, Marks: []bolt.Position{{Tx: 7}}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got[s.Name]++
		}
		return got
	}
	if got := count(); got["c"] != 10 || got["b"] != 10*askEvery-10 {
		t.Errorf("got %v; want one of %d at c, which was not late, and the others at b, which has all", got, askEvery)
	}
	late["c"] = true
	if got := count(); got["b"] != 10*askEvery {
		t.Errorf("got %v; want all at b: all others have been late", got)
	}
	known["c"], known["d"] = true, true
	if got := count(); got["b"] < 3*askEvery || got["c"] < 3*askEvery || got["d"] < 3*askEvery {
		t.Errorf("got %v; want all alike: all have it", got)
	}
}

func TestMembersThatLagByMoreThanMaxLagServeNoReads(t *testing.T) {
	v := view("a leader", "b follower", "c follower", "d follower")
	for i, lag := range []int64{0, 100, 101, 0} {
		v.Members[i].Progress = map[string]cluster.Progress{"neo4j": {Tx: 1000 - lag, Lag: lag}}
	}
	v.Members[3].Progress = nil // it does not tell
	pick := func(r *Router, tried ...string) string {
		s, err := r.Pick(v, Intent{Mode: Read, DB: "neo4j"}, members(v, tried...))
		if err != nil {
			t.Fatal(err)
		}
		return s.Name
	}
	r := &Router{Policy: Policy{MaxLag: 100}}
	seen := map[string]bool{}
	for range 10 {
		seen[pick(r)] = true
	}
	if !seen["b"] || seen["c"] || !seen["d"] || seen["a"] {
		t.Errorf("with max_lag 100 reads went to %v; want b, which lags by 100, and d, of which nothing is known", seen)
	}
	if got := pick(r, "b", "d"); got != "a" {
		t.Errorf("when only members that lag are left a read went to %s; want the leader", got)
	}
	if got := pick(new(Router), "b", "d"); got != "c" {
		t.Errorf("without max_lag a read went to %s; want c", got)
	}
	if _, err := r.Pick(view("b follower"), Intent{Mode: Read}, nil); err != nil {
		t.Errorf("a member that does not tell where it is serves no reads: %v", err)
	}
	v.Members[0].Up = false
	if _, err := r.Pick(v, Intent{Mode: Read, DB: "neo4j"}, members(v, "b", "d")); !errors.Is(err, ErrTried) {
		t.Errorf("without a leader got %v; want %v", err, ErrTried)
	}
}

func TestPickOfAReadWithMarksDoesNotAllocate(t *testing.T) {
	v := view("a leader", "b follower", "c replica", "d follower")
	marks := []bolt.Position{{Tx: 7}}
	r := &Router{Has: func(s *cluster.Status, _ []bolt.Position) bool { return s.Name == "c" }, Late: func(*cluster.Member, time.Time) bool { return false }}
	if n := testing.AllocsPerRun(100, func() { r.Pick(v, Intent{Mode: Read, Marks: marks, Since: time.Unix(1, 0)}, nil) }); n != 0 { //nolint:errcheck // only counted
		t.Errorf("Pick allocates %v times", n)
	}
}
