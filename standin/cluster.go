package standin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// Cluster is a running cluster. Its methods may be called at any time and from anywhere.
type Cluster struct {
	opt     Options
	log     *slog.Logger
	members []*member // set by Start, never changed
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup // every goroutine of the cluster
	nudge   chan struct{}  // wakes keep; holds one
	news    chan Election  // to the goroutine that calls OnElection

	mu         sync.Mutex
	random     *rand.Rand               // guarded by mu
	dbs        []*database              // guarded by mu; in the order of their creation
	aliases    []alias                  // guarded by mu
	composites []*database              // guarded by mu
	homes      map[string]string        // guarded by mu: home databases by user
	remotes    map[string]*database     // guarded by mu: behind remote aliases, by alias
	users      map[string]string        // guarded by mu
	expired    map[string]bool          // guarded by mu: users whose password is due
	limited    map[string]bool          // guarded by mu: users that see no servers
	sides      map[string]int           // guarded by mu: partition side by member; nil when whole
	lags       map[string]time.Duration // guarded by mu: by member, where it is not Options.Lag
	turnsAway  map[string]string        // guarded by mu: by member, the code by which it answers log-ons
	tells      map[string][]string      // guarded by mu: the servers that a member tells of, where it was told to lie
	announcing bool                     // guarded by mu: the first leaders are there
	changed    chan struct{}            // guarded by mu: closed and replaced when anything above or in a member changed
}

// Start starts a cluster; its leaders are elected when it returns. Close ends it.
func Start(o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		opt: o, log: o.Logger, nudge: make(chan struct{}, 1), news: make(chan Election, 64), changed: make(chan struct{}),
		random: rand.New(rand.NewPCG(uint64(o.Seed), 0x7374616e64696e)), users: make(map[string]string), remotes: make(map[string]*database), homes: maps.Clone(o.Home),
		lags: make(map[string]time.Duration), turnsAway: make(map[string]string), expired: make(map[string]bool), limited: make(map[string]bool),
	}
	if c.homes == nil {
		c.homes = make(map[string]string)
	}
	for user, password := range o.Users {
		c.users[user] = password
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if err := c.addMembers(); err != nil {
		c.stop()
		return nil, err
	}
	c.addDatabases()
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	c.wg.Go(c.keep)
	c.wg.Go(c.announce)
	return c, nil
}

func (c *Cluster) addMembers() error {
	for i := range c.opt.Members + c.opt.Replicas {
		name := fmt.Sprintf("s%d", i+1)
		if i >= c.opt.Members {
			name = fmt.Sprintf("r%d", i+1-c.opt.Members)
		}
		own := c.opt.Override[name]
		versions := own.Versions
		if versions == nil && own.ServerVersion == "" {
			versions = c.opt.Versions
		}
		r, err := parseRelease(orElse(own.ServerVersion, c.opt.ServerVersion), versions)
		if err != nil {
			return err
		}
		c.members = append(c.members, newMember(c, name, i, i >= c.opt.Members, r))
	}
	return nil
}

func (c *Cluster) addDatabases() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		m.alive = true // the first leaders are there before anybody can ask
	}
	defer func() { c.announcing = true }()
	if !c.multi() {
		c.addDatabase("")
		return
	}
	for _, name := range c.opt.Databases {
		c.addDatabase(name)
	}
	c.addDatabase(systemDB)
	c.addNames()
}

// multi tells whether the cluster has several databases; mixed clusters all do or all do not.
func (c *Cluster) multi() bool { return c.members[0].release().multi() }

// Close ends every member and waits for every goroutine.
func (c *Cluster) Close() error {
	c.stop()
	for _, m := range c.members {
		m.end()
	}
	c.wg.Wait()
	return nil
}

// Members are the members as the gate's configuration would name them, voters first. Addresses hold for the cluster's life.
func (c *Cluster) Members() []*cluster.Member {
	list := make([]*cluster.Member, 0, len(c.members))
	for _, m := range c.members {
		list = append(list, &cluster.Member{Name: m.name, Bolt: m.boltAddr, HTTP: m.httpAddr})
	}
	return list
}

func (c *Cluster) member(name string) *member {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (c *Cluster) known(name string) (*member, error) {
	if m := c.member(name); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("standin: no member is called %q", name)
}

// change runs f with the lock held, lets everybody see what it did, and wakes who waits.
func (c *Cluster) change(f func()) {
	c.mu.Lock()
	f()
	c.settle()
	c.broadcast()
	c.mu.Unlock()
}

// broadcast is called with mu held.
func (c *Cluster) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// Kill ends a member as kill -9 does: its listeners and connections close, its transactions are gone. Its log stays.
func (c *Cluster) Kill(name string) error {
	m, err := c.known(name)
	if err != nil {
		return err
	}
	c.change(func() { m.alive = false })
	m.end()
	c.log.Info("stand-in killed", "member", name)
	return nil
}

// Restart starts a killed member again, on its old addresses. It catches up from the leader.
func (c *Cluster) Restart(name string) error {
	m, err := c.known(name)
	if err != nil {
		return err
	}
	if m.isAlive() {
		return fmt.Errorf("standin: %s runs already", name)
	}
	if err := m.start(); err != nil {
		return err
	}
	c.log.Info("stand-in restarted", "member", name)
	return nil
}

// Upgrade makes a killed member run another release from its next Restart on, an older one as well as a newer.
func (c *Cluster) Upgrade(name string, to Release) error {
	m, err := c.known(name)
	if err != nil {
		return err
	}
	r, err := parseRelease(orElse(to.ServerVersion, c.opt.ServerVersion), to.Versions)
	switch {
	case err != nil:
		return err
	case m.isAlive():
		return fmt.Errorf("standin: %s runs: kill it before its upgrade", name)
	case r.multi() != c.multi():
		return fmt.Errorf("standin: %s cannot become a %s: databases would appear or vanish", name, r.text)
	}
	m.runs.Store(&r)
	c.log.Info("stand-in upgraded", "member", name, "version", r.text)
	return nil
}

// Freeze makes a member half-open, as a stopped process is: it accepts connections and answers nothing.
func (c *Cluster) Freeze(name string) error { return c.setFrozen(name, true) }

// Thaw lets a frozen member go on where it stopped.
func (c *Cluster) Thaw(name string) error { return c.setFrozen(name, false) }

func (c *Cluster) setFrozen(name string, frozen bool) error {
	m, err := c.known(name)
	if err != nil {
		return err
	}
	c.change(func() { m.frozen = frozen })
	return nil
}

// Partition cuts the named members off from the others: no log entries, no votes. Clients still reach everybody. Further
// calls replace it; Heal ends it.
func (c *Cluster) Partition(names ...string) error {
	sides := make(map[string]int)
	for _, n := range names {
		if _, err := c.known(n); err != nil {
			return err
		}
		sides[n] = 1
	}
	c.change(func() { c.sides = sides })
	return nil
}

// Heal ends a partition.
func (c *Cluster) Heal() { c.change(func() { c.sides = nil }) }

// SetLag changes one member's replication lag.
func (c *Cluster) SetLag(name string, lag time.Duration) error {
	if _, err := c.known(name); err != nil {
		return err
	}
	c.change(func() { c.lags[name] = lag })
	return nil
}

// Alive tells whether a member runs; a frozen one does.
func (c *Cluster) Alive(name string) bool {
	m := c.member(name)
	return m != nil && m.isAlive()
}

// ServerVersion is what the first member says that it is.
func (c *Cluster) ServerVersion() string { return c.members[0].release().text }

// MultiDatabase tells whether the cluster has several databases, as servers have since 4.0.
func (c *Cluster) MultiDatabase() bool { return c.multi() }

// Connections is how many connections a member has open, both protocols; 0 for one that is down.
func (c *Cluster) Connections(name string) int {
	m := c.member(name)
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// linked tells whether two members hear each other. Called with mu held.
func (c *Cluster) linked(a, b *member) bool {
	return a == b && a.alive || a.works() && b.works() && c.sides[a.name] == c.sides[b.name]
}

// waitFor waits until cond, called with mu held, is true. It returns false when done closes or limit (0: none) passes.
func (c *Cluster) waitFor(done <-chan struct{}, limit time.Duration, cond func() bool) bool {
	var late <-chan time.Time
	for {
		c.mu.Lock()
		ok, changed := cond(), c.changed
		c.mu.Unlock()
		if ok {
			return true
		}
		if late == nil && limit > 0 {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-done:
			return false
		case <-late:
			return false
		}
	}
}

// listen opens a member's listener: again when restarting at address, else where Options say.
func (c *Cluster) listen(name, protocol, address string) (net.Listener, error) {
	if c.opt.Listen != nil {
		return c.opt.Listen(name, protocol)
	}
	if address != "" {
		return listenAgain(address)
	}
	return listenFree()
}

// Below the range that kernels take outgoing ports from, so that no connection sits on a killed member's port.
const (
	portBase  = 20000
	portRange = 12000
)

func listenFree() (net.Listener, error) {
	var last error
	for range 200 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", portBase+rand.IntN(portRange)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("standin: no free loopback port: %w", last)
}

func listenAgain(address string) (net.Listener, error) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		l, err := net.Listen("tcp", address)
		if err == nil || time.Now().After(deadline) {
			return l, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// foldName is how database names compare.
func foldName(name string) string { return strings.ToLower(name) }
