package proxy

import (
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
