package routing

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the choice among members that could all serve a read.

// Balance is how reads are spread over the members that can serve them.
type Balance uint8

// The balances. RoundRobin is the zero value.
const (
	RoundRobin Balance = iota
	First              // the first of the configuration that can
	LeastBusy          // the one with the least units of work in flight for its weight
	RandomTwo          // the less busy of two that were drawn by weight
	Latency            // the one that answers soonest, counting what is in flight there already
)

// preferred keeps the members with the first of the tags that any of them has; without one, all. It works in place.
func preferred(can []*cluster.Status, tags []string) []*cluster.Status {
	for _, tag := range tags {
		if n := toFront(can, func(s *cluster.Status) bool { return slices.Contains(s.Tags, tag) }); n > 0 {
			return can[:n]
		}
	}
	return can
}

// toFront moves those that which names to the front, all in their order, and tells how many they are.
func toFront(can []*cluster.Status, which func(*cluster.Status) bool) (n int) {
	for i, s := range can {
		if which(s) {
			copy(can[n+1:i+1], can[n:i])
			can[n] = s
			n++
		}
	}
	return n
}

// choose takes one of can, which is not empty.
func (r *Router) choose(can []*cluster.Status, now time.Time) *cluster.Status {
	if r.Policy.Balance == First || len(can) == 1 {
		return can[0]
	}
	n := r.next.Add(1) - 1
	can = r.awake(can, now, n)
	switch {
	case len(can) == 1:
		return can[0]
	case r.Policy.Balance == RoundRobin || r.Load == nil:
		return turn(can, n)
	case r.Policy.Balance == RandomTwo:
		a, b := draw(can), draw(can)
		if r.cost(b) < r.cost(a) {
			return b
		}
		return a
	}
	start := int(n % uint64(len(can))) // equals take turns
	best := can[start]
	least := r.cost(best)
	for i := 1; i < len(can); i++ {
		s := can[(start+i)%len(can)]
		if c := r.cost(s); c < least {
			best, least = s, c
		}
	}
	return best
}

// turn gives every member as many turns in a row as it has weight.
func turn(can []*cluster.Status, n uint64) *cluster.Status {
	total := 0
	for _, s := range can {
		total += weight(s)
	}
	at := int(n % uint64(total))
	for _, s := range can {
		if at -= weight(s); at < 0 {
			return s
		}
	}
	return can[0]
}

// draw takes a member by chance, by weight.
func draw(can []*cluster.Status) *cluster.Status { return turn(can, rand.Uint64()) }

// cost is what a unit of work at the member is taken to cost; who has the least gets it.
func (r *Router) cost(s *cluster.Status) float64 {
	l := r.Load(s.Name)
	busy := float64(l.InFlight+1) / float64(weight(s))
	if r.Policy.Balance == Latency {
		return busy * float64(l.Latency) // unknown costs nothing: it is tried
	}
	return busy
}

// awake leaves out members that came up within slow_start, but for a share of the n-th choices that grows with the time
// since then. It works in place and leaves at least one.
func (r *Router) awake(can []*cluster.Status, now time.Time, n uint64) []*cluster.Status {
	limit := r.Policy.SlowStart
	if limit <= 0 {
		return can
	}
	share := float64(n*goldenStep>>11) / (1 << 53) // spread evenly over 0 to 1, however far apart the choices are
	kept := toFront(can, func(s *cluster.Status) bool {
		up := now.Sub(s.Since)
		return up >= limit || float64(up)/float64(limit) > share
	})
	if kept == 0 {
		return can
	}
	return can[:kept]
}

// goldenStep is 2^64 divided by the golden ratio: its multiples, modulo 2^64, fall evenly.
const goldenStep = 0x9E3779B97F4A7C15
