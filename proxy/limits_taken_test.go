package proxy

import (
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file takes up limits for limits_driver_test.go, and gives them back. Each function returns when what there was is taken, and what it
// returns gives it back; others may have it a little later.

// narrow is a gate with these limits.
func narrow(l Limits) gateOptions { return gateOptions{server: Options{Limits: l}} }

// electing is a cluster that has a new leader soon after it can have one.
func electing(o Options) gateOptions {
	return gateOptions{standin: standin.Options{Seed: 1, ElectionTime: 200 * time.Millisecond}, server: o}
}

const brief = 100 * time.Millisecond // for limits in time, which count only while there is nothing to be had: no machine is too slow for the rest

// impatient has work wait in line for a moment only, while all is taken.
func impatient(taken func(*gate) func()) func(*gate) func() {
	return func(g *gate) func() {
		over, queue := taken(g), g.server.fronts["main"].settings.Load().Timeouts.Queue
		g.change(func(f *Frontend) { f.Timeouts.Queue = brief })
		return func() {
			g.change(func(f *Frontend) { f.Timeouts.Queue = queue })
			over()
		}
	}
}

// transactionTime gives work a moment at its member.
func transactionTime(g *gate) func() {
	g.change(func(f *Frontend) { f.Timeouts.Transaction = brief })
	return func() { g.change(func(f *Frontend) { f.Timeouts.Transaction = 0 }) }
}

func transactionTimeOfAUser(g *gate) func() {
	return g.reload(Options{Limits: Limits{PerUser: UserLimits{Transaction: brief}}})
}

// reload puts options in force, and takes them back.
func (g *gate) reload(o Options) (over func()) {
	before := *g.server.options.Load()
	apply := func(o Options) {
		if err := g.server.Apply(o, []*Frontend{g.server.fronts["main"].settings.Load()}); err != nil {
			g.t.Error(err)
		}
	}
	apply(o)
	return func() { apply(before) }
}

func aConnection(g *gate) func() {
	w := g.logged(bolt.V5_4)
	return func() { w.conn.Close() }
}

// theRate is used up; it is over when there is none any more.
func theRate(g *gate) func() {
	w := g.logged(bolt.V5_4)
	for g.server.Counts().Refused["rate"] == 0 {
		w.ask(run(w.v, oneRow, nil, nil), pull(w.v))
	}
	return func() { g.reload(Options{}) }
}

// aPlace is the only one of the user, or of the database.
func aPlace(g *gate) func() {
	w := g.logged(bolt.V5_4)
	w.send(run(w.v, longRead, nil, m{"db": "neo4j"}), pull(w.v))
	g.taken(1)
	return func() { w.conn.Close() }
}

// theMembers have one place each.
func theMembers(g *gate) func() {
	var all []*pool.Lease
	for _, m := range g.current.View().Members {
		l, err := g.pools.Acquire(g.t.Context(), m.Member, pool.HTTP)
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, l)
	}
	return func() {
		for _, l := range all {
			l.Release(true)
		}
	}
}

// atWork is how many units of work members have.
func (g *gate) atWork() (n int) {
	for _, m := range g.cluster.Members() {
		n += g.pools.Stats(m.Name).InFlight
	}
	return n
}

func theMemory(g *gate) func() {
	percent := g.inUse()
	percent.Store(96)
	waitFor(g.t, "memory is full", g.server.memory.full.Load)
	return func() {
		percent.Store(10)
		waitFor(g.t, "there is room", func() bool { return !g.server.memory.full.Load() })
	}
}

// theLeader goes with the majority, and one comes with it.
func theLeader(g *gate) func() {
	var others []string
	for _, m := range g.cluster.Members() {
		if m.Name != g.cluster.Leader("neo4j") {
			others = append(others, m.Name)
		}
	}
	g.kill(others...)
	g.await(func(v *cluster.View) bool { return v.Leader("neo4j") == nil })
	return func() {
		g.restart(others...)
		g.await(func(v *cluster.View) bool { return v.Leader("neo4j") != nil })
	}
}

// theHold is over in a moment while there is no leader.
func theHold(g *gate) func() {
	found, back := theLeader(g), g.reload(Options{Hold: brief})
	return func() {
		back()
		found()
	}
}

// theLineForALeader has the one place that failover.max_held allows.
func theLineForALeader(g *gate) func() {
	w := g.logged(bolt.V5_4)
	over := theLeader(g)
	w.send(write(w.v, "held", nil), pull(w.v))
	waitFor(g.t, "a write is held", func() bool { return g.server.Counts().Held == 1 })
	return over
}

// theLogOn is the one that auth.max_in_flight allows.
func theLogOn(g *gate) func() {
	if err := g.server.auths.enter(g.t.Context(), func() {}); err != nil {
		g.t.Fatal(err)
	}
	return g.server.auths.leave
}

// theLineForALogOn has one place, too.
func theLineForALogOn(g *gate) func() {
	over := theLogOn(g)
	w := g.open(bolt.V5_4)
	w.send(logonMessages(w.v, standin.DefaultUser, standin.DefaultPassword)...)
	waitFor(g.t, "a log-on waits", func() bool {
		g.server.auths.mu.Lock()
		defer g.server.auths.mu.Unlock()
		return len(g.server.auths.line) == 1
	})
	return over
}
