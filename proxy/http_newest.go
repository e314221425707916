package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns causality: cluster for requests: the question for the leader's newest bookmark, over HTTP (newest.go owns who shares
// its answer).

// rememberNewest makes a read that we moved see all that was committed before it came. When that cannot be had it goes to the leader
// itself. An error is the client's end.
func (c *httpConn) rememberNewest(ctx context.Context) error {
	u := &c.w.unit
	if u.texts.used != "" { // the path that the question would go by is not the database's
		c.toLeader()
		return nil
	}
	b, err := c.srv.newest.of(ctx, question{db: routing.Fold(u.intent.DB)}, c)
	u.intent.Now = time.Now()
	if err != nil || b.err != nil {
		c.toLeader()
		return err
	}
	id, known := c.target()
	for _, p := range b.list {
		switch {
		case known && p.DB != id:
		case p.DB == [16]byte{}, len(u.own) == cap(u.own):
			c.toLeader()
			return nil
		default:
			u.own = append(u.own, ownMark{c.user().marks.atLeast(p), b.format})
		}
	}
	return nil
}

// toLeader sends what we took for a read to the leader. It stays a read, and is told to be one where members take that: when that leader is lost
// nothing is in doubt. Told so, one that leads no more answers from what it has, which it would not for a write: with server-side routing it would
// pass that on. So it gets the bookmarks of what the user has seen through this gate, but for those that no member knows (forgetMarks).
func (c *httpConn) toLeader() {
	u := &c.w.unit
	u.moved, u.intent.AtLeader, u.because = false, true, becauseCausality
	u.own, u.intent.Marks, u.tried = u.ownRoom[:0], nil, u.tried[:0]
	c.rememberOwn()
	u.intent.Since = time.Time{}
}

// await waits for another's question. When it takes a while the client is watched.
func (c *httpConn) await(ctx context.Context, b *batch) error {
	if b.soon() {
		return nil
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a shutdown lets the present request finish
	defer cancel(nil)
	defer c.watch(cancel)()
	c.waitFor(nil, cancel)
	defer c.wait.end()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// askNewest asks over HTTP, by the smallest read at the endpoint that the request itself is for. A connection that turns out to be
// closed is no answer: another one is tried.
func (c *httpConn) askNewest(ctx context.Context, db string) ([]bolt.Position, bolt.BookmarkFormat, error) {
	u := &c.w.unit
	own := u.intent
	defer func() { u.intent, u.tried = own, u.tried[:0] }()
	u.intent = routing.Intent{DB: own.DB, Now: own.Now}
	for {
		lease, err := c.borrow(ctx)
		if err != nil {
			return nil, 0, err
		}
		stale := !lease.Fresh
		list, unsent, err := c.questionOn(lease)
		switch {
		case err == nil:
			c.srv.databases.learnOne(db, list)
			return list, bolt.BookmarkFabric, nil
		case !stale || !unsent:
			c.srv.current.Report(lease.Member.Name, db, cluster.Broken)
			return nil, 0, err
		}
	}
}

// questionOn puts the question to the lease's member, and ends the lease. A list of none is its refusal. unsent says that nothing of the
// question can have reached it.
func (c *httpConn) questionOn(lease *pool.Lease) (list []bolt.Position, unsent bool, err error) {
	clean := false
	defer func() { lease.Release(clean) }()
	lease.Link.Conn.SetDeadline(time.Now().Add(c.srv.options.Load().AskTimeout)) //nolint:errcheck // a closed connection shows in its use
	defer lease.Link.Conn.SetDeadline(time.Time{})                               //nolint:errcheck // as above
	out, in := getBuffer(), getBuffer()
	defer putBuffer(out)
	defer putBuffer(in)
	n, unsent, err := lease.Link.Exchange(c.appendQuestion(out[:0]), in, true)
	if n == 0 && err != nil {
		return nil, unsent, err
	}
	var head httpHead
	for err = head.parseAnswer(in[:n], false); err == errShort && n < len(in); err = head.parseAnswer(in[:n], false) {
		m, fault := lease.Link.Read(in[n:])
		if n += m; m == 0 {
			return nil, false, fault
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("proxy: an answer about the newest bookmark: %w", err)
	}
	text, whole, err := restOfAnswer(lease, &head, in, n)
	if err != nil {
		return nil, false, err
	}
	clean = whole && !head.close
	if head.status >= 300 || head.has(fContentEncoding) {
		return nil, false, nil
	}
	return marksOf(nil, answerMarks(text)), false, nil
}

// restOfAnswer reads the body behind head, the bytes of which begin in[:n]; one that does not fit in is not whole.
func restOfAnswer(lease *pool.Lease, head *httpHead, in []byte, n int) (text []byte, whole bool, err error) {
	var body bodyEnd
	body.start(head)
	text = in[head.len:head.len] // what is decoded is never ahead of what was read
	for at := head.len; ; {
		var took int
		text, took, err = body.decode(text, in[at:n])
		at += took
		switch {
		case err != nil:
			return nil, false, err
		case body.over():
			return text, at == n, nil
		case n == len(in):
			return nil, false, nil
		}
		m, err := lease.Link.Read(in[n:])
		if n += m; m == 0 {
			if errors.Is(err, io.EOF) && body.kind == untilClose {
				return text, false, nil
			}
			return nil, false, err
		}
	}
}

// appendQuestion appends the request: the client's target and login, and a statement that touches nothing.
func (c *httpConn) appendQuestion(out []byte) []byte {
	w := c.w
	b := c.head()
	body := `{"statements":[{"statement":"RETURN 1"}]}`
	if w.path.query {
		body = `{"statement":"RETURN 1","accessMode":"Read"}`
	}
	out = append(append(append(out, "POST "...), w.req.target.of(b)...), " HTTP/1.1\r\nHost: "...)
	out = append(out, c.local...)
	out = append(out, "\r\nAccept: application/json\r\nContent-Type: application/json\r\nAccess-Mode: READ\r\n"...)
	if c.gate != nil {
		out = append(out, c.gate.user.header...)
	} else if login := w.req.value(b, fAuthorization); len(login) > 0 {
		out = append(append(append(out, "Authorization: "...), login...), "\r\n"...)
	}
	out = strconv.AppendInt(append(out, "Content-Length: "...), int64(len(body)), 10)
	return append(append(out, "\r\n\r\n"...), body...)
}
