// Package proxy is the client side: it listens, tells protocols apart, and serves Bolt sessions, Bolt over WebSocket and
// HTTP, each unit of work at the member that routing picks.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// Server serves all frontends.
type Server struct {
	options   atomic.Pointer[Options]
	current   *cluster.Current
	pools     *pool.Set
	log       *slog.Logger
	logins    *logins
	users     atomic.Pointer[gateUsers] // nil: there are none
	throttle  *throttle
	http      httpShared   // what HTTP connections share
	writes    *textSet     // texts that Classify took for reads and a member for writes
	routed    nameSet      // databases whose work needs server-side routing, as members said
	databases databases    // their names in bookmarks
	progress  progress     // of members
	newest    newest       // questions for leaders' bookmarks
	wanted    atomic.Int64 // UnixNano of the newest wish for news of where members are
	auths     limiter      // of log-ons at members
	held      holdLine
	memory    memoryGuard
	rates     rates  // of users and addresses
	places    places // of users and databases
	counts    counters
	budgets   sync.Map // of member name to *retryBudget
	queries   *querystats.Table
	slow      slowLog
	learner   *learner
	open      openTxs // explicit HTTP transactions
	nextID    atomic.Uint64
	parkRound atomic.Uint32 // see giveBack
	outdated  outdating
	seekers   seekers
	succession

	// Listen opens a listener; nil means net.Listen. Set before Apply.
	Listen func(network, address string) (net.Listener, error)

	// OnDoubt, when not nil, is called for each commit in doubt, by the goroutine that serves its client: it must not block. Set before Apply.
	OnDoubt func(Doubt)

	work   context.Context // ends when sessions shall end
	cancel context.CancelFunc
	conns  sync.WaitGroup // one a client connection
	loops  sync.WaitGroup // one a listener

	mu       sync.Mutex
	fronts   map[string]*frontend // guarded by mu
	clients  map[*client]struct{} // guarded by mu: open client connections
	draining bool                 // guarded by mu
}

// frontend is a running Frontend: what it is set to now, and its listeners.
type frontend struct {
	settings  atomic.Pointer[Frontend]
	balance   atomic.Pointer[routing.Router]
	tables    atomic.Pointer[tables]
	limits    atomic.Pointer[limits] // nil: there are none
	listeners map[string]net.Listener
	stats     frontStats

	asked *Frontend // guarded by the server's mu: what settings was made of, see Share

	// Both are guarded by the server's mu. open has one entry a connection, when connections are limited; changed is
	// closed when open is replaced, or a listener closed, for who waits for a place.
	open    chan struct{}
	changed chan struct{}

	perAddress map[uint64]int // guarded by the server's mu: connections, see addresses.go; nil while they are not limited
}

func (f *frontend) router() *routing.Router { return f.balance.Load() }

// tables remembers how the operator's word on procedures and the members' lists were put together.
type tables struct {
	operator, members *cypher.Procedures
	both              *cypher.Cache

	once    sync.Once
	careful *cypher.Cache // see carefully; made when first asked for
}

// verdicts is what texts are judged by: the operator's word on procedures over what members listed.
func (f *frontend) verdicts(v *cluster.View) *cypher.Cache {
	operator := f.settings.Load().Procedures
	t := f.tables.Load()
	if t == nil || t.operator != operator || t.members != v.Procedures {
		t = &tables{operator: operator, members: v.Procedures, both: cypher.NewCache(operator.Over(v.Procedures))}
		f.tables.Store(t)
	}
	return t.both
}

// New returns a Server without frontends; Apply gives it some.
func New(o Options, current *cluster.Current, pools *pool.Set, log *slog.Logger) *Server {
	s := &Server{
		current: current, pools: pools, log: log, throttle: newThrottle(), writes: newTextSet(), learner: newLearner(), queries: querystats.New(),
		fronts: map[string]*frontend{}, clients: map[*client]struct{}{}, Listen: net.Listen,
	}
	s.throttle.counts = &s.counts
	s.progress.current, s.progress.databases = current, &s.databases
	s.newest.progress = &s.progress
	o = o.withDefaults()
	s.options.Store(&o)
	s.users.Store(newGateUsers(o.Users, nil))
	s.auths.resize(o.AuthInFlight)
	s.auths.bound(o.MaxHeld)
	s.memory.limit.Store(o.Memory)
	s.logins = newLogins(func() time.Duration { return s.options.Load().Remember })
	s.work, s.cancel = context.WithCancel(context.Background())
	s.conns.Go(s.parkIdle)
	s.conns.Go(s.learn)
	s.conns.Go(s.watchVersions)
	s.conns.Go(s.watchSilence)
	s.conns.Go(s.watchMemory)
	return s
}

// Apply makes the frontends those given: new addresses are opened first, then settings change, then addresses that are
// not wanted any more close. Connections stay. When an address cannot be opened nothing changes.
func (s *Server) Apply(o Options, frontends []*Frontend) error {
	opened, err := s.openAll(frontends)
	if err != nil {
		return err
	}
	o = o.withDefaults()
	s.options.Store(&o)
	s.users.Store(newGateUsers(o.Users, s.users.Load()))
	s.auths.resize(o.AuthInFlight)
	s.auths.bound(o.MaxHeld)
	s.memory.limit.Store(o.Memory)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired.Store(false)
	wanted := map[string]bool{}
	for _, f := range frontends {
		wanted[f.Name] = true
		s.applyOne(f, opened)
	}
	for name, f := range s.fronts {
		if !wanted[name] {
			closeAll(f.listeners)
			clear(f.listeners)
			f.wake()
			delete(s.fronts, name)
		}
	}
	return nil
}

func closeAll(listeners map[string]net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// openAll opens the addresses that no frontend of that name listens on yet.
func (s *Server) openAll(frontends []*Frontend) (map[string]net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := map[string]net.Listener{}
	var faults []error
	for _, f := range frontends {
		for _, bind := range f.Bind {
			if have := s.fronts[f.Name]; have != nil && have.listeners[bind] != nil {
				continue
			}
			l, err := s.listen(bind)
			if err != nil {
				faults = append(faults, fmt.Errorf("proxy: frontend %s cannot listen on %s: %w", f.Name, bind, err))
				continue
			}
			opened[f.Name+" "+bind] = l
		}
	}
	if len(faults) > 0 {
		closeAll(opened)
		return nil, errors.Join(faults...)
	}
	return opened, nil
}

func (s *Server) listen(bind string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(bind, "unix:"); ok {
		return s.Listen("unix", path)
	}
	return s.Listen("tcp", bind)
}

// applyOne sets one frontend and starts its new listeners. The caller holds mu.
func (s *Server) applyOne(set *Frontend, opened map[string]net.Listener) {
	f := s.fronts[set.Name]
	if f == nil {
		f = &frontend{listeners: map[string]net.Listener{}, changed: make(chan struct{})}
		s.fronts[set.Name] = f
	}
	f.asked = set
	f.limits.Store(newLimits(&s.options.Load().Limits, set))
	old := f.settings.Swap(s.shared(set))
	if old == nil || !reflect.DeepEqual(old.Policy, set.Policy) {
		f.balance.Store(&routing.Router{Policy: set.Policy, Load: s.pools.Load, Has: s.progress.has, Late: s.progress.late})
	}
	if old == nil || old.MaxConnections != set.MaxConnections {
		f.open = nil
		if set.MaxConnections > 0 {
			f.open = make(chan struct{}, set.MaxConnections)
		}
		f.wake()
	}
	s.countAddresses(f, set)
	keep := map[string]bool{}
	for _, bind := range set.Bind {
		keep[bind] = true
		if l := opened[set.Name+" "+bind]; l != nil {
			f.listeners[bind] = l
			s.loops.Go(func() { s.serveListener(f, l) })
		}
	}
	for bind, l := range maps.Clone(f.listeners) {
		if !keep[bind] {
			l.Close()
			f.wake()
			delete(f.listeners, bind)
		}
	}
}

// wake makes those who wait for a place look again. The caller holds the server's mu.
func (f *frontend) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// place waits for room for one more connection; nil when there is no limit. It gives up when l is not f's any more.
func (s *Server) place(f *frontend, l net.Listener) (open chan struct{}, ok bool) {
	for {
		s.mu.Lock()
		open, changed := f.open, f.changed
		ended := open != nil && (s.draining || !slices.Contains(slices.Collect(maps.Values(f.listeners)), l))
		s.mu.Unlock()
		if open == nil || ended {
			return nil, !ended
		}
		select {
		case open <- struct{}{}:
			return open, true
		case <-changed:
		}
	}
}

// Addresses are where the frontend of that name listens; for tests and the demo, which bind port 0.
func (s *Server) Addresses(name string) []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Addr
	if f := s.fronts[name]; f != nil {
		for _, bind := range f.settings.Load().Bind {
			all = append(all, f.listeners[bind].Addr())
		}
	}
	return all
}

// serveListener accepts and counts connections until the listener closes. At max_connections the next one waits
// unaccepted.
func (s *Server) serveListener(f *frontend, l net.Listener) {
	for {
		open, ok := s.place(f, l)
		if !ok {
			return
		}
		conn, err := l.Accept()
		if err != nil {
			if open != nil {
				<-open
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.Warn("cannot accept a connection; trying again", "frontend", f.settings.Load().Name, "error", err)
			time.Sleep(50 * time.Millisecond) // out of file descriptors: others must end first
			continue
		}
		f.stats.accepted.Add(1)
		c := &client{conn: conn, place: open, front: f.settings.Load().Name}
		if !s.add(c) {
			s.bury(c)
			continue
		}
		s.conns.Go(func() { s.live(c, func() error { return s.serveProtocol(f, c) }) })
	}
}

// client is one open client connection, as the shutdown and the sweep over idle sessions see it.
type client struct {
	conn  net.Conn
	front string        // the frontend's name
	place chan struct{} // what holds its place under max_connections; nil when they are not limited
	from  uint64        // guarded by the server's mu: the client's address as limits know it; 0 while there is none
	stays atomic.Bool   // the successor does not take it, see handover.go

	// session is nil until the protocol is known; one over WebSocket replaces HTTP's. The connection's own goroutine sets it,
	// under the server's mu, and reads it without.
	session session
}

func (c *client) address() string { return c.conn.RemoteAddr().String() }

func (s *Server) add(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.clients[c] = struct{}{}
	return true
}

// begin makes session what the server's shutdown and its sweep see of c.
func (s *Server) begin(c *client, session session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.session = session
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.clients[c]; known {
		s.part(c)
		delete(s.clients, c)
	}
}

// Sessions is how many client connections are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

// CloseListeners stops accepting; sessions go on.
func (s *Server) CloseListeners() {
	s.mu.Lock()
	s.draining = true
	for _, f := range s.fronts {
		closeAll(f.listeners)
		f.wake()
	}
	s.mu.Unlock()
	s.loops.Wait()
}

const drainLook = 20 * time.Millisecond // how often a shutdown looks whether units of work are done

// Shutdown ends the server in the order clients feel it: no new connections, units of work end, idle sessions are closed
// last. Work that is not done when ctx ends is cut; the error says how much.
func (s *Server) Shutdown(ctx context.Context) error {
	s.CloseListeners()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	var cut error
	for cut == nil && s.working() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			cut = fmt.Errorf("proxy: %d units of work were cut at the end of shutdown.timeout", s.working())
		}
	}
	s.cancel()
	ended := make(chan struct{})
	go func() { s.conns.Wait(); close(ended) }()
	for {
		s.poke(cut != nil)
		select {
		case <-ended:
			return cut
		case <-ctx.Done():
			cut = errors.Join(cut, context.Cause(ctx))
			ctx = context.WithoutCancel(ctx)
		case <-tick.C:
		}
	}
}

// working counts the connections with a unit of work, and the HTTP transactions that wait for their next request.
func (s *Server) working() int {
	n := s.open.count("", time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired.Load() { // they end at the process that accepts their requests
		n = 0
	}
	for c := range s.clients {
		if c.session != nil && !c.session.waits().idle() {
			n++
		}
	}
	return n
}

// poke wakes idle sessions, which then see that they shall end; all of them are closed when hard.
func (s *Server) poke(hard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		switch {
		case hard || c.session == nil:
			if c.session != nil {
				c.session.abort() // first: Close waits for what is served from within the wait for the client
			}
			c.conn.Close()
		case c.session.waits().idle():
			c.conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection is what we want
		}
	}
}
