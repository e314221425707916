package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/configs"
	"github.com/boltgate/boltgate/discovery"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/proxy"
	"github.com/boltgate/boltgate/standin"
	"github.com/boltgate/boltgate/test/memnet"
	"github.com/boltgate/boltgate/test/seeds"
)

// This file has members come and go by DNS under load, by seeds, in memory: the parts of a daemon, on a clock that passes at once.
//
//	BOLTGATE_SEEDS=1000 go test -run TestMembersComeAndGo ./cmd/boltgate

// comeAndGo is such a gate, its cluster, and what its clients saw.
type comeAndGo struct {
	t       *testing.T
	network *memnet.Network
	cluster *standin.Cluster
	random  *rand.Rand

	mu    sync.Mutex
	named []string        // in DNS; nil: it fails
	done  map[string]bool // acknowledged writes, by mark
	reads int
	errs  []error
}

// lookup is DNS.
func (w *comeAndGo) lookup(context.Context, discovery.Question) (discovery.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := discovery.Answer{TTL: time.Second}
	for _, name := range w.named {
		a.Records = append(a.Records, discovery.Record{Host: name, Port: 7687})
	}
	if len(a.Records) == 0 {
		return a, fmt.Errorf("no such name")
	}
	return a, nil
}

func (w *comeAndGo) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return w.network.DialFrom(ctx, "gate", address)
}

// start starts the daemon's parts; the result ends them.
func (w *comeAndGo) start() (end func()) {
	cfg, err := configs.Parse("test.yaml", []byte(fmt.Sprintf("frontends: [{name: f, bind: \"gate:7687\"}]\ncluster: {discover: {srv: _bolt._tcp.test}, check: {user: %s, password: %s, interval: 500ms}}", standin.DefaultUser, standin.DefaultPassword)))
	if err != nil {
		w.t.Fatal(err)
	}
	log := newLogger(cfg.Log, io.Discard)
	d := &daemon{cfg: cfg, log: log, current: new(cluster.Current), members: new(roster), learner: new(discovery.Learner), dial: w.dial}
	d.tlsFiles.inForce(cfg)
	d.finder = discovery.New(discovery.Options{Services: []discovery.Service{{Name: "_bolt._tcp.test"}}, Lookup: w.lookup}, nil)
	o := healthOptions(cfg, d.members, nil, nil)
	o.Dial = w.dial
	d.monitor = health.New(o, d.current, log.Logger)
	d.pools = pool.NewSet(pool.Options{Dial: w.dial}, log.Logger)
	d.server = proxy.New(proxyOptions(cfg), d.current, d.pools, log.Logger)
	d.server.Listen = func(_, address string) (net.Listener, error) { return w.network.Listen(address) }
	fronts, err := frontends(cfg)
	if err == nil {
		err = d.server.Apply(proxyOptions(cfg), fronts)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.monitor.Run(ctx) }) //nolint:errcheck // it ends with its context
	running.Go(func() { d.finder.Run(ctx) })
	running.Go(func() { d.followUntil(ctx, make(chan os.Signal)) }) //nolint:errcheck // nobody was before it
	return func() {
		cut, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		d.server.Shutdown(cut) //nolint:errcheck // clients have gone
		cancel()
		running.Wait()
		d.pools.Close() //nolint:errcheck // never fails
	}
}

// client works on one connection, opened anew when it failed, until ctx ends.
func (w *comeAndGo) client(ctx context.Context, name string) {
	var c *bolt.Client
	for i := 0; ctx.Err() == nil; i++ {
		mark := fmt.Sprint(name, "-", i)
		if c == nil {
			c = w.connect()
		}
		text, extra := "MATCH (n) RETURN n", map[string]any{"mode": "r"}
		if i%3 == 0 {
			text, extra = "CREATE (n) RETURN n", nil
		}
		res, err := c.Query(text, map[string]any{"mark": mark}, extra)
		w.note(mark, extra == nil, res, err)
		if err != nil {
			c.Close()
			c = nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.Close()
}

func (w *comeAndGo) connect() *bolt.Client {
	conn, err := w.network.Dial(context.Background(), "tcp", "gate:7687")
	if err != nil {
		panic(err)
	}
	if _, err := bolt.Handshake(conn, bolt.V5_4); err != nil {
		panic(err)
	}
	c := bolt.NewClient(conn, bolt.V5_4)
	if err := c.Logon(bolt.HelloOptions{}, bolt.Basic(standin.DefaultUser, standin.DefaultPassword)); err != nil {
		panic(err)
	}
	return c
}

// note keeps what a client saw. Members leave in good order here: nothing may fail.
func (w *comeAndGo) note(mark string, write bool, res *bolt.Result, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.errs = append(w.errs, fmt.Errorf("%s: %w", mark, err))
	case len(res.Rows) != 1 || !slices.Contains(res.Rows[0], any(mark)):
		w.errs = append(w.errs, fmt.Errorf("%s was answered with %v", mark, res.Rows))
	case write:
		w.done[mark] = true
	default:
		w.reads++
	}
}

// change has DNS name other members, the leader always among them; or fail, which takes nobody away.
func (w *comeAndGo) change() {
	leader := w.cluster.Leader("neo4j")
	var names []string
	for _, m := range w.cluster.Members() {
		if m.Name == leader || w.random.IntN(2) == 0 {
			names = append(names, m.Name)
		}
	}
	w.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if w.random.IntN(5) == 0 {
		names = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named = names
}

func (w *comeAndGo) verify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, err := range w.errs {
		if i < 10 {
			w.t.Error(err)
		}
	}
	times := map[any]int{}
	for _, e := range w.cluster.Log("neo4j") {
		for _, mark := range e.Marks {
			times[mark]++
		}
	}
	for mark := range w.done {
		if times[mark] != 1 {
			w.t.Errorf("%s was acknowledged and is in the log %d times", mark, times[mark])
		}
	}
	if len(w.done) < 100 || w.reads < 200 {
		w.t.Errorf("only %d writes and %d reads: this has shown little", len(w.done), w.reads)
	}
}

func TestMembersComeAndGoByDNSUnderLoad(t *testing.T) {
	from, to := seeds.Range(t, 16)
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { comesAndGoes(t, seed) })
		})
	}
}

func comesAndGoes(t *testing.T, seed int64) {
	w := &comeAndGo{t: t, network: memnet.New(seed), random: rand.New(rand.NewPCG(uint64(seed), 0x646e73)), done: map[string]bool{}}
	c, err := standin.Start(standin.Options{Members: 5, Replicas: 1, Seed: seed, Listen: func(member, protocol string) (net.Listener, error) {
		return w.network.Listen(member + map[string]string{"bolt": ":7687", "http": ":7474"}[protocol])
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.cluster = c
	w.named = []string{"s1", "s2", "s3"}
	end := w.start()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { w.client(ctx, fmt.Sprint("c", i)) })
	}
	for range 8 {
		time.Sleep(time.Duration(500+w.random.IntN(3000)) * time.Millisecond)
		w.change()
	}
	time.Sleep(3 * time.Second)
	stop()
	clients.Wait()
	w.verify()
	end()
}
