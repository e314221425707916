package proxy

import (
	"errors"
	"fmt"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what one unit of work may take at its member: time, and rows or bytes of results (limits.per_user, max_rows,
// max_bytes, timeouts.transaction).

// codeTerminated is what members say of a transaction that was ended from outside; no driver repeats one.
const codeTerminated = bolt.CodeTerminated

// allowance is what is left of the results that a unit of work may have. The zero value is without limit.
type allowance struct {
	limited     bool
	rows, bytes int64 // left; 0 when there is no such limit
}

// errTooMuch ends a unit of work whose results are over a limit.
var errTooMuch = errors.New("proxy: the results are over a limit")

// limitUnit notes what the unit that begins may take.
func (s *boltSession) limitUnit() {
	l := s.front.limits.Load()
	if l == nil {
		return
	}
	u := &s.unit
	u.limits = l.of(s.user())
	u.allow()
	if most := u.limits.transaction; most > 0 && s.version >= bolt.V3 && (u.timeout == 0 || u.timeout > most) {
		u.timeout, u.left = most, max(most.Milliseconds(), 1)
	}
}

// allow grants the unit all that its results may be: it begins, or begins anew at another member.
func (u *unit) allow() {
	if l := u.limits; l != nil {
		u.allowed = allowance{limited: l.rows > 0 || l.bytes > 0, rows: l.rows, bytes: l.bytes}
	}
}

// record takes one more record from the allowance; false: there is none left. Bytes are counted as they come, so that the
// record that goes over is the last one.
func (s *boltSession) record() bool {
	u := &s.unit
	switch l := u.limits; {
	case l.rows > 0 && u.allowed.rows <= 0, l.bytes > 0 && u.allowed.bytes <= 0:
		return false
	}
	u.allowed.rows--
	return true
}

// endTooMuch ends the unit of work at its member and tells the client why. The records before stay delivered.
func (s *boltSession) endTooMuch() error {
	u := &s.unit
	s.srv.counts.limit(u.limitReached())
	member, doubt := s.lease.Member.Name, s.inDoubt(false)
	s.stage()
	s.recoverLease()
	u.raw, u.send = nil, nil
	s.in.unpin()
	f := &bolt.Failure{Code: codeTerminated, Message: "boltgate: " + u.tooMuch() + "; the query was ended, and its transaction rolled back"}
	if doubt { // the member may have been done with all of it
		s.noteUnmarked()
		s.doubted(member, "")
		f = &bolt.Failure{Code: bolt.CodeCommitFailed, Message: "boltgate: " + u.tooMuch() + "; the query was ended, and whether it was committed is unknown. Look before you try again."}
	}
	s.owedFail(f)
	return s.settle()
}

// limitReached tells which limit it is.
func (u *unit) limitReached() limitKind {
	if u.limits.rows > 0 && u.allowed.rows <= 0 {
		return limitedRows
	}
	return limitedBytes
}

// tooMuch says which limit it is.
func (u *unit) tooMuch() string {
	if l := u.limits; u.limitReached() == limitedRows {
		return fmt.Sprintf("more than the %d rows that one unit of work may have (max_rows)", l.rows)
	}
	return fmt.Sprintf("more than the %d bytes of results that one unit of work may have (max_bytes)", u.limits.bytes)
}

// tooMuch counts n more bytes of the answer, and tells whether these are over the limit.
func (u *httpUnit) tooMuch(n int) bool {
	if u.limits == nil || u.limits.bytes == 0 {
		return false
	}
	u.bytes += int64(n)
	return u.bytes > u.limits.bytes
}

// answersTooMuch tells whether the answer, whose head of n bytes was parsed, is known to be over the limit. Counting begins with its body.
func (c *httpConn) answersTooMuch(n int) bool {
	w := c.w
	w.unit.bytes = 0
	if w.body.kind == fixedBody {
		most := w.unit.limits.bytes
		return most > 0 && w.ans.length > most
	}
	return w.unit.tooMuch(w.aTo - w.aFrom - n)
}

// endTooMuch ends a request whose answer is over the limit. One that has begun can only break off.
func (c *httpConn) endTooMuch(lease *pool.Lease) error {
	u := &c.w.unit
	c.srv.counts.limit(limitedBytes)
	m := lease.Member
	c.stopUpload(lease) //nolint:errcheck // the answer is over either way
	lease.Release(false)
	text := fmt.Sprintf("more than the %d bytes of results that one request may have (max_bytes)", u.limits.bytes)
	doubt := c.commits()
	if doubt {
		c.doubted(m.Name, "")
	}
	switch {
	case u.answered:
		c.closing = true
		return errors.New("proxy: the answer was broken off: " + text)
	case doubt:
		return c.answerFailure(httpFailure{502, codeCommitFailed, text + "; whether the transaction was committed is unknown. Look before you try again."})
	}
	return c.answerFailure(httpFailure{400, codeTerminated, text})
}
