package sim

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// Names in the network.
const (
	gateAddress = "gate:7687"
	gateHost    = "gate"
	checksHost  = "checks"
	boltPort    = ":7687"
	httpPort    = ":7474"
)

// afterwards is how long clients may still take once no new work begins. Every fault is over long before.
const afterwards = 90 * time.Second

// world is one seed's gate, cluster and clients.
type world struct {
	t       *testing.T
	plan    *plan
	network *memnet.Network
	cluster *standin.Cluster
	current *cluster.Current
	pools   *pool.Set
	server  *proxy.Server
	history *History
	taps    taps
	lives   sync.Mutex // held while a member is killed or started
	ends    time.Time  // when clients begin nothing new
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{t: t, plan: p, network: memnet.New(p.seed), current: new(cluster.Current), history: newHistory(p)}
	w.taps.world = w
	p.cluster.OnQuery = w.history.ran
	p.cluster.OnElection = w.history.elected
	p.cluster.Listen = func(member, protocol string) (net.Listener, error) {
		return w.network.Listen(member + map[string]string{"bolt": boltPort, "http": httpPort}[protocol])
	}
	return w
}

// run plays the plan from the first check to the end of the last client.
func (w *world) run() {
	c, err := standin.Start(w.plan.cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	w.cluster = c
	end := w.startGate()
	for _, name := range w.plan.members() {
		w.links(name, func(l *memnet.Link) { l.Weather(w.plan.weather) })
	}
	w.awaitLeader()
	for _, db := range w.plan.databases {
		w.history.elected(standin.Election{DB: db, Leader: c.Leader(db), Term: 1, At: time.Now()})
	}
	w.ends = time.Now().Add(w.plan.length)
	var faults, clients sync.WaitGroup
	for _, f := range w.plan.faults {
		faults.Go(func() { w.suffer(f) })
	}
	for i := range w.plan.clients {
		clients.Go(newClient(w, i).live)
	}
	clients.Wait()
	faults.Wait()
	end()
	w.history.take(c, w.plan.databases)
}

// startGate wires the gate as cmd/boltgate does, and returns what ends it.
func (w *world) startGate() (end func()) {
	log := slog.New(slog.NewTextHandler(logTo(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	monitor := health.New(health.Options{
		Generation: w.plan.cluster.Generation, Members: w.cluster.Members(), User: standin.DefaultUser, Password: standin.DefaultPassword,
		Interval: w.plan.checkEvery, FastInterval: fastEvery, Timeout: checkTimeout,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return w.network.DialFrom(ctx, checksHost, address)
		},
	}, w.current, log)
	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	checks.Go(func() { monitor.Run(ctx) }) //nolint:errcheck // ends with ctx
	w.pools = pool.NewSet(pool.Options{MaxPerMember: w.plan.perMember, Dial: w.taps.dial}, log)
	options := proxy.Options{Hold: hold, Remember: 30 * time.Second}
	w.server = proxy.New(options, w.current, w.pools, log)
	w.server.Listen = func(_, address string) (net.Listener, error) { return w.network.Listen(address) }
	front := &proxy.Frontend{
		Name: "main", Bind: []string{gateAddress}, Causality: w.plan.causality, CausalityWait: 500 * time.Millisecond,
		Timeouts: proxy.Timeouts{Handshake: 5 * time.Second, Queue: queueTime},
	}
	if err := w.server.Apply(options, []*proxy.Frontend{front}); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		cut, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		if err := w.server.Shutdown(cut); err != nil {
			w.history.wrong(ruleHung, "", "the gate did not end in good order: %v", err)
		}
		w.pools.Close() //nolint:errcheck // never fails
		cancel()
		checks.Wait()
	}
}

func logTo() io.Writer {
	if os.Getenv("BOLTGATE_TEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

// awaitLeader waits until the gate knows a leader of every database.
func (w *world) awaitLeader() {
	deadline := time.After(time.Minute)
	for {
		v := w.current.View()
		all := len(v.Versions) > 0
		for _, db := range w.plan.databases {
			all = all && v.Leader(db) != nil
		}
		if all {
			return
		}
		select {
		case <-v.Replaced():
		case <-deadline:
			w.t.Fatal("the gate found no leaders of a whole cluster within a minute")
		}
	}
}
