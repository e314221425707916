package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

var (
	errHeldUnits = fmt.Errorf("%w: failover.max_held is reached", errHeldFull)
	errHeldBytes = fmt.Errorf("%w: failover.max_held_bytes is reached", errHeldFull)
	errHeldFull  = errors.New("proxy: too much work waits for a leader already")
	errHoldTime  = errors.New("proxy: no member could be found within failover.hold")
	errQueueTime = errors.New("proxy: timeouts.queue passed")
	errSlotTime  = fmt.Errorf("%w before the member had room (cluster.members[].max_in_flight, pool.max_per_member)", errQueueTime)
	errLogOnTime = fmt.Errorf("%w while auth.max_in_flight other log-ons went on", errQueueTime)
	errSpent     = errors.New("proxy: a login that is good for one connection lost that connection")
)

// borrow picks a member for in and lends a connection to it, logged on as the client. The usual case, an idle connection
// to a member that is there, takes no wait. verify asks for a new log-on.
func (s *boltSession) borrow(ctx context.Context, in routing.Intent, verify bool) (*pool.Lease, error) {
	if s.pinnedTo != nil {
		if s.pinnedTo.TryResume() {
			return s.pinnedTo, nil
		}
		if s.within {
			return nil, errLeave
		}
		return s.borrowSlowly(ctx, in, verify, choice{})
	}
	if c := s.chosen; c.view != nil { // it has had its turn
		s.chosen = choice{}
		return s.borrowSlowly(ctx, in, verify, c)
	}
	if !verify && s.identity.Single() {
		return nil, errSpent
	}
	view := s.srv.current.View()
	status, err := s.pick(view, in, verify)
	if err == nil && !verify && (in.Mode == routing.Read || s.srv.held.mayPass(view)) {
		if l := s.srv.pools.TryAcquire(status.Member, s.identityFor()); l != nil {
			return l, nil
		}
	}
	if s.within {
		s.chosen = choice{view, status, err}
		return nil, errLeave
	}
	return s.borrowSlowly(ctx, in, verify, choice{view, status, err})
}

// choice is what Pick said of a View.
type choice struct {
	view   *cluster.View
	status *cluster.Status
	err    error
}

// identityFor is the session's identity, or its twin with server-side routing for texts that need it.
func (s *boltSession) identityFor() *pool.Identity {
	routed := s.unit.routed && s.front.settings.Load().ServerSide != ServerSideNever
	if !routed && s.front.settings.Load().ServerSide != ServerSideAlways || s.version < bolt.V4_1 {
		return s.identity
	}
	if s.routedIdentity == nil {
		s.routedIdentity = s.identity.With(s.key(true))
	}
	return s.routedIdentity
}

// borrowSlowly waits: for a leader, for a slot, for a new connection.
func (s *boltSession) borrowSlowly(ctx context.Context, in routing.Intent, verify bool, first choice) (l *pool.Lease, err error) {
	search := s.search
	if s.pinnedTo != nil {
		search = s.resume
	}
	err = s.waitWatching(ctx, func(ctx context.Context) error {
		hold, stop := context.WithDeadlineCause(ctx, s.unit.holdUntil(s.srv.options.Load().Hold), errHoldTime)
		defer stop()
		l, err = search(ctx, hold, in, verify, first)
		return err
	})
	if err != nil && l != nil { // the client changed its mind at the last moment
		s.release(l, true)
		l = nil
	}
	return l, err
}

// waitWatching waits for something while a pump watches the client. A client that left, or sent RESET, ends the wait; it is the error also where
// the wait came to its end just then.
func (s *boltSession) waitWatching(ctx context.Context, wait func(context.Context) error) error {
	if err := s.flush(); err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.startPump(cancel)
	silence := s.noops()
	err := wait(ctx)
	silence()
	s.stopPump()
	s.now = time.Now()
	if cause := s.unwanted(); cause != nil && err == nil {
		return cause
	}
	return err
}

// unwanted tells why the client does not want any more what it waits for.
func (s *boltSession) unwanted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone != nil:
		return fmt.Errorf("%w: %w", errLeft, s.gone)
	case s.reset:
		return errReset
	}
	return nil
}

// noops sends NOOPs to a client whose request waits with us, until the function that it returns was called.
func (s *boltSession) noops() (stop func()) {
	if s.version < bolt.V4_3 {
		return func() {}
	}
	var mu sync.Mutex
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(noopEvery, func() {
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			s.client.Write(bolt.Noop) //nolint:errcheck // the pump finds a client that left
			timer.Reset(noopEvery)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		timer = nil
	}
}

// search goes on from the first choice, which keeps its turn, until there is a connection, ctx ends, or an attempt failed and hold
// has ended: failover.hold counts waiting for a member, connecting to one that is there has limits of its own.
func (s *boltSession) search(ctx, hold context.Context, in routing.Intent, verify bool, c choice) (*pool.Lease, error) {
	place := s.srv.held.place(&s.unit.ticket)
	defer place.leave()
	for {
		err := c.err
		inTurn := place.mayGo(c.view, in.Mode == routing.Write || verify) || hold.Err() != nil
		if err == nil && inTurn {
			var l *pool.Lease
			to := goal{in: in}
			if !verify {
				to.router = s.front.router()
			}
			if l, err = s.acquire(ctx, c.status, to, verify, place.passed); err == nil {
				if !to.moved(s.srv.current.View(), l.Member) {
					return l, nil
				}
				s.release(l, true)
				err = errMoved
			}
		}
		if err := s.whether(ctx, hold, err); err != nil {
			return nil, err
		}
		if c.status == nil || errors.Is(err, pool.ErrClosed) || !inTurn {
			err := place.await(hold, s.srv, c.view, int64(len(s.unit.send)))
			if err != nil && (inTurn || !errors.Is(err, errHeldFull)) {
				return nil, err
			}
			if inTurn {
				s.unit.forgive()
			}
		}
		c.view = place.look(s.srv.current)
		c.status, c.err = s.pick(c.view, in, verify)
		if c.status == nil && isBusy(err) {
			return nil, err
		}
	}
}

// isBusy tells whether a member has no threads for one more: no new View says when it has.
func isBusy(err error) bool {
	f, ok := errors.AsType[*bolt.Failure](err)
	return ok && f.Code == bolt.CodeNoThreads
}

// whether decides after a failed attempt if there is another; nil means go on.
func (s *boltSession) whether(ctx, hold context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if f, refused := errors.AsType[*bolt.Failure](err); refused && aboutLogin(f) || errors.Is(err, routing.ErrVersion) || errors.Is(err, pool.ErrFull) || errors.Is(err, errQueueTime) {
		return err
	}
	return context.Cause(hold)
}

// acquire lends a connection to the member, waiting in its line for as long as timeouts.queue allows. A member that cannot
// be reached is reported and not tried again for now.
// inLine is called once it has its place there, or none.
func (s *boltSession) acquire(ctx context.Context, m *cluster.Status, to goal, verify bool, inLine func()) (*pool.Lease, error) {
	defer inLine()
	ctx, cancel := s.queueTime(ctx)
	defer cancel()
	ctx, done := s.srv.seek(ctx, m.Member, to)
	defer done()
	var l *pool.Lease
	var err error
	if verify {
		if err := s.srv.auths.enter(ctx, inLine); err == errSlotTime {
			return nil, errLogOnTime
		} else if err != nil {
			return nil, err
		}
		defer s.srv.auths.leave()
		l, err = s.srv.pools.Verify(ctx, m.Member, s.identityFor(), pool.Turn{Priority: s.front.settings.Load().Priority})
	} else {
		l, err = s.srv.pools.AcquireInLine(ctx, m.Member, s.identityFor(), pool.Turn{Priority: s.unit.limits.turn(), InLine: inLine})
	}
	f, refused := errors.AsType[*bolt.Failure](err)
	if refused {
		s.distrust(f.Code)
	}
	if context.Cause(ctx) != nil {
		return l, err
	}
	switch {
	case errors.Is(err, pool.ErrDial):
		s.srv.current.Report(m.Name, "", cluster.Broken)
		s.unit.tried = append(s.unit.tried, m.Member)
	case refused && !aboutLogin(f):
		s.srv.log.Debug("a member takes no log-on now", "session", s.id, "member", m.Name, "code", f.Code)
		if f.Code != bolt.CodeNoThreads {
			s.srv.current.Report(m.Name, "", cluster.Unserved)
		}
		s.unit.triedFor(m.Member)
	}
	return l, err
}

// aboutLogin tells whether a member's failure at a log-on is about who logs on: another member would say the same. Else the member has no threads
// left, stops, or is not ready.
func aboutLogin(f *bolt.Failure) bool { return strings.HasPrefix(f.Code, "Neo.ClientError.") }

// queueTime limits a wait for a slot.
func (s *boltSession) queueTime(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := s.front.settings.Load().Timeouts.Queue
	if limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, errSlotTime)
}
