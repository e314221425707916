package standin

import (
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// begin answers BEGIN (3+).
func (c *boltConn) begin(m message) *bolt.Failure {
	w, f := c.work(m.field(0))
	if f != nil {
		return f
	}
	var tx *transaction
	c.working(func() { tx, f = c.asker.begin(w, c.halted()) })
	if f != nil {
		return f
	}
	c.tx, c.state, c.nextQID = tx, inTx, 0
	c.out.success(c.named(w))
	return nil
}

// named is the answer of BEGIN, and a part of RUN's: since 5.8 it says which database a client that named none got.
func (c *boltConn) named(w work) map[string]any {
	meta := make(map[string]any)
	if c.v >= bolt.V5_8 && w.db == "" && c.tx != nil {
		meta["db"] = c.tx.db
	}
	return meta
}

// work reads the extra of RUN or BEGIN, as far as the version knows its keys.
func (c *boltConn) work(extra any) (work, *bolt.Failure) {
	w := work{mode: "w"}
	keys, ok := extra.(map[string]any)
	if !ok && extra != nil {
		return w, invalidField("metadata", "Expected map")
	}
	if keys["mode"] == "r" {
		w.mode = "r"
	}
	var f *bolt.Failure
	if w.bookmarks, f = bookmarkList(keys["bookmarks"]); f != nil {
		return w, f
	}
	if timeout, set := keys["tx_timeout"]; set && timeout != nil {
		ms, ok := timeout.(int64)
		if !ok {
			return w, invalidField("metadata", "Illegal value for field \"tx_timeout\": Expected long")
		}
		w.timeout = time.Duration(ms) * time.Millisecond
	}
	if c.v >= bolt.V4_0 {
		w.db, _ = keys["db"].(string)
	}
	if c.v >= bolt.V4_4 {
		w.impersonate, _ = keys["imp_user"].(string)
	}
	return w, nil
}

func bookmarkList(v any) ([]string, *bolt.Failure) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, failure(codeInvalidBookmark, "Supplied bookmarks '%v' is not a List.", v)
	}
	var texts []string
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, failure(codeInvalidBookmark, "Supplied bookmark '%v' is not a String.", item)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// run answers RUN: a statement of the open transaction, an auto-commit query, or, on 1 and 2, a text that handles a
// transaction.
func (c *boltConn) run(m message) *bolt.Failure {
	text, ok := m.field(0).(string)
	if !ok {
		return invalidRequest("Illegal value for field \"statement\": expected a text")
	}
	if c.v < bolt.V3 {
		switch strings.ToUpper(strings.TrimSpace(text)) {
		case "BEGIN", "COMMIT", "ROLLBACK":
			return c.runOldTx(strings.ToUpper(strings.TrimSpace(text)), m.mapField(1))
		}
	}
	w := work{mode: "w"}
	auto := c.tx == nil
	if auto {
		var f *bolt.Failure
		if w, f = c.work(m.field(2)); f != nil {
			return f
		}
	}
	var r *result
	var f *bolt.Failure
	c.working(func() { r, f = c.execute(text, m.mapField(1), w) })
	if f != nil {
		return f
	}
	if c.misbehave(r, "run") {
		return nil
	}
	c.openStream(r, auto, w)
	return nil
}

// execute runs a statement, in an auto-commit transaction of its own when none is open.
func (c *boltConn) execute(text string, params map[string]any, w work) (*result, *bolt.Failure) {
	done := c.halted()
	tx := c.tx
	if tx == nil {
		var f *bolt.Failure
		if tx, f = c.asker.begin(w, done); f != nil {
			return nil, f
		}
	}
	r, f := tx.run(text, params, done)
	if f == nil {
		c.tx = tx
	}
	return r, f
}

// openStream answers RUN with the result's fields and keeps the result for PULL.
func (c *boltConn) openStream(r *result, auto bool, w work) {
	meta := map[string]any{"fields": r.fields}
	if c.v < bolt.V3 {
		meta["result_available_after"] = int64(0)
	} else {
		meta["t_first"] = int64(0)
	}
	if auto {
		for k, v := range c.named(w) {
			meta[k] = v
		}
		c.state, c.nextQID = streaming, 0
	} else if c.v >= bolt.V3 {
		c.state = txStreaming
	} else {
		c.state = streaming
	}
	r.qid = c.nextQID
	c.nextQID++
	c.lastQID = r.qid
	c.streams[r.qid] = r
	if !auto && c.v >= bolt.V4_0 {
		meta["qid"] = r.qid
	}
	c.out.success(meta)
}

// commit answers COMMIT (3+). Results that are open are closed.
func (c *boltConn) commit(message) *bolt.Failure {
	bookmark, f := c.commitTx()
	if f != nil || c.closing {
		return f
	}
	c.state = ready
	c.out.success(map[string]any{"bookmark": bookmark})
	return nil
}

// commitTx commits what is open, and cuts the connection where the transaction asked for it.
func (c *boltConn) commitTx() (bookmark string, f *bolt.Failure) {
	tx := c.tx
	if tx.end.close == "commit" {
		c.cutNow()
		return "", nil
	}
	c.working(func() { bookmark, f = tx.commit(c.halted()) })
	if f == nil && tx.end.close == "committed" {
		c.cutNow()
	}
	if f == nil {
		c.dropTx()
	}
	return bookmark, f
}

func (c *boltConn) rollback(message) *bolt.Failure {
	c.dropTx()
	c.state = ready
	c.out.success(nil)
	return nil
}

// runOldTx handles the texts BEGIN, COMMIT and ROLLBACK of Bolt 1 and 2. Each has an empty result.
func (c *boltConn) runOldTx(what string, params map[string]any) *bolt.Failure {
	r := &result{fields: []string{}, old: what}
	switch {
	case what == "BEGIN" && c.tx != nil:
		return failure("Neo.ClientError.Statement.SemanticError", "Nested transactions are not supported.")
	case what == "COMMIT" && c.tx == nil:
		return failure("Neo.ClientError.Statement.SemanticError", "No current transaction to commit.")
	case what == "BEGIN":
		bookmarks, f := bookmarkList(params["bookmarks"])
		if one, ok := params["bookmark"].(string); ok && len(bookmarks) == 0 {
			bookmarks = []string{one}
		}
		if f != nil {
			return f
		}
		c.working(func() { c.tx, f = c.asker.begin(work{mode: "w", bookmarks: bookmarks}, c.halted()) })
		if f != nil {
			c.tx = nil
			return f
		}
		c.explicit = true
	case what == "COMMIT":
		var f *bolt.Failure
		if r.bookmark, f = c.commitTx(); f != nil || c.closing {
			return f
		}
	default:
		c.dropTx()
	}
	c.openStream(r, false, work{})
	return nil
}

func (c *boltConn) telemetry(m message) *bolt.Failure {
	if api, ok := m.field(0).(int64); !ok || api < 0 || api > 3 {
		return failure(bolt.CodeUnknown, "org.neo4j.packstream.error.reader.PackstreamReaderException: Unknown driver interface type %v", m.field(0))
	}
	c.out.success(nil)
	return nil
}

// cutNow breaks the connection with what was answered before it.
func (c *boltConn) cutNow() {
	c.out.flush()
	c.out.err = errCut
	c.closing = true
}

// misbehave does what the query asked to go wrong at a stage; true when the stage has no further answer.
func (c *boltConn) misbehave(r *result, stage string) bool {
	switch {
	case r.ask.close == stage:
		c.cutNow()
		return true
	case r.ask.garbage == stage:
		c.out.raw(c.m.c.garbage(64))
		c.out.flush()
		c.closing = true
		return true
	case r.ask.close == "bytes" && c.out.cut < 0:
		c.out.flush()
		c.out.cut = r.ask.closeAt
	}
	return false
}

// garbage is n bytes from the seed.
func (c *Cluster) garbage(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.random.Uint32())
	}
	return b
}
