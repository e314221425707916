package health

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// This file owns the ear: a connection on which a member that passes no check is listened to from one check to the next. A check gives up in the
// end and takes its connections with it; what a slow member says a moment later nobody would hear.

// ear belongs to its checker's goroutine, but for heard. The zero ear is closed.
type ear struct {
	heard atomic.Bool // the member said something on it
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

// open begins to listen, unless it does already.
func (e *ear) open(ctx context.Context, dial func(context.Context) (net.Conn, error), ask []byte) {
	if e.stop != nil {
		return
	}
	e.heard.Store(false)
	ctx, e.stop = context.WithCancel(ctx)
	e.wait.Go(func() { listen(ctx, dial, ask) })
}

// hears tells whether the member said anything since the ear was opened; false when it is closed.
func (e *ear) hears() bool { return e.stop != nil && e.heard.Load() }

// close ends listening, and waits for it.
func (e *ear) close() {
	if e.stop != nil {
		e.stop()
		e.wait.Wait()
		e.stop = nil
	}
}

// listen asks what any process answers at once, and waits for one byte, until ctx ends. The connection notes that it came.
func listen(ctx context.Context, dial func(context.Context) (net.Conn, error), ask []byte) {
	conn, err := dial(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck // shows in Read
	if _, err := conn.Write(ask); err == nil {
		var one [1]byte
		conn.Read(one[:]) //nolint:errcheck // the connection itself notes what comes
	}
}

// anyHandshake is a Bolt handshake that every server answers, if only with a refusal.
var anyHandshake = []byte{0x60, 0x60, 0xB0, 0x17, 0, 8, 8, 5, 0, 2, 4, 4, 0, 0, 0, 3, 0, 0, 0, 1}

// whatToAsk is the member's address for the ear, and what it answers without a login: the Bolt handshake, else HTTP.
func (c *checker) whatToAsk() (address string, ask []byte) {
	if c.member.Bolt != "" && c.o.Method != MethodHTTP {
		return c.member.Bolt, anyHandshake
	}
	return c.member.HTTP, []byte("GET / HTTP/1.1\r\nHost: " + c.member.HTTP + "\r\n\r\n")
}

// mute tells whether the member said nothing at all, in the check that has just ended and to the ear since one before.
func (c *checker) mute(err error) bool {
	if !saidNothing(err) || c.heard.Load() {
		c.ear.close()
		return false
	}
	mute := !c.ear.hears()
	if !mute {
		c.ear.close() // to listen anew
	}
	c.listenIn()
	return mute
}

// listenIn opens the ear, as soon as there is reason to.
func (c *checker) listenIn() {
	address, ask := c.whatToAsk()
	c.ear.open(c.life, func(ctx context.Context) (net.Conn, error) { return c.connect(ctx, address, &c.ear.heard) }, ask)
}
