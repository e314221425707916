package proxy

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/boltgate/boltgate/netio"
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
			c.wait.look(c.link)
			c.lookDeposed(time.Now())
		}
		h.mu.Unlock()
	}
}

// memberWait is a connection's wait for a member's answer, or for a member at all, as the look-out sees it.
//
// A client that has closed its sending side may have left, or may wait for its answer (nc, HTTP clients that half-close): the
// socket looks the same. It shows when something is sent to it, for the system of one that left answers with a reset. So an
// interim answer is sent where one may be, which clients of HTTP/1.1 read over (RFC 9110 15.2); where none may be, a client that
// has been sent nothing since is taken for gone after halfClosedFor.
type memberWait struct {
	mu     sync.Mutex
	waits  uint64                  // guarded by mu: how many there were
	seen   uint64                  // guarded by mu: waits when it was looked at the last time
	lease  *pool.Lease             // guarded by mu: whose answer is waited for; nil when none is
	cancel context.CancelCauseFunc // guarded by mu: ends the wait for a member; nil when there is none
	left   bool                    // guarded by mu: the client was gone, so the wait was ended
	silent bool                    // guarded by mu: the member is silent, so the wait was ended

	stage   answerStage // guarded by mu: of the request that waits
	halfAt  time.Time   // guarded by mu: when the client was seen to have closed its sending side; zero while it has not
	unmoved bool        // guarded by mu: nothing was sent to it since
	heardAt time.Time   // guarded by mu: when more of an answer that has begun came last

	led       bool      // guarded by mu: the member was seen to lead while it was waited for
	deposedAt time.Time // guarded by mu: since when another member leads, while a commit is waited for; zero: none does
}

// answerStage is how far a request's answer has come.
type answerStage uint8

const (
	mayAskInterim answerStage = iota // nothing of it was sent, and the client takes interim answers
	noInterim                        // nothing of it was sent, and the client takes none: HTTP/1.0, TLS
	answerBegun
)

const halfClosedFor = 10 * time.Second

var interim = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// waitFor begins a wait for l's answer, or, with cancel, for a member.
func (c *httpConn) waitFor(l *pool.Lease, cancel context.CancelCauseFunc) {
	stage := mayAskInterim
	switch {
	case c.w.unit.answered:
		stage = answerBegun
	case c.w.req.minor == 0 || !c.link.Raw():
		stage = noInterim
	}
	c.wait.begin(l, cancel, stage)
}

func (w *memberWait) begin(l *pool.Lease, cancel context.CancelCauseFunc, stage answerStage) {
	w.mu.Lock()
	w.waits++
	w.lease, w.cancel, w.left, w.stage = l, cancel, false, stage
	w.led, w.deposedAt = false, time.Time{}
	if stage == answerBegun { // what came before was sent on since
		w.unmoved, w.heardAt = false, time.Now()
	}
	w.mu.Unlock()
}

// end ends the wait; true when it was the look-out that ended it.
func (w *memberWait) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent { // if it answered at this very moment the lease goes on
		w.silent = false
		w.lease.Link.SetDeadline(time.Time{})
	}
	w.lease, w.cancel = nil, nil
	return w.left
}

// look ends a wait that was there the last time already and whose client has left.
func (w *memberWait) look(client *netio.Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := (w.lease != nil || w.cancel != nil) && !w.left
	if !waiting || w.waits != w.seen {
		w.seen = w.waits
		return
	}
	half, gone := closedBy(client.Conn)
	if gone || half && w.hasLeft(client) {
		w.cut()
	}
}

// hasLeft finds out whether a client that has closed its sending side is there. The caller holds mu; run waits, so nobody else
// writes to the client.
func (w *memberWait) hasLeft(client *netio.Link) bool {
	now := time.Now()
	if w.halfAt.IsZero() {
		w.halfAt, w.unmoved = now, true
		if !client.Raw() {
			return true // a client of TLS closes both sides together
		}
	}
	if w.unmoved && w.stage == mayAskInterim {
		w.unmoved = false
		if n, err := client.TryWrite(interim); err != nil || n < len(interim) { // one that reads nothing waits for nothing
			return true
		}
		_, gone := closedBy(client.Conn) // else the next look finds it
		return gone
	}
	return w.unmoved && now.Sub(w.halfAt) > halfClosedFor
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
	half, gone := closedBy(conn)
	return half || gone
}

// closedBy tells more: half, that the other side sends no more; gone, that it takes no more either. Both are false where that
// cannot be told.
func closedBy(conn net.Conn) (half, gone bool) {
	for {
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = over.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false, false
	}
	raw.Control(func(fd uintptr) { half, gone = pollHangUp(fd) }) //nolint:errcheck // a closed connection ends its own use
	return half, gone
}
