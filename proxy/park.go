package proxy

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/netio"
)

// This file owns the idle sessions. A goroutine that served a query has a stack that grew, and the runtime takes it back
// only down to a size that is most of what an idle client costs. So a session that has been idle for a while parks: its
// goroutine ends, and a new one, which has never done anything but wait, waits for the next request and then serves on.
// A query on a busy session never pays for that.

// errParked ends the goroutine of a session that goes on in another.
var errParked = errors.New("proxy: the session parks")

// session is what serves a client once its protocol is known, as parking and the server's shutdown see it. Its goroutine
// says errParked when it was nudged, holds nothing but the connection, and that is one that can wait without a buffer.
type session interface {
	waits() *napping
	readBy() time.Time           // when the client's next bytes have to be there; zero is no limit
	shed()                       // lets go of what is soon there again when there is work: the session parks
	serveOn(wait error) error    // after it parked; wait is how that ended
	outdated() bool              // the members do not speak any more what it speaks: it ends
	describe(*passedClient) bool // adds what another process has to know of it; false: it stays here, see handover_state.go
	passed()                     // it lives on in another process: lets go of what this one has of it
	abort()                      // ends its work at once; the shutdown calls it, again and again
	forsake(v *cluster.View)     // ends its wait for a member that is silent in v; called again and again
}

// napping is a session's waits for its client without a unit of work, as the sweep and a shutdown see them. What happens
// at every wait is one atomic operation each at its start and end; the lock is for the sweep alone, and for a session that
// the sweep has woken.
type napping struct {
	link   *netio.Link   // to the client; set before, never changed
	naps   uint32        // waits so far; the session's own
	ending bool          // the last nudge was a dismissal; its own, set by wakeUp
	epoch  uint32        // of the server's outdated when the session looked at it the last time; its own
	word   atomic.Uint32 // the bits below, and above them naps
	round  atomic.Uint32 // in which it parked; of a session whose word says so
	seen   uint32        // the sweep's own: word without wasNudged when it looked the last time

	nudging sync.Mutex // held from setting wasNudged to setting the read deadline, so that it is lifted after that
}

// The bits of napping.word.
const (
	isIdle    = 1 << iota // waits for the client without a unit of work
	mayNudge              // in a wait that the sweep may end
	isParked              // on a goroutine of its own
	wasNudged             // woken by the sweep, to park
	mustEnd               // with wasNudged: woken to end
	oneNap
)

// waits is the part of a session that embeds it.
func (n *napping) waits() *napping { return n }

// idle tells whether the session waits for its client without a unit of work.
func (n *napping) idle() bool { return n.word.Load()&isIdle != 0 }

// greet marks the wait for a client's first steps, which the sweep leaves alone, until the function returned is called.
func (n *napping) greet() (done func()) {
	n.word.Store(n.naps*oneNap | isIdle)
	return func() { n.word.Store(n.naps * oneNap) }
}

// fallAsleep notes that the session waits for its client without a unit of work.
func (n *napping) fallAsleep() {
	n.naps++
	n.word.Store(n.naps*oneNap | isIdle | mayNudge)
}

// parkAsleep is fallAsleep of a session that parks.
func (n *napping) parkAsleep(round uint32) {
	n.naps++
	n.round.Store(round)
	n.word.Store(n.naps*oneNap | isIdle | mayNudge | isParked)
}

// wakeUp ends the wait. It tells whether it was the sweep that ended it.
func (n *napping) wakeUp() (nudged bool) {
	w := n.word.Swap(n.naps * oneNap)
	if w&wasNudged == 0 {
		return false
	}
	n.ending = w&mustEnd != 0
	n.nudging.Lock()
	defer n.nudging.Unlock()
	n.link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed connection shows in the next read
	return true
}

// nudge wakes the session, so that it parks, when it has been in the same wait since the last sweep and has not parked in
// this round. It tells whether it woke one that had not parked at all.
func (n *napping) nudge(round uint32) bool {
	n.nudging.Lock()
	defer n.nudging.Unlock()
	w := n.word.Load()
	same := w == n.seen
	n.seen = w &^ wasNudged
	parked := w&isParked != 0
	if !same || w&mayNudge == 0 || parked && n.round.Load() == round || !n.word.CompareAndSwap(w, w|wasNudged) {
		return false
	}
	n.link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection shows in the wait
	return !parked
}

// rouse ends the session's wait without a unit of work, if it is in one, so that it looks what has changed.
func (n *napping) rouse() {
	n.nudging.Lock()
	defer n.nudging.Unlock()
	if w := n.word.Load(); w&mayNudge != 0 && n.word.CompareAndSwap(w, w|wasNudged) {
		n.link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection shows in the wait
	}
}

// dismiss ends the session if it waits without a unit of work; false: it does not.
func (n *napping) dismiss() bool {
	n.nudging.Lock()
	defer n.nudging.Unlock()
	w := n.word.Load()
	if w&mayNudge == 0 || !n.word.CompareAndSwap(w, w|wasNudged|mustEnd) {
		return false
	}
	n.link.Conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection shows in the wait
	return true
}

const (
	manyParked   = 256 // sessions, from which on it pays to give memory back to the system
	releaseEvery = 10  // sweeps, at least
	settleAfter  = 2   // sweeps that parking once more takes
)

// giveBack returns the memory to the system that many sessions needed before they parked, which would else stay with the
// process for minutes. It does so twice: after the first time the sessions park once more, for the runtime starts
// goroutines on stacks as large as the last collection found them in use on average, and that is small only then.
type giveBack struct {
	parked int // sessions that parked since the last time
	since  int // sweeps since the last time
}

// swept notes a sweep that parked n sessions. It is true when the sessions shall park once more.
func (g *giveBack) swept(n int) (again bool) {
	g.parked += n
	g.since++
	switch {
	case g.since == settleAfter:
		debug.FreeOSMemory()
	case n == 0 && g.parked >= manyParked && g.since >= releaseEvery: // the burst is over
		debug.FreeOSMemory()
		g.parked, g.since = 0, 0
		return true
	}
	return false
}

// parkIdle sweeps over all sessions until the server ends. One that it meets in the same wait twice in a row parks.
func (s *Server) parkIdle() {
	t := time.NewTicker(s.options.Load().ParkEvery)
	defer t.Stop()
	var all []*napping
	free := giveBack{since: releaseEvery}
	s.parkRound.Store(1)
	for {
		select {
		case <-s.work.Done():
			return
		case <-t.C:
		}
		all = all[:0]
		s.mu.Lock()
		for c := range s.clients {
			if c.session != nil {
				all = append(all, c.session.waits())
			}
		}
		s.mu.Unlock()
		nudged := 0
		for _, n := range all {
			if n.nudge(s.parkRound.Load()) {
				nudged++
			}
		}
		clear(all) // the sweep shall not keep them alive
		if free.swept(nudged) {
			s.parkRound.Add(1)
		}
	}
}

// lieDown hands a session over to a new goroutine, which waits until by. What the wait needs is done here: the new one
// shall not call anything that makes its stack grow.
func (s *Server) lieDown(c *client, by time.Time) {
	if s.passOn(c, by) {
		return
	}
	c.session.shed()
	n := c.session.waits()
	if !by.IsZero() {
		n.link.Conn.SetReadDeadline(by) //nolint:errcheck // a closed connection shows in the wait
	}
	n.parkAsleep(s.parkRound.Load())
	if n.epoch != s.outdated.epoch.Load() { // it changed while nobody could see the session asleep
		n.rouse()
	}
	s.conns.Add(1)
	go s.rest(c, n.link, by)
}

// rest waits on a small stack, and then serves on.
func (s *Server) rest(c *client, link *netio.Link, by time.Time) {
	err := link.Await()
	s.getUp(c, err, by)
}

// getUp ends the wait. A session that parks once more is as idle as before, so its time limit stays where it is.
func (s *Server) getUp(c *client, err error, by time.Time) {
	defer s.conns.Done()
	if w := c.session.waits(); w.wakeUp() && isTimeout(err) {
		switch {
		case w.ending:
			err = errDismissed
		case !c.session.outdated():
			s.lieDown(c, by)
			return
		default:
			err = errOutdated
		}
	}
	c.conn.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed connection shows in the next read
	s.live(c, func() error { return c.session.serveOn(err) })
}

// mayPark tells whether nothing but the connection is held, and that it is one that can wait without a buffer.
func (s *boltSession) mayPark() bool {
	return s.client.Raw() && s.loggedIn() && s.lease == nil && s.pump == nil && s.in.buf == nil && s.state != stateOwn
}

// shed lets go of what a session keeps for its next unit of work.
func (s *boltSession) shed() {
	s.out, s.busy = nil, nil
	s.mu.Lock()
	s.owed = owedQueue{}
	s.mu.Unlock()
}

// serveOn goes on after a wait while parked.
func (s *boltSession) serveOn(wait error) error {
	s.busy = new(busy)
	if err := s.endedWait(s.srv.work, wait); err != nil {
		s.end()
		return err
	}
	return s.serveRequests(s.srv.work)
}

const faultMessage = "a session ended by a fault in boltgate; please report it"

// live runs a stretch of a connection's life. What goes wrong ends this connection only, with one log line; a session that
// parks goes on in a goroutine of its own.
func (s *Server) live(c *client, stretch func() error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error(faultMessage, "frontend", c.front, "client", c.address(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.bury(c)
		}
	}()
	err := stretch()
	if err == errParked {
		s.lieDown(c, c.session.readBy())
		return
	}
	switch {
	case err == nil || errors.Is(err, errClosed) || errors.Is(err, errLeft) || errors.Is(err, io.EOF):
		s.log.Debug("connection closed", "frontend", c.front, "client", c.address(), "reason", err)
	default:
		s.log.Info("connection ended", "frontend", c.front, "client", c.address(), "error", err)
	}
	s.bury(c)
}

// bury ends a connection.
func (s *Server) bury(c *client) {
	c.conn.Close()
	s.remove(c)
	if c.place != nil {
		<-c.place
	}
}
