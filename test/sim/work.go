package sim

import (
	"fmt"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns what a Bolt client does: units of work of every kind, in every rhythm.

const (
	aWrite     = "CREATE (n {mark: $mark})"
	aWriteBack = "CREATE (n {mark: $mark}) RETURN n"
	aRead      = "MATCH (n) RETURN n"
	aBatch     = "UNWIND range(1, 4) AS i CALL (i) { CREATE (n {i: i}) } IN TRANSACTIONS OF 1 ROWS"
)

// step does one thing, drawn by the client's part of the seed.
func (c *client) step() {
	if c.version >= bolt.V5_1 && c.chance(5) {
		c.becomeAnother()
		return
	}
	switch a := c.draw(); {
	case c.chance(5):
		c.leaveIn(a)
	case c.chance(8):
		c.resetIn(a)
	case c.chance(10) && !a.explicit:
		b := c.draw()
		for b.explicit {
			b = c.draw()
		}
		c.both(a, b)
	case c.chance(50):
		c.atOnce(a)
	default:
		c.stepByStep(a)
	}
}

// becomeAnother changes the session's user.
func (c *client) becomeAnother() {
	c.user = c.w.plan.users[c.random.IntN(len(c.w.plan.users))]
	c.count++
	c.session = fmt.Sprintf("c%d-%d", c.id, c.count)
	logon := logonMessages(c.version, c.user)[1]
	c.conn.Write(append(bolt.AppendMessage(nil, bolt.TagLogoff), logon...)) //nolint:errcheck // shows in the answers
	began := time.Now()
	for range 2 {
		a, err := c.read()
		if err != nil || a.tag != bolt.TagSuccess {
			if time.Since(began) < hold-time.Second {
				c.w.history.wrong(ruleVisible, c.session, "a change of user failed: %v %v", a, err)
			}
			c.leave()
			return
		}
	}
}

// draw makes an attempt, which is not begun yet.
func (c *client) draw() *attempt {
	c.count++
	dbs := c.w.plan.databases
	a := &attempt{
		mark: fmt.Sprintf("c%d-%d", c.id, c.count), session: c.session, gate: c.gate, user: c.user, db: dbs[c.random.IntN(len(dbs))],
		rows: 1 + c.random.IntN(4), statements: 1,
	}
	switch kind := c.random.IntN(20); {
	case kind < 6:
		a.writes = true
	case kind < 10:
	case kind < 12:
		a.declared = true
	case kind < 18:
		a.explicit, a.writes, a.statements = true, true, 1+c.random.IntN(3)
		a.rolls = c.chance(10)
	case kind < 19:
		a.explicit, a.declared, a.statements = true, true, 1+c.random.IntN(2)
	default:
		a.writes, a.selfCommitting = true, true
	}
	if b := c.bookmarks[a.db]; b.text != "" && c.chance(40) {
		a.bookmark, a.asBookmark = b.tx, b.text
	}
	tags := []byte{bolt.TagRun, bolt.TagRun, bolt.TagPull}
	if a.explicit {
		tags = []byte{bolt.TagBegin, bolt.TagRun, bolt.TagPull, bolt.TagCommit, bolt.TagCommit}
	}
	c.w.trap(a, c.random, tags, 400)
	return a
}

// opening is the extra of RUN or BEGIN.
func (c *client) opening(a *attempt) m {
	extra := m{"db": a.db}
	if a.declared {
		extra["mode"] = "r"
	}
	if a.asBookmark != "" {
		extra["bookmarks"] = []any{a.asBookmark}
	}
	if a.explicit {
		extra["tx_metadata"] = m{"mark": a.mark}
	}
	return extra
}

// run is the RUN of statement i.
func (c *client) run(a *attempt, i int) ask {
	params := m{"mark": a.mark, "rows": a.rows}
	text := aRead
	defer func() {
		if text == aRead || text == aWriteBack {
			a.expected += a.rows
		}
	}()
	switch {
	case a.selfCommitting:
		text = aBatch
		params["batches"], params["row_delay"] = 3, c.random.IntN(30)
	case a.writes && c.chance(50):
		text = aWriteBack
	case a.writes:
		text = aWrite
	}
	if c.chance(20) {
		params["bytes"] = c.random.IntN(3000)
	}
	if c.chance(20) && !a.selfCommitting {
		params["delay"], params["delay_at"] = c.random.IntN(40), []string{"run", "pull"}[c.random.IntN(2)]
	}
	extra := m{}
	if a.explicit {
		params["mark"] = fmt.Sprintf("%s.%d", a.mark, i+1)
	} else {
		extra = c.opening(a)
	}
	return ask{bolt.AppendMessage(nil, bolt.TagRun, text, params, extra), bolt.TagRun, a}
}

func (c *client) message(a *attempt, tag byte, fields ...any) ask {
	return ask{bolt.AppendMessage(nil, tag, fields...), tag, a}
}

func (c *client) pull(a *attempt, n int) ask { return c.message(a, bolt.TagPull, m{"n": n}) }

// messages are all that an attempt sends, when it fetches all rows at once.
func (c *client) messages(a *attempt) (list []ask) {
	if a.explicit {
		list = append(list, c.message(a, bolt.TagBegin, c.opening(a)))
	}
	for i := range a.statements {
		list = append(list, c.run(a, i), c.pull(a, -1))
	}
	switch {
	case a.rolls:
		list = append(list, c.message(a, bolt.TagRollback))
	case a.explicit:
		list = append(list, c.message(a, bolt.TagCommit))
	}
	return list
}

// close ends an attempt of which everything was answered.
func (c *client) close(a *attempt) {
	if a.end == 0 {
		c.w.history.finish(a, done)
		return
	}
	if a.outcome != broken && a.outcome != hung {
		c.recover()
	}
}

// atOnce sends all of an attempt in one write.
func (c *client) atOnce(a *attempt) {
	c.w.history.begin(a)
	c.exchange(c.messages(a))
	c.close(a)
}

// both pipelines two auto-commit units of work.
func (c *client) both(a, b *attempt) {
	c.w.history.begin(a)
	c.w.history.begin(b)
	b.behind = a
	first, second := c.messages(a), c.messages(b)
	c.exchange(append(first, second...))
	if a.end == 0 { // what breaks off later is no business of the first
		c.w.history.finish(a, done)
	}
	c.close(b)
}

// stepByStep waits for each answer, and fetches rows a few at a time.
func (c *client) stepByStep(a *attempt) {
	c.w.history.begin(a)
	for _, q := range c.messages(a) {
		if q.tag == bolt.TagPull {
			c.fetch(a)
		} else {
			c.exchange([]ask{q})
		}
		if a.end != 0 {
			break
		}
		if a.explicit && c.chance(30) {
			c.pause(0, 300*time.Millisecond)
		}
	}
	c.close(a)
}

// fetch pulls one statement's rows.
func (c *client) fetch(a *attempt) {
	n := 1 + c.random.IntN(5)
	for {
		if !c.exchange([]ask{c.pull(a, n)}) || a.end != 0 || !c.more {
			return
		}
		if c.chance(20) {
			c.pause(0, 100*time.Millisecond)
		}
	}
}

// leaveIn goes away in the middle of an attempt.
func (c *client) leaveIn(a *attempt) {
	c.w.history.begin(a)
	a.left = true
	var all []byte
	for _, q := range c.messages(a) {
		all = append(all, q.bytes...)
	}
	n := len(all)
	if c.chance(50) {
		n = 1 + c.random.IntN(len(all))
	}
	c.conn.Write(all[:n]) //nolint:errcheck // it leaves
	c.pause(0, 30*time.Millisecond)
	c.leave()
	c.w.history.finish(a, left)
}

// resetIn sends an attempt, or a part of its messages, and RESET soon after. What is pipelined behind it may be a second attempt,
// which RESET overtakes.
func (c *client) resetIn(a *attempt) {
	c.w.history.begin(a)
	a.interrupted = true
	list := c.messages(a)
	n := 1 + c.random.IntN(len(list))
	whole := n == len(list)
	list = list[:n]
	var b *attempt
	if whole && !a.explicit && c.chance(50) {
		b = c.draw()
		b.interrupted = true
		c.w.history.begin(b)
		list = append(list, c.messages(b)...)
	}
	var all []byte
	for _, q := range list {
		all = append(all, q.bytes...)
	}
	c.conn.Write(all) //nolint:errcheck // shows in the answers
	c.pause(0, 15*time.Millisecond)
	c.conn.Write(bolt.Reset) //nolint:errcheck // as above
	c.answers(append(list, ask{tag: bolt.TagReset}))
	for _, x := range []*attempt{a, b} {
		if x == nil || x.end != 0 {
			continue
		}
		if x == a && !whole {
			c.w.history.finish(x, left)
			continue
		}
		c.w.history.finish(x, done)
	}
	if a.code == bolt.CodeInvalidRequest && c.conn != nil { // servers of 5.x say so when RESET overtakes a BEGIN, and close the connection
		c.leave()
	}
}
