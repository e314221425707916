package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// TestAReadLeavesAMemberThatShutsDown: such a member still answers, and says that its database is gone (seen of 3.5, on RUN and on PULL). The read
// is asked of the others before its client hears of it, in every version: it cannot have done anything.
func TestAReadLeavesAMemberThatShutsDown(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V3, bolt.V4_4, bolt.V5_8} {
		for _, at := range []string{"run", "pull"} {
			t.Run(v.String()+" "+at, func(t *testing.T) {
				var mu sync.Mutex
				asked := map[string]bool{}
				o := standin.Options{Seed: 1, OnQuery: func(q standin.Query) {
					mu.Lock()
					defer mu.Unlock()
					if q.Mark == "read" {
						asked[q.Member] = true
					}
				}}
				if v == bolt.V3 {
					o.ServerVersion = "4.4.48"
				}
				inBubble(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					list := w.ask(run(v, oneRow, m{"mark": "read", "fail": bolt.CodeDatabaseUnavailable, "fail_at": at}, m{"mode": "r"}), pull(v))
					mu.Lock()
					defer mu.Unlock()
					if len(asked) < 2 {
						t.Errorf("%v were asked before the client was told %s; want others too", asked, show(list))
					}
				})
			})
		}
	}
}

// TestAReadLeavesWhoseRowsHaveNotLeft: a member that shuts down while it reads says so behind the rows that it found. If they came together, the
// client has seen none of them yet, and gets those of another member.
func TestAReadLeavesWhoseRowsHaveNotLeft(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V3, bolt.V4_4, bolt.V5_8} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprint(v, " together: ", together), func(t *testing.T) {
				var asked ran
				o := standin.Options{Seed: 1, OnQuery: asked.note}
				if v == bolt.V3 {
					o.ServerVersion = "4.4.48"
				}
				limits := Limits{PerUser: UserLimits{MaxRows: 3}} // for one try, not for all together
				inBubble(t, gateOptions{standin: o, server: Options{Limits: limits}}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					lame := "s1"
					if lame == g.cluster.Leader("neo4j") {
						lame = "s2"
					}
					params := m{"rows": 3, "fail": bolt.CodeDatabaseUnavailable, "fail_at": 2, "at_member": lame}
					if !together {
						params["row_delay"] = "20ms"
					}
					met := 0
					for i := range 4 {
						params["mark"] = i
						list := w.ask(run(v, "MATCH (n) RETURN n", params, m{"mode": "r"}), pull(v))
						members, records, last := asked.of(int64(i)), 3, "SUCCESS"
						switch {
						case members[0] != lame:
						case together && len(members) == 2:
							met++
						default:
							met++
							records, last = 2, "FAILURE("+bolt.CodeDatabaseUnavailable+")"
							w.expect("SUCCESS()", bolt.Reset)
						}
						if len(list) != records+2 || !strings.HasPrefix(list[len(list)-1].String(), last) || together && last != "SUCCESS" {
							t.Errorf("asked of %v, the read got %d messages: %s", members, len(list), show(list))
						}
					}
					if met == 0 {
						t.Errorf("no read went to %s first", lame)
					}
				})
			})
		}
	}
}

// TestAWriteLeavesAMemberThatShutsDown: a leader that goes says so before the write is begun, or rolls it back; it waits for the next one.
func TestAWriteLeavesAMemberThatShutsDown(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			t.Run(r.server+" Bolt "+v.String(), func(t *testing.T) {
				var mu sync.Mutex
				var g *gate
				asked := 0
				o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, OnQuery: func(q standin.Query) {
					mu.Lock()
					defer mu.Unlock()
					if q.Mark == "write" {
						if asked++; asked == 1 {
							// By the bubble's clock, so that its answer is out before: else it is lost, and a lost write is in doubt.
							time.AfterFunc(time.Millisecond, func() { g.cluster.Kill(q.Member) }) //nolint:errcheck // the test sees what becomes of it
						}
					}
				}}
				inBubble(t, gateOptions{standin: o}, func(t *testing.T, of *gate) {
					g = of
					w := g.logged(v)
					fails := m{"mark": "write", "fail": bolt.CodeDatabaseUnavailable, "fail_at": "run"}
					w.ask(run(v, aWrite, fails, nil), pull(v))
					mu.Lock()
					defer mu.Unlock()
					if asked < 2 {
						t.Errorf("asked %d times before the client was told; want the next leader, too", asked)
					}
				})
			})
		}
	}
}

// TestARefusalLeavesTheConnectionInUse: work that goes elsewhere leaves the refusing member's connection clean behind. An election is the worst time for
// a new connection, and a log-on, with every refusal.
func TestARefusalLeavesTheConnectionInUse(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			t.Run(r.server+" Bolt "+v.String(), func(t *testing.T) {
				var asked ran
				o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, OnQuery: asked.note}
				inBubble(t, gateOptions{standin: o, health: slowChecks}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					w.row(aWrite, nil, nil)
					refuses, met := g.follower(), 0
					for i := range 3 {
						for _, at := range []string{"run", "pull"} {
							for _, fail := range []string{bolt.CodeNotALeader, bolt.CodeDatabaseUnavailable} {
								mark := fmt.Sprint(i, at, fail)
								params := m{"mark": mark, "fail": fail, "fail_at": at, "at_member": refuses}
								w.row("MATCH (n) RETURN n", params, m{"mode": "r"})
								w.row("MATCH (n) RETURN n", params, nil)
								for _, by := range asked.of(mark) {
									if by == refuses {
										met++
									}
								}
							}
						}
					}
					old := g.stale()
					w.row(aWrite, m{"mark": "stale"}, nil)
					if by := asked.of("stale"); len(by) < 2 || by[0] != old {
						t.Errorf("the write was asked of %v; want it refused by %s", by, old)
					}
					if met == 0 && v >= bolt.V3 { // before, nobody declares a read, and what the gate takes for one stays at the leader
						t.Errorf("no read was asked of %s first", refuses)
					}
					for _, member := range g.cluster.Members() {
						if n := g.pools.Counters(member.Name); n.Broken != 0 {
							t.Errorf("%d of %d units at %s cost their connection", n.Broken, n.Units(), member.Name)
						}
					}
				})
			})
		}
	}
}
