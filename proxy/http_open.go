package proxy

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns which explicit HTTP transactions are open: work that no connection shows between two of its requests. It is
// known from members' answers, which say until when they keep one that waits for its next request (transaction.expires).

const (
	idleTx     = time.Minute // what members wait by default, where an answer does not say it in a way that makes sense
	longestTx  = time.Hour   // beyond it a time makes none
	maxOpenTxs = 100_000     // what is beyond is not counted
)

// openTxs is that list. Its zero value is empty.
type openTxs struct {
	mu    sync.Mutex
	until map[openTx]time.Time // guarded by mu
}

// openTx is a transaction's id at its member, which has this id in ours.
type openTx struct{ member, id string }

// keep notes that a transaction is open until then, unless more is heard of it.
func (o *openTxs) keep(tx openTx, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.until == nil {
		o.until = map[openTx]time.Time{}
	}
	if _, known := o.until[tx]; known || len(o.until) < maxOpenTxs {
		o.until[openTx{tx.member, strings.Clone(tx.id)}] = until
	}
}

func (o *openTxs) drop(tx openTx) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.until, tx)
}

// count tells how many are open at a member; "" counts all. Those whose time is over are forgotten.
func (o *openTxs) count(member string, now time.Time) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tx, until := range o.until {
		switch {
		case now.After(until):
			delete(o.until, tx)
		case member == "" || tx.member == member:
			n++
		}
	}
	if len(o.until) == 0 {
		o.until = nil // a map does not shrink
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
		c.srv.open.keep(tx, u.txUntil)
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
