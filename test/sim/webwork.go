package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file owns what an HTTP client does: units of work of every kind, by tx/commit, by the Query API, in transactions that stay open between
// requests.

// step does one thing, drawn by the client's part of the seed.
func (c *webClient) step() {
	a, query := c.draw(), c.w.plan.queryAPI && c.chance(50)
	switch {
	case c.chance(6):
		c.leaveIn(a, query)
	case a.explicit:
		c.transaction(a, query)
	case c.chance(12):
		b := c.draw()
		for b.explicit {
			b = c.draw()
		}
		c.both(a, b, query)
	default:
		c.w.history.begin(a)
		c.exchange(c.whole(a, query))
	}
}

// draw makes an attempt, which is not begun yet.
func (c *webClient) draw() *attempt {
	c.count++
	dbs := c.w.plan.databases
	a := &attempt{
		web: true, mark: fmt.Sprintf("c%d-%d", c.id, c.count), session: c.session, user: c.user, db: dbs[c.random.IntN(len(dbs))],
		rows: 1 + c.random.IntN(4), statements: 1,
	}
	tags := []byte{bolt.TagRun}
	switch kind := c.random.IntN(20); {
	case kind < 8:
		a.writes = true
	case kind < 11:
	case kind < 13:
		a.declared = true
	case kind < 19:
		a.explicit, a.writes, a.statements = true, true, 1+c.random.IntN(3)
		a.rolls = c.chance(10)
	default:
		a.explicit, a.declared, a.statements = true, true, 1+c.random.IntN(2)
	}
	if a.explicit {
		tags = []byte{bolt.TagBegin, bolt.TagRun, bolt.TagCommit, bolt.TagCommit}
	}
	if b := c.bookmarks[a.db]; b.text != "" && c.chance(40) {
		a.bookmark, a.asBookmark = b.tx, b.text
	}
	c.w.trap(a, c.random, tags, 900)
	return a
}

// whole is the one request of a unit of work that commits with it: of several statements, where the API takes them.
func (c *webClient) whole(a *attempt, query bool) webAsk {
	q := webAsk{of: a, method: "POST", path: "/db/" + a.db + "/tx/commit", ends: true}
	if query {
		q.path = "/db/" + a.db + "/query/v2"
	} else if c.chance(20) {
		a.statements = 2 + c.random.IntN(2)
	}
	var list []m
	for i := range a.statements {
		list = append(list, c.statement(a, i))
	}
	c.fill(&q, query, list, true)
	return q
}

// fill gives a request its statements. The one that opens a unit of work says what the client declares, and its bookmark.
func (c *webClient) fill(q *webAsk, query bool, list []m, opens bool) {
	a := q.of
	body := m{"statements": append([]m{}, list...)}
	if query {
		body = m{}
		for _, s := range list {
			body = s
		}
	}
	q.body = body
	if !opens {
		return
	}
	if a.asBookmark != "" && query {
		body["bookmarks"] = []string{a.asBookmark}
	} else if a.asBookmark != "" {
		q.fields = append(q.fields, `Bookmarks: ["`+a.asBookmark+`"]`)
	}
	if !a.declared && (!a.writes || c.chance(60)) {
		return
	}
	c.declare(q, query, body)
}

// declare says that the work reads, or writes, in one of the ways that there are.
func (c *webClient) declare(q *webAsk, query bool, body m) {
	mode, bit := "WRITE", "1"
	if q.of.declared {
		mode, bit = "READ", "0"
	}
	switch ways := c.random.IntN(3); {
	case ways == 0:
		q.fields = append(q.fields, "X-Write: "+bit)
	case ways == 1 && query:
		body["accessMode"] = mode[:1] + strings.ToLower(mode[1:])
	default:
		q.fields = append(q.fields, "Access-Mode: "+mode)
	}
}

// statement is statement i, in either API.
func (c *webClient) statement(a *attempt, i int) m {
	params := m{"mark": a.mark, "rows": a.rows}
	if a.explicit || a.statements > 1 {
		params["mark"] = fmt.Sprintf("%s.%d", a.mark, i+1)
	}
	text := aRead
	switch {
	case a.writes && c.chance(50):
		text = aWriteBack
	case a.writes:
		text = aWrite
	}
	if text != aWrite {
		a.expected += a.rows
	}
	if c.chance(20) {
		params["bytes"] = c.random.IntN(3000)
	}
	if a.patience > 0 {
		params["delay"] = a.patience.Milliseconds()
	} else if c.chance(20) {
		params["delay"], params["delay_at"] = c.random.IntN(40), []string{"run", "pull"}[c.random.IntN(2)]
	}
	return m{"statement": text, "parameters": params}
}

// both pipelines two units of work.
func (c *webClient) both(a, b *attempt, query bool) {
	c.w.history.begin(a)
	c.w.history.begin(b)
	b.behind = a
	first, second := c.whole(a, query), c.whole(b, query)
	c.send(append(c.write(&first), c.write(&second)...))
	if c.answer(&first) == nil {
		b.behind, b.left = a, true // it was not answered, as a was not
		c.w.history.finish(b, left)
		return
	}
	if c.conn == nil { // the first said that its connection ends with it
		b.left = true
		c.w.history.finish(b, left)
		return
	}
	c.answer(&second)
}

// transaction opens one, goes on in it, and ends it, each by a request of its own, over one connection or several.
func (c *webClient) transaction(a *attempt, query bool) {
	c.w.history.begin(a)
	path := "/db/" + a.db + "/tx"
	if query {
		path = "/db/" + a.db + "/query/v2/tx"
	}
	var lists [][]m // of each request but the last
	n := 0
	next := func() []m { n++; return []m{c.statement(a, n-1)} }
	open := webAsk{of: a, method: "POST", path: path}
	var first, last []m
	if c.chance(50) {
		first = next()
	}
	for n < a.statements-1 {
		lists = append(lists, next())
	}
	switch {
	case n == a.statements:
	case a.rolls || c.chance(50):
		lists = append(lists, next())
	default:
		last = next()
	}
	c.fill(&open, query, first, true)
	began := c.exchange(open)
	if began == nil || a.end != 0 {
		return
	}
	if id := transactionID(began, query); id == "" {
		c.w.history.wrong(ruleOthersAnswer, a.mark, "the answer to a begin names no transaction: %+v", began)
		c.w.history.finish(a, failed)
		return
	} else {
		path += "/" + id
	}
	for _, list := range lists {
		c.between()
		q := webAsk{of: a, method: "POST", path: path}
		c.fill(&q, query, list, false)
		if c.exchange(q); a.end != 0 {
			return
		}
	}
	c.between()
	q := webAsk{of: a, method: "DELETE", path: path, ends: true}
	if !a.rolls {
		q.method, q.path = "POST", path+"/commit"
		c.fill(&q, query, last, false)
	}
	c.exchange(q)
}

// between is what a client does between two requests of a transaction: nothing, or it waits, or it goes on over another connection.
func (c *webClient) between() {
	if c.chance(30) {
		c.pause(0, 300*time.Millisecond)
	}
	if c.chance(10) {
		c.leave()
	}
	if c.conn == nil {
		user := c.user
		c.connect()
		c.user = user // the transaction is this user's
	}
}

// transactionID is the id by which an answer names the transaction that it began.
func transactionID(a *webAnswer, query bool) string {
	if query {
		return a.Transaction.ID
	}
	path := strings.TrimSuffix(a.Commit, "/commit")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// leaveIn goes away in the middle of a request, or before its answer has come.
func (c *webClient) leaveIn(a *attempt, query bool) {
	a.explicit, a.rolls, a.statements = false, false, 1
	c.w.history.begin(a)
	a.left = true
	a.patience = time.Duration(c.random.IntN(2)) * 2 * time.Second
	q := c.whole(a, query)
	all := c.write(&q)
	n := len(all)
	if c.chance(50) {
		n = 1 + c.random.IntN(len(all))
	}
	c.conn.Write(all[:n]) //nolint:errcheck // it leaves
	c.pause(0, 30*time.Millisecond)
	c.leave()
	c.w.history.finish(a, left)
}

// noBookmarks tells whether HTTP has none there: before 5.0.
func (p *plan) noBookmarks() bool { return p.cluster.Generation != cluster.Autonomous }
