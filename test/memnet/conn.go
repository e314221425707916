package memnet

import (
	"io"
	"net"
	"sync"
	"time"
)

// Conn is one end of a connection. It is a net.Conn with the half-close of a TCP connection.
type Conn struct {
	local, remote Addr
	read, write   *stream
	link          *Link
	near          *Conn // the dialling end, which the link knows
	once          sync.Once
}

// Pipe returns both ends of a connection on no link, each direction holding 64 KiB.
func Pipe() (a, b *Conn) { return pair("pipe:1", "pipe:2", nil, defaultBuffer) }

func pair(local, remote Addr, link *Link, limit int) (near, far *Conn) {
	up, down := newStream(link, limit), newStream(link, limit)
	near = &Conn{local: local, remote: remote, read: down, write: up, link: link}
	far = &Conn{local: remote, remote: local, read: up, write: down, link: link}
	near.near, far.near = near, near
	if link != nil {
		up.cutAt, down.cutAt = link.add(near, up, down)
		up.onCut = func() { down.breakNow(false); link.remove(near) }
		down.onCut = func() { up.breakNow(false); link.remove(near) }
	}
	return near, far
}

// CutAfter breaks the connection once so many bytes in all have been written at this end: the peer gets exactly those and
// then a reset. A count that has passed already breaks it now, with what is on its way.
func (c *Conn) CutAfter(written int64) { cut(c.write, c.read, written, false) }

// LoseAfter is CutAfter as networks do it: the write that goes past the count takes all of its bytes, and only then this end finds
// out that the connection is broken, not how much arrived.
func (c *Conn) LoseAfter(written int64) { cut(c.write, c.read, written, true) }

// CutPeerAfter is CutAfter for what the peer writes: this end gets exactly so many bytes and then a reset.
func (c *Conn) CutPeerAfter(written int64) { cut(c.read, c.write, written, false) }

func cut(s, other *stream, written int64, untold bool) {
	s.mu.Lock()
	s.cutAt, s.untold = max(written, 1), untold
	if s.onCut == nil {
		s.onCut = func() { other.breakNow(false) }
	}
	late := s.passed >= s.cutAt
	s.mu.Unlock()
	if late {
		s.breakNow(true)
		other.breakNow(false)
	}
}

// Written is how many bytes this end has sent since the beginning.
func (c *Conn) Written() int64 {
	c.write.mu.Lock()
	defer c.write.mu.Unlock()
	return c.write.passed
}

// PeerWritten is how many bytes the peer has sent since the beginning.
func (c *Conn) PeerWritten() int64 {
	c.read.mu.Lock()
	defer c.read.mu.Unlock()
	return c.read.passed
}

// Read takes bytes that have arrived. Errors: io.EOF after the peer's close, ECONNRESET after a cut,
// os.ErrDeadlineExceeded, net.ErrClosed.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.read.Read(b)
	return n, c.wrap("read", err)
}

// Write sends b, waiting while the direction is full. Errors as for Read.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.write.Write(b)
	return n, c.wrap("write", err)
}

// CloseWrite ends what this end sends; the peer reads the rest and then io.EOF.
func (c *Conn) CloseWrite() error {
	c.write.end()
	return nil
}

// Close ends both directions; the peer can still read what was sent.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.write.end()
		c.read.stopReading()
		c.forget()
		for _, s := range []*stream{c.read, c.write} {
			s.mu.Lock()
			if s == c.read {
				s.readEnd.stop()
			} else {
				s.writeEnd.stop()
			}
			s.mu.Unlock()
		}
	})
	return nil
}

// Abort breaks both directions as a reset does: bytes on their way are lost.
func (c *Conn) Abort() {
	c.write.breakNow(false)
	c.read.breakNow(false)
	c.forget()
}

func (c *Conn) forget() {
	if c.link != nil {
		c.link.remove(c.near)
	}
}

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; the zero time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline makes Read fail from t on, also one that waits.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.mu.Lock()
	defer c.read.mu.Unlock()
	c.read.readEnd.set(c.read, t)
	return nil
}

// SetWriteDeadline makes Write fail from t on, also one that waits.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.mu.Lock()
	defer c.write.mu.Unlock()
	c.write.writeEnd.set(c.write, t)
	return nil
}

// wrap leaves io.EOF bare, as the net package does.
func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}
