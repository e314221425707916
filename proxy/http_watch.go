package proxy

import (
	"io"
	"sync"
	"time"

	"github.com/boltgate/boltgate/netio"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what the HTTP connections of one server share: who wrote lately, and one goroutine that looks every second
// for clients that left while a member works for them. So a request costs no goroutine and no timer of its own.

// httpShared is that. The zero value is ready.
type httpShared struct {
	writers writers

	mu      sync.Mutex
	conns   map[*httpConn]struct{} // guarded by mu
	running bool                   // guarded by mu: the look-out runs; it ends with the last connection
}

const leftLook = time.Second // how often clients whose members work are looked at

func (h *httpShared) enter(c *httpConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns == nil {
		h.conns = make(map[*httpConn]struct{})
	}
	h.conns[c] = struct{}{}
	if !h.running {
		h.running = true
		c.srv.conns.Go(func() { h.lookOut(c.srv.work.Done()) })
	}
}

func (h *httpShared) leave(c *httpConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// lookOut looks after all connections until there are none, or the server ends.
func (h *httpShared) lookOut(ended <-chan struct{}) {
	tick := time.NewTicker(leftLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ended:
			return
		}
		h.mu.Lock()
		if len(h.conns) == 0 {
			h.running = false
			h.mu.Unlock()
			return
		}
		for c := range h.conns {
			c.wait.look(c.link)
		}
		h.mu.Unlock()
	}
}

// memberWait is a connection's wait for a member's answer, as the look-out sees it.
type memberWait struct {
	mu    sync.Mutex
	lease *pool.Lease // guarded by mu: whose answer is waited for; nil when none is
	seen  *pool.Lease // guarded by mu: the same when it was looked at the last time
	left  bool        // guarded by mu: the client was gone, so the wait was ended
}

func (w *memberWait) begin(l *pool.Lease) {
	w.mu.Lock()
	w.lease, w.left = l, false
	w.mu.Unlock()
}

// end ends the wait; true when it was the look-out that ended it.
func (w *memberWait) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lease, w.seen = nil, nil
	return w.left
}

// look ends a wait that was there the last time already and whose client has closed its connection.
func (w *memberWait) look(client *netio.Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease == nil || w.lease != w.seen {
		w.seen = w.lease
		return
	}
	if client.Raw() && client.Quiet() == io.EOF {
		w.left = true
		w.lease.Link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // wakes who waits for the answer
	}
}
