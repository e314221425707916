package proxy

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/boltgate/boltgate/pool"
)

// This file owns what the HTTP connections of one server share: one goroutine that looks four times a second for clients
// that left while a member works for them. So a request costs no goroutine and no timer of its own.
//
// The kernel would tell at once, but not for free: the runtime's poller wakes nobody without a goroutine that reads, and a
// poller of our own (EPOLLRDHUP) is called for every packet of every client.

// httpShared is that. The zero value is ready.
type httpShared struct {
	mu      sync.Mutex
	conns   map[*httpConn]struct{} // guarded by mu
	running bool                   // guarded by mu: the look-out runs; it ends with the last connection
}

const leftLook = 250 * time.Millisecond // how often clients whose members work are looked at

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
			h.running, h.conns = false, nil // a map does not shrink
			h.mu.Unlock()
			return
		}
		for c := range h.conns {
			c.wait.look(c.link.Conn)
		}
		h.mu.Unlock()
	}
}

// memberWait is a connection's wait for a member's answer, or for a member at all, as the look-out sees it.
type memberWait struct {
	mu     sync.Mutex
	waits  uint64                  // guarded by mu: how many there were
	seen   uint64                  // guarded by mu: waits when it was looked at the last time
	lease  *pool.Lease             // guarded by mu: whose answer is waited for; nil when none is
	cancel context.CancelCauseFunc // guarded by mu: ends the wait for a member; nil when there is none
	left   bool                    // guarded by mu: the client was gone, so the wait was ended
}

func (w *memberWait) begin(l *pool.Lease, cancel context.CancelCauseFunc) {
	w.mu.Lock()
	w.waits++
	w.lease, w.cancel, w.left = l, cancel, false
	w.mu.Unlock()
}

// end ends the wait; true when it was the look-out that ended it.
func (w *memberWait) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lease, w.cancel = nil, nil
	return w.left
}

// look ends a wait that was there the last time already and whose client has closed its connection.
func (w *memberWait) look(client net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := (w.lease != nil || w.cancel != nil) && !w.left
	if !waiting || w.waits != w.seen {
		w.seen = w.waits
		return
	}
	if hungUp(client) {
		w.cut()
	}
}

// giveUp ends the wait, if there is one.
func (w *memberWait) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut()
}

// cut ends the wait. The caller holds mu.
func (w *memberWait) cut() {
	w.left = true
	if w.cancel != nil {
		w.cancel(errLeft)
	}
	if w.lease != nil {
		w.lease.Link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // wakes who waits for the answer
	}
}

// hungUp tells whether the other side of a socket, or of the one beneath TLS, has closed it, even when bytes lie unread
// before the end. false where that cannot be told.
func hungUp(conn net.Conn) bool {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) { gone = pollHangUp(fd) })
	return err == nil && gone
}
