package sim

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// This file owns a Bolt client: its connection, and what it makes of the answers. work.go owns what it asks for.

type m = map[string]any

// client is one of them.
type client struct {
	anyClient
	in      bolt.Reader
	version bolt.Version
	more    bool // the last SUCCESS said that more rows are to come
}

// ask is one message of a unit of work.
type ask struct {
	bytes []byte
	tag   byte
	of    *attempt // nil: RESET
}

func newClient(w *world, id int) *client { return &client{anyClient: newAnyClient(w, id, 0xC1)} }

func (c *client) live() {
	c.anyClient.live(c.connect, c.step)
	if c.conn != nil {
		c.conn.Write(bolt.Goodbye) //nolint:errcheck // it leaves
		c.leave()
	}
}

// connect opens a connection and logs on. When that fails for a reason that no rule gives, it is wrong.
func (c *client) connect() bool {
	w := c.w
	if !c.dial() {
		return false
	}
	c.version = w.plan.versions[c.random.IntN(len(w.plan.versions))]
	c.becomeAnybody()
	c.in = bolt.Reader{Source: c.conn, Limit: 1 << 30}
	began := time.Now()
	_, err := bolt.Handshake(c.conn, c.version)
	if err == nil {
		err = c.logOn()
	}
	if err == nil {
		w.history.note("%s: client %d is connected as %s over Bolt %v", c.session, c.id, c.user, c.version)
		return true
	}
	if time.Since(began) < hold-time.Second {
		w.history.wrong(ruleVisible, "", "client %d could not log on after %v: %v", c.id, time.Since(began), err)
	}
	c.leave()
	return false
}

func (c *client) logOn() error {
	for _, message := range logonMessages(c.version, c.user) {
		if _, err := c.conn.Write(message); err != nil {
			return err
		}
		a, err := c.read()
		if err == nil && a.tag != bolt.TagSuccess {
			err = fmt.Errorf("%v", a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func logonMessages(v bolt.Version, user string) [][]byte {
	auth := m{"scheme": "basic", "principal": user, "credentials": passwordOf(user)}
	extra := m{"user_agent": "sim/1", "bolt_agent": m{"product": "sim/1"}}
	if v >= bolt.V5_1 {
		return [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra), bolt.AppendMessage(nil, bolt.TagLogon, auth)}
	}
	for k, val := range auth {
		extra[k] = val
	}
	return [][]byte{bolt.AppendMessage(nil, bolt.TagHello, extra)}
}

// answer is one message of a server.
type answer struct {
	tag    byte
	values []any // of a record
	meta   m
}

func (a answer) String() string { return fmt.Sprintf("%02x %v", a.tag, a.meta) }

func (a answer) word(key string) string { s, _ := a.meta[key].(string); return s }

func (a answer) code() string {
	if code := a.word("code"); code != "" {
		return code
	}
	return a.word("neo4j_code")
}

func (c *client) read() (a answer, err error) {
	msg, err := c.in.ReadMessage()
	if err != nil {
		return a, err
	}
	a.tag = msg.Tag
	if msg.Count == 0 {
		return a, nil
	}
	d := packstream.NewDecoder(msg.Fields)
	switch v := d.Value().(type) { // of garbage anything
	case []any:
		a.values = v
	case map[string]any:
		a.meta = v
	}
	return a, d.Err()
}

// exchange sends messages in one write and reads their answers. It is false when the connection is gone; attempts learn what became
// of them as far as these messages tell.
func (c *client) exchange(asks []ask) bool {
	var all []byte
	for _, q := range asks {
		all = append(all, q.bytes...)
	}
	if c.chance(10) && len(all) > 1 { // in two pieces
		at := 1 + c.random.IntN(len(all)-1)
		c.conn.Write(all[:at]) //nolint:errcheck // shows in the answers
		c.pause(0, 20*time.Millisecond)
		all = all[at:]
	}
	c.conn.Write(all) //nolint:errcheck // shows in the answers
	return c.answers(asks)
}

// answers reads one answer for each message.
func (c *client) answers(asks []ask) bool {
	for len(asks) > 0 {
		q := asks[0]
		a, err := c.read()
		switch {
		case err == nil && q.of != nil && c.w.history.garbled(q.of.mark) && !c.sound(q, a):
			c.broke(asks, errGarbage)
			return false
		case err != nil:
			c.broke(asks, err)
			return false
		case a.tag == bolt.TagRecord:
			c.record(q, a)
			continue
		case q.of == nil:
			if a.tag != bolt.TagSuccess {
				c.w.history.wrong(ruleOthersAnswer, "", "client %d: RESET was answered with %v", c.id, a)
			}
		default:
			c.summary(q, a)
		}
		asks = asks[1:]
	}
	return true
}

// errGarbage is a message that a member's garbage became. It ends the session, as drivers do.
var errGarbage = errors.New("garbage")

// sound tells whether a message can be the answer to q.
func (c *client) sound(q ask, a answer) bool {
	switch a.tag {
	case bolt.TagRecord:
		if q.tag != bolt.TagPull || len(a.values) < 7 {
			return false
		}
		mark, _ := a.values[6].(string)
		return attemptOf(mark) == q.of.mark && a.values[4] == q.of.user && a.values[3] == q.of.db
	case bolt.TagSuccess, bolt.TagIgnored, bolt.TagFailure:
		return true
	}
	return false
}

// record holds a row to the attempt that asked for it: nobody else's answer may come here.
func (c *client) record(q ask, a answer) {
	at := q.of
	if at == nil || q.tag != bolt.TagPull || len(a.values) < 7 {
		c.w.history.wrong(ruleOthersAnswer, c.session, "a record came that nobody asked for: %v", a.values)
		return
	}
	mark, _ := a.values[6].(string)
	if attemptOf(mark) != at.mark || a.values[4] != at.user || a.values[3] != at.db {
		c.w.history.wrong(ruleOthersAnswer, at.mark, "of %s on %s was answered with a record of another: %v", at.user, at.db, a.values[:7])
	}
	at.records++
	if applied, ok := a.values[2].(int64); ok && (at.applied < 0 || applied < at.applied) {
		at.applied = applied
	}
}

// summary is an answer to a message of an attempt.
func (c *client) summary(q ask, a answer) {
	at := q.of
	switch a.tag {
	case bolt.TagSuccess:
		at.answers++
		c.more = a.meta["has_more"] == true
		if text := a.word("bookmark"); text != "" {
			c.keepBookmark(at, text)
		}
	case bolt.TagIgnored:
		c.w.history.finish(at, ignored)
	case bolt.TagFailure:
		if at.end == 0 {
			at.code, at.text = a.code(), a.word("message")
			c.w.history.finish(at, failed)
		}
	default:
		c.w.history.wrong(ruleOthersAnswer, at.mark, "an answer that is none: %v", a)
	}
}

func (c *client) keepBookmark(at *attempt, text string) { keepBookmark(c.bookmarks, at, text) }

// keepBookmark notes the bookmark of an attempt's answer, and keeps it in of when it is the newest of its database.
func keepBookmark(of map[string]bookmark, at *attempt, text string) {
	list, _ := bolt.ParseBookmark(nil, []byte(text))
	for _, p := range list {
		if len(list) == 1 || p.DB != bolt.SystemDB {
			at.tx = p.Tx
		}
	}
	if len(list) != 1 {
		return // it holds what the client passed of other databases
	}
	if old := of[at.db]; at.tx > old.tx {
		of[at.db] = bookmark{text, at.tx}
	}
}

// broke ends the attempts whose answers do not come any more.
func (c *client) broke(asks []ask, err error) {
	partial := c.in.Buffered() > 0
	o := broken
	if isTimeout(err) || strings.Contains(err.Error(), "deadline") {
		o = hung
	}
	for _, q := range asks {
		if q.of != nil && q.of.end == 0 {
			q.of.partial = partial && err != io.EOF || c.w.history.garbled(q.of.mark)
			c.w.history.finish(q.of, o)
		}
	}
	c.leave()
}

// recover is the RESET after a failure.
func (c *client) recover() {
	if c.conn != nil {
		c.exchange([]ask{{bytes: bolt.Reset, tag: bolt.TagReset}})
	}
}
