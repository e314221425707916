package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// This file owns a server whose place another process takes: it stops accepting, passes its idle clients on, and serves the
// rest. handover_state.go owns what is passed of a client, handover_adopt.go the new process's side.

// Pass passes a client's connection and its state to the successor. nil: the successor has it, and nobody else may touch the
// connection. ErrKept: it has not, and the client is served on here. Any other error: it is not known, and the client is not
// served here.
type Pass func(ctx context.Context, state []byte, conn syscall.Conn) error

// ErrKept says that a client stays with this process.
var ErrKept = errors.New("proxy: the client was not passed on")

// succession is what a server keeps of that.
type succession struct {
	passing atomic.Pointer[Pass] // nil while there is no successor
	passed  atomic.Uint64        // clients
	retired atomic.Bool          // another process accepts
	sharing bool                 // guarded by the server's mu: another process serves the same users, see Share
}

// Retire stops accepting, for another process accepts on the same sockets from here on. Every connection that was accepted is
// served, and Apply makes the server accept again.
func (s *Server) Retire() {
	s.mu.Lock()
	for _, f := range s.fronts {
		closeAll(f.listeners)
		clear(f.listeners)
		f.wake()
	}
	s.retired.Store(true)
	s.mu.Unlock()
	s.loops.Wait()
}

// Share says that another process serves the same users, and does not know what they write here. What reads have to see of
// their user's writes (CausalityUser) is asked of leaders then, as with CausalityCluster.
func (s *Server) Share(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sharing = on
	for _, f := range s.fronts {
		f.settings.Store(s.shared(f.asked))
	}
}

// shared is what a frontend is set to while it was asked to be asked. The caller holds mu.
func (s *Server) shared(asked *Frontend) *Frontend {
	if !s.sharing || asked.Causality != CausalityUser {
		return asked
	}
	f := *asked
	f.Causality = CausalityCluster
	return &f
}

// How often clients are looked at that could be passed: often while some are, for one with much to do is idle for moments.
const (
	passOften  = 5 * time.Millisecond
	passSeldom = 200 * time.Millisecond
)

// PassOn passes clients on, each as soon as it is idle, until stop is called or the server ends.
func (s *Server) PassOn(pass Pass) (stop func()) {
	s.mu.Lock()
	for c := range s.clients {
		c.stays.Store(false) // another successor may take what the one before refused
	}
	s.mu.Unlock()
	s.passed.Store(0)
	s.passing.Store(&pass)
	ctx, cancel := context.WithCancel(s.work)
	s.conns.Go(func() { s.rousePassable(ctx) })
	return func() {
		s.passing.Store(nil)
		cancel()
	}
}

// rousePassable wakes idle clients, which pass on when they lie down.
func (s *Server) rousePassable(ctx context.Context) {
	var all []*napping
	began, said := time.Now(), false
	for every := passOften; ; {
		all = all[:0]
		s.mu.Lock()
		for c := range s.clients {
			if c.session != nil && !c.stays.Load() && c.session.waits().link.Raw() {
				all = append(all, c.session.waits())
			}
		}
		s.mu.Unlock()
		for _, n := range all {
			n.rouse()
		}
		if len(all) == 0 && !said {
			said = true
			s.log.Info("clients went to the successor", "clients", s.passed.Load(), "stay", s.Sessions(), "after", time.Since(began).Round(time.Millisecond))
		}
		before := s.passed.Load()
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		if every = min(2*every, passSeldom); s.passed.Load() != before {
			every = passOften
		}
	}
}

// passOn gives a client that lies down to the successor, if there is one and the client can be passed. It is true when the client is
// no business of this process any more.
func (s *Server) passOn(c *client, by time.Time) bool {
	pass := s.passing.Load()
	if pass == nil || c.stays.Load() {
		return false
	}
	conn, state := s.passable(c, by)
	if state == nil {
		return false
	}
	err := (*pass)(s.work, state, conn)
	if errors.Is(err, ErrKept) {
		c.stays.Store(true)
		s.log.Debug("a client stays with this process", "frontend", c.front, "client", c.address(), "error", err)
		return false
	}
	if err == nil {
		s.passed.Add(1)
	}
	c.session.passed()
	s.bury(c)
	return true
}

// mustMove tells whether the connection ends with its request, so that its client comes back to the process that accepts: it cannot be
// passed on.
func (c *httpConn) mustMove() bool { return !c.link.Raw() && c.srv.retired.Load() }
