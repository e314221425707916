package proxy

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns which explicit HTTP transactions are open: work that no connection shows between two of its requests. It is
// known from members' answers, which say until when they keep one that waits for its next request (transaction.expires). It owns, too, which of
// them only read: that is said where one begins, and matters where it ends.

const (
	idleTx     = time.Minute // what members wait by default, where an answer does not say it in a way that makes sense
	longestTx  = time.Hour   // beyond it a time makes none
	maxOpenTxs = 100_000     // what is beyond is not counted
)

// openTxs is that list. Its zero value is empty.
type openTxs struct {
	mu    sync.Mutex
	known map[openTx]txState // guarded by mu
}

// openTx is a transaction's id at its member, which has this id in ours.
type openTx struct{ member, id string }

// txState is what is known of one.
type txState struct {
	until time.Time // it is open, unless more is heard of it
	reads time.Time // when it began as a read to which its member holds it; zero: it may write
}

// keep notes that a transaction is open.
func (o *openTxs) keep(tx openTx, state txState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = map[openTx]txState{}
	}
	if _, known := o.known[tx]; known || len(o.known) < maxOpenTxs {
		o.known[openTx{tx.member, strings.Clone(tx.id)}] = state
	}
}

// reads is when the transaction began as a read; zero: it may write, as far as is known.
func (o *openTxs) reads(tx openTx, now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	state := o.known[tx]
	if now.After(state.until) {
		return time.Time{}
	}
	return state.reads
}

func (o *openTxs) drop(tx openTx) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, tx)
}

// count tells how many are open at a member; "" counts all. Those whose time is over are forgotten.
func (o *openTxs) count(member string, now time.Time) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tx, state := range o.known {
		switch {
		case now.After(state.until):
			delete(o.known, tx)
		case member == "" || tx.member == member:
			n++
		}
	}
	if len(o.known) == 0 {
		o.known = nil // a map does not shrink
	}
	return n
}

// Transactions is how many explicit HTTP transactions are open at a member, as far as this gate has heard.
func (s *Server) Transactions(m *cluster.Member) int { return s.open.count(m.ID(), time.Now()) }

// noteTransaction looks at what became of the request's transaction, after its answer.
func (c *httpConn) noteTransaction() {
	w := c.w
	u := &w.unit
	if u.member == "" || !u.answered || w.path.kind != routeBegin && w.path.kind != routeInside {
		return
	}
	tx := openTx{u.member, u.txID}
	if w.path.kind == routeInside {
		tx = c.insideTx()
	}
	switch {
	case tx.id == "":
	case u.txStays && w.ans.status < 300:
		c.srv.open.keep(tx, txState{u.txUntil, u.readsSince})
	case w.ans.status == 404, w.ans.status < 300, w.ans.status == 400 && w.path.query: // the Query API rolls back what fails
		c.srv.open.drop(tx)
	}
}

// insideTx is the transaction that the request names.
func (c *httpConn) insideTx() openTx {
	w := c.w
	if w.unit.pinned == nil {
		return openTx{}
	}
	return openTx{w.unit.pinned.ID(), string(w.unit.memberID(w.path.id.of(w.req.target.of(c.head()))))}
}

// readsSince is when the request, or the explicit transaction that it is in, began as a read to which m holds it: its end changes nothing. Zero: it
// may write. A member that was not up all the time since may have given the id to another transaction.
func (c *httpConn) readsSince(m *cluster.Member) time.Time {
	switch c.w.path.kind {
	case routeBegin, routeStatements:
		if c.heldToRead(m) {
			return time.Now()
		}
	case routeInside:
		since := c.srv.open.reads(c.insideTx(), time.Now())
		if s := c.srv.current.View().Member(m.Name); !since.IsZero() && s != nil && s.Up && !s.Since.After(since) {
			return since
		}
	}
	return time.Time{}
}

// heldToRead tells whether m is told, in the way of the request's endpoint, that what it does or begins is a read.
func (c *httpConn) heldToRead(m *cluster.Member) bool {
	w := c.w
	u := &w.unit
	switch {
	case u.intent.Mode != routing.Read || !c.takesMode(m):
		return false
	case u.readOnly:
		return true
	case w.path.query:
		t := u.readTexts(w.path)
		return t.whole && t.mode == declaredRead || u.judged && t.open > 0
	}
	return u.judged || equalFold(w.req.value(c.head(), fAccessMode), "read")
}

// stays notes until when the member keeps the transaction, as the text of its answer says it.
func (u *httpUnit) stays(expires []byte, now time.Time) {
	u.txStays, u.txUntil = true, now.Add(idleTx)
	for _, layout := range [...]string{time.RFC1123, time.RFC1123Z, time.RFC3339} { // legacy endpoint, older ones, Query API
		at, err := time.Parse(layout, string(bytes.Trim(expires, `"`)))
		if left := at.Sub(now); err == nil && left > 0 && left < longestTx { // else the member's clock is another
			u.txUntil = at
		}
	}
}
