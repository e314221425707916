package proxy

import (
	"bytes"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/pool"
)

// This file owns what answers over HTTP tell of their user's transactions: the end of a write, and the bookmarks of any answer.

// beginWrite notes that a write leaves for the leader. Until its end is noted, reads of its user have to stay there: its client
// may know of it before we do.
func (c *httpConn) beginWrite() {
	u := &c.w.unit
	if u.writing != nil || u.onlyReads(c.w.path) {
		return
	}
	u.writing = &c.user().marks
	u.writing.open.Add(1)
	c.memory() // what its session has seen begins before this
}

// onlyReads tells whether what goes as a write only reads: its client declared it, or it concerns one member.
func (u *httpUnit) onlyReads(r httpRoute) bool {
	if r.kind != routeStatements || !u.held {
		return false
	}
	t := u.readTexts(r)
	return t.known && t.read && t.clean && !t.users
}

// endWrite notes the end of a write: by the transaction that its answer told, else by time.
func (c *httpConn) endWrite() {
	u := &c.w.unit
	if u.writing == nil {
		return
	}
	now := time.Now()
	for _, m := range [...]*marks{u.writing, c.who.seen} {
		switch {
		case m == nil:
		case !u.told:
			m.loosen(now)
		default:
			m.written(now)
		}
	}
	u.writing.open.Add(-1)
	u.writing, u.told = nil, false
}

// forgetMarks forgets what no member knows.
func (c *httpConn) forgetMarks() {
	c.user().marks.forget(time.Now())
	if c.who.seen != nil {
		c.who.seen.forget(time.Now())
	}
}

// noteAnswer looks for the bookmark in the answer of statements, or of the commit of a transaction, when it is short. That of a write is
// waited for if it comes without a pause, as it usually does.
func (c *httpConn) noteAnswer(lease *pool.Lease, n int) {
	w := c.w
	u := &w.unit
	commits := w.path.kind == routeStatements || w.path.kind == routeInside && w.path.commit
	if !commits || w.path.legacy || w.ans.status >= 300 || w.ans.has(fContentEncoding) || w.upload != nil {
		return
	}
	if u.writing == nil && !bytes.Contains(w.answer[w.aFrom+n:w.aTo], bookmarksKey) { // most reads of old servers
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		text, whole, more := c.answerBody(buf, n)
		if whole {
			c.noteMarks(lease, answerMarks(text))
		}
		if whole || !more || u.writing == nil || !c.readSoon(lease) {
			return
		}
	}
}

// bookmarksKey is in an answer that has bookmarks, in one piece at least.
var bookmarksKey = []byte(`ookmarks":`)

// answerBody decodes what is there of the answer's body into buf; more tells whether there is a point in reading on.
func (c *httpConn) answerBody(buf []byte, n int) (text []byte, whole, more bool) {
	w := c.w
	body, text := w.body, buf[:0]
	for at := w.aFrom + n; at < w.aTo && !body.over(); {
		piece := w.answer[at:w.aTo]
		if len(text)+len(piece) > len(buf) {
			return nil, false, false
		}
		out, took, err := body.decode(text, piece)
		if err != nil || took == 0 {
			return nil, false, err == nil
		}
		text, at = out, at+took
	}
	return text, body.over(), true
}

// moment is how long the rest of a write's answer is waited for, for its bookmark's sake.
const moment = 5 * slow

// readSoon reads more of an answer if it is there within a moment. What goes wrong is found by the next read.
func (c *httpConn) readSoon(lease *pool.Lease) bool {
	w := c.w
	c.answerRoom()
	lease.Link.Conn.SetReadDeadline(time.Now().Add(moment)) //nolint:errcheck // a closed connection shows in its next use
	n, _ := lease.Link.Read(w.answer[w.aTo:])               //nolint:errcheck // as above
	w.aTo += n
	lease.Link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	c.limitMember(lease)
	return n > 0
}

// answerMarks finds the list of bookmarks in an answer, which may be a stream of events; nil when it has errors, or none.
func answerMarks(body []byte) (list []byte) {
	s := jsonScan{b: body}
	failed := false
	var look func(key []byte)
	look = func(key []byte) {
		if string(key) == "_body" && s.space() == '{' {
			s.members(look)
			return
		}
		from := s.i
		s.skip()
		value := bytes.TrimSpace(s.b[from:s.i])
		switch string(key) {
		case "bookmarks", "lastBookmarks":
			list = value
		case "errors":
			failed = string(value) != "[]"
		case "$event":
			failed = string(value) == `"Error"`
		}
	}
	for !s.bad && !s.end() {
		s.members(look)
	}
	if s.bad || failed {
		return nil
	}
	return list
}

// noteMarks notes the transactions that an answer told. It ends a write: the client has nothing of the answer yet.
func (c *httpConn) noteMarks(lease *pool.Lease, list []byte) {
	u := &c.w.unit
	var room [maxMarks]bolt.Position
	got := marksOf(room[:0], list)
	if len(got) == 0 {
		return
	}
	user := &c.user().marks
	for _, p := range got {
		user.raise(p, bolt.BookmarkFabric, u.intent.Now)
		if c.who.seen != nil {
			c.who.seen.raise(p, bolt.BookmarkFabric, u.intent.Now)
		}
	}
	u.told = true
	c.endWrite()
	if len(got) == 1 && got[0].DB != [16]byte{} {
		c.srv.progress.note(lease.Member, got[0])
		var name [64]byte
		if u.intent.DB != "" {
			c.srv.databases.learn(appendLower(name[:0], u.intent.DB), got[0].DB, false)
		}
	}
}
