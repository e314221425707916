package proxy

import (
	"bytes"
	"context"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what reads over HTTP have to see (design "Causality"). From 5.0 on members give bookmarks over HTTP and take
// them, in a body of the Query API or a header; before that, and where an answer shows none, time stands for them.

// memory is where what the request's reads have to see is found; nil when they need to see nothing. With scope session a kept
// connection has one of its own: it begins with what its user had seen, so that a client that connects anew loses nothing.
func (c *httpConn) memory() *marks {
	switch c.w.set.Causality {
	case CausalityNone:
		return nil
	case CausalitySession:
		if user := c.user(); c.who.seen == nil {
			c.who.seen = user.marks.copy(time.Now())
		}
		return c.who.seen
	}
	return &c.user().marks
}

// remember makes a read that we moved see what its scope has seen. An error is the client's end while the leader was asked.
func (c *httpConn) remember(ctx context.Context) error {
	u := &c.w.unit
	if c.w.set.Causality == CausalityNone || c.front.router().Policy.Member != "" || c.srv.current.View().Generation == cluster.Standalone {
		return nil // or there is one member only
	}
	u.own = u.ownRoom[:0]
	if c.w.set.Causality == CausalityCluster {
		return c.rememberNewest(ctx)
	}
	c.rememberOwn()
	return nil
}

// rememberOwn makes a read see what its scope has seen through this gate.
func (c *httpConn) rememberOwn() {
	u := &c.w.unit
	m := c.memory()
	marked := c.takesBookmarks()
	u.intent.Since = m.since(marked, u.intent.Now)
	if !marked {
		return
	}
	id, known := c.target()
	for _, k := range m.all() {
		switch {
		case k.db == [16]byte{}, len(u.own) == cap(u.own): // what cannot be said by a bookmark is said by time
			if at := time.Unix(0, k.at.Load()); at.After(u.intent.Since) {
				u.intent.Since = at
			}
		case !known || k.db == id:
			u.own = append(u.own, ownMark{bolt.Position{DB: k.db, Tx: k.tx.Load()}, bolt.BookmarkFormat(k.format.Load())})
		}
	}
}

// takesBookmarks tells whether the request can be given a bookmark, whichever member gets it: statements that commit with it, which the
// client gave none that we cannot add to.
func (c *httpConn) takesBookmarks() bool {
	w := c.w
	u := &w.unit
	if w.path.kind != routeStatements || w.path.legacy || !u.held || u.readOnly {
		return false
	}
	if w.path.query {
		if t := u.readTexts(w.path); t.open == 0 || t.marks && t.given.from == 0 {
			return false
		}
	} else if c.header("bookmarks") != nil {
		return false
	}
	for s := range c.srv.current.View().Up() {
		if s.HTTP != "" && !c.takesMode(s.Member) {
			return false
		}
	}
	return true
}

// header is the value of a header that the parser does not know; nil when there is none. Seldom used.
func (c *httpConn) header(name string) []byte {
	head := c.head()
	for i := range c.w.req.fields {
		if f := &c.w.req.fields[i]; f.known == fOther && equalFold(f.name.of(head), name) {
			return f.value.of(head)
		}
	}
	return nil
}

// target is the UUID of the request's database, as far as it is known.
func (c *httpConn) target() (id [16]byte, known bool) {
	var room [64]byte
	return c.srv.databases.id(appendLower(room[:0], c.w.unit.intent.DB))
}

// carry makes the bookmarks that a read has, the client's and ours, what its member is chosen by. An error is the client's end.
func (c *httpConn) carry(ctx context.Context) error {
	w := c.w
	u := &w.unit
	if u.moved {
		if err := c.remember(ctx); err != nil {
			return err
		}
	}
	if u.intent.Mode != routing.Read || w.path.kind != routeStatements || !u.held {
		return nil
	}
	u.intent.Marks = u.markRoom[:0]
	id, known := c.target()
	var room [maxMarks]bolt.Position
	for _, p := range c.givenMarks(room[:0]) {
		if len(u.intent.Marks) < cap(u.intent.Marks) && (known && p.DB == id || !known && p.DB != bolt.SystemDB) {
			u.intent.Marks = append(u.intent.Marks, p)
		}
	}
	for _, own := range u.own {
		if len(u.intent.Marks) < cap(u.intent.Marks) {
			u.intent.Marks = append(u.intent.Marks, own.at)
		}
	}
	return nil
}

// givenMarks is what the client's own bookmarks say.
func (c *httpConn) givenMarks(dst []bolt.Position) []bolt.Position {
	w := c.w
	list := []byte(nil)
	if w.path.query {
		if t := w.unit.readTexts(w.path); t.given.from > 0 {
			list = w.unit.body[t.given.from-1 : t.given.to+1]
		}
	} else if !w.path.legacy {
		list = c.header("bookmarks")
	}
	return marksOf(dst, list)
}

// marksOf reads a JSON list of bookmarks. What is none says nothing.
func marksOf(dst []bolt.Position, list []byte) []bolt.Position {
	if len(list) == 0 {
		return dst
	}
	s := jsonScan{b: list}
	all := dst
	s.elements(func() {
		if raw, escaped := s.str(); !escaped {
			all, _ = bolt.ParseBookmark(all, raw)
		}
	})
	if s.bad {
		return dst
	}
	return all
}

// additions are what is put into a held body, in the order of their places.
type additions [2]struct {
	at   int
	text []byte
}

func (a *additions) length() int { return len(a[0].text) + len(a[1].text) }

func (a *additions) appendTo(dst, body []byte) []byte {
	from := 0
	for _, add := range a {
		if len(add.text) > 0 {
			dst = append(append(dst, body[from:add.at]...), add.text...)
			from = add.at
		}
	}
	return append(dst, body[from:]...)
}

// additions are what a body of the Query API gets that we judged a read: its access mode, and our bookmarks, in the list that the
// client gave or in one of their own.
func (c *httpConn) additions() (a additions) {
	w := c.w
	u := &w.unit
	first := append(w.texts[0][:0], queryReadMode...)
	second := w.texts[1][:0]
	if len(u.own) > 0 {
		if given := u.texts.given; given.from == 0 {
			first = append(u.appendBookmarkList(append(first, `"bookmarks":[`...)), `],`...)
		} else {
			second = u.appendBookmarkList(second)
			if len(bytes.TrimSpace(given.of(u.body))) > 0 {
				second = append(second, ',')
			}
			a[1].at = int(given.from)
		}
	}
	w.texts = [2][]byte{first, second}
	a[0].at, a[0].text, a[1].text = u.texts.open, first, second
	return a
}

func (u *httpUnit) appendBookmarkList(dst []byte) []byte {
	for i, own := range u.own {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(bolt.AppendBookmark(append(dst, '"'), own.format, own.at), '"')
	}
	return dst
}

// appendBookmarksHeader appends the header by which the transactional endpoint takes bookmarks.
func (u *httpUnit) appendBookmarksHeader(dst []byte) []byte {
	if len(u.own) == 0 {
		return dst
	}
	return append(u.appendBookmarkList(append(dst, "Bookmarks: ["...)), "]\r\n"...)
}

// limitLateness gives a member its time to get what the request has to see, as for Bolt.
func (c *httpConn) limitLateness(lease *pool.Lease) {
	u := &c.w.unit
	u.lateAt = time.Time{}
	if len(u.intent.Marks) == 0 || c.w.rest != nil || !u.resendable(c.w.path) {
		return
	}
	v := c.srv.current.View()
	status := v.Member(lease.Member.Name)
	l := v.Leader(u.intent.DB)
	switch {
	case status == nil, l != nil && l.Member == lease.Member, c.srv.progress.has(status, u.intent.Marks):
		return
	case l == nil && !c.front.another(v, u.intent, u.tried, lease.Member):
		return
	}
	u.lateAt = time.Now().Add(c.front.wait())
}

// tooLate tells whether a wait for the answer ended because the member had its time.
func (c *httpConn) tooLate(err error) bool {
	u := &c.w.unit
	return !u.lateAt.IsZero() && isTimeout(err) && !time.Now().Before(u.lateAt)
}

// leaveLate takes the request back from a member that is late. HTTP has no RESET: the connection is closed.
func (c *httpConn) leaveLate(lease *pool.Lease) error {
	u := &c.w.unit
	c.srv.progress.wasLate(lease.Member, time.Now())
	c.srv.counts.again(resentLate)
	u.tried, u.lateAt = append(u.tried, lease.Member), time.Time{}
	lease.Release(false)
	return errAgain
}

// wasInTime lifts the limit when the member began to answer.
func (c *httpConn) wasInTime(lease *pool.Lease) {
	u := &c.w.unit
	if u.lateAt.IsZero() {
		return
	}
	if time.Until(u.lateAt) < c.front.wait()/2 {
		c.srv.progress.wasLate(lease.Member, time.Now())
	} else {
		c.srv.progress.wasInTime(lease.Member)
	}
	u.lateAt = time.Time{}
	lease.Link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed connection shows in its next use
	c.limitMember(lease)
}

// blamesBookmark tells whether a refusal may be about a bookmark that we added, and sends the request to the leader without it.
func (c *httpConn) blamesBookmark(m *cluster.Member, code string) bool {
	u := &c.w.unit
	if len(u.own) == 0 || !aboutBookmarks(code) {
		return false
	}
	c.srv.log.Warn("a bookmark of ours was refused", "client", c.remote, "member", m.Name, "db", u.intent.DB, "code", code)
	if leader := c.srv.current.View().Leader(u.intent.DB); !waitedInVain(code) || leader == nil || leader.Member == m {
		c.forgetMarks()
	}
	c.toLeader()
	return true
}
