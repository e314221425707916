package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what answers mean: how far the unit of work is, whether it goes elsewhere, and what its end leaves behind.

// summary deals with a whole SUCCESS, FAILURE or IGNORED of size bytes at pos.
func (s *boltSession) summary(tag byte, payload []byte, size int) error {
	a := &s.answers
	s.lockOwed()
	o := s.owed.pop()
	s.unlockOwed()
	if j := s.unit.journal; j != nil {
		j.summary(tag, payload)
	}
	if o.mute {
		return s.summaryAgain(tag, o, payload, size)
	}
	switch tag {
	case bolt.TagSuccess:
		s.success(o, payload)
	case bolt.TagIgnored: // by RESET, for a failure before it would have sent the unit elsewhere: what is held goes to the client
		s.accepted()
	case bolt.TagFailure:
		f, err := bolt.ParseFailure(payload[2:])
		if err != nil {
			return err
		}
		return s.failure(o, f, size)
	default:
		return fmt.Errorf("an answer with tag %02x is unknown", tag)
	}
	a.pos += size
	return nil
}

// success moves the unit of work on.
func (s *boltSession) success(o owed, payload []byte) {
	u := &s.unit
	switch o.tag {
	case bolt.TagRun, bolt.TagBegin:
		s.queryRuns(o)
		if u.begun {
			return
		}
		u.begun = true
		if u.homeless && s.version >= bolt.V5_8 {
			s.noteHome(payload[2:])
		}
		s.wasInTime()
		if s.mayStillMove() {
			s.answers.hold = true
			return
		}
		if !s.awaitsPull(o, payload[2:]) {
			s.accepted()
		}
	case bolt.TagPull, bolt.TagDiscard:
		s.accepted()
		k := s.summaryKeys(payload[2:])
		if u.homeless {
			s.learnHome(k.db)
		}
		if !k.more {
			s.queryDone(false)
		}
		u.over = (!k.more || mutant.Is(mutant.ReturnEarly)) && (!u.explicit || o.ends != 0) // 1 and 2 end a transaction by RUN and PULL_ALL
		if u.over && o.ends != bolt.TagRollback {
			s.noteEnd(k)
		}
	case bolt.TagCommit:
		u.over = true
		s.queryDone(false)
		s.noteEnd(s.summaryKeys(payload[2:]))
	case bolt.TagRollback:
		u.over = true
		s.queryDone(false)
	case bolt.TagReset:
		s.queryDone(true)
		s.accepted()
		u.over, u.failed = true, false
		s.mu.Lock()
		s.reset = false
		s.mu.Unlock()
		u.line.failed("reset")
	}
	if u.over && u.mayChangeUsers() {
		s.srv.logins.forgetAll()
	}
	if u.over && u.mayChangeDatabases() {
		s.srv.current.Report("", routing.System, cluster.Changed)
	}
}

// mayChangeUsers tells whether a password may be another one after the unit: a user command, or a transaction on the
// database that holds the users, whose texts nobody reads.
func (u *unit) mayChangeUsers() bool {
	return u.verdict.UserCommand || u.explicit && !u.declared && strings.EqualFold(u.intent.DB, routing.System)
}

// mayStillMove tells whether a unit whose RUN succeeded may still go elsewhere, when what comes next is lost or refuses it
// as a write: a read, the answer to whose PULL is on its way.
func (s *boltSession) mayStillMove() bool {
	u := &s.unit
	if u.raw == nil || !u.judged && !s.isRead() {
		return false
	}
	s.lockOwed()
	defer s.unlockOwed()
	return s.owed.anyPull()
}

var keyHasMore, keyDB, keyBookmark = []byte("has_more"), []byte("db"), []byte("bookmark")

// summaryKeys is what decisions need from the metadata of a result's or a transaction's end. db and bookmark are borrowed, and
// nil when absent.
type summaryKeys struct {
	more     bool
	db       []byte
	bookmark []byte
}

func (s *boltSession) summaryKeys(metadata []byte) (k summaryKeys) {
	d := packstream.NewDecoder(metadata)
	for range d.Map() {
		key := d.String()
		switch {
		case bytes.Equal(key, keyHasMore) && d.Kind() == packstream.KindBool:
			k.more = d.Bool()
		case bytes.Equal(key, keyDB) && d.Kind() == packstream.KindString:
			k.db = d.String()
		case bytes.Equal(key, keyBookmark) && d.Kind() == packstream.KindString:
			k.bookmark = d.String()
		default:
			d.Skip()
		}
	}
	return k
}

// failure decides what a member's FAILURE means: the unit goes elsewhere, or the client is told.
func (s *boltSession) failure(o owed, f *bolt.Failure, size int) error {
	a, u := &s.answers, &s.unit
	wrongMember := s.report(f) || s.wantedRouting(f)
	s.distrust(f.Code)
	if s.mayGoElsewhere(o, f) {
		u.failed = true
		a.pos += size // it is not due any more: RESET's answer is counted from behind it
		return errAgain
	}
	doubt := s.noteDoubt(o, f.Code)
	s.queryRuns(o)
	s.queryDone(true)
	s.accepted()
	if doubt || u.verdict.SelfCommitting || o.tag == bolt.TagCommit || o.ends == bolt.TagCommit { // part of it, or all, may be there
		s.noteUnmarked()
	}
	u.failed, u.over = true, true
	u.violated = f.Code == bolt.CodeInvalidRequest || f.Code == bolt.CodeInvalidFormat || f.Code == bolt.CodeAuthExpired
	u.misplaced = wrongMember
	if o.tag == bolt.TagReset {
		s.mu.Lock()
		s.reset = false
		s.mu.Unlock()
	}
	switch {
	case s.deniedAfterAll(f):
		s.insteadOf(size, bolt.CodeForbidden, forbidden("a member took it for a write ("+f.Code+")"))
	case doubt && misleads(f.Code):
		s.insteadOf(size, bolt.CodeCommitFailed, "boltgate: "+doubtMessage(s.lease.Member.Name, f.Code))
	case wrongMember && !s.passedOn(o, f):
		s.insteadOf(size, bolt.CodeLeaderSwitch,
			"boltgate: the member was not the right one any more ("+s.lease.Member.Name+" said "+f.Code+")"+spent(u.denied)+"; please try again")
	default:
		u.line.failed(f.Code)
		a.pos += size
	}
	return nil
}

// insteadOf tells the client another failure than the member's, which has size bytes at pos.
func (s *boltSession) insteadOf(size int, code, message string) {
	a := &s.answers
	s.unit.line.failed(code)
	s.stage()
	s.out = bolt.AppendFailure(s.out, s.version, code, message)
	a.pos += size
	a.out = a.pos
}

// report tells the checks what a failure says about the member, and whether it is of the kind that clients do not get.
func (s *boltSession) report(f *bolt.Failure) bool {
	switch f.Code {
	case bolt.CodeNotALeader, bolt.CodeReadOnlyDatabase:
		if !s.unit.declared {
			s.srv.current.Report(s.lease.Member.Name, s.unit.intent.DB, cluster.NotALeader)
		}
		return true
	case bolt.CodeDatabaseUnavailable:
		s.srv.current.Report(s.lease.Member.Name, s.unit.intent.DB, cluster.Unserved)
		return true
	}
	return false
}

// passedOn lists the exceptions: what a member said about a unit declared a read, about its COMMIT, or about a database that
// its operator stopped.
func (s *boltSession) passedOn(o owed, f *bolt.Failure) bool {
	if f.Code == bolt.CodeRouting {
		return false
	}
	if mutant.Is(mutant.KeepNotALeader) {
		return true
	}
	if s.unit.declared || o.tag == bolt.TagCommit || o.ends == bolt.TagCommit || s.front.router().Policy.Member != "" {
		return true
	}
	return f.Code == bolt.CodeDatabaseUnavailable && stoppedByOperator(s.srv.current.View(), s.unit.intent.DB)
}

func isSecurity(code string) bool { return strings.HasPrefix(code, "Neo.ClientError.Security.") }

// settle ends a relay in which everything was answered.
func (s *boltSession) settle() error {
	u := &s.unit
	if s.within && (s.lease == nil || u.failed) {
		return s.leave(rest{do: restSettle})
	}
	if s.lease != nil && !u.over && u.explicit {
		return s.settleTx()
	}
	s.stopPump()
	if s.lease == nil {
		s.answerOwed(nil)
		s.answers.close()
		return s.clientGone()
	}
	if u.over && !u.failed {
		if u.verdict.UserCommand { // once more: a log-on may have been verified while it ran
			s.srv.logins.forgetAll()
		}
		s.state = stateReady
		s.giveBack(s.answers.pos == s.answers.end) // before the client hears of it: it may come back at once
		return s.finish()
	}
	s.state = stateStreaming
	if u.failed {
		s.state = stateFailed
	}
	err := s.flushAnswers()
	if err == errLeave {
		return s.leave(rest{do: restSettle})
	}
	if u.failed && !s.recoverLease() {
		err = errors.Join(err, s.memberEnded())
	}
	s.answers.close()
	return errors.Join(err, s.stuck(), s.clientGone())
}

// finish sends the last answers of a unit of work whose lease has ended.
func (s *boltSession) finish() error {
	err := s.flushAnswers()
	if err == errLeave {
		return s.leave(rest{do: restFinish})
	}
	s.answers.close()
	return errors.Join(err, s.clientGone())
}

// settleTx ends a relay in a transaction that goes on. While the client takes its time to read, a pump may have passed on
// more of the transaction: errMore.
func (s *boltSession) settleTx() error {
	s.stopPump()
	s.state = stateTx
	err := s.flushAnswers()
	if err == errLeave {
		return s.leave(rest{do: restSettle})
	}
	if s.pump != nil {
		if err == nil && !s.nothingOwed() {
			return errMore
		}
		s.stopPump()
	}
	s.answers.close()
	return errors.Join(err, s.clientGone())
}

// memberEnded is called when a member closed its connection after a FAILURE, as servers do after what they take for a
// violation of the protocol: the client sees what it would see without us.
func (s *boltSession) memberEnded() error {
	if s.unit.violated {
		return errClosed
	}
	return nil
}
