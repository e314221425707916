package netio

import (
	"io"
	"syscall"
)

// Taker takes bytes as they come (Link.Serve).
type Taker interface {
	Room() []byte         // lends what the next bytes are read into; never empty
	Nothing()             // there were none: Room's buffer is not needed while the link waits
	Take(n int) (on bool) // n bytes lie in what Room lent; false ends Serve
}

// Serve has t take whatever is read, again and again, until it wants no more: nil. Any error is that of a wait or a read, after
// which t was not called.
//
// It is for a connection that asks and is answered over and over. Each wait of its own would first look whether bytes are there,
// and mostly find none; between two calls of Take Serve only waits. That is why Take must not read from the link, nor have another
// goroutine read from it: it ends Serve before that. Closing the connection from another goroutine waits until Take has ended.
func (l *Link) Serve(t Taker) error {
	if l.raw == nil {
		return l.serveOver(t)
	}
	o := &l.read
	o.taker, o.err = t, nil
	err := l.raw.Read(o.serve)
	o.taker = nil
	if err == nil {
		err = o.err
	}
	return wrap("read", l.Conn, err)
}

// serveReady is the callback of Serve. The poller tells of bytes once, when they arrive, and remembers that until the wait: so it
// may wait without a look once a read has taken all that there was, which one shows that did not fill its buffer.
func (l *Link) serveReady(fd uintptr) bool {
	o := &l.read
	for {
		buf := o.taker.Room()
		n, err := sysRead(fd, buf)
		if n <= 0 {
			o.taker.Nothing()
			if err == syscall.EAGAIN {
				return false
			}
			if o.err = err; err == nil {
				o.err = io.EOF
			}
			return true
		}
		l.in += uint64(n)
		if !o.taker.Take(n) {
			return true
		}
		if n < len(buf) {
			return false
		}
	}
}

// serveOver is Serve on other than plain sockets.
func (l *Link) serveOver(t Taker) error {
	for {
		n, err := l.Read(t.Room())
		if n > 0 {
			if !t.Take(n) {
				return nil // an error comes again
			}
			continue
		}
		t.Nothing()
		if err != nil {
			return err
		}
	}
}
