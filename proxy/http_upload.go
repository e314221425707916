package proxy

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/boltgate/boltgate/pool"
)

// This file owns request bodies: holding those that open a unit of work, and passing on the others while the answer may
// be coming already. Two directions that are full must not wait for each other, so the second is a goroutine's work.

// holdBody reads the whole body, without its framing. One that is longer than limits.request is refused.
func (c *httpConn) holdBody() error {
	w := c.w
	u := &w.unit
	limit := int64(c.srv.options.Load().RequestLimit)
	u.held = true
	switch {
	case w.req.body == noBody:
		return nil
	case w.req.length > limit:
		u.held = false
		return &headError{413, "the body is longer than limits.request"}
	}
	if err := c.invite(); err != nil {
		return err
	}
	if w.req.body == fixedBody && int64(w.req.len)+w.req.length <= int64(len(c.in)) {
		return c.holdInPlace(w.req.len + int(w.req.length))
	}
	return c.holdApart(limit)
}

// invite answers an Expect: 100-continue for a body that we are going to read ourselves.
func (c *httpConn) invite() error {
	if !c.w.req.has(fExpect) || c.w.req.minor == 0 || c.next < c.end {
		return nil
	}
	return c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// holdInPlace reads on until the request, total bytes long, is whole in the client's buffer.
func (c *httpConn) holdInPlace(total int) error {
	for c.end-c.start < total {
		if c.start > 0 && c.start+total > len(c.in) {
			c.end = copy(c.in, c.in[c.start:c.end])
			c.start = 0
		}
		n, err := c.readClient(c.in[c.end:])
		if err != nil {
			return err
		}
		c.end += n
	}
	c.next = c.start + total
	c.w.unit.body = c.in[c.start+c.w.req.len : c.next]
	return nil
}

// holdApart collects a body in memory of its own, which grows with what has come, not with what was announced.
func (c *httpConn) holdApart(limit int64) error {
	var end bodyEnd
	end.start(&c.w.req)
	body, n, err := end.decode(make([]byte, 0, bulkSize), c.in[c.next:c.end])
	c.next += n
	buf := getBulk()
	defer putBulk(buf)
	for err == nil {
		if int64(len(body)) > limit {
			c.w.unit.held = false
			return &headError{413, "the body is longer than limits.request"}
		}
		if end.over() {
			break
		}
		var m int
		if m, err = c.readClient(end.want(buf)); err != nil {
			return err
		}
		body, n, err = end.decode(body, buf[:m])
		if n < m {
			c.keep(buf[n:m])
		}
	}
	c.w.unit.body = body
	return err
}

// keep puts bytes that were read behind the present request where the next one looks for them. All bytes before them have
// been used up; the head of the present request stays where it is.
func (c *httpConn) keep(more []byte) {
	if c.end = c.next; len(c.in)-c.end < len(more) {
		grown := make([]byte, c.end-c.start+len(more))
		copy(grown, c.in[c.start:c.end])
		putBuffer(c.in)
		c.next, c.end = c.next-c.start, c.end-c.start
		c.in, c.start = grown, 0
	}
	c.end += copy(c.in[c.end:], more)
}

// upload sends a request's body while the answer is awaited. run's goroutine owns the answer, the upload's the body; c.in
// is the upload's while it runs. timeouts.server counts for each piece that the member is to take, then for its answer; the
// time that the client takes for its body is not the member's.
type upload struct {
	done  chan struct{}
	limit time.Duration // timeouts.server; 0 is none

	mu      sync.Mutex
	stopped bool  // guarded by mu: run wants no more of it
	over    bool  // guarded by mu: what the member wanted of the body was sent
	fault   error // guarded by mu: the client left or sent what is no body; nothing for the member's faults
}

// startUpload begins to send what remains of the request behind its head.
func (c *httpConn) startUpload(lease *pool.Lease) *upload {
	w := c.w
	u := &upload{done: make(chan struct{}), limit: w.set.Timeouts.Server}
	if u.limit > 0 {
		lease.Link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed connection shows in the read
	}
	rest := w.rest
	var end bodyEnd
	if rest == nil {
		end.start(&w.req)
	}
	go func() {
		defer close(u.done)
		var sent, fault error
		if rest != nil {
			sent = u.pass(lease, rest)
		} else {
			sent, fault = c.passBody(lease, u, &end)
		}
		u.finish(lease, sent, fault)
	}()
	return u
}

// finish starts the clock for the answer, or ends the wait for it: when the client is at fault, or the member took nothing
// in time. Any other error of the member's shows in its answer, or in the absence of one.
func (u *upload) finish(lease *pool.Lease, sent, fault error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.stopped:
	case fault != nil || isTimeout(sent):
		u.fault = fault
		lease.Link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // wakes who waits for the answer
	default:
		u.over = true
		u.limitLocked(lease)
	}
}

// limitAnswer starts the clock for the member's next bytes, unless the member has a body to take before.
func (u *upload) limitAnswer(lease *pool.Lease) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		u.limitLocked(lease)
	}
}

func (u *upload) limitLocked(lease *pool.Lease) {
	if u.limit > 0 {
		lease.Link.Conn.SetReadDeadline(time.Now().Add(u.limit)) //nolint:errcheck // a closed connection shows in the read
	}
}

// pass sends b to the member, which has timeouts.server for each piece of it.
func (u *upload) pass(lease *pool.Lease, b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), bulkSize)]
		if err := u.limitPiece(lease); err != nil {
			return err
		}
		if _, err := lease.Link.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
}

var errStopped = errors.New("proxy: the upload was stopped")

// limitPiece starts the clock for a piece, but not behind the back of stopUpload, which has stopped it.
func (u *upload) limitPiece(lease *pool.Lease) error {
	if u.limit == 0 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return errStopped
	}
	lease.Link.Conn.SetWriteDeadline(time.Now().Add(u.limit)) //nolint:errcheck // a closed connection shows in the write
	return nil
}

// passBody passes the body on as it comes, checked and unchanged. sent is the member's error, fault the client's.
func (c *httpConn) passBody(lease *pool.Lease, u *upload, end *bodyEnd) (sent, fault error) {
	n, err := end.take(c.in[c.next:c.end])
	if sent := u.pass(lease, c.in[c.next:c.next+n]); sent != nil {
		return sent, nil
	}
	c.next += n
	buf := getBulk()
	defer putBulk(buf)
	for err == nil && !end.over() {
		var m int
		if m, err = c.readClient(end.want(buf)); err != nil {
			return nil, err
		}
		n, err = end.take(buf[:m])
		if sent := u.pass(lease, buf[:n]); sent != nil {
			return sent, nil
		}
		if n < m {
			c.keep(buf[n:m])
		}
	}
	return nil, err
}

// ended tells whether the whole body was sent, giving one that is about to be a moment.
func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
	}
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-u.done:
		return true
	case <-t.C:
		return false
	}
}

// stop ends the upload and waits for it. It returns the client's fault, if there was one, and whether all was sent.
func (c *httpConn) stopUpload(lease *pool.Lease) (whole bool, fault error) {
	u := c.w.upload
	if u == nil {
		return true, nil
	}
	c.w.upload = nil
	ended := false
	select {
	case <-u.done:
		ended = true
	default:
		u.mu.Lock()
		u.stopped = true
		u.mu.Unlock()
		c.link.Conn.SetReadDeadline(longAgo)      //nolint:errcheck // wakes the upload
		lease.Link.Conn.SetWriteDeadline(longAgo) //nolint:errcheck // as above
		<-u.done
		c.link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // the client may still be read
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return ended && u.over, u.fault
}

// clientFault turns what the upload met into what run returns.
func clientFault(err error) error {
	if _, ok := errors.AsType[*headError](err); ok || errors.Is(err, errLeft) {
		return err
	}
	return fmt.Errorf("%w: %w", errLeft, err)
}
