package proxy

import (
	"sync"
	"testing"

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
