package health

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// stand is a Monitor over a stand-in cluster, on a network in memory and with fake time.
type stand struct {
	*rig
	*standin.Cluster
	network *memnet.Network
}

// over runs claim on a stand-in cluster with a Monitor that logs on.
func over(t *testing.T, so standin.Options, o Options, claim func(s *stand)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New(so.Seed)
		so.Listen = func(member, protocol string) (net.Listener, error) {
			return network.Listen(member + ":" + map[string]string{"bolt": "7687", "http": "7474"}[protocol])
		}
		c, err := standin.Start(so)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r := &rig{T: t, current: new(cluster.Current), logs: new(logLines)}
		o.Dial, o.User, o.Password = network.Dial, standin.DefaultUser, standin.DefaultPassword
		if o.Members == nil {
			o.Members = c.Members()
		}
		r.monitor = New(o, r.current, slog.New(slog.NewTextHandler(r.logs, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.monitor.Run(ctx) }()
		synctest.Wait()
		claim(&stand{r, c, network})
		cancel()
		<-done
	})
}

// agree compares the View's roles of db with what the stand-ins themselves say.
func (s *stand) agree(v *cluster.View, db string) {
	s.Helper()
	want := ""
	for _, m := range v.Members {
		want += fmt.Sprintf("%s=%v ", m.Name, s.Role(db, m.Name))
	}
	s.want(v, db, want[:len(want)-1])
}

func TestStandInsOfEveryGeneration(t *testing.T) {
	for _, c := range []struct {
		version    string
		generation cluster.Generation
		methods    []string
		databases  []string
	}{
		{"2.3.12", cluster.HA, []string{MethodAuto, MethodHTTP}, nil},
		{"3.5.35", cluster.HA, []string{MethodAuto, MethodHTTP, MethodBolt}, nil},
		{"3.1.9", cluster.Causal, []string{MethodAuto, MethodHTTP, MethodBolt}, nil},
		{"3.4.18", cluster.Causal, []string{MethodAuto, MethodHTTP, MethodBolt}, nil},
		{"3.5.35", cluster.Causal, []string{MethodAuto, MethodHTTP, MethodBolt}, nil},
		{"4.0.12", cluster.Causal, []string{MethodAuto, MethodBolt}, []string{"neo4j", "orders"}},
		{"4.4.48", cluster.Causal, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j", "orders"}},
		{"5.0.0", cluster.Autonomous, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j", "orders"}},
		{"5.26.30", cluster.Autonomous, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j", "orders"}},
		{"2026.08.1", cluster.Autonomous, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j", "orders"}},
		{"4.4.48", cluster.Standalone, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j"}},
		{"5.26.30", cluster.Standalone, []string{MethodAuto, MethodHTTP, MethodBolt}, []string{"neo4j"}},
		{"3.5.35", cluster.Standalone, []string{MethodAuto, MethodBolt}, nil},
	} {
		for _, method := range c.methods {
			t.Run(fmt.Sprint(c.generation, " ", c.version, " ", method), func(t *testing.T) {
				so := standin.Options{Generation: c.generation, ServerVersion: c.version, Databases: c.databases, Seed: 3}
				if c.generation != cluster.Standalone {
					so.Members = 3
				}
				if c.generation == cluster.Causal || c.generation == cluster.Autonomous {
					so.Replicas = 1
				}
				over(t, so, Options{Method: method}, func(s *stand) {
					v := s.after(5 * time.Second)
					if v.Generation != c.generation {
						s.Errorf("generation: got %v, want %v", v.Generation, c.generation)
					}
					databases := c.databases
					if databases == nil || c.generation == cluster.Standalone {
						databases = []string{""}
					}
					for _, db := range databases {
						s.agree(v, db)
					}
					if c.databases != nil && method != MethodHTTP && v.Default != "neo4j" {
						s.Errorf("default database: got %q", v.Default)
					}
					if c.version != "2.3.12" && (len(v.Versions) == 0 || v.Members[0].Agent != "Neo4j/"+c.version) {
						s.Errorf("got versions %v, agent %q", v.Versions, v.Members[0].Agent)
					}
					if s.logs.with("level=WARN") > 0 {
						s.Errorf("warnings: %q", s.logs.lines)
					}
				})
			})
		}
	}
}

// generations are the clusters with elections, to be gone through by the tests of changes.
func generations(t *testing.T, claim func(t *testing.T, so standin.Options, db string)) {
	for _, c := range []struct {
		generation cluster.Generation
		version    string
		db         string
	}{{cluster.HA, "3.5.35", ""}, {cluster.Causal, "3.5.35", ""}, {cluster.Causal, "4.4.48", "neo4j"}, {cluster.Autonomous, "5.26.30", "neo4j"}} {
		t.Run(fmt.Sprint(c.generation, " ", c.version), func(t *testing.T) {
			claim(t, standin.Options{Generation: c.generation, ServerVersion: c.version, Members: 3, Seed: 11}, c.db)
		})
	}
}

func TestAKilledLeaderIsNoticedAndItsSuccessorFoundAtOnce(t *testing.T) {
	generations(t, func(t *testing.T, so standin.Options, db string) {
		over(t, so, Options{}, func(s *stand) {
			old := s.after(5 * time.Second).Leader(db).Name
			s.Kill(old)
			s.current.Report(old, db, cluster.Broken)
			next := s.WaitLeader(db, time.Minute)
			v := s.after(500 * time.Millisecond) // checks are fast by now
			if l := v.Leader(db); l == nil || l.Name != next {
				s.Errorf("leader: got %v, want %s after %s", l, next, old)
			}
			if v.Member(old).Up {
				s.Errorf("%s was killed and is still up", old)
			}
			if err := s.Restart(old); err != nil {
				t.Fatal(err)
			}
			s.agree(s.after(3*time.Second), db)
		})
	})
}

func TestALeaderThatStepsDownIsReplacedInTheView(t *testing.T) {
	generations(t, func(t *testing.T, so standin.Options, db string) {
		over(t, so, Options{Interval: time.Hour}, func(s *stand) {
			old := s.after(5 * time.Second).Leader(db).Name
			next := map[bool]string{true: "s2", false: "s1"}[old == "s1"]
			if err := s.Elect(db, next); err != nil {
				t.Fatal(err)
			}
			s.current.Report(old, db, cluster.NotALeader)
			v := s.after(time.Second)
			if l := v.Leader(db); l == nil || l.Name != next {
				s.Errorf("leader: got %v, want %s", l, next)
			}
		})
	})
}

func TestALeaderCutOffWithUsStillReachingItLosesToTheMajority(t *testing.T) {
	generations(t, func(t *testing.T, so standin.Options, db string) {
		over(t, so, Options{}, func(s *stand) {
			old := s.after(5 * time.Second).Leader(db).Name
			if err := s.Partition(old); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(time.Minute)
			for time.Now().Before(deadline) { // at no moment are there two, and in the end the majority's counts
				leaders := 0
				for _, m := range s.after(100 * time.Millisecond).Members {
					if m.Role(db) == cluster.Leader {
						leaders++
					}
				}
				if leaders > 1 {
					s.Fatalf("%d leaders at once", leaders)
				}
			}
			v := s.current.View()
			l := v.Leader(db)
			if l == nil || l.Name == old {
				s.want(v, db, "the leader of the majority")
			}
			s.Heal()
			s.agree(s.after(10*time.Second), db)
		})
	})
}

func TestAFrozenMemberIsDownAndComesBack(t *testing.T) {
	over(t, standin.Options{Members: 3, Seed: 5}, Options{}, func(s *stand) {
		s.after(5 * time.Second)
		s.Freeze("s3")
		if v := s.after(6 * time.Second); v.Member("s3").Up || !v.Member("s1").Up || !v.Member("s2").Up {
			s.want(v, "neo4j", "s3 down alone")
		}
		s.Thaw("s3")
		s.agree(s.after(10*time.Second), "neo4j")
	})
}
