package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
)

// gate is a whole gate in front of a stand-in cluster, in this process.
type gate struct {
	t       testing.TB
	cluster *standin.Cluster
	current *cluster.Current
	pools   *pool.Set
	server  *Server
	address string
	network *memnet.Network // nil: loopback sockets
	dials   atomic.Int64    // connections that the pool made
	monitor *health.Monitor
	checks  health.Options // of monitor, as it began
	kept    *http.Client   // by which web asks; nil: a new connection for each request
}

// patience is how long tests on sockets wait for what must happen: machines may be slow, and busy with something else.
const patience = time.Minute

// gateOptions are what a test wants otherwise than usual; each field may be zero.
type gateOptions struct {
	standin  standin.Options
	server   Options
	frontend func(*Frontend)
	pool     pool.Options
	health   func(*health.Options)
	network  *memnet.Network // the whole of it in memory; for synctest
	log      *slog.Logger
}

func testLog(t testing.TB) *slog.Logger {
	var w io.Writer = io.Discard
	if os.Getenv("BOLTGATE_TEST_LOG") != "" {
		w = os.Stderr
	}
	return slog.New(faults{slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}), t})
}

// faults fails the test when a session ends by a panic, which the gate survives.
type faults struct {
	slog.Handler
	t testing.TB
}

func (f faults) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == faultMessage {
		r.Attrs(func(a slog.Attr) bool {
			f.t.Errorf("%s: %v", a.Key, a.Value)
			return true
		})
	}
	return f.Handler.Handle(ctx, r)
}

// startGate starts a stand-in cluster and a gate before it, and waits until all members are up and a leader is known.
func startGate(t testing.TB, o gateOptions) *gate {
	t.Helper()
	g := startGateBlind(t, o)
	g.await(func(v *cluster.View) bool {
		down := func(s *cluster.Status) bool { return !s.Up }
		return v.Leader("") != nil && len(v.Versions) > 0 && !slices.ContainsFunc(v.Members, down)
	})
	return g
}

// startGateBlind does not wait.
func startGateBlind(t testing.TB, o gateOptions) *gate {
	t.Helper()
	if o.network != nil {
		o.standin.Listen = func(member, protocol string) (net.Listener, error) {
			return o.network.Listen(member + map[string]string{"bolt": ":7687", "http": ":7474"}[protocol])
		}
	}
	c, err := standin.Start(o.standin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	g := &gate{t: t, cluster: c, current: new(cluster.Current), network: o.network}
	log := o.log
	if log == nil {
		log = testLog(t)
	}
	h := health.Options{
		Generation: o.standin.Generation, Members: c.Members(), User: standin.DefaultUser, Password: standin.DefaultPassword,
		Interval: 500 * time.Millisecond, FastInterval: 20 * time.Millisecond, Timeout: 5 * time.Second, // a busy machine is no dead member
	}
	if o.network != nil {
		h.Timeout = 0
		h.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
			return o.network.DialFrom(ctx, "checks", address)
		}
	}
	if o.health != nil {
		o.health(&h)
	}
	dial := o.pool.Dial
	if dial == nil {
		dial = g.dialMember
	}
	o.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		g.dials.Add(1)
		return dial(ctx, network, address)
	}
	monitor := health.New(h, g.current, log)
	g.monitor, g.checks = monitor, h
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); monitor.Run(ctx) }() //nolint:errcheck // ends with ctx
	g.pools = pool.NewSet(o.pool, log)
	g.server = New(o.server, g.current, g.pools, log)
	f := &Frontend{Name: "main", Bind: []string{"127.0.0.1:0"}, Causality: CausalityUser, Timeouts: Timeouts{Handshake: 5 * time.Second, Queue: 10 * time.Second}}
	if o.network != nil {
		f.Bind = []string{"gate:7687"}
		g.server.Listen = func(_, address string) (net.Listener, error) { return o.network.Listen(address) }
	}
	if o.frontend != nil {
		o.frontend(f)
	}
	if err := g.server.Apply(o.server, []*Frontend{f}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cut, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		g.server.Shutdown(cut) //nolint:errcheck // tests may leave work behind
		g.pools.Close()        //nolint:errcheck // never fails
		cancel()
		<-ended
	})
	g.address = g.server.Addresses("main")[0].String()
	return g
}

func (g *gate) dialMember(ctx context.Context, network, address string) (net.Conn, error) {
	if g.network != nil {
		return g.network.DialFrom(ctx, "gate", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// open connects to the gate and does the handshake; logged logs on as well.
func (g *gate) open(v bolt.Version) *wire {
	g.t.Helper()
	if g.network == nil {
		return openWire(g.t, g.address, v)
	}
	conn, err := g.network.Dial(context.Background(), "tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	w := wireOn(g.t, conn, v)
	conn.SetDeadline(time.Time{}) //nolint:errcheck // in a bubble a wait without end is found
	return w
}

func (g *gate) logged(v bolt.Version) *wire {
	g.t.Helper()
	w := g.open(v)
	w.logOn(standin.DefaultUser, standin.DefaultPassword)
	return w
}

// await waits for a View that good likes.
func (g *gate) await(good func(*cluster.View) bool) {
	g.t.Helper()
	deadline := time.After(patience)
	for {
		v := g.current.View()
		if good(v) {
			return
		}
		select {
		case <-v.Replaced():
		case <-deadline:
			for _, m := range v.Members {
				g.t.Logf("%s up=%v roles=%v versions=%v: %s", m.Name, m.Up, m.Roles, m.Versions, m.LastError)
			}
			g.t.Fatalf("the cluster did not become what the test needs (generation %v)", v.Generation)
		}
	}
}

// change is a reload with another frontend.
func (g *gate) change(f func(*Frontend)) {
	g.t.Helper()
	front := *g.server.fronts["main"].settings.Load()
	f(&front)
	if err := g.server.Apply(*g.server.options.Load(), []*Frontend{&front}); err != nil {
		g.t.Fatal(err)
	}
}

// dial opens a raw Bolt connection of version v to the gate, logged on.
func (g *gate) dial(v bolt.Version) *bolt.Client {
	g.t.Helper()
	c, err := g.tryDial(v, bolt.Basic(standin.DefaultUser, standin.DefaultPassword))
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

func (g *gate) tryDial(v bolt.Version, auth bolt.Auth) (*bolt.Client, error) {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return nil, err
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // shows in use
	if _, err := bolt.Handshake(conn, v); err != nil {
		return nil, err
	}
	c := bolt.NewClient(conn, v)
	return c, c.Logon(bolt.HelloOptions{Agent: "test/1", Routing: map[string]string{"address": g.address}}, auth)
}

// query runs a text and returns its first row by column.
func query(t testing.TB, c *bolt.Client, text string, params, extra map[string]any) map[string]any {
	t.Helper()
	res, err := c.Query(text, params, extra)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	row := map[string]any{}
	for i, f := range res.Fields {
		if len(res.Rows) > 0 {
			row[f] = res.Rows[0][i]
		}
	}
	return row
}
