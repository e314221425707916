package proxy

// This file owns a server whose place another process takes: it stops accepting, and what it serves goes on. handover_pass.go
// owns how idle clients follow to the new process.

// Retire stops accepting, for another process accepts on the same sockets from here on. Every connection that was accepted is
// served, and Apply makes the server accept again.
func (s *Server) Retire() {
	s.mu.Lock()
	for _, f := range s.fronts {
		closeAll(f.listeners)
		clear(f.listeners)
		f.wake()
	}
	s.mu.Unlock()
	s.loops.Wait()
}
