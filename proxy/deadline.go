package proxy

import (
	"strconv"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the client's own timeout (tx_timeout of RUN and BEGIN, max-execution-time over HTTP): a unit of work that is sent again has what is left of it, and is not
// sent again when nothing is. Waiting for a leader before it was sent at all has failover.hold: the transaction has not begun then.

// maxLimit is the longest tx_timeout that we reckon with, in milliseconds: a year.
const maxLimit = 365 * 24 * 60 * 60 * 1000

// startTimeout starts the unit's clock when it is first sent.
func (s *boltSession) startTimeout() {
	if u := &s.unit; u.timeout > 0 && u.deadline.IsZero() {
		u.deadline = s.now.Add(u.timeout)
	}
}

// shortenTimeout says what is left of the timeout in the request that is sent again.
func (s *boltSession) shortenTimeout() {
	u := &s.unit
	if u.deadline.IsZero() || u.raw == nil {
		return
	}
	u.left = max(u.deadline.Sub(s.now).Milliseconds(), 1)
	s.rebuild()
}

// expired tells whether the client's own timeout has passed.
func (u *unit) expired() bool { return !u.deadline.IsZero() && !time.Now().Before(u.deadline) }

// holdUntil is when the unit stops waiting for a member.
func (u *unit) holdUntil(hold time.Duration) time.Time {
	until := u.until // a unit that was refused has waited before
	if until.IsZero() {
		until = time.Now().Add(hold)
	}
	if !u.deadline.IsZero() && u.deadline.Before(until) {
		return u.deadline
	}
	return until
}

// startTimeout starts the request's clock when it is first sent.
func (u *httpUnit) startTimeout() {
	if u.timeout > 0 && u.deadline.IsZero() {
		u.deadline = time.Now().Add(u.timeout)
	}
}

func (u *httpUnit) expired() bool { return !u.deadline.IsZero() && !time.Now().Before(u.deadline) }

// mayRetry takes one more try of the request from what the member's failures may cost.
func (c *httpConn) mayRetry(m *cluster.Member, why resent) bool {
	u := &c.w.unit
	u.denied = !c.srv.mayRetry(m, time.Now(), why)
	return !u.denied
}

// millis reads a header's milliseconds; 0 when it has none.
func millis(value []byte) time.Duration {
	if len(value) == 0 { // the error of ParseInt would be an allocation for each request
		return 0
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, maxLimit)) * time.Millisecond
}
