package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns failover.replay: an explicit transaction whose member was lost is played again, from its BEGIN, at another member, and goes
// on there if every answer that its client has seen comes out the same. journal.go owns what is remembered for that.

// replayEnd is how a replay ended.
type replayEnd uint8

const (
	replayDone    replayEnd = iota // it went on elsewhere, and its client saw nothing
	replayDiffers                  // an answer was another one than the client had seen
	replayRefused                  // it could not be tried: see docs/failover.md
	replayEnds
)

var replayNames = [replayEnds]string{"done", "differs", "refused"}

var (
	errDiffers = errors.New("proxy: the transaction, played again, gave another answer than its client had seen")
	errNotYet  = errors.New("proxy: the member does not serve the transaction")
)

// mayReplay tells whether the transaction, whose member m was lost, may be played again. The lease is given back already.
func (s *boltSession) mayReplay(m *cluster.Member, unsent bool) bool {
	u := &s.unit
	j := u.journal
	if j == nil || !u.begun || u.failed || u.over || s.owesRollback() {
		return false
	}
	if !s.replayable(unsent) {
		s.srv.counts.replays[replayRefused].Add(1)
		s.srv.log.Debug("transaction is not replayed", "session", s.id, "member", m.Name, "db", u.intent.DB, "why", j.dead)
		return false
	}
	return u.sent < maxTries && s.mayRetry(m, resentReplayed)
}

// replayable tells whether all of the transaction is known that is needed: no COMMIT has left, the client has whole answers only, and waits
// for the answers to requests that are at hand.
func (s *boltSession) replayable(unsent bool) bool {
	u, a := &s.unit, &s.answers
	if u.journal.dead != "" || u.forwarded || u.expired() || a.hold || a.mid || a.out != a.pos || u.journal.streaming || s.inDoubt(unsent) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.reset && s.gone == nil && s.owed.fromMember() == len(s.owed.list)-s.owed.next && s.owed.fromMember() == len(u.journal.pending())
}

// replay plays the transaction again, as often as members are lost meanwhile, and goes on with what its client waits for.
func (s *boltSession) replay(m *cluster.Member) error {
	u := &s.unit
	s.answers.close()
	u.tried = append(u.tried, m)
	for {
		u.line.goesOn()
		lease, err := s.borrow(s.srv.work, u.intent, false)
		if err != nil {
			return s.notServed(err)
		}
		s.setLease(lease)
		u.sent++
		u.line.went(lease)
		switch err := s.playBack(lease); {
		case err == nil:
			return s.goOn(m)
		case errors.Is(err, errDiffers):
			s.srv.counts.replays[replayDiffers].Add(1)
			return s.notReplayed(err)
		case u.sent >= maxTries || u.expired() || !s.mayRetry(lease.Member, resentReplayed):
			return s.notReplayed(err)
		}
		s.srv.log.Debug("transaction was not replayed yet", "session", s.id, "member", lease.Member.Name, "error", err)
		s.giveBack(false)
		u.tried = append(u.tried, lease.Member)
	}
}

// goOn sends what the client waits for to the member at which the transaction stands as it did at m.
func (s *boltSession) goOn(m *cluster.Member) error {
	u := &s.unit
	s.srv.counts.replays[replayDone].Add(1)
	s.srv.log.Info("transaction replayed", "session", s.id, "from", m.Name, "member", s.lease.Member.Name, "db", u.intent.DB, "user", s.user())
	s.now = time.Now()
	s.mu.Lock()
	for i := s.owed.next; i < len(s.owed.list); i++ {
		s.owed.list[i].kept = false
	}
	s.mu.Unlock()
	var pending []byte
	for _, r := range u.journal.pending() {
		pending = append(pending, r.raw...)
	}
	return s.exchange(pending)
}

// notReplayed gives the transaction up: its client is told what it would have been told without a replay.
func (s *boltSession) notReplayed(cause error) error {
	member := s.lease.Member.Name
	s.giveBack(false) // the member rolls back
	s.in.unpin()
	s.owedFail(&bolt.Failure{Code: bolt.CodeLeaderSwitch, Message: fmt.Sprintf(
		"boltgate: the transaction's member was lost, and it could not be replayed at %s (%s); nothing was committed, please try again", member, plain(cause))})
	return s.settle()
}

// playBack plays what was answered again, and compares. errDiffers: it cannot go on; other errors may pass at another member.
func (s *boltSession) playBack(lease *pool.Lease) error {
	lease.Link.SetDeadline(time.Now().Add(s.srv.options.Load().Hold))
	defer lease.Link.SetDeadline(time.Time{})
	in := bolt.Reader{Source: lease.Link, Limit: maxSummary}
	read := 0
	for _, r := range s.unit.journal.answered() {
		if _, err := lease.Link.Write(r.raw); err != nil {
			return err
		}
		var sum answerSum
		for {
			msg, err := in.ReadMessage()
			if err != nil {
				return err
			}
			if read += len(msg.Fields); read > replayAnswers {
				return fmt.Errorf("%w: more than %d bytes", errDiffers, replayAnswers)
			}
			if msg.Tag == bolt.TagRecord {
				sum.payload([]byte{0xB0 | byte(msg.Count), msg.Tag})
				sum.payload(msg.Fields)
				sum.end()
				continue
			}
			if err := s.compare(lease.Member, msg, sum.with(msg.Fields), r); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// compare holds the end of an answer to the one that the client has seen.
func (s *boltSession) compare(m *cluster.Member, msg bolt.Message, sum [sumSize]byte, r journaled) error {
	switch {
	case msg.Tag == bolt.TagSuccess && slices.Equal(sum[:], r.sum[:]):
		return nil
	case msg.Tag != bolt.TagFailure:
		return errDiffers
	}
	f, err := bolt.ParseFailure(msg.Fields)
	if err != nil {
		return err
	}
	if aboutTheMember(f.Code) || waitedInVain(f.Code) {
		s.srv.current.Report(m.Name, s.unit.intent.DB, cluster.NotALeader)
		s.unit.rebuffed()
		return fmt.Errorf("%w: %s", errNotYet, f.Code)
	}
	return fmt.Errorf("%w: %s", errDiffers, f.Code)
}
