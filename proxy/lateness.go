package proxy

import (
	"errors"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns a read at a member that does not have the transactions which it has to see: it waits there for as long as
// causality_wait, then it goes to another member, and at last to the leader. What a bookmark that we added brings about is not for
// the client.

// errLate ends a wait for a member that has had its time.
var errLate = errors.New("proxy: the member did not get the transactions in time")

const (
	causalityWait = 500 * time.Millisecond // Frontend.CausalityWait when it is 0
	lateReset     = 50 * time.Millisecond  // for a late member to answer RESET before its connection is given up
)

// limitLateness gives the lease's member its time to get what the unit has to see. A member that is known to have it, and the
// leader, have all the time there is: what they are late with is the query. With no leader known the next one may be what it wants.
func (s *boltSession) limitLateness() {
	u := &s.unit
	u.lateAt = time.Time{}
	if len(u.intent.Marks) == 0 || !s.canLeave() {
		return
	}
	if s.leads() || s.hasMarks() {
		return
	}
	u.lateAt = s.now.Add(s.front.wait())
}

// leads tells whether the lease's member is the leader.
func (s *boltSession) leads() bool {
	l := s.srv.current.View().Leader(s.unit.intent.DB)
	return l != nil && l.Member == s.lease.Member
}

// hasMarks tells whether the lease's member is known to have what the unit has to see.
func (s *boltSession) hasMarks() bool {
	status := s.srv.current.View().Member(s.lease.Member.Name)
	return status != nil && s.srv.progress.has(status, s.unit.intent.Marks)
}

// canLeave tells whether the unit could be sent again while nothing of it was answered: rule 2(d), and for a BEGIN 2(b).
func (s *boltSession) canLeave() bool {
	u := &s.unit
	if u.raw == nil || s.pinnedTo == s.lease {
		return false
	}
	if u.explicit {
		return u.ends() != bolt.TagCommit
	}
	return s.isRead()
}

// tooLate tells whether the member's time is over.
func (s *boltSession) tooLate(now time.Time) bool {
	u := &s.unit
	if u.lateAt.IsZero() || u.begun || now.Before(u.lateAt) {
		return false
	}
	if s.answers.end > s.answers.pos || s.hasMarks() || s.leads() { // it answers, or has been seen to have them since: the query takes its time
		u.lateAt = time.Time{}
		return false
	}
	v := s.srv.current.View()
	if v.Leader(u.intent.DB) == nil && !s.front.another(v, u.intent, u.tried, s.lease.Member) {
		u.lateAt = now.Add(s.front.wait())
		return false
	}
	return true
}

// another tells whether work at m could go to somebody else now, of those that were not tried.
func (f *frontend) another(v *cluster.View, in routing.Intent, tried []*cluster.Member, m *cluster.Member) bool {
	_, err := f.router().Pick(v, in, append(slices.Clip(tried), m))
	return err == nil
}

// mayLeaveLate tells whether the unit goes elsewhere. If not, it waits on.
func (s *boltSession) mayLeaveLate() bool {
	s.unit.lateAt = time.Time{}
	return s.canLeave() && !s.unit.expired() && s.canResend() && s.mayRetry(s.lease.Member, resentLate)
}

// leaveLate takes the unit back from a member that is late.
func (s *boltSession) leaveLate() error {
	m := s.lease.Member
	s.srv.log.Debug("member is behind a read's bookmark", "session", s.id, "member", m.Name, "db", s.unit.intent.DB)
	s.srv.progress.wasLate(m, time.Now())
	s.unit.tried = append(s.unit.tried, m)
	if l := s.srv.current.View().Leader(s.unit.intent.DB); l != nil { // it may have been late itself before it led
		s.unit.tried = slices.DeleteFunc(s.unit.tried, func(m *cluster.Member) bool { return m == l.Member })
	}
	return s.againWithin(lateReset)
}

// wasInTime notes that a member which had a limited time began to answer. One that took long is taken for late all the same: the
// next read is better off elsewhere.
func (s *boltSession) wasInTime() {
	u := &s.unit
	if u.lateAt.IsZero() {
		return
	}
	if left := time.Until(u.lateAt); left < s.front.wait()/2 {
		s.srv.progress.wasLate(s.lease.Member, time.Now())
		return
	}
	s.srv.progress.wasInTime(s.lease.Member)
}

// wait is causality_wait.
func (f *frontend) wait() time.Duration {
	if wait := f.settings.Load().CausalityWait; wait != 0 {
		return wait
	}
	return causalityWait
}

// blamesBookmark tells whether a failure may be about a bookmark, and sends the unit elsewhere then: with one of ours to the
// leader, without it; with none but the client's to another member, if it is that this one did not get there in time.
func (s *boltSession) blamesBookmark(o owed, code string) bool {
	u := &s.unit
	opens := o.tag == bolt.TagBegin || o.tag == bolt.TagRun && !u.begun
	if !opens || u.intent.Mode != routing.Read || !s.canLeave() {
		return false
	}
	if len(u.own) > 0 && aboutBookmarks(code) {
		s.srv.log.Warn("a bookmark of ours was refused", "session", s.id, "member", s.lease.Member.Name, "db", u.intent.DB, "code", code)
		if leader := s.srv.current.View().Leader(u.intent.DB); !waitedInVain(code) || leader == nil || leader.Member == s.lease.Member {
			s.forgetMarks()
		}
		s.toLeader()
		return true
	}
	if waitedInVain(code) && len(u.intent.Marks) > 0 {
		s.srv.progress.wasLate(s.lease.Member, time.Now())
		leader := s.srv.current.View().Leader(u.intent.DB)
		if leader == nil || leader.Member == s.lease.Member {
			return false
		}
		u.tried = append(u.tried, s.lease.Member)
		return true
	}
	return false
}

// forgetMarks forgets what no member knows: the cluster was restored, or a database is gone.
func (s *boltSession) forgetMarks() {
	s.login.marks.forget(time.Now())
	if s.seen != nil {
		s.seen.forget(time.Now())
	}
}

// waitedInVain lists the codes of a member that did not get a transaction within its own limit.
func waitedInVain(code string) bool {
	return code == bolt.CodeBookmarkTimeout || code == bolt.CodeStateChanged
}

// aboutBookmarks lists the codes by which a member may say that it can do nothing with a bookmark.
func aboutBookmarks(code string) bool {
	switch code {
	case bolt.CodeInvalidBookmark, bolt.CodeBookmarkMixture, bolt.CodeDatabaseNotFound, bolt.CodeDatabaseUnavailable, bolt.CodeInvalidRequest, bolt.CodeInvalidFormat:
		return true
	}
	return waitedInVain(code)
}

// abandonWrite notes a write whose end nobody will hear of: the client left.
func (s *boltSession) abandonWrite() {
	if u := &s.unit; !u.over && u.sent > 0 {
		s.noteUnmarked()
	}
}
