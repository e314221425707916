package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
)

// Instant is a Neo4j member without a database, which answers everything at once with fixed bytes, so that what is measured around it is not it.
// It executes nothing, checks no password and knows no errors beyond the protocol's. To health checks it is a standalone Community 5.26, or, with
// Role master or slave, a member of a HA cluster of 3.5; with leader or follower, asked over Bolt, of a cluster of 5.26.
type Instant struct {
	Bolt string // address to listen on; "": none
	HTTP string // the same
	Role string // "": standalone; "master" or "slave": HA; "leader" or "follower"
	Peer string // Bolt address that it tells of beside its own: a follower's leader, a leader's follower

	boltListener, httpListener net.Listener
	answers                    *boltAnswers
	pages                      *httpPages
}

// Listen opens the listeners. Addresses with port 0 are then the real ones.
func (s *Instant) Listen() error {
	if !slices.Contains([]string{"", "master", "slave", "leader", "follower"}, s.Role) {
		return fmt.Errorf("%w: role %q: want master, slave, leader, follower or nothing", errUsage, s.Role)
	}
	for _, l := range []struct {
		address *string
		to      *net.Listener
	}{{&s.Bolt, &s.boltListener}, {&s.HTTP, &s.httpListener}} {
		if *l.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", *l.address)
		if err != nil {
			return errors.Join(fmt.Errorf("bench: instant server: %w", err), s.closeListeners())
		}
		*l.address, *l.to = listener.Addr().String(), listener
	}
	s.answers = newBoltAnswers(s.Bolt, s.Role, s.Peer)
	s.pages = newHTTPPages(s.HTTP, s.Bolt, s.Role)
	return nil
}

func (s *Instant) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{s.boltListener, s.httpListener} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Serve answers until ctx ends; Listen comes first. When it returns, its connections are closed and its goroutines have ended.
func (s *Instant) Serve(ctx context.Context) error {
	var g group
	defer context.AfterFunc(ctx, func() {
		s.closeListeners() //nolint:errcheck // they end either way
		g.close()
	})()
	if s.boltListener != nil {
		g.serve(s.boltListener, s.answers.serve)
	}
	if s.httpListener != nil {
		g.serve(s.httpListener, s.pages.serve)
	}
	g.Wait()
	return ctx.Err()
}

// group is the connections of a server, a goroutine each.
type group struct {
	sync.WaitGroup
	mu     sync.Mutex
	open   map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

func (g *group) serve(l net.Listener, handle func(net.Conn)) {
	g.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if !g.add(conn) {
				conn.Close()
				return
			}
			g.Go(func() {
				defer g.remove(conn)
				handle(conn)
			})
		}
	})
}

func (g *group) add(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[net.Conn]struct{})
	}
	g.open[c] = struct{}{}
	return !g.closed
}

func (g *group) remove(c net.Conn) {
	g.mu.Lock()
	delete(g.open, c)
	g.mu.Unlock()
	c.Close()
}

func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.open {
		c.Close()
	}
}
