package standin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// member is one server of the cluster, alive or not.
type member struct {
	c       *Cluster
	name    string
	index   int
	replica bool
	runs    atomic.Pointer[release] // replaced by Upgrade, while the member is down
	id      [16]byte                // of the server, as SHOW SERVERS has it

	boltAddr, httpAddr string // set by the first start, never changed after it

	alive  bool // guarded by c.mu
	frozen bool // guarded by c.mu

	mu        sync.Mutex
	listeners []net.Listener     // guarded by mu
	conns     map[net.Conn]int64 // guarded by mu: and which one it was
	tracked   int64              // guarded by mu: how many there were
	life      context.Context    // guarded by mu: ends with the member
	kill      context.CancelFunc // guarded by mu
	httpTxs   map[string]*httpTx // guarded by mu: open explicit transactions by id
	lastTx    int64              // guarded by mu: the last id of a transactional endpoint
	nextConn  atomic.Int64
}

func newMember(c *Cluster, name string, index int, replica bool, r release) *member {
	m := &member{c: c, name: name, index: index, replica: replica, id: c.newUUID(),
		conns: make(map[net.Conn]int64), httpTxs: make(map[string]*httpTx)}
	m.runs.Store(&r)
	return m
}

// release is the software that the member runs now.
func (m *member) release() release { return *m.runs.Load() }

// works tells whether the member takes part: it runs and is not frozen. Called with c.mu held.
func (m *member) works() bool { return m.alive && !m.frozen }

func (m *member) isAlive() bool {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	return m.alive
}

// start opens the listeners and serves them.
func (m *member) start() error {
	var listeners []net.Listener
	open := func(protocol string, address *string) error {
		l, err := m.c.listen(m.name, protocol, *address)
		if err != nil {
			return fmt.Errorf("standin: %s: listening for %s: %w", m.name, protocol, err)
		}
		if *address == "" { // others read it while this one starts again
			*address = l.Addr().String()
		}
		listeners = append(listeners, l)
		return nil
	}
	err := open("http", &m.httpAddr)
	if err == nil && len(m.release().versions) > 0 {
		err = open("bolt", &m.boltAddr)
	}
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return err
	}
	m.mu.Lock()
	m.listeners = listeners
	m.life, m.kill = context.WithCancel(m.c.ctx)
	life := m.life
	m.mu.Unlock()
	m.c.change(func() { m.alive, m.frozen = true, false })
	m.c.wg.Go(func() { m.serveHTTP(life, listeners[0]) })
	if len(listeners) > 1 {
		m.c.wg.Go(func() { m.serveBolt(life, listeners[1]) })
	}
	return nil
}

// end closes everything that the member has open.
func (m *member) end() {
	m.mu.Lock()
	listeners, conns := m.listeners, m.conns
	m.listeners, m.conns, m.httpTxs = nil, make(map[net.Conn]int64), make(map[string]*httpTx)
	m.lastTx = 0 // a server counts from the start again
	if m.kill != nil {
		m.kill()
	}
	m.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, conn := range slices.SortedFunc(maps.Keys(conns), func(a, b net.Conn) int { return cmp.Compare(conns[a], conns[b]) }) {
		abort(conn) // in one order, so that a seed's run is the same again
	}
}

// abort closes a connection as the end of a process does, with what was not read lost.
func abort(conn net.Conn) {
	if a, ok := conn.(interface{ Abort() }); ok {
		a.Abort()
	}
	conn.Close()
}

// track notes an open connection; false when the member's life is over.
func (m *member) track(life context.Context, conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if life.Err() != nil {
		return false
	}
	m.tracked++
	m.conns[conn] = m.tracked
	return true
}

func (m *member) untrack(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, conn)
}

// awaken waits while the member is frozen; false when done closes first.
func (m *member) awaken(done <-chan struct{}) bool {
	return m.c.waitFor(done, 0, func() bool { return !m.frozen })
}

func (m *member) serveBolt(life context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !m.track(life, conn) {
			conn.Close()
			return
		}
		m.c.wg.Go(func() {
			defer m.untrack(conn)
			defer conn.Close()
			newBoltConn(m, life, conn).serve()
		})
	}
}
