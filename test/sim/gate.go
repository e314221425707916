package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/standin"
)

// This file owns a gate of a world: there may be two, which know nothing of each other.

// gate is one of the gates before the cluster.
type gate struct {
	w       *world
	host    string
	current *cluster.Current
	pools   *pool.Set
	server  *proxy.Server
	end     func()
}

// address is where its clients find it.
func (g *gate) address() string { return g.host + gatePort }

// nameOf is the name of gate i's part with that name.
func nameOf(part string, i int) string {
	if i == 0 {
		return part
	}
	return fmt.Sprint(part, i+1)
}

// startGate wires gate i as cmd/boltgate does.
func (w *world) startGate(i int) *gate {
	g := &gate{w: w, host: nameOf(gateHost, i), current: new(cluster.Current)}
	log := slog.New(slog.NewTextHandler(logTo(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	monitor := health.New(health.Options{
		Generation: w.plan.cluster.Generation, Members: w.cluster.Members(), User: standin.DefaultUser, Password: standin.DefaultPassword,
		Interval: w.plan.checkEvery, FastInterval: fastEvery, Timeout: checkTimeout,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := w.network.DialFrom(ctx, nameOf(checksHost, i), address)
			if err != nil {
				return nil, err
			}
			c := &checkConn{Conn: conn}
			member, _, _ := net.SplitHostPort(address)
			w.babblers.meet(member+" checks", &c.bad)
			return c, nil
		},
	}, g.current, log)
	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	checks.Go(func() { monitor.Run(ctx) }) //nolint:errcheck // ends with ctx
	g.pools = pool.NewSet(pool.Options{MaxPerMember: w.plan.perMember, Dial: g.dial}, log)
	options := proxy.Options{Hold: hold, Remember: 30 * time.Second}
	g.server = proxy.New(options, g.current, g.pools, log)
	g.server.Listen = func(_, address string) (net.Listener, error) { return w.network.Listen(address) }
	front := &proxy.Frontend{
		Name: "main", Bind: []string{g.address()}, Causality: w.plan.causality, CausalityWait: 500 * time.Millisecond,
		Timeouts: proxy.Timeouts{Handshake: 5 * time.Second, Queue: queueTime},
	}
	if err := g.server.Apply(options, []*proxy.Frontend{front}); err != nil {
		w.t.Fatal(err)
	}
	g.end = func() {
		cut, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		if err := g.server.Shutdown(cut); err != nil {
			w.history.wrong(ruleHung, "", "the gate did not end in good order: %v", err)
		}
		g.pools.Close() //nolint:errcheck // never fails
		cancel()
		checks.Wait()
	}
	return g
}

// anyGate is where a client goes now.
func (w *world) anyGate(r *rand.Rand) *gate {
	if len(w.gates) == 1 {
		return w.gates[0]
	}
	return w.gates[r.IntN(len(w.gates))]
}

// awaitLeader waits until the gate knows a leader of every database.
func (g *gate) awaitLeader() {
	deadline := time.After(time.Minute)
	for {
		v := g.current.View()
		all := len(v.Versions) > 0
		for _, db := range g.w.plan.databases {
			all = all && v.Leader(db) != nil
		}
		if all {
			return
		}
		select {
		case <-v.Replaced():
		case <-deadline:
			g.w.t.Fatal("the gate found no leaders of a whole cluster within a minute")
		}
	}
}
