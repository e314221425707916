package proxy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/routing"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what the policy makes of what checks find, from members that lag, go and come to who serves reads. What
// routing makes of a View is its own to test.

// choosing runs f with a gate before four members, of which s1 leads; reads follow the policy alone.
func choosing(t *testing.T, p routing.Policy, f func(t *testing.T, g *gate)) {
	t.Helper()
	o := gateOptions{standin: standin.Options{Members: 4, Seed: 1}, frontend: func(f *Frontend) { f.Policy, f.Causality = p, CausalityNone }}
	o.health = func(h *health.Options) {
		for _, m := range h.Members {
			m.Tags = map[string][]string{"s1": {"west"}, "s2": {"west"}, "s3": {"east"}}[m.Name]
		}
	}
	inBubble(t, o, func(t *testing.T, g *gate) {
		g.leaders(map[string]string{"neo4j": "s1"})
		f(t, g)
	})
}

// readers are who serves n reads, and how many each.
func readers(w *wire, n int) map[string]int {
	got := map[string]int{}
	for range n {
		member, _ := w.row(oneRow, nil, m{"mode": "r"})["member"].(string)
		got[member]++
	}
	return got
}

// wantReaders checks who serves reads.
func wantReaders(t *testing.T, w *wire, when, want string) {
	t.Helper()
	if got := strings.Join(slices.Sorted(maps.Keys(readers(w, 12))), " "); got != want {
		t.Errorf("%s reads are served by %s; want %s", when, got, want)
	}
}

func TestAMemberThatLagsTooFarServesNoReads(t *testing.T) {
	choosing(t, routing.Policy{MaxLag: 10}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		write := func(n int) {
			for range n {
				w.row(aWrite, nil, nil)
			}
		}
		lag := func(behind int64, names ...string) { // waits until checks have found it
			g.await(func(v *cluster.View) bool {
				return !slices.ContainsFunc(names, func(name string) bool { return v.Member(name).ProgressOf("neo4j").Lag != behind })
			})
		}
		late := func(by time.Duration, names ...string) {
			for _, name := range names {
				g.cluster.SetLag(name, by) //nolint:errcheck // it is there
			}
		}
		late(time.Hour, "s3")
		write(10)
		lag(10, "s3")
		wantReaders(t, w, "with s3 behind by as much as it may be", "s2 s3 s4")
		write(1)
		lag(11, "s3")
		wantReaders(t, w, "with s3 behind by one more", "s2 s4")
		late(time.Hour, "s2", "s4")
		write(11)
		lag(11, "s2", "s4")
		wantReaders(t, w, "with all behind", "s1")
		late(0, "s3", "s4")
		write(1)
		lag(0, "s3", "s4")
		wantReaders(t, w, "with two that have come up again", "s3 s4")
	})
}

func TestReadsPreferTheFirstTagThatAReaderHas(t *testing.T) {
	choosing(t, routing.Policy{Prefer: []string{"west", "east"}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		await := func(name string, up bool) {
			g.await(func(v *cluster.View) bool {
				s := v.Member(name)
				return s.Up == up && (!up || s.Role("neo4j") == cluster.Follower)
			})
		}
		wantReaders(t, w, "with all there", "s2") // s1 leads
		g.kill("s2")
		await("s2", false)
		wantReaders(t, w, "with nobody in the west", "s3")
		g.kill("s3")
		await("s3", false)
		wantReaders(t, w, "with nobody who is preferred", "s4")
		g.restart("s2", "s3")
		await("s2", true)
		await("s3", true)
		wantReaders(t, w, "with all back", "s2")
	})
}

func TestAMemberThatComesBackGetsItsShareOfReadsSlowly(t *testing.T) {
	choosing(t, routing.Policy{SlowStart: 100 * time.Second}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		time.Sleep(100 * time.Second) // in the bubble; the others have been there for long
		g.kill("s3")
		g.await(func(v *cluster.View) bool { return !v.Member("s3").Up })
		g.restart("s3")
		g.await(func(v *cluster.View) bool { return v.Member("s3").Role("neo4j") == cluster.Follower })
		const reads = 600 // a third each at the end
		began := time.Now()
		for _, c := range []struct {
			age         time.Duration
			least, most int
		}{{0, 0, 20}, {50 * time.Second, 60, 140}, {100 * time.Second, 180, 220}} {
			time.Sleep(time.Until(began.Add(c.age)))
			if got := readers(w, reads); got["s3"] < c.least || got["s3"] > c.most {
				t.Errorf("%v after it came back s3 serves %d of %d reads (%v); want %d to %d", c.age, got["s3"], reads, got, c.least, c.most)
			}
		}
	})
}
