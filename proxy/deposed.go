package proxy

import (
	"errors"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
)

// This file owns the wait for a commit at a leader that is replaced. One that is cut off from the other members, but not from the gate, passes its
// checks and answers everything, except for commits: it goes on trying to replicate them until it hears the others again. The gate ends
// such a wait as if the connection had broken, and the commit is in doubt. Slow is not dead: what is not known to be able to do nothing but
// commit there, reads and the work inside transactions, is left alone.

const (
	deposedTime = 2 * time.Second        // that another member has to have led for, so that what the old one still has to say is here
	deposedLook = 500 * time.Millisecond // how often such a wait is looked at
)

// errDeposed is what such a wait ends with.
var errDeposed = errors.New("proxy: another member leads, and the one that led does not answer to a commit")

// commits tells whether what is waited for is a COMMIT, or an auto-commit write by its text.
func (s *boltSession) commits() bool {
	if !s.unit.explicit {
		return s.unit.verdict.Access == cypher.Write // the zero verdict is no write
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed.sent(bolt.TagCommit)
}

// deposed is asked while a commit is waited for; true when that has to end.
func (s *boltSession) deposed(now time.Time) bool {
	u, v := &s.unit, s.srv.current.View()
	if v.Leader(u.intent.DB) == nil || !s.front.router().Moved(v, u.intent, s.lease.Member) {
		u.deposedAt = time.Time{}
		return false
	}
	if u.deposedAt.IsZero() {
		u.deposedAt = now
	}
	return now.Sub(u.deposedAt) >= deposedTime
}
