package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns which requests of an HTTP connection are served from within the wait for its client (attend.go), and what leaves it:
// one that is not there as a whole, and a wait for a member.

// errOver ends a connection in good order.
var errOver = errors.New("proxy: the connection's last request was answered")

// httpChoice is what pick said, of a request that leaves the wait before it got a connection.
type httpChoice struct {
	view   *cluster.View // nil: none
	member *cluster.Member
	err    error
}

// run serves requests until the client leaves or says close, something ambiguous comes, or ctx ends between two of them;
// or until the connection parks.
func (c *httpConn) run(ctx context.Context) (err error) {
	c.srv.http.enter(c)
	defer func() {
		if err != errParked {
			c.letGo()
		}
	}()
	for err == nil {
		if err = c.serveThese(ctx); err == errWait {
			err = c.serveAsTheyCome(ctx, c.link, c)
		}
	}
	if c.unread && err != errParked {
		c.linger()
	}
	if err == errOver {
		return nil
	}
	return err
}

// serveThese serves the requests that are there. It ends with an error only: errWait when more have to be waited for.
func (c *httpConn) serveThese(ctx context.Context) error {
	for {
		err := c.nextRequest(ctx)
		switch {
		case err == errWait || err == errLeave:
			return err
		case err == nil && c.within && !c.isQuick():
			return c.leave(restServe)
		case err == nil:
			err = c.serve(ctx)
		}
		if err == errLeave {
			return err
		}
		if err = c.endRequest(err); err != nil {
			return err
		}
	}
}

// endRequest ends a request, and with an error the connection.
func (c *httpConn) endRequest(err error) error {
	if bad, ok := errors.AsType[*headError](err); ok {
		c.closing, c.unread = true, true
		err = errors.Join(fmt.Errorf("proxy: request refused: %w", bad), c.answerBad(bad))
	}
	c.endQuery(err)
	c.noteBytes()
	c.endLine(err)
	c.finish()
	if err == nil && c.closing {
		return errOver
	}
	return err
}

// isQuick tells whether the request whose head was parsed may be served within the wait: nothing of it is still to come, it is
// no matter of a gate user's login or of another protocol, and no question of the gate's own has to be waited for.
func (c *httpConn) isQuick() bool {
	r := &c.w.req
	whole := r.body == noBody || r.body == fixedBody && r.length <= int64(c.end-c.next)
	return whole && !r.upgrade && c.srv.users.Load() == nil && c.w.set.Access != AccessReadOnly && c.w.set.Causality != CausalityCluster
}

// leave is the error by which the connection leaves the wait.
func (c *httpConn) leave(do restOf) error {
	c.rest = do
	return errLeave
}

// doRest finishes outside what was left.
func (c *httpConn) doRest(ctx context.Context) error {
	do := c.rest
	c.rest = restNone
	switch do {
	case restServe:
		return c.endRequest(c.serve(ctx))
	case restPerform:
		return c.endRequest(c.performAndNote(ctx))
	}
	return nil
}

// sit makes ready for a wait.
func (c *httpConn) sit(ctx context.Context) error {
	c.fallAsleep()
	if ctx.Err() != nil {
		c.wakeUp()
		return errClosed
	}
	return nil
}

// ended is what the end of a wait without bytes means; nil: wait again.
func (c *httpConn) ended(ctx context.Context, err error) error {
	if nudged := c.wakeUp(); !nudged || !isTimeout(err) {
		return c.endedWait(ctx, err)
	}
	switch {
	case c.ending:
		return errDismissed
	case c.link.Raw():
		return errParked
	}
	return nil
}

// Room is part of netio.Taker.
func (c *httpConn) Room() []byte {
	if c.in == nil {
		c.in, c.start, c.next, c.end = getBuffer(), 0, 0, 0
	}
	return c.in[c.end:]
}

// Nothing is part of netio.Taker.
func (c *httpConn) Nothing() { c.release() }

// Take serves what was read, and whatever else is there.
func (c *httpConn) Take(n int) (on bool) {
	c.end += n
	c.wakeUp()
	return c.attend(c.srv.work, c)
}
