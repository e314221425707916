package proxy

import (
	"errors"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what becomes of work at a member that the checks find silent (cluster.Status.Silent): suspended, or cut off, so that its connections
// stay open and nothing ever comes. Such work is ended as if its connection had broken (lost): a read of which nothing was delivered goes
// elsewhere, an unanswered write is in doubt, an open transaction is gone when its client goes on with it. Slow is not dead: it takes a member
// that says nothing to anybody, and a connection from which nothing came since that began.
//
// Nobody asks on the way of a query. While there is a silent member one goroutine looks at all sessions, four times a second, and lets the
// deadline of those whose lease is there pass; what that means the session itself decides when it wakes.

// silenceLook is how often sessions are looked at while there is a silent member.
const silenceLook = 250 * time.Millisecond

// errSilent is what a wait for a silent member ends with.
var errSilent = errors.New("proxy: the member says nothing any more, to the checks either")

// silentSince is since when the member is silent; zero when it is not.
func silentSince(v *cluster.View, m *cluster.Member) time.Time {
	status := v.Member(m.Name)
	if status == nil || status.Bolt != m.Bolt || status.HTTP != m.HTTP {
		return time.Time{}
	}
	return status.Silent
}

// watchSilence ends what waits for silent members, until the server ends.
func (s *Server) watchSilence() {
	for {
		v := s.current.View()
		var again <-chan time.Time
		s.seekers.look(v)
		if anySilent(v) {
			s.endWaits(v)
			again = time.After(silenceLook)
		}
		select {
		case <-v.Replaced():
		case <-again:
		case <-s.work.Done():
			return
		}
	}
}

func anySilent(v *cluster.View) bool {
	for _, m := range v.Members {
		if !m.Silent.IsZero() {
			return true
		}
	}
	return false
}

// endWaits looks at everything that may wait for a silent member.
func (s *Server) endWaits(v *cluster.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.session != nil {
			c.session.forsake(v)
		}
	}
}

// forsake wakes the session when its lease is at a silent member.
func (s *boltSession) forsake(v *cluster.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil {
		return
	}
	since := silentSince(v, s.lease.Member)
	if since.IsZero() || s.lastHeard.Load() > since.UnixNano() {
		return
	}
	s.poked.Store(true) // before the deadline, so that who meets that knows why
	s.lease.Link.SetDeadline(longAgo)
}

// unpoke undoes forsake: the member is heard of again.
func (s *boltSession) unpoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poked.Store(false)
	s.lease.Link.SetDeadline(time.Time{})
}

// silenced is asked before something is sent by a lease that the session has had for a while; errSilent is all that it says.
func (s *boltSession) silenced() error {
	if !s.poked.Load() {
		return nil
	}
	if since := silentSince(s.srv.current.View(), s.lease.Member); !since.IsZero() {
		return errSilent
	}
	s.unpoke()
	return nil
}

// givenUp tells, when a wait for the member was ended, whether that was for its silence. Unless it is sure, nobody noted when bytes came last:
// it may be in the middle of a stream of answers, and the next look will tell.
func (s *boltSession) givenUp(sure bool) error {
	if !s.poked.Load() {
		return nil
	}
	since := silentSince(s.srv.current.View(), s.lease.Member)
	switch {
	case since.IsZero() || s.lastHeard.Load() > since.UnixNano():
		s.unpoke()
	case sure:
		return errSilent
	}
	return nil
}

// forsake ends a request's wait for a silent member.
func (c *httpConn) forsake(v *cluster.View) { c.wait.forsake(v) }

func (w *memberWait) forsake(v *cluster.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease == nil {
		return
	}
	since := silentSince(v, w.lease.Member)
	if since.IsZero() || w.stage == answerBegun && w.heardAt.After(since) {
		return
	}
	w.silent = true
	w.lease.Link.SetDeadline(longAgo)
}

// seekers are those who wait for a connection to a member, or for their turn there, and the gate's own questions to members. The zero value
// is ready.
type seekers struct {
	mu  sync.Mutex
	all map[*seeker]struct{} // guarded by mu
}

type seeker struct {
	member *cluster.Member
	goal   goal
	stop   func(why error) // ends the wait; called again and again
}

// asks has a question of the gate's own by l end when its member is silent. The function returned has to be called when it was answered.
func (q *seekers) asks(l *pool.Lease) (done func()) {
	return q.add(&seeker{l.Member, goal{}, func(error) { l.Link.SetDeadline(longAgo) }})
}

func (q *seekers) add(one *seeker) (done func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all == nil {
		q.all = make(map[*seeker]struct{})
	}
	q.all[one] = struct{}{}
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.all, one)
	}
}

// look ends the search of those who wait for a silent member, or for one where their work does not belong any more.
func (q *seekers) look(v *cluster.View) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for one := range q.all {
		switch {
		case !silentSince(v, one.member).IsZero():
			one.stop(errSilent)
		case one.goal.moved(v, one.member):
			one.stop(errMoved)
		}
	}
}
