// Package netio is a connection as the data path wants it: it waits for bytes without holding a buffer, sends and then
// waits in one step, writes what the socket takes without blocking, and can be looked at without being read. On plain
// TCP and unix sockets these save system calls and memory; on anything else (TLS, WebSocket, a network in memory) they
// fall back to what net.Conn offers.
package netio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrDirty says that bytes lay waiting on a connection that should have been silent.
var ErrDirty = errors.New("netio: unexpected bytes on an idle connection")

// Link is one connection. One goroutine at a time may read, and one may write.
type Link struct {
	Conn   net.Conn
	raw    syscall.RawConn // nil when Conn is not a plain socket
	socket syscall.RawConn // what can be looked at: raw, or the socket beneath TLS; nil when there is none
	soon   atomic.Int64    // the read deadline that LimitRead set, in nanoseconds since epoch; 0 for any other

	in  uint64 // bytes read since Moved; the reader's
	out uint64 // bytes written since Moved; the writer's

	*ops // nil while Await waits
}

// ops is what the callbacks work on; each op is owned by its caller while it runs.
type ops struct {
	read, write, look op
}

// op is one pending operation on the raw socket. The callback is made once, so that waiting allocates nothing.
type op struct {
	call  func(fd uintptr) bool
	serve func(fd uintptr) bool // call, while taker takes what is read
	taker Taker
	see   func(fd uintptr) // call, of the one that never waits
	get   func() []byte    // lends a buffer when bytes are there
	put   func([]byte)     // takes it back when they were not
	buf   []byte
	send  []byte // to be sent before waiting
	look  bool   // first see that nothing waits
	ran   bool   // call was called
	n     int
	err   error
}

// New returns a Link on conn, which it does not own: whoever made conn closes it.
func New(conn net.Conn) *Link {
	l := &Link{Conn: conn}
	l.prepare()
	l.raw = rawConn(conn)
	l.socket = l.raw
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		l.socket = rawConn(over.NetConn())
	}
	return l
}

// prepare makes the callbacks, once for all that the link will do.
func (l *Link) prepare() {
	l.ops = new(ops)
	l.read.call, l.read.serve, l.write.call = l.readReady, l.serveReady, l.writeOnce
}

// rawConn is nil when conn is not a plain socket.
func rawConn(conn net.Conn) syscall.RawConn {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		if raw, err := conn.(syscall.Conn).SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// epoch is what soon counts from, on the monotonic clock.
var epoch = time.Now()

// LimitRead makes reads end with os.ErrDeadlineExceeded no sooner than least and no later than most from now. Moving the
// poller's deadline for every exchange is dear, so the one set before stays while it lies in between.
func (l *Link) LimitRead(now time.Time, least, most time.Duration) {
	at := now.Sub(epoch)
	if soon := time.Duration(l.soon.Load()); soon >= at+least && soon <= at+most {
		return
	}
	l.Conn.SetReadDeadline(now.Add(most)) //nolint:errcheck // a closed connection shows in the read
	l.soon.Store(int64(at + most))
}

// SetReadDeadline is Conn's, and takes the place of what LimitRead set. Who uses LimitRead sets deadlines by the link only.
func (l *Link) SetReadDeadline(t time.Time) {
	l.soon.Store(0)
	l.Conn.SetReadDeadline(t) //nolint:errcheck // a closed connection shows in the read
}

// SetDeadline is SetReadDeadline for both directions.
func (l *Link) SetDeadline(t time.Time) {
	l.soon.Store(0)
	l.Conn.SetDeadline(t) //nolint:errcheck // a closed connection shows in the next use
}

// Raw tells whether the link is a plain socket, so that TryWrite does not block.
func (l *Link) Raw() bool { return l.raw != nil }

// readReady is the callback of every wait on a raw socket: it first sends what is to be sent, after a look that saw
// nothing waiting, then reads when there is something. The look comes after the poller was made ready, so that an
// answer that comes at once is not missed.
func (l *Link) readReady(fd uintptr) bool {
	o := &l.read
	o.ran = true
	if o.get != nil {
		o.buf = o.get()
	}
	if len(o.send) > 0 && !o.look {
		return l.sendNow(fd)
	}
	n, err := sysRead(fd, o.buf)
	if len(o.send) > 0 {
		return l.sendAfterLook(fd, n, err)
	}
	if err == syscall.EAGAIN {
		if o.put != nil {
			o.put(o.buf)
			o.buf = nil
		}
		return false
	}
	o.n, o.err = max(n, 0), err
	l.in += uint64(o.n)
	if err == nil && n == 0 {
		o.err = io.EOF
	}
	return true
}

func (l *Link) sendAfterLook(fd uintptr, n int, err error) bool {
	o := &l.read
	switch {
	case err == nil && n > 0:
		o.err = ErrDirty
	case err == nil:
		o.err = io.EOF
	case err != syscall.EAGAIN:
		o.err = err
	}
	if o.err != nil {
		return true // nothing was sent: o.send is still whole
	}
	return l.sendNow(fd)
}

func (l *Link) sendNow(fd uintptr) bool {
	o := &l.read
	n, err := sysWrite(fd, o.send)
	if err != nil && err != syscall.EAGAIN {
		o.err = err
		return true
	}
	o.send = o.send[max(n, 0):]
	l.out += uint64(max(n, 0))
	return len(o.send) > 0 // the rest is sent outside, with waiting
}

// Read reads into p, which it holds while it waits.
func (l *Link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.in += uint64(n)
	return n, err
}

// Moved is how many bytes were read and written since it was called last. It may be called when nobody reads or writes.
func (l *Link) Moved() (in, out uint64) {
	in, out = l.in, l.out
	l.in, l.out = 0, 0
	return in, out
}

// Came counts bytes that were read from the connection before it had a link.
func (l *Link) Came(n int) { l.in += uint64(n) }

// ReadLent waits for bytes without a buffer. When some are there it borrows one by get and returns it with n bytes in it;
// in case of an error it has given the buffer back by put, and buf is nil. On other than plain sockets the buffer is held
// while waiting.
func (l *Link) ReadLent(get func() []byte, put func([]byte)) (buf []byte, n int, err error) {
	if l.raw == nil {
		buf = get()
		n, err = l.Read(buf)
	} else {
		o := &l.read
		o.get, o.put, o.send, o.n, o.err = get, put, nil, 0, nil
		if err = l.raw.Read(o.call); err == nil {
			err = o.err
		}
		buf, n = o.buf, o.n
		o.get, o.put, o.buf = nil, nil, nil
	}
	if n == 0 && err != nil {
		if buf != nil {
			put(buf)
		}
		return nil, 0, wrap("read", l.Conn, err)
	}
	return buf, n, nil
}

// Exchange sends request on a connection that should be silent, and waits for the first bytes of the answer, which it
// reads into p. unsent is true when an error, EOF or ErrDirty was met before a byte of request left, so that another
// connection may be tried. A read deadline set before counts for the wait alone, even one that has passed: the request is
// sent, err is os.ErrDeadlineExceeded, and Read goes on waiting once the deadline was moved. Without look the connection is
// trusted to be silent, and a stale one shows only after the request was written; so it does where there is no socket
// beneath to look at.
func (l *Link) Exchange(request, p []byte, look bool) (n int, unsent bool, err error) {
	if l.raw == nil {
		return l.exchangeOver(request, p)
	}
	o := &l.read
	o.get, o.put, o.buf, o.send, o.look, o.ran, o.n, o.err = nil, nil, p, request, look, false, 0, nil
	err = l.raw.Read(o.call)
	if !o.ran && errors.Is(err, os.ErrDeadlineExceeded) {
		return l.exchangeLate(request)
	}
	if err == nil {
		err = o.err
	}
	rest := o.send
	n = o.n
	o.buf, o.send = nil, nil
	if err != nil || len(rest) == 0 {
		return n, err != nil && len(rest) == len(request), wrap("exchange", l.Conn, err)
	}
	if _, err = l.Write(rest); err != nil {
		return 0, false, err
	}
	n, err = l.Read(p)
	return n, false, err
}

// exchangeOver is Exchange on other than plain sockets.
func (l *Link) exchangeOver(request, p []byte) (n int, unsent bool, err error) {
	if err := l.peek(); err != nil {
		return 0, true, err
	}
	if sent, err := l.Write(request); err != nil {
		return 0, sent == 0, err
	}
	n, err = l.Read(p)
	return n, false, err
}

// exchangeLate is Exchange after the deadline: the poller refuses every wait, but the request has to go out all the same.
func (l *Link) exchangeLate(request []byte) (n int, unsent bool, err error) {
	l.read.buf, l.read.send = nil, nil
	if err := l.peek(); err != nil {
		return 0, true, err
	}
	if sent, err := l.Write(request); err != nil {
		return 0, sent == 0, err
	}
	return 0, false, os.ErrDeadlineExceeded
}

// TryWrite writes as much of p as the socket takes now, without waiting. On other than plain sockets it writes all.
func (l *Link) TryWrite(p []byte) (n int, err error) {
	if l.raw == nil {
		return l.Write(p)
	}
	o := &l.write
	o.buf, o.n, o.err = p, 0, nil
	err = l.raw.Write(o.call)
	o.buf = nil
	if err == nil {
		err = o.err
	}
	return o.n, wrap("write", l.Conn, err)
}

func (l *Link) writeOnce(fd uintptr) bool {
	o := &l.write
	n, err := sysWrite(fd, o.buf)
	if err == syscall.EAGAIN {
		err = nil
	}
	o.n, o.err = max(n, 0), err
	l.out += uint64(o.n)
	return true
}

// Write writes all of p, waiting as long as it takes.
func (l *Link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.out += uint64(n)
	return n, err
}

// Quiet looks at an idle connection without reading from it: nil when it is open and silent, io.EOF when the other side
// closed it, ErrDirty when bytes lie there. It never waits on plain sockets, and allocates only for an error. On others it
// may wait a moment, consumes a byte that it finds, and leaves the connection without a read deadline; anything but nil
// must end the connection.
func (l *Link) Quiet() error {
	if l.raw != nil {
		return l.peek()
	}
	// Go's poller and its imitations answer a passed deadline before they look, so the deadline has to lie ahead. The
	// exception is TLS above a silent socket: there a passed one is enough to see what was read from it before.
	deadline := time.Now().Add(lookFor)
	if l.socket != nil && l.peek() == nil {
		deadline = time.Unix(1, 0)
	}
	var one [1]byte
	l.SetReadDeadline(deadline)
	n, err := l.Conn.Read(one[:])
	l.SetReadDeadline(time.Time{})
	switch {
	case n > 0:
		return ErrDirty
	case errors.Is(err, os.ErrDeadlineExceeded):
		return l.peek() // what TLS took for itself, such as a session ticket, is gone now
	}
	return err
}

// lookFor is how long Quiet waits where it cannot look without waiting.
const lookFor = time.Millisecond

// peek is Quiet on the socket, or on the one beneath TLS: no wait, nothing consumed. nil where there is none.
func (l *Link) peek() error {
	if l.socket == nil {
		return nil
	}
	o := &l.look
	if o.see == nil {
		o.see = l.lookOnce
	}
	o.err = nil
	if err := l.socket.Control(o.see); err != nil {
		return err
	}
	return wrap("look", l.Conn, o.err)
}

func (l *Link) lookOnce(fd uintptr) {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
	case err != nil:
		l.look.err = err
	case n == 0:
		l.look.err = io.EOF
	default:
		l.look.err = ErrDirty
	}
}

// wrap gives a bare errno its place, as package net does; other errors are passed on.
func wrap(what string, conn net.Conn, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return &net.OpError{Op: what, Net: conn.RemoteAddr().Network(), Addr: conn.RemoteAddr(), Err: os.NewSyscallError(what, errno)}
	}
	return err
}
