package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns finding a member for a request and a connection to it: at once in the usual case, else after waiting for
// a leader or a slot, with an eye on the client.

var (
	errTxMember = errors.New("proxy: the member of this transaction is not there any more")
	errNoHTTP   = errors.New("proxy: the member has no http address")
)

// pick chooses the member for the request.
func (c *httpConn) pick(view *cluster.View) (*cluster.Member, error) {
	u := &c.w.unit
	if u.pinned != nil {
		s := view.Member(u.pinned.Name)
		if s == nil || !s.Up || s.Condition == cluster.Maint || len(u.tried) > 0 {
			return nil, errTxMember
		}
		return s.Member, nil
	}
	s, err := c.front.router().Pick(view, u.intent, u.tried)
	if err != nil {
		return nil, err
	}
	if !u.intent.Since.IsZero() {
		c.srv.keptAtLeader(view, u.intent, s)
	}
	if s.HTTP == "" {
		return nil, fmt.Errorf("%w: %s", errNoHTTP, s.Name)
	}
	return s.Member, nil
}

// borrow lends a connection to a member that can serve the request.
func (c *httpConn) borrow(ctx context.Context) (*pool.Lease, error) {
	view := c.srv.current.View()
	m, err := c.pick(view)
	if err == nil && (c.w.unit.intent.Mode == routing.Read || c.w.unit.pinned != nil || c.srv.held.mayPass(view)) {
		if l := c.srv.pools.TryAcquire(m, pool.HTTP); l != nil {
			return l, nil
		}
	}
	if c.within {
		c.chosen = httpChoice{view, m, err}
		return nil, c.leave(restPerform)
	}
	return c.borrowSlowly(ctx, view, m, err)
}

// borrowSlowly waits: for a leader, for a slot, for a new connection. It begins with what pick said already: picking anew would
// skip the turn of a member that has no idle connection.
func (c *httpConn) borrowSlowly(ctx context.Context, view *cluster.View, m *cluster.Member, err error) (*pool.Lease, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a shutdown lets the present request finish
	defer cancel(nil)
	defer c.watch(cancel)()
	c.waitFor(nil, cancel)
	defer c.wait.end()
	u := &c.w.unit
	began := time.Now()
	defer func() { u.waited += time.Since(began) }()
	hold, stop := context.WithTimeoutCause(ctx, c.srv.options.Load().Hold-u.waited, errHoldTime) // one for all tries together
	defer stop()
	place := c.srv.held.place(&u.ticket)
	defer place.leave()
	for {
		inTurn := place.mayGo(view, u.intent.Mode == routing.Write && u.pinned == nil) || hold.Err() != nil
		if err == nil && inTurn {
			var l *pool.Lease
			to := goal{in: u.intent}
			if u.pinned == nil {
				to.router = c.front.router()
			}
			if l, err = c.acquire(ctx, m, to, place.passed); err == nil {
				if !to.moved(c.srv.current.View(), l.Member) {
					return l, nil
				}
				l.Release(true)
				err = errMoved
			}
		}
		switch {
		case context.Cause(ctx) != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errTxMember), errors.Is(err, errNoHTTP), errors.Is(err, pool.ErrFull), errors.Is(err, errQueueTime), errors.Is(err, pool.ErrClosed):
			return nil, err
		case context.Cause(hold) != nil:
			return nil, context.Cause(hold)
		case m == nil || !inTurn:
			err := place.await(hold, c.srv, view, int64(len(u.body)))
			if err != nil && (inTurn || !errors.Is(err, errHeldFull)) {
				return nil, err
			}
			if inTurn {
				u.forgive()
			}
		}
		view = place.look(c.srv.current)
		m, err = c.pick(view)
	}
}

// acquire waits in the member's line for as long as timeouts.queue allows. A member that cannot be reached is reported and
// left out for now. inLine is called once it has its place there, or none.
func (c *httpConn) acquire(ctx context.Context, m *cluster.Member, to goal, inLine func()) (*pool.Lease, error) {
	defer inLine()
	if limit := c.w.set.Timeouts.Queue; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errSlotTime)
		defer cancel()
	}
	ctx, done := c.srv.seek(ctx, m, to)
	defer done()
	l, err := c.srv.pools.AcquireInLine(ctx, m, pool.HTTP, pool.Turn{Priority: c.w.unit.limits.turn(), InLine: inLine})
	if errors.Is(err, pool.ErrDial) && context.Cause(ctx) == nil {
		u := &c.w.unit
		c.srv.current.Report(m.Name, u.intent.DB, cluster.Broken)
		u.tried = append(u.tried, m)
	}
	return l, err
}

// watch reads the client while run waits for a member, so that one that leaves frees its place; one that only closed its sending
// side is the look-out's to judge. What comes meanwhile (a body, next requests) is kept, as far as the buffer goes. The function
// returned ends the watch, and waits for it.
func (c *httpConn) watch(cancel context.CancelCauseFunc) (stop func()) {
	if c.within {
		panic("proxy: a watch within the wait for the client") // it could not read
	}
	done := make(chan struct{})
	room, n := c.in[c.end:], 0
	go func() {
		defer close(done)
		for n < len(room) {
			m, err := c.link.Read(room[n:])
			if n += m; err == nil {
				continue
			}
			if !isTimeout(err) && (err != io.EOF || !c.link.Raw()) {
				cancel(fmt.Errorf("%w: %w", errLeft, err))
			}
			return
		}
	}()
	return func() {
		c.link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection ends the watch as well
		<-done
		c.link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
		c.end += n
	}
}

// notServed answers a request for which no connection could be had: nothing of it was sent.
func (c *httpConn) notServed(err error) error {
	c.srv.counts.turn(err)
	switch {
	case errors.Is(err, errLeft):
		return err
	case errors.Is(err, pool.ErrFull), errors.Is(err, errHeldFull), errors.Is(err, errQueueTime), isTurned(err):
		return c.answerFailure(httpFailure{503, codeNoThreads, "too much work is waiting: " + plain(err)})
	case errors.Is(err, routing.ErrNoLeader):
		err = errors.Join(err, errHoldTime)
	}
	return c.answerFailure(httpFailure{503, codeLeaderSwitch, "no member could take the work: " + plain(err)})
}
