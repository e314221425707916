package admin

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// This file owns the addresses of the operator's side: one HTTP server each, replaced when its address changes.

// bindTo is where a binding listens, and how.
type bindTo struct {
	where    string
	optional bool // when the address is taken, it is tried again until it is free
}

// binding is one address that is listened on. Its methods take a nil binding for none.
type binding struct {
	bindTo
	server *http.Server
	done   chan struct{} // closed by close
	work   sync.WaitGroup
	serves bool // start was called; guarded by the server's mu

	mu       sync.Mutex
	listener net.Listener // guarded by mu; nil while the address is somebody else's
}

const tryAgain = 2 * time.Second // at an address that is only the default and is taken

// rebind returns the binding for to: the one that there is, a new one that does not serve yet, or nil for none. The caller
// holds mu.
func (s *Server) rebind(old *binding, to bindTo, handler http.Handler) (*binding, error) {
	if to.where == "" {
		return nil, nil
	}
	if old != nil && old.where == to.where {
		return old, nil
	}
	b := &binding{bindTo: to, done: make(chan struct{})}
	b.server = &http.Server{
		Handler: handler, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.world.Log.Handler(), slog.LevelDebug),
	}
	l, err := s.Listen("tcp", to.where)
	switch {
	case err == nil:
		b.listener = l
	case to.optional && errors.Is(err, syscall.EADDRINUSE):
		s.world.Log.Warn("the default admin address is taken; going on without one until it is free: set admin.bind", "address", to.where, "error", err)
	default:
		return nil, err
	}
	return b, nil
}

// start makes a binding serve, if it does not yet. The caller holds the server's mu.
func (s *Server) start(b *binding) {
	switch {
	case b == nil || b.serves:
		return
	case b.listener == nil:
		b.work.Go(func() { s.tryUntilFree(b) })
	default:
		s.serve(b, b.listener)
	}
	b.serves = true
}

func (s *Server) serve(b *binding, l net.Listener) {
	if b.server.Handler == s.all {
		l = &maybeTLS{l, s}
	}
	b.work.Go(func() { b.server.Serve(l) }) //nolint:errcheck // it ends when it is closed
}

// maybeTLS is a listener whose connections speak TLS when the newest options say so.
type maybeTLS struct {
	net.Listener
	server *Server
}

func (l *maybeTLS) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if secure := l.server.state.Load().TLS; err == nil && secure != nil {
		return tls.Server(conn, secure), nil
	}
	return conn, err
}

func (s *Server) tryUntilFree(b *binding) {
	again := time.NewTicker(tryAgain)
	defer again.Stop()
	for {
		select {
		case <-b.done:
			return
		case <-again.C:
		}
		if l, err := s.Listen("tcp", b.where); err == nil {
			s.world.Log.Info("the admin address is free now", "address", b.where)
			b.mu.Lock()
			b.listener = l
			b.mu.Unlock()
			s.serve(b, l)
			return
		}
	}
}

func (b *binding) address() net.Addr {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener == nil {
		return nil
	}
	return b.listener.Addr()
}

// close ends the binding and its connections, streams included, and waits for its goroutines.
func (b *binding) close() {
	if b == nil {
		return
	}
	close(b.done)
	b.server.Close()
	b.mu.Lock()
	l := b.listener
	b.mu.Unlock()
	if l != nil {
		l.Close()
	}
	b.work.Wait()
	b.server.Close() // one that began to serve meanwhile
}
