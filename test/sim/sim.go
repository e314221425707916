// Package sim is a deterministic simulator: the whole gate (listeners, sessions, pools, checks, routing) over a network in memory
// and a fake clock (testing/synctest), before a cluster of stand-ins, with clients that write values which nobody else writes, and
// faults that a seed draws. What happened is kept as a history, and a checker holds it to the rules that are never broken.
//
//	plan.go     what a seed draws: the cluster, its clients, the faults and when they come
//	world.go    the cluster and the network, for one seed; gate.go the gates
//	faults.go   how planned faults come and go
//	client.go   Bolt clients; work.go what they do
//	web.go      HTTP clients; webwork.go what they do
//	tap.go      what passes between gate and members, and faults at exact bytes of it; webtap.go the same over HTTP
//	traps.go    which faults befall a chosen request
//	history.go  what happened, as clients, members and taps saw it
//	check.go    the rules
//
// Only tests import it.
package sim

import (
	"testing"
	"testing/synctest"
)

// Play runs one seed in a bubble of its own and returns what happened. It fails t only when the run could not be made.
func Play(t *testing.T, seed int64) *History {
	t.Helper()
	var h *History
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newPlan(seed))
		w.run()
		h = w.history
	})
	return h
}
