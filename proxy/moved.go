package proxy

import (
	"context"
	"errors"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what becomes of work that waits for a connection to a leader (its turn there, the connecting, the log-on) when the leader moves
// meanwhile: it leaves that line and is picked a member anew. Else it would reach a leader that the gate knows to be replaced: one that was cut off
// takes writes and cannot commit them, and its line moves only as such writes time out.

// errMoved is what a wait for a connection ends with when its work belongs to another member.
var errMoved = errors.New("proxy: another member leads since the work began to wait")

// goal is what somebody seeks a connection for. The zero goal belongs wherever it is sought.
type goal struct {
	router *routing.Router // nil: nothing moves it
	in     routing.Intent
}

// moved tells whether what was to go to m does not belong there by v.
func (g goal) moved(v *cluster.View, m *cluster.Member) bool {
	return g.router != nil && g.router.Moved(v, g.in, m)
}

// seek is ctx for as long as m is not silent, and g belongs there; errSilent or errMoved is the cause of its end then. The function returned
// has to be called.
func (s *Server) seek(ctx context.Context, m *cluster.Member, g goal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := s.seekers.add(&seeker{m, g, cancel})
	if g.moved(s.current.View(), m) { // since it was picked; from here on the watch tells
		cancel(errMoved)
	}
	return ctx, func() {
		done()
		cancel(nil)
	}
}
