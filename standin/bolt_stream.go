package standin

import (
	"fmt"

	"github.com/boltgate/boltgate/bolt"
)

func (c *boltConn) pull(m message) *bolt.Failure { return c.stream(m, true) }

func (c *boltConn) discard(m message) *bolt.Failure { return c.stream(m, false) }

// stream answers PULL and DISCARD: up to n rows, and at the end of a result what there is to say of it.
func (c *boltConn) stream(m message, deliver bool) *bolt.Failure {
	n, qid, f := c.amount(m)
	if f != nil {
		return f
	}
	r, ok := c.streams[qid]
	if !ok {
		return c.noSuchResult(qid)
	}
	if f := c.pullFaults(r); f != nil || c.closing {
		return f
	}
	if f := c.rows(r, n, deliver); f != nil || c.closing {
		return f
	}
	if r.sent < r.total() {
		c.out.success(map[string]any{"has_more": true})
		return nil
	}
	return c.finish(r, deliver)
}

func (c *boltConn) noSuchResult(qid int64) *bolt.Failure {
	if c.m.release().atLeast(5, 0) {
		return withKind(failure(bolt.CodeInvalidFormat, "No such statement: %d", qid), kindResult)
	}
	return failure(bolt.CodeUnknown, "Result for transaction and id: %d was not found.", qid)
}

// amount reads n and qid (4.0+).
func (c *boltConn) amount(m message) (n, qid int64, f *bolt.Failure) {
	if c.v < bolt.V4_0 {
		return -1, c.lastQID, nil
	}
	extra := m.mapField(0)
	n, ok := extra["n"].(int64)
	if !ok {
		return 0, 0, invalidField("meta", "Illegal value for field \"n\": Expected value to be non-null")
	}
	if n < -1 || n == 0 {
		return 0, 0, invalidField("meta", fmt.Sprintf("Illegal value for field \"n\": Expecting size to be at least 1, but got: %d", n))
	}
	qid, ok = extra["qid"].(int64)
	if !ok || qid == -1 {
		qid = c.lastQID
	}
	return n, qid, nil
}

// pullFaults does what was asked for before the first row.
func (c *boltConn) pullFaults(r *result) (f *bolt.Failure) {
	if r.sent > 0 {
		return nil
	}
	if r.refusal != nil {
		return r.refusal
	}
	if wait := r.pullDelay(); wait > 0 {
		c.working(func() { f = c.tx.pause(wait, c.halted()) })
	}
	switch {
	case f != nil:
	case r.ask.fail != "" && r.ask.failAt == "pull":
		f = failure(r.ask.fail, "The stand-in was asked to fail at the first row.")
	default:
		c.misbehave(r, "pull")
	}
	return f
}

// rows delivers, or drops, up to n rows; a RESET or the client's leaving ends it.
func (c *boltConn) rows(r *result, n int64, deliver bool) *bolt.Failure {
	halted := c.halted()
	// 4.x and before look for an interruption only where a query reads the store, so that this one runs to its end. Who
	// sent a RESET does not want the rows: the stand-in leaves them out.
	runsOn := r.make != nil && !c.m.release().atLeast(5, 0)
	left := r.total() - r.sent
	if n > 0 {
		left = min(left, n)
	}
	for range left {
		select {
		case <-halted:
			if runsOn {
				r.sent = r.total()
				return nil
			}
			return c.m.terminated()
		default:
		}
		if r.ask.failAt == "row" && r.ask.fail != "" && r.sent >= r.ask.failRow {
			return failure(r.ask.fail, "The stand-in was asked to fail after %d rows.", r.ask.failRow)
		}
		if r.ask.rowDelay > 0 {
			c.out.flush()
			var f *bolt.Failure
			c.working(func() { f = c.tx.pause(r.ask.rowDelay, halted) })
			if f != nil {
				return f
			}
		}
		values, f := r.row(r.sent)
		if f != nil {
			return f
		}
		if deliver {
			c.out.record(values, r.payload)
			r.seen = true
		}
		if r.sent++; c.out.err != nil {
			c.closing = true
			return nil
		}
	}
	return nil
}

// finish ends a result: an auto-commit transaction is committed, and the summary says so.
func (c *boltConn) finish(r *result, deliver bool) *bolt.Failure {
	meta := r.summary(deliver || !c.m.release().atLeast(5, 0))
	if r.old != "" {
		meta = make(map[string]any)
		if r.bookmark != "" {
			meta["bookmark"] = r.bookmark
		}
	}
	delete(c.streams, r.qid)
	db := ""
	if c.tx != nil {
		db = c.tx.db
	}
	auto := c.tx != nil && c.state == streaming && (c.v >= bolt.V3 || !c.explicit)
	if f := c.lateEnd(auto); f != nil {
		return f
	}
	if auto {
		if f := c.commitBatches(r); f != nil {
			return f
		}
		bookmark, f := c.commitTx()
		if f != nil || c.closing {
			return f
		}
		if c.v >= bolt.V3 {
			meta["bookmark"] = bookmark
		}
	}
	c.afterResult()
	if r.old != "" {
		c.out.success(meta)
		return nil
	}
	if c.v < bolt.V3 {
		meta["result_consumed_after"] = int64(0)
	} else {
		meta["t_last"] = int64(0)
	}
	if c.v >= bolt.V4_0 && (deliver || len(r.fields) == 0 || c.m.release().atLeast(5, 0)) {
		meta["db"] = db
	}
	if c.v >= bolt.V5_6 {
		meta["statuses"] = r.statuses()
	}
	c.out.success(meta)
	return nil
}

// lateEnd is the failure that 4.x and before notice only when all rows are out: a timeout, or for an auto-commit query a
// RESET.
func (c *boltConn) lateEnd(auto bool) *bolt.Failure {
	if c.tx == nil || c.m.release().atLeast(5, 0) {
		return nil
	}
	select {
	case <-c.halted():
		if auto {
			return c.m.terminated()
		}
	default:
	}
	return c.tx.expired()
}

func (c *boltConn) afterResult() {
	switch {
	case c.state != txStreaming:
		c.state = ready
	case len(c.streams) == 0:
		c.state = inTx
	}
}
