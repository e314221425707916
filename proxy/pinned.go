package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the one member connection of a session whose credential is good for one log-on (kerberos, custom). It stays
// with the session, which has a slot of the member only while it works.

// pin keeps the connection that was logged on.
func (s *boltSession) pin(l *pool.Lease) {
	s.pinnedTo = l
	l.Keep()
}

// unpin closes it.
func (s *boltSession) unpin() {
	if s.pinnedTo != nil {
		s.pinnedTo.Release(false)
		s.pinnedTo = nil
	}
}

// resume is search for such a session: it waits for a slot, for timeouts.queue at most. When the connection is closed the
// credential is spent.
func (s *boltSession) resume(ctx, _ context.Context, _ routing.Intent, _ bool, _ choice) (*pool.Lease, error) {
	ctx, cancel := s.queueTime(ctx)
	defer cancel()
	err := s.pinnedTo.Resume(ctx)
	switch {
	case err == nil:
		return s.pinnedTo, nil
	case errors.Is(err, pool.ErrLost):
		s.unpin()
		return nil, fmt.Errorf("%w: %w", errSpent, err)
	}
	return nil, err
}
