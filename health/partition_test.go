package health

import (
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// unreachable makes a member silent for us alone: the others hear it.
func (s *stand) unreachable(name string) {
	for _, m := range s.Members() {
		if m.Name == name {
			for _, address := range []string{m.Bolt, m.HTTP} {
				link := s.network.Link("192.0.2.1", address)
				link.Refuse(true)
				link.Cut()
			}
		}
	}
}

// claim is how many members say that they lead db.
func (s *stand) claims(db string) (n int) {
	for _, m := range s.Members() {
		if s.Role(db, m.Name) == cluster.Leader {
			n++
		}
	}
	return n
}

// TestEqualVotesAreSettledByTheTerm has the leader of five and another cut off, and one of the other three hidden from us: two
// claimants with two votes each. Servers from 5.24 on tell terms; of the others nobody gets writes until one steps down.
func TestEqualVotesAreSettledByTheTerm(t *testing.T) {
	for _, c := range []struct {
		version    string
		generation cluster.Generation
		method     string
		terms      bool
	}{
		{"5.26.30", cluster.Autonomous, MethodAuto, true},
		{"5.26.30", cluster.Autonomous, MethodBolt, true},
		{"2026.08.1", cluster.Autonomous, MethodAuto, true},
		{"5.23.0", cluster.Autonomous, MethodAuto, false},
		{"5.26.30", cluster.Autonomous, MethodHTTP, false},
		{"4.4.48", cluster.Causal, MethodAuto, false},
		{"3.5.35", cluster.Causal, MethodAuto, false},
	} {
		t.Run(c.version+" "+c.method, func(t *testing.T) {
			so := standin.Options{Generation: c.generation, ServerVersion: c.version, Members: 5, Seed: 2, ElectionTime: 4 * time.Second}
			over(t, so, Options{Method: c.method}, func(s *stand) {
				old := s.after(5 * time.Second).Leader("").Name
				friend := map[bool]string{true: "s2", false: "s1"}[old == "s1"]
				if err := s.Partition(old, friend); err != nil {
					t.Fatal(err)
				}
				next := s.WaitLeader("", time.Minute)
				hidden := ""
				for _, m := range s.Members() {
					if m.Name != old && m.Name != friend && m.Name != next {
						hidden = m.Name
					}
				}
				s.unreachable(hidden)
				v := s.after(time.Second)
				if n := s.claims(""); n != 2 {
					t.Fatalf("%d claimants; the test needs two", n)
				}
				want := ""
				if c.terms {
					want = next
				}
				got := ""
				if l := v.Leader(""); l != nil {
					got = l.Name
				}
				if got != want {
					s.Errorf("leader with %s and %s claiming: got %q, want %q", old, next, got, want)
				}
				if v := s.after(5 * time.Second); v.Leader("") == nil || v.Leader("").Name != next {
					s.want(v, "", next+" leads after the old leader stepped down")
				}
			})
		})
	}
}

// TestWhileTwoClaimTheOneThatTheOthersFollowLeads looks at the time between the election and the old leader's stepping down.
func TestWhileTwoClaimTheOneThatTheOthersFollowLeads(t *testing.T) {
	for _, method := range []string{MethodAuto, MethodHTTP, MethodBolt} {
		generations(t, func(t *testing.T, so standin.Options, db string) {
			so.ElectionTime = 10 * time.Second
			over(t, so, Options{Method: method}, func(s *stand) {
				old := s.after(5 * time.Second).Leader(db).Name
				s.Partition(old)
				next := s.WaitLeader(db, time.Minute)
				v := s.after(2500 * time.Millisecond) // an interval, and a check
				if n := s.claims(db); n != 2 {
					t.Fatalf("%d claimants; the test needs two", n)
				}
				for range 20 { // and it stays so
					if l := v.Leader(db); l == nil || l.Name != next {
						s.Errorf("%s: got %v; want %s, whom the third member follows, not %s", method, l, next, old)
						return
					}
					v = s.after(77 * time.Millisecond)
				}
			})
		})
	}
}

// TestAStaleLeaderIsFoundOutAtTheFirstContradiction: nothing breaks when a leader is cut off from the others but not from us.
// The first answer that names another has everybody asked at once, not an interval later.
func TestAStaleLeaderIsFoundOutAtTheFirstContradiction(t *testing.T) {
	for seed := range int64(20) {
		so := standin.Options{Members: 5, Seed: seed, ElectionTime: 20 * time.Second, Databases: []string{"neo4j", "orders"}}
		over(t, so, Options{Interval: 8 * time.Second}, func(s *stand) {
			for i, m := range s.Members() { // members are checked at different moments, the further apart the longer it goes on
				s.network.Link("192.0.2.1", m.HTTP).Delay(time.Duration(i) * 7 * time.Millisecond)
			}
			s.after(2 * time.Minute)
			old := s.Leader("orders")
			s.Partition(old)
			next := s.WaitLeader("orders", time.Minute)
			var disagree time.Time
			for v := s.current.View(); v.Leader("orders") == nil || v.Leader("orders").Name == old; v = s.after(20 * time.Millisecond) {
				if disagree.IsZero() && s.logs.with("members disagree about who leads\" db=orders") > 0 {
					disagree = time.Now()
				}
			}
			if l := s.current.View().Leader("orders"); l.Name != next {
				s.Errorf("seed %d: got leader %s, want %s", seed, l.Name, next)
			}
			if took := time.Since(disagree); !disagree.IsZero() && took > 300*time.Millisecond {
				s.Errorf("seed %d: %s was taken for the leader %v after somebody named %s", seed, old, took, next)
			}
		})
	}
}
