package proxy

import (
	"errors"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/routing"
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

// lookDeposed is asked by the look-out; it ends a request's wait for a commit at a leader that is replaced.
func (c *httpConn) lookDeposed(now time.Time) {
	w := &c.wait
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease == nil || w.left || w.silent || w.waits != w.seen || !c.onlyCommits() { // run waits meanwhile: what it owns stays as it is
		return
	}
	v, in := c.srv.current.View(), c.w.unit.intent
	leader := v.Leader(in.DB)
	moved := leader != nil && c.front.router().Moved(v, in, w.lease.Member)
	w.led = w.led || leader != nil && !moved
	switch {
	case !moved || c.w.path.kind == routeInside && !w.led: // a transaction that reads is anywhere
		w.deposedAt = time.Time{}
	case w.deposedAt.IsZero():
		w.deposedAt = now
	case now.Sub(w.deposedAt) >= deposedTime:
		w.silent = true // nothing that is of use comes any more
		w.lease.Link.SetDeadline(longAgo)
	}
}

// onlyCommits tells whether the request is a commit, or statements that commit with it and write by their texts.
func (c *httpConn) onlyCommits() bool {
	w := c.w
	u := &w.unit
	switch {
	case u.intent.Mode != routing.Write || u.safe || !u.held:
		return false
	case w.path.kind == routeInside:
		return w.path.commit
	case w.path.kind != routeStatements:
		return false
	}
	return u.texts.known && !u.texts.read && u.texts.open > 0
}
