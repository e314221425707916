package proxy

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/pool"
)

// This file owns the lease of a session: how it is taken, given back, and made clean again when its unit of work did not end well.

const (
	discardLimit = 1 << 20 // answers that are read and dropped after a client left
	discardTime  = time.Second
)

func (s *boltSession) setLease(l *pool.Lease) {
	s.noteWork(l)
	s.mu.Lock()
	s.lease = l
	s.poked.Store(false)
	s.mu.Unlock()
}

// giveBack ends the lease.
func (s *boltSession) giveBack(clean bool) {
	l := s.lease
	s.mu.Lock()
	s.lease = nil
	gone := s.gone != nil
	s.mu.Unlock()
	if gone { // a deadline may have ended our waits for the member
		l.Link.SetDeadline(time.Time{})
	}
	s.cut = false
	s.release(l, clean)
}

// release gives a connection back to the pool. One that is this client's own stays with it.
func (s *boltSession) release(l *pool.Lease, clean bool) {
	if s.pinnedTo == l {
		if clean {
			l.Keep()
			return
		}
		s.pinnedTo = nil
	}
	l.Release(clean)
}

// stuck is a session that stays with one member, which turned out to be the wrong one: its client has to come back.
func (s *boltSession) stuck() error {
	if s.pinnedTo != nil && s.unit.misplaced {
		return fmt.Errorf("%w: its login is good for one connection, and that leads to the wrong member now", errClosed)
	}
	return nil
}

func (s *boltSession) clientGone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return fmt.Errorf("%w: %w", errLeft, s.gone)
	}
	return nil
}

// recoverLease brings the member's connection back to READY by RESET, reading over what is still to come, within limits;
// else it is closed. Either way the lease ends.
func (s *boltSession) recoverLease() bool { return s.recoverWithin(discardTime) }

func (s *boltSession) recoverWithin(limit time.Duration) bool {
	s.stopPump()
	if s.cut {
		s.giveBack(false)
		s.answers.close()
		return false
	}
	s.answers.reopen()
	s.mu.Lock()
	due := s.owed.fromMember()
	s.mu.Unlock()
	err := s.resetMember(due, limit)
	s.giveBack(err == nil)
	s.answers.close()
	return err == nil
}

// resetMember sends RESET and reads until its SUCCESS, with due answers in front of it, for as long as limit.
func (s *boltSession) resetMember(due int, limit time.Duration) error {
	if mutant.Is(mutant.LendUnclean) {
		return nil
	}
	link := s.lease.Link
	link.SetDeadline(time.Now().Add(limit))
	defer link.SetDeadline(time.Time{})
	if _, err := link.Write(bolt.Reset); err != nil {
		return err
	}
	a := &s.answers
	for read := 0; ; {
		last, err := a.discard(&due)
		if err != nil {
			return err
		}
		if last {
			return nil
		}
		a.out = a.pos
		if err := a.room(); err != nil {
			return err
		}
		n, err := link.Read(a.buf[a.end:])
		if n == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		a.end += n
		if read += n; read > discardLimit {
			return errors.New("proxy: too much to discard")
		}
	}
}

// discard reads over messages; last says that the answer behind the due ones came, that it was SUCCESS, and that nothing
// follows it.
func (a *answers) discard(due *int) (last bool, err error) {
	for {
		if !a.walk.Midway() && a.seen == 0 {
			a.pos += bolt.SkipNoops(a.buf[a.pos:a.end])
			tag, _, ok, err := bolt.PeekTag(a.buf[a.pos:a.end])
			if err != nil || !ok {
				return false, err
			}
			if tag != bolt.TagRecord {
				*due--
				if *due == -1 {
					if tag != bolt.TagSuccess {
						return false, errors.New("proxy: RESET was not answered with SUCCESS")
					}
				}
			}
		}
		n, done := a.walk.Next(a.buf[a.pos:a.end])
		a.pos += n
		a.mid = false
		if !done {
			return false, nil
		}
		if *due < 0 {
			if a.pos != a.end {
				return false, errors.New("proxy: bytes follow the answer to RESET")
			}
			return true, nil
		}
	}
}
