package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/netio"
)

// This file owns a client's HTTP connection: reading one request head after the other, waiting without a buffer between
// them, and its end. http_relay.go owns what happens to a request.

// httpConn is one client's HTTP connection. All fields belong to run.
type httpConn struct {
	srv    *Server
	front  *frontend
	client *client     // handed on to a Bolt session over WebSocket
	link   *netio.Link // set before run, never changed
	tls    bool
	local  string
	remote string

	napping // while no request is being served
	attendance
	rest   restOf     // with errLeave
	chosen httpChoice // with restPerform

	in    []byte // borrowed while there are unserved bytes; nil when idle
	start int    // of the present request, or of the next one
	next  int    // of the first byte that the present request has not used up
	end   int    // of what was read

	w         *httpWork // what a request needs; nil between requests
	closing   bool      // the connection ends after the present request
	unread    bool      // the client may still be sending: it gets time to read the answer before the end
	over      bool      // its address has too many connections: the first request is told so
	posted    bool      // the request before was a POST; some clients send an empty line behind its body
	ahead     int       // bytes of the next request that were read with the last one
	wait      memberWait
	who       httpUser
	gate      *httpGate // the gate user of the present request; nil: a user of the members'
	proven    uint64    // the login that a member took here while its address was slowed, see throttle_http.go
	forwarded string    // the forwarding headers of this connection
	number    uint64    // of the connection, for X-Request-ID
	requests  uint64
	lastDB    string
	texted    atomic.Uint32 // for operators: the shape of the present or last query's text
}

// httpWork is what serving one request takes; connections lend them from each other.
type httpWork struct {
	set  *Frontend // the settings when the request came
	req  httpHead
	ans  httpHead
	path httpRoute
	unit httpUnit

	out        []byte // what is being sent: the request, then the answer's head
	rest       []byte // of the request: a held body that is too long for out
	answer     []byte // the member's bytes
	aFrom, aTo int    // of them, those not dealt with
	body       bodyEnd
	upload     *upload    // sends a long body while the answer is awaited; nil for short ones
	bulk       bool       // answer is a large buffer
	texts      [2][]byte  // of additions; kept for the next request
	lineRoom   accessLine // of unit.line
}

var works = sync.Pool{New: func() any { return new(httpWork) }}

const bulkSize = 64 << 10

var bulkBuffers = sync.Pool{New: func() any { return new([bulkSize]byte) }}

func getBulk() []byte { return bulkBuffers.Get().(*[bulkSize]byte)[:] }

func putBulk(b []byte) {
	if cap(b) == bulkSize {
		bulkBuffers.Put((*[bulkSize]byte)(b[:bulkSize]))
	}
}

// serveHTTP serves the HTTP connection of p to its end.
func (s *Server) serveHTTP(f *frontend, c *client, p *peer) error {
	h := newHTTPConn(s, f, netio.New(p.conn), p)
	h.client = c
	s.begin(c, h)
	return h.run(s.work)
}

func newHTTPConn(s *Server, f *frontend, link *netio.Link, p *peer) *httpConn {
	c := &httpConn{srv: s, front: f, link: link, tls: p.tls, local: p.local, remote: p.remote, over: p.over, number: s.nextID.Add(1), napping: napping{link: link}}
	host := p.remote
	if h, _, err := net.SplitHostPort(p.remote); err == nil {
		host = h
	}
	c.forwarded = "X-Forwarded-For: " + host + "\r\n"
	if len(p.first) > 0 {
		link.Came(len(p.first))
		c.in = getBuffer()
		if len(p.first) > len(c.in) {
			c.in = make([]byte, len(p.first))
		}
		c.end = copy(c.in, p.first)
		p.first = nil
	}
	return c
}

// letGo gives back everything.
func (c *httpConn) letGo() {
	if c.w != nil { // a fault ended it in the middle of a request
		c.w.unit.places.leave(&c.srv.places)
	}
	c.noteBytes()
	c.srv.http.leave(c)
	c.leaveUser()
	c.release()
}

// nextRequest waits for a whole head and parses it.
func (c *httpConn) nextRequest(ctx context.Context) error {
	if err := c.waitIdle(ctx); err != nil {
		return err
	}
	for c.posted && c.skipEmptyLine() {
		if err := c.waitIdle(ctx); err != nil {
			return err
		}
	}
	c.w = works.Get().(*httpWork)
	c.w.set = c.front.settings.Load()
	c.next = c.start // until the head is whole nothing is used up
	err := c.w.req.parseRequest(c.head())
	if err == errShort && c.within {
		works.Put(c.w)
		c.w = nil
		return c.leave(restNone)
	}
	if err == errShort {
		if err = c.readHead(); err == nil {
			err = c.w.req.parseRequest(c.head())
		}
	}
	c.next = c.start + c.w.req.len
	c.requests++
	return err
}

// head is the bytes that the spans of the request's head point into.
func (c *httpConn) head() []byte { return c.in[c.start:c.end] }

// waitIdle waits for the first byte of a request, or says that Serve can do it: errWait. Between requests the connection holds no
// buffer, and a shutdown ends it.
func (c *httpConn) waitIdle(ctx context.Context) error {
	for c.in == nil {
		by := c.readBy()
		if by.IsZero() {
			return errWait
		}
		if c.within {
			return c.leave(restNone)
		}
		c.link.Conn.SetReadDeadline(by) //nolint:errcheck // a closed connection shows in the read
		if err := c.sit(ctx); err != nil {
			return err
		}
		buf, n, err := c.link.ReadLent(getBuffer, putBuffer)
		if err != nil {
			err = c.ended(ctx, err)
		} else {
			c.wakeUp()
			c.in, c.start, c.next, c.end = buf, 0, 0, n
		}
		c.link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
		if err != nil {
			return err
		}
	}
	return nil
}

// endedWait is what the end of a wait for a request means.
func (c *httpConn) endedWait(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, err == io.EOF, isTimeout(err):
		return errClosed
	}
	return fmt.Errorf("%w: %w", errLeft, err)
}

// readBy is when the first byte of the next request has to be there.
func (c *httpConn) readBy() time.Time {
	if limit := c.front.settings.Load().Timeouts.ClientIdle; limit > 0 {
		return time.Now().Add(limit)
	}
	return time.Time{}
}

// shed leaves the look-out, which is for connections with a request; there is nothing else to let go of between two.
func (c *httpConn) shed() { c.srv.http.leave(c) }

// serveOn goes on after a wait while parked.
func (c *httpConn) serveOn(wait error) error {
	if err := c.endedWait(c.srv.work, wait); err != nil {
		c.letGo()
		return err
	}
	return c.run(c.srv.work)
}

// abort ends the wait for a member, or for its answer; other waits are for the client, and end with its connection.
func (c *httpConn) abort() { c.wait.giveUp() }

// skipEmptyLine drops the line end that some clients send behind the body of a POST (RFC 9112 2.2), one of them. It is true
// when nothing is left behind it.
func (c *httpConn) skipEmptyLine() (alone bool) {
	if b := c.in[c.start:c.end]; len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		c.start += 2
	}
	c.posted = false
	if c.start < c.end {
		return false
	}
	c.release()
	return true
}

// readHead reads on until the head is whole. All of it has to come within timeouts.handshake.
func (c *httpConn) readHead() error {
	c.link.Conn.SetReadDeadline(time.Now().Add(handshakeTime(c.w.set))) //nolint:errcheck // a closed connection shows in the read
	defer c.link.Conn.SetReadDeadline(time.Time{})                      //nolint:errcheck // as above
	for {
		if n, err := headEnd(c.head()); n > 0 || err != nil {
			return err
		}
		if err := startsLikeRequest(c.head()); err != nil {
			return err
		}
		c.makeRoom(maxHead)
		n, err := c.link.Read(c.in[c.end:])
		c.end += n
		switch {
		case n > 0:
		case isTimeout(err):
			return &headError{408, "no whole request within timeouts.handshake"}
		case c.start == c.end && err == io.EOF:
			return errClosed
		default:
			return fmt.Errorf("%w: %w", errLeft, err)
		}
	}
}

// startsLikeRequest refuses what cannot become a request before the rest of it is waited for.
func startsLikeRequest(b []byte) error {
	for i, c := range b[:min(len(b), maxMethod+1)] {
		if c == ' ' && i > 0 {
			return nil
		}
		if classes[c]&isToken == 0 {
			return errRequestLine
		}
	}
	if len(b) > maxMethod {
		return errRequestLine
	}
	return nil
}

// makeRoom makes room for at least one more byte behind end, growing to limit and a little. What stands between start and
// end keeps its place relative to start.
func (c *httpConn) makeRoom(limit int) {
	if c.end < len(c.in) {
		return
	}
	old := c.in
	if used := c.end - c.start; used > len(old)/2 {
		c.in = make([]byte, min(2*len(old), limit+bufferSize))
	}
	c.next -= c.start
	c.end = copy(c.in, old[c.start:c.end])
	c.start = 0
	if &old[0] != &c.in[0] {
		putBuffer(old)
	}
}

// finish ends a request: what it borrowed goes back, and what it used up of the client's bytes is dropped.
func (c *httpConn) finish() {
	if w := c.w; w != nil {
		c.posted = w.req.len > 0 && w.unit.post
		c.endWrite()
		w.unit.places.leave(&c.srv.places)
		w.release()
		c.w = nil
	}
	c.start = c.next
	if c.start >= c.end {
		c.release()
	}
}

func (w *httpWork) release() {
	w.releaseAnswer()
	if w.out != nil {
		putBuffer(w.out)
		w.out = nil
	}
	w.req.fields, w.ans.fields = nil, nil
	w.unit.reset()
	w.upload, w.set, w.rest = nil, nil, nil
	works.Put(w)
}

func (w *httpWork) releaseAnswer() {
	if w.answer == nil {
		return
	}
	if w.bulk {
		putBulk(w.answer)
	} else {
		putBuffer(w.answer)
	}
	w.answer, w.bulk = nil, false
}

func (c *httpConn) release() {
	if c.in != nil {
		putBuffer(c.in)
		c.in, c.start, c.next, c.end = nil, 0, 0, 0
	}
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// linger lets a client that is still sending read the answer: a close with unread bytes would reset the connection and
// may take the answer with it.
func (c *httpConn) linger() {
	half, ok := c.link.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.link.Conn.SetReadDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // a closed connection ends the loop
	buf := getBuffer()
	defer putBuffer(buf)
	for left := lingerBytes; left > 0; {
		n, err := c.link.Read(buf)
		if left -= n; err != nil {
			return
		}
	}
}

// write sends b to the client. The error wraps errLeft.
func (c *httpConn) write(b []byte) error {
	if n, err := c.link.TryWrite(b); err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	} else if n < len(b) {
		return c.writeSlowly(b[n:])
	}
	return nil
}

func (c *httpConn) writeSlowly(b []byte) error {
	if limit := c.front.settings.Load().Timeouts.ClientIdle; limit > 0 {
		c.link.Conn.SetWriteDeadline(time.Now().Add(limit)) //nolint:errcheck // a closed connection shows in the write
		defer c.link.Conn.SetWriteDeadline(time.Time{})     //nolint:errcheck // as above
	}
	if _, err := c.link.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	return nil
}

// readClient reads more of the request that is being served into p.
func (c *httpConn) readClient(p []byte) (int, error) {
	if c.within {
		panic("proxy: a read within the wait for the client")
	}
	if limit := c.front.settings.Load().Timeouts.ClientIdle; limit > 0 {
		c.link.Conn.SetReadDeadline(time.Now().Add(limit)) //nolint:errcheck // a closed connection shows in the read
		defer c.link.Conn.SetReadDeadline(time.Time{})     //nolint:errcheck // as above
	}
	n, err := c.link.Read(p)
	if n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("%w: %w", errLeft, err)
}

// appendRequestID appends an id that no other request of this process has.
func (c *httpConn) appendRequestID(dst []byte) []byte {
	dst = append(dst, instance...)
	dst = strconv.AppendUint(dst, c.number, 36)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, c.requests, 36)
}

// instance tells the ids of two runs apart.
var instance = strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
