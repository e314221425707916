package standin

import (
	"bufio"
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// boltConn is the server's side of one Bolt connection. Two goroutines serve it: read takes requests off the wire, so that
// a RESET can overtake those that wait, and serve answers them in order.
type boltConn struct {
	m    *member
	conn net.Conn
	life context.Context // the member's
	id   int64
	v    bolt.Version
	in   requests
	out  answers

	// owned by serve
	state    state
	manifest bool
	utc      bool
	asker    asker
	tx       *transaction
	explicit bool // on 1-2: tx was opened by the text BEGIN
	streams  map[int64]*result
	nextQID  int64
	lastQID  int64
	closing  bool // after the answers so far

	queue chan message
	gone  chan struct{} // closed when serve has ended

	mu     sync.Mutex
	resets int           // guarded by mu: RESETs read and not answered
	halt   chan struct{} // guarded by mu: closed by a RESET or the client's leaving; replaced when the last RESET is answered
	left   bool          // guarded by mu: the client has left, or the member died
}

const (
	requestQueue = 256
	lingerTime   = time.Second
	loginBytes   = 8 << 10          // that 5.x reads before a login
	loginTime    = 30 * time.Second // until a login is due on 5.x
)

func newBoltConn(m *member, life context.Context, conn net.Conn) *boltConn {
	c := &boltConn{m: m, conn: conn, life: life, id: m.nextConn.Add(1), asker: asker{m: m}, queue: make(chan message, requestQueue),
		gone: make(chan struct{}), halt: make(chan struct{}), streams: make(map[int64]*result)}
	c.in.source = bufio.NewReader(conn)
	c.out = answers{conn: conn, release: m.release(), cut: -1, chunk: m.c.opt.MaxChunk, awake: func() bool { return m.awaken(life.Done()) }}
	if m.c.opt.MaxChunk > 0 {
		c.out.random = rand.New(rand.NewPCG(uint64(m.c.opt.Seed), uint64(c.id)))
	}
	return c
}

func (c *boltConn) serve() {
	defer close(c.gone)
	if !c.handshake() {
		return
	}
	c.out.version, c.asker.v = c.v, c.v
	c.in.noNoops = !c.m.release().atLeast(5, 0)
	if c.m.release().atLeast(5, 0) {
		c.in.limit.Store(loginBytes)
		_ = c.conn.SetReadDeadline(time.Now().Add(loginTime))
	}
	c.m.c.wg.Go(c.read)
	defer c.linger()
	for m := range c.queue {
		if !c.out.awake() {
			return
		}
		c.handle(m)
		if len(c.queue) == 0 || c.closing {
			c.out.flush()
		}
		if c.closing || c.out.err != nil {
			return
		}
	}
}

// linger ends a connection so that all of its answers arrive: closing one with requests unread would reset it.
func (c *boltConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || c.out.err != nil && c.out.err != errCut || half.CloseWrite() != nil {
		return
	}
	late := time.NewTimer(lingerTime)
	defer late.Stop()
	for {
		select {
		case _, more := <-c.queue:
			if !more {
				return
			}
		case <-late.C:
			return
		case <-c.life.Done():
			return
		}
	}
}

// read fills the queue until the client leaves.
func (c *boltConn) read() {
	defer close(c.queue)
	for {
		m, err := c.in.next()
		if err != nil {
			c.leave()
			return
		}
		if m.tag == bolt.TagReset && m.fault == nil && len(m.fields) == 0 {
			c.interrupt()
		}
		select {
		case c.queue <- m:
		case <-c.gone:
			return
		}
	}
}

// loggedIn lifts the limits that hold before a login.
func (c *boltConn) loggedIn() {
	c.in.limit.Store(0)
	_ = c.conn.SetReadDeadline(time.Time{})
}

func (c *boltConn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resets++; c.resets == 1 && !c.left {
		close(c.halt)
	}
}

func (c *boltConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left && c.resets == 0 {
		close(c.halt)
	}
	c.left = true
}

// halted is closed when work in progress is to stop.
func (c *boltConn) halted() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halt
}

func (c *boltConn) interrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resets > 0
}

// resetDone counts an answered RESET; true when it was the last.
func (c *boltConn) resetDone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets--
	if c.resets > 0 {
		return false
	}
	if !c.left {
		c.halt = make(chan struct{})
	}
	return true
}

// connectionID is how HELLO names the connection.
func (c *boltConn) connectionID() string { return "bolt-" + strconv.FormatInt(c.id, 10) }

// working runs f, which waits on halted, and sends NOOPs meanwhile where the version has them (4.1+).
func (c *boltConn) working(f func()) {
	every := c.m.c.opt.NoopEvery
	if every <= 0 || c.v < bolt.V4_1 {
		f()
		return
	}
	done := make(chan struct{})
	c.m.c.wg.Go(func() {
		defer close(done)
		f()
	})
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			c.out.raw([]byte{0, 0})
			c.out.flush()
		}
	}
}
