package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/routing"
)

// maxTries bounds how often one unit of work is sent when connections break: a query that breaks every member it meets has to end.
const maxTries = 8

// again takes the unit back from a member that refused it before it did anything, so that perform can send it elsewhere.
func (s *boltSession) again() error { return s.againWithin(discardTime) }

// againWithin is again with a limit of its own for the member to answer RESET.
func (s *boltSession) againWithin(limit time.Duration) error {
	s.recoverWithin(limit)
	s.rewind()
	return errAgain
}

// canResend tells whether all that was sent of the unit is still at hand and the client still wants it. The pump is
// stopped then, so that this stays true; one that passed on more goes on.
func (s *boltSession) canResend() bool {
	s.mu.Lock()
	forwarded := s.unit.forwarded
	s.stopping = s.stopping || !forwarded // from here on it does not begin to
	s.mu.Unlock()
	if forwarded || s.unit.raw == nil {
		return false
	}
	s.stopPump()
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.reset && s.gone == nil
}

// patient tells whether the unit, which a member refused, is still within failover.hold of its first refusal. Refusals are
// not counted: a member without a leader may give many during an election.
func (s *boltSession) patient() bool {
	u := &s.unit
	if u.until.IsZero() {
		u.until = time.Now().Add(s.srv.options.Load().Hold)
	}
	return time.Now().Before(u.until) && !u.expired()
}

// mayGoElsewhere is rule 2 for a FAILURE: it tells whether the unit may be sent again, and prepares it for that.
func (s *boltSession) mayGoElsewhere(o owed, f *bolt.Failure) bool {
	u := &s.unit
	if u.raw == nil || s.pinnedTo == s.lease || s.finalHere(f.Code) || !s.canResend() || !s.patient() {
		return false
	}
	switch {
	case s.blamesBookmark(o, f.Code):
		s.srv.counts.again(resentBookmark)
		return true
	case u.readOnly && refusedAsWrite(f.Code):
		return false
	case u.judged && refusedAsWrite(f.Code):
		s.becomeWrite()
		s.srv.counts.again(resentMisjudged)
		return true
	}
	at := s.stepOf(o)
	if at&(stepRun|stepPull) != 0 && s.isRead() { // nothing of it was delivered, else raw would be gone: rule 2(d), whatever a failure says of writes
		return s.goesElsewhere(f.Code)
	}
	if at&(stepBegin|stepRun) == 0 || rule(f.Code, s.version, at) != nothingDone || at == stepRun && u.classify().SelfCommitting {
		return false
	}
	if u.declared && at == stepRun && u.classify().Access == cypher.Write {
		return false
	}
	return s.goesElsewhere(f.Code)
}

// goesElsewhere tells whether another try may end otherwise for a unit that was refused before it did anything, and that its member's budget
// has one; it chooses where that goes.
func (s *boltSession) goesElsewhere(code string) bool {
	u := &s.unit
	unheard := s.unheardOf(code)
	switch {
	case !unheard && !aboutTheMember(code) && !s.switches(code), code == bolt.CodeAuthExpired && s.lease.Fresh:
		return false
	case code == bolt.CodeAuthExpired:
		s.cut = true // the connection, not the member, is of no use any more
		s.srv.counts.again(resentConnection)
		return true
	case code == bolt.CodeRouting:
		if !s.routeOtherwise() {
			return false
		}
		s.srv.counts.again(resentConnection)
		return true
	}
	why := resentRefused
	if unheard {
		why = resentDatabase
	}
	if !s.mayRetry(s.lease.Member, why) {
		return false
	}
	if !s.doubtHome() {
		u.triedFor(s.lease.Member)
	}
	return true
}

// switches tells whether a HA member was changing its role while it had the unit: it rolls back all that it runs then. (On causal
// clusters the same code means that a bookmark did not come in time, which lateness.go owns.)
func (s *boltSession) switches(code string) bool {
	return code == bolt.CodeStateChanged && s.srv.current.View().Generation == cluster.HA
}

// forgiveness is how long a member that refused a unit is not asked for it again, if no other serves it: longer each time.
func forgiveness(rebuffs int) time.Duration {
	return min(20*time.Millisecond<<min(rebuffs, 10), time.Second)
}

// triedFor leaves out a member that refused the unit, for a while.
func (u *unit) triedFor(m *cluster.Member) {
	u.tried = append(u.tried, m)
	u.rebuffed()
}

// rebuffed counts a refusal, and says when those that refused may be asked again.
func (u *unit) rebuffed() {
	u.rebuffs++
	u.forgiveAt = time.Now().Add(forgiveness(u.rebuffs))
}

// forgive lets the members that could not be reached, or refused the unit, be asked again.
func (u *unit) forgive() {
	if !time.Now().Before(u.forgiveAt) {
		u.tried = u.tried[:0]
	}
}

// mayRetry takes one more try of the unit from what the member's failures may cost.
func (s *boltSession) mayRetry(m *cluster.Member, why resent) bool {
	s.unit.denied = !s.srv.mayRetry(m, time.Now(), why)
	return !s.unit.denied
}

// becomeWrite sends what we took for a read to the leader, with the client's own mode, and remembers the text.
func (s *boltSession) becomeWrite() {
	u := &s.unit
	if u.query != nil {
		s.srv.writes.add(u.query)
	}
	u.verdict.Access = cypher.Write
	u.judged, u.intent.Mode = false, routing.Write
	s.toLeader()
	u.because = becauseRefused
}

// toLeader sends what we took for a read to the leader, without bookmarks of ours. It stays a read, with mode "r" where members hold to it: when
// that leader is lost nothing is in doubt.
func (s *boltSession) toLeader() {
	u := &s.unit
	u.moved, u.intent.AtLeader = false, true
	u.because = becauseCausality
	u.intent.Marks, u.tried = nil, u.tried[:0]
	s.sendPlain()
}

// classify reads the unit's query, if that was not done yet. Only while raw is at hand.
func (u *unit) classify() cypher.Verdict {
	if u.verdict == (cypher.Verdict{}) && u.query != nil {
		u.verdict = u.verdicts.Classify(u.query)
	}
	return u.verdict
}

// isRead tells whether the unit may be sent again because it reads: its text says so, and where the version enforces a mode
// the member was told so. A declared read whose text we take for a write is none.
func (s *boltSession) isRead() bool {
	u := &s.unit
	if u.explicit || u.intent.Mode != routing.Read {
		return false
	}
	return justReads(u.classify())
}

// justReads tells whether a text changes nothing, however often it is sent.
func justReads(v cypher.Verdict) bool { return v.Access == cypher.Read && !v.SelfCommitting }

// harmless tells whether the unit cannot have written: the member holds to mode "r", or, before 4.0 where no mode is
// enforced, its texts say so. The caller holds mu.
func (s *boltSession) harmless() bool {
	u := &s.unit
	switch {
	case u.intent.Mode != routing.Read:
		return false
	case s.version >= bolt.V4_0:
		return true
	case u.explicit:
		return s.version == bolt.V3 && !u.mayWrite
	}
	return s.isRead()
}

// noteText looks at the text of the RUN at the inbox's start, in a transaction that says that it reads, where the member does not hold it to
// that (Bolt 3). For a pump as well.
func (s *boltSession) noteText(tag byte) {
	u := &s.unit
	if s.version != bolt.V3 || tag != bolt.TagRun || !u.explicit || u.intent.Mode != routing.Read || u.mayWrite {
		return
	}
	if !s.in.complete() || !s.reads(s.in.message()) {
		s.mu.Lock()
		u.mayWrite = true
		s.mu.Unlock()
	}
}

// reads tells whether a RUN, whole and with its chunk headers, has a text that only reads.
func (s *boltSession) reads(raw []byte) bool {
	payload, _ := bolt.Payload(raw, nil)
	o, err := s.parseOpening(bolt.TagRun, payload)
	if err != nil {
		return false
	}
	return justReads(s.unit.verdicts.Classify(o.query))
}

// lost ends the lease of a connection that broke. The unit goes elsewhere when nothing of it can have been done or
// seen; else the client is told what is known.
func (s *boltSession) lost(cause error, unsent bool) error {
	s.stopPump()
	member := s.lease.Member
	fresh := s.lease.Fresh
	s.srv.current.Report(member.Name, s.unit.intent.DB, cluster.Broken)
	s.srv.log.Debug("member connection lost", "session", s.id, "member", member.Name, "unsent", unsent, "error", cause)
	s.giveBack(false)
	u := &s.unit
	unsent = unsent && (u.explicit || !u.begun) // a PULL that did not leave: its RUN did
	if unsent && !fresh {
		u.sent-- // the connection was no good before
	}
	if u.sent < maxTries && s.canResend() && s.mayResendAfterLoss(member, unsent) {
		if !unsent || fresh {
			u.tried = append(u.tried, member)
		}
		s.rewind()
		s.answers.close()
		return errAgain
	}
	if s.mayReplay(member, unsent) {
		return s.replay(member)
	}
	return s.tellLoss(member.Name, unsent)
}

// mayResendAfterLoss is rule 2 for a lost connection: (a) nothing left us, (b) a BEGIN without its COMMIT, (d) a read of
// which nothing reached the client.
func (s *boltSession) mayResendAfterLoss(m *cluster.Member, unsent bool) bool {
	u := &s.unit
	switch {
	case unsent:
		s.srv.counts.again(resentUnsent)
		return true
	case mutant.Is(mutant.ResendLostWrite) && !u.explicit && !u.classify().SelfCommitting, mutant.Is(mutant.ResendSelf) && !u.explicit && u.classify().SelfCommitting,
		mutant.Is(mutant.ResendCommit) && u.explicit && !u.begun:
		return true
	case u.expired():
		return false
	case u.explicit && (u.begun || u.ends() == bolt.TagCommit), !u.explicit && !s.isRead():
		return false
	}
	return s.mayRetry(m, resentLost)
}

// tellLoss answers what is owed after a loss that cannot be mended (design "Rules", 3).
func (s *boltSession) tellLoss(member string, unsent bool) error {
	a, u := &s.answers, &s.unit
	defer a.close()
	a.hold = false
	partial := a.mid
	if partial || a.out != a.pos {
		if err := s.flushAnswers(); err != nil {
			return fmt.Errorf("%w: %w", errLeft, err)
		}
	}
	doubt := s.inDoubt(unsent)
	u.raw, u.send = nil, nil
	s.in.unpin()
	if u.failed { // the client knows; a member that closes after that took the request for a violation
		s.state = stateFailed
		s.answerOwed(nil)
		return errors.Join(s.memberEnded(), s.settle())
	}
	if s.nothingOwed() {
		return fmt.Errorf("proxy: member %s broke off", member)
	}
	if doubt {
		s.noteUnmarked()
		s.doubted(member, "")
	}
	if partial || doubt && !u.explicit && u.delivered {
		return fmt.Errorf("proxy: member %s broke off in the middle of an answer", member)
	}
	s.owedFail(lossFailure(doubt, u.denied, member))
	return s.settle()
}

// inDoubt tells whether something may have been committed whose answer did not come. What left before counts when only
// the newest requests are unsent: an auto-commit RUN, or the RUN of 1 and 2 whose text is COMMIT. A request that did not leave to
// its end cannot have been carried out.
func (s *boltSession) inDoubt(unsent bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &s.unit
	switch {
	case s.harmless():
		return false
	case u.explicit:
		return s.owed.sent(bolt.TagCommit) && (!unsent || s.owed.head().tag == bolt.TagPull && s.owed.head().ends == bolt.TagCommit)
	}
	return !s.owed.empty() && (!unsent && !s.owed.head().kept || u.begun)
}

func lossFailure(doubt, denied bool, member string) *bolt.Failure {
	if doubt && !mutant.Is(mutant.DoubtIsRetryable) {
		return &bolt.Failure{Code: bolt.CodeCommitFailed, Message: "boltgate: the connection to member " + member +
			" was lost before it answered; whether the transaction was committed is unknown. Look before you try again."}
	}
	return &bolt.Failure{Code: bolt.CodeLeaderSwitch, Message: "boltgate: the connection to member " + member + " was lost; nothing was committed" +
		spent(denied) + ", please try again"}
}

// spent says that only the budget kept us from another try.
func spent(denied bool) string {
	if denied {
		return " (" + plain(errBudget) + ")"
	}
	return ""
}

// owedFail answers what is owed with f first. A ROLLBACK alone succeeded: the transaction died with its connection.
func (s *boltSession) owedFail(f *bolt.Failure) {
	s.unit.line.failed(f.Code)
	s.front.stats.failed(f.Code)
	s.queryRefused()
	for s.owesRollback() {
		s.mu.Lock()
		o := s.owed.pop()
		s.mu.Unlock()
		if o.tag == bolt.TagRun {
			s.startOwn([]any{}, nil)
			continue
		}
		s.out = append(s.out, bolt.EmptySuccess...)
		s.state = stateReady
	}
	s.answerOwed(f)
}

// owesRollback tells whether the answer that is due first is that of a ROLLBACK; in 1 and 2 that is a RUN and a PULL_ALL.
func (s *boltSession) owesRollback() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.owed.empty() && !s.owed.head().own && (s.owed.head().tag == bolt.TagRollback || mutant.Is(mutant.LossIsSuccess) && s.owed.head().tag == bolt.TagCommit || s.owed.head().ends == bolt.TagRollback)
}

// garbage ends the lease of a member that sent what Bolt does not have.
func (s *boltSession) garbage(err error) error {
	s.srv.log.Warn("member sent garbage", "session", s.id, "member", s.lease.Member.Name, "error", err)
	return s.lost(fmt.Errorf("proxy: the member's answer cannot be read: %w", err), false)
}

// clientLost ends a unit of work whose client is not there any more.
func (s *boltSession) clientLost(err error) error {
	if s.lease != nil {
		s.abandonWrite()
		s.recoverLease()
	}
	if !errors.Is(err, errLeft) {
		err = fmt.Errorf("%w: %w", errLeft, err)
	}
	return err
}
