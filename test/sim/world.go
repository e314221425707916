package sim

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// Names in the network.
const (
	gateHost   = "gate"   // the first; the second is gate2
	checksHost = "checks" // of the same gate; checks2
	gatePort   = ":7687"
	boltPort   = ":7687"
	httpPort   = ":7474"
)

// afterwards is how long clients may still take once no new work begins. Every fault is over long before.
const afterwards = 90 * time.Second

// world is one seed's gate, cluster and clients.
type world struct {
	t        *testing.T
	plan     *plan
	network  *memnet.Network
	cluster  *standin.Cluster
	gates    []*gate
	history  *History
	taps     taps
	babblers babblers
	lives    sync.Mutex // held while a member is killed or started
	ends     time.Time  // when clients begin nothing new
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{t: t, plan: p, network: memnet.New(p.seed), history: newHistory(p)}
	w.taps.world = w
	w.babblers.random = rand.New(rand.NewPCG(uint64(p.seed), 0xBAB))
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
	for i := range w.plan.gates {
		w.gates = append(w.gates, w.startGate(i))
	}
	for _, name := range w.plan.members() {
		w.links(name, func(l *memnet.Link) { l.Weather(w.plan.weather) })
	}
	for _, g := range w.gates {
		g.awaitLeader()
	}
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
	for i := range w.plan.webClients {
		clients.Go(newWebClient(w, w.plan.clients+i).live)
	}
	clients.Wait()
	faults.Wait()
	if w.plan.webClients > 0 {
		time.Sleep(txIdle + 2*time.Second) // transactions that clients left open end, and the gate waits for none that is none
	}
	for _, g := range w.gates {
		g.end()
	}
	w.history.take(c, w.plan.databases)
}

func logTo() io.Writer {
	if os.Getenv("BOLTGATE_TEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}
