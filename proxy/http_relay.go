package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns a request's way: to a member, and the answer's way back; and what happens when a member fails on the way
// (design rules 2 and 3).

// serve serves the request whose head was parsed.
func (c *httpConn) serve(ctx context.Context) error {
	w := c.w
	u := &w.unit
	u.reset()
	head := c.head()
	c.closing, c.unread = w.req.close || c.mustMove(), false
	switch method := w.req.method.of(head); string(method) {
	case "GET", "OPTIONS":
		u.safe = true
	case "HEAD":
		u.safe, u.toHead = true, true
	case "POST":
		u.post = true
	}
	w.path = parseRoute(w.req.target.of(head))
	if !u.post && (w.path.kind == routeStatements || w.path.kind == routeBegin) {
		w.path.kind = routeOther
	}
	if c.over {
		return c.refuseConnection()
	}
	if done, err := c.serveLocally(ctx); done || err != nil {
		return err
	}
	c.takeTrace()
	u.line = c.srv.accessLine(&w.lineRoom, time.Now(), u.trace, u.traceState)
	if users := c.srv.users.Load(); users == nil {
		c.gate = nil
	} else if refused, err := c.admit(ctx, users); refused || err != nil {
		return err
	}
	if refused, err := c.limited(); refused || err != nil {
		return err
	}
	if err := c.slowDown(ctx); err != nil {
		return err
	}
	if c.restricted() {
		if refused, err := c.restrict(ctx); refused || err != nil {
			return err
		}
	} else if err := c.takeBody(); err != nil {
		return err
	}
	u.timeout = millis(w.req.value(head, fMaxTime))
	c.limitTime()
	if err := c.decide(ctx); err != nil {
		return c.notServed(err)
	}
	c.decided()
	c.noteQuery()
	return c.performAndNote(ctx)
}

// performAndNote is perform, and notes what became of a transaction.
func (c *httpConn) performAndNote(ctx context.Context) error {
	err := c.perform(ctx)
	if err != errLeave {
		c.noteTransaction()
	}
	return err
}

// takeBody holds the body of a request that opens a unit of work, and short ones that are there already; others are
// passed on as they come.
func (c *httpConn) takeBody() error {
	w := c.w
	switch {
	case w.path.kind == routeStatements, w.path.kind == routeBegin, w.req.body == noBody:
		return c.holdBody()
	case w.req.body == fixedBody && w.req.length <= int64(c.end-c.next):
		return c.holdBody()
	}
	w.unit.streamed = true
	return nil
}

// perform finds a member, sends the request and relays the answer; where nothing can have been done and the rules allow
// it, another member is tried.
func (c *httpConn) perform(ctx context.Context) error {
	u := &c.w.unit
	switch err := c.takePlaces(ctx); {
	case err == errLeave:
		return err
	case err != nil:
		return c.notServed(err)
	}
	for {
		lease, err := c.borrow(ctx)
		switch {
		case err == errLeave:
			return err
		case err != nil:
			return c.notServed(err)
		}
		if u.intent.Mode == routing.Write && !u.safe && !u.readOnly {
			c.beginWrite()
		}
		u.startTimeout()
		u.member, u.readsSince = lease.Member.ID(), c.readsSince(lease.Member)
		u.line.went(lease)
		c.noteWork(lease)
		c.buildRequest(lease.Member)
		if err = c.exchange(lease); err != errAgain {
			if w := c.w; w.path.kind == routeStatements && u.texts.changes {
				c.srv.current.Report("", routing.System, cluster.Changed)
			}
			return err
		}
		u.line.again()
	}
}

// exchange sends the request and deals with the answer. The lease is given back by whoever ends it.
func (c *httpConn) exchange(lease *pool.Lease) error {
	w := c.w
	w.aFrom, w.aTo = 0, 0
	if w.answer == nil {
		w.answer = getBuffer()
	}
	c.limitLateness(lease)
	c.limitMember(lease)
	if w.unit.streamed || w.rest != nil {
		return c.exchangeLong(lease)
	}
	c.waitFor(lease, nil)
	n, unsent, err := lease.Link.Exchange(w.out, w.answer, c.wantsLook(lease))
	left := c.wait.end()
	if n == 0 && err != nil {
		if left {
			return c.clientGone(lease, errLeft)
		}
		if c.tooLate(err) {
			return c.leaveLate(lease)
		}
		return c.lost(lease, unsent, err)
	}
	c.wasInTime(lease)
	if left {
		lease.Link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // the answer came at the same moment
	}
	w.aTo = n
	return c.readAnswer(lease)
}

// wantsLook tells whether the lease's connection is looked at before the request is sent: always for what may not be sent twice; a
// GET goes elsewhere if the member closed the connection just after its last answer.
func (c *httpConn) wantsLook(lease *pool.Lease) bool {
	u := &c.w.unit
	return !u.safe || c.w.path.kind == routeInside || u.intent.Now.Sub(lease.Returned()) > trusted
}

// limitMember starts the clock of timeouts.server, where there is one. While a body is being sent the upload has it.
func (c *httpConn) limitMember(lease *pool.Lease) {
	limit := c.w.set.Timeouts.Server
	switch {
	case !c.w.unit.lateAt.IsZero():
		lease.Link.Conn.SetReadDeadline(c.w.unit.lateAt) //nolint:errcheck // a closed connection shows in its next use
	case limit <= 0:
	case c.w.upload != nil:
		c.w.upload.limitAnswer(lease)
	default:
		lease.Link.Conn.SetDeadline(time.Now().Add(limit)) //nolint:errcheck // a closed connection shows in its next use
	}
}

// exchangeLong sends a request whose body is long: the head, then the body beside the reading of the answer.
func (c *httpConn) exchangeLong(lease *pool.Lease) error {
	w := c.w
	if !lease.Fresh {
		if err := lease.Link.Quiet(); err != nil {
			return c.lost(lease, true, err)
		}
	}
	if n, err := lease.Link.Write(w.out); err != nil {
		return c.lost(lease, n == 0, err)
	}
	w.upload = c.startUpload(lease)
	return c.readAnswer(lease)
}

// moreAnswer reads more of the answer, behind aTo.
func (c *httpConn) moreAnswer(lease *pool.Lease) error {
	w := c.w
	c.limitMember(lease)
	c.waitFor(lease, nil)
	n, err := lease.Link.Read(w.answer[w.aTo:])
	left := c.wait.end()
	w.aTo += n
	switch {
	case w.unit.tooMuch(n):
		return errTooMuch
	case n == 0 && left:
		return errLeft
	case n == 0:
		return err
	case left:
		lease.Link.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // the answer came at the same moment
	}
	return nil
}

// readAnswer reads the answer's head, passing on interim ones that the client waits for, and delivers the rest.
func (c *httpConn) readAnswer(lease *pool.Lease) error {
	w := c.w
	for {
		err := w.ans.parseAnswer(w.answer[w.aFrom:w.aTo], w.unit.toHead)
		for err == errShort {
			if _, err = headEnd(w.answer[w.aFrom:w.aTo]); err != nil {
				break
			}
			c.answerRoom()
			if err := c.moreAnswer(lease); err != nil {
				return c.lost(lease, false, err)
			}
			err = w.ans.parseAnswer(w.answer[w.aFrom:w.aTo], w.unit.toHead)
		}
		n := w.ans.len
		if err == nil && w.ans.status == 101 {
			err = errStatusLine // nobody asked for another protocol
		}
		if err != nil {
			return c.garbage(lease, err)
		}
		if w.ans.status >= 200 {
			return c.deliver(lease, n)
		}
		if err := c.passInterim(w.answer[w.aFrom : w.aFrom+n]); err != nil {
			return c.clientGone(lease, err)
		}
		w.aFrom += n
	}
}

// answerRoom makes room for more of an answer's head.
func (c *httpConn) answerRoom() {
	w := c.w
	if w.aTo < len(w.answer) {
		return
	}
	if w.aFrom > 0 {
		w.aTo = copy(w.answer, w.answer[w.aFrom:w.aTo])
		w.aFrom = 0
		return
	}
	big := getBulk()
	if len(w.answer) >= len(big) {
		putBulk(big)
		big = make([]byte, maxHead+bufferSize)
	}
	copy(big, w.answer)
	w.releaseAnswer()
	w.answer, w.bulk = big, len(big) == bulkSize
}

// passInterim passes on a 100 to a client that waits for it before it sends the body; other interim answers are dropped.
func (c *httpConn) passInterim(head []byte) error {
	w := c.w
	if w.ans.status != 100 || w.unit.held || !w.req.has(fExpect) || w.req.minor == 0 {
		return nil
	}
	return c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// deliver passes the answer on, whose head of n bytes was parsed.
func (c *httpConn) deliver(lease *pool.Lease, n int) error {
	w := c.w
	w.body.start(&w.ans)
	w.unit.line.answered()
	if w.unit.limits != nil && c.answersTooMuch(n) {
		return c.endTooMuch(lease)
	}
	if c.inspects() {
		if ended, err := c.inspect(lease, n); ended && (err != nil || !mutant.Is(mutant.WebAnswerTwice)) {
			return err
		}
	}
	c.noteLogin()
	c.noteAnswer(lease, n)
	if watch := c.watches(lease, n); c.rewrites() || watch {
		return c.deliverRewritten(lease, n, watch)
	}
	first := w.aFrom + n
	took, err := w.body.take(w.answer[first:w.aTo])
	if err != nil {
		return c.garbage(lease, err)
	}
	piece := w.answer[first : first+took]
	over := w.body.over()
	if w.upload != nil && !w.upload.ended() || w.body.kind == untilClose {
		c.closing = true
	}
	if w.req.minor == 0 && w.body.kind == chunkedBody {
		return c.deliverDecoded(lease, first)
	}
	w.out = c.appendAnswerHead(w.out[:0], hopByHop)
	if over { // the usual case: all of it is here, the member is free before the client has read it
		clean := c.endLease(lease, first+took == w.aTo)
		w.unit.answered = true
		if len(w.out)+len(piece) <= bufferSize {
			w.out = append(w.out, piece...)
			return errors.Join(c.write(w.out), clean)
		}
	}
	w.unit.answered = true
	err = c.write(w.out)
	if err == nil {
		err = c.write(piece)
	}
	if over {
		return err
	}
	if err != nil {
		return c.clientGone(lease, err)
	}
	return c.relayBody(lease)
}

// appendAnswerHead appends the answer's head as the client gets it.
func (c *httpConn) appendAnswerHead(out []byte, drop fieldSet) []byte {
	w := c.w
	b := w.answer[w.aFrom:w.aTo]
	out = append(out, "HTTP/1.1 "...)
	out = append(out, w.ans.reason.of(b)...)
	out = append(out, "\r\n"...)
	if w.path.kind == routeBegin || w.path.kind == routeInside {
		out = c.appendTxFields(out, b, drop)
	} else {
		out = appendFields(out, &w.ans, b, drop)
	}
	out = c.appendConnection(out)
	return append(out, "\r\n"...)
}

// relayBody passes on the rest of an answer's body in pieces.
func (c *httpConn) relayBody(lease *pool.Lease) error {
	w := c.w
	if !w.bulk {
		w.releaseAnswer()
		w.answer, w.bulk = getBulk(), true
	}
	for !w.body.over() {
		w.aFrom, w.aTo = 0, 0
		if err := c.moreAnswer(lease); err != nil {
			if w.body.kind == untilClose && err == io.EOF {
				break
			}
			return c.lost(lease, false, err)
		}
		n, err := w.body.take(w.answer[:w.aTo])
		if err == nil {
			w.aFrom = n
			if err := c.write(w.answer[:n]); err != nil {
				return c.clientGone(lease, err)
			}
			continue
		}
		return c.garbage(lease, err)
	}
	return c.endLease(lease, w.aFrom == w.aTo)
}

// endLease gives the member's connection back after a whole answer. Bytes behind the answer, an upload that did not end, a
// member that said close: it is not lent again.
func (c *httpConn) endLease(lease *pool.Lease, quiet bool) error {
	w := c.w
	whole, fault := true, error(nil)
	if w.upload != nil {
		if whole, fault = c.stopUpload(lease); !whole {
			c.closing, c.unread = true, true
		}
	}
	if w.set.Timeouts.Server > 0 {
		lease.Link.Conn.SetDeadline(time.Time{}) //nolint:errcheck // a closed connection is found by the next lease
	}
	c.noteStatus(lease)
	lease.Release(quiet && whole && !w.ans.close && w.body.kind != untilClose)
	if fault != nil && !errors.Is(fault, errLeft) {
		return nil // the answer was given all the same
	}
	return fault
}

// clientGone ends the lease of a request whose client is not there any more.
func (c *httpConn) clientGone(lease *pool.Lease, err error) error {
	c.closing = true
	c.stopUpload(lease) //nolint:errcheck // the client's fault is known
	lease.Release(false)
	return err
}

// lost ends the lease of a connection that broke. The request goes elsewhere when it cannot have been done; else the
// client is told what is known.
func (c *httpConn) lost(lease *pool.Lease, unsent bool, cause error) error {
	w := c.w
	u := &w.unit
	if cause == errTooMuch {
		return c.endTooMuch(lease)
	}
	if _, fault := c.stopUpload(lease); fault != nil {
		lease.Release(false)
		return clientFault(fault)
	}
	if cause == errLeft {
		c.closing = true
		lease.Release(false)
		return errLeft
	}
	m, stale := lease.Member, unsent && !lease.Fresh
	u.tries++
	lease.Release(false)
	if !stale {
		c.memberFailed(m, cause)
		u.tried = append(u.tried, m)
	}
	switch {
	case u.answered:
		c.closing = true
		if c.commits() {
			c.doubted(m.Name, "")
		}
		return fmt.Errorf("proxy: member %s broke off in the middle of an answer: %w", m.Name, cause)
	case u.streamed && c.next != c.start+w.req.len, u.tries >= maxTries:
	case unsent:
		c.srv.counts.again(resentUnsent)
		return errAgain
	case u.resendable(w.path) && !u.expired() && c.mayRetry(m, resentLost), mutant.Is(mutant.WebResendLostWrite) && w.path.kind == routeStatements:
		return errAgain
	}
	return c.tellLoss(m, unsent)
}

// memberFailed reports a member whose connection broke, and says so in the log.
func (c *httpConn) memberFailed(m *cluster.Member, cause error) {
	c.srv.current.Report(m.Name, c.w.unit.intent.DB, cluster.Broken)
	c.srv.log.Debug("member connection lost", "client", c.remote, "member", m.Name, "error", cause)
}

// tellLoss answers a request whose answer will not come (design "Rules", 3).
func (c *httpConn) tellLoss(m *cluster.Member, unsent bool) error {
	w := c.w
	u := &w.unit
	if unsent || !c.commits() {
		return c.answerFailure(httpFailure{503, codeLeaderSwitch,
			"the connection to member " + m.Name + " was lost; nothing was committed" + spent(u.denied) + ", please try again"})
	}
	c.doubted(m.Name, "")
	if mutant.Is(mutant.WebLossIsSuccess) {
		return c.answerOwn(200, "application/json", "", []byte(`{"results":[],"errors":[]}`))
	}
	return c.answerFailure(httpFailure{502, codeCommitFailed, "the connection to member " + m.Name +
		" was lost before it answered; whether the transaction was committed is unknown. Look before you try again."})
}

// commits tells whether the request's end may be the commit of a write.
func (c *httpConn) commits() bool {
	w := c.w
	return !w.unit.safe && w.unit.readsSince.IsZero() && !w.unit.resendable(w.path) && (w.path.kind != routeInside || w.path.commit) && w.path.kind != routeBegin
}

// garbage ends the lease of a member that sent what is no HTTP answer.
func (c *httpConn) garbage(lease *pool.Lease, cause error) error {
	w := c.w
	u := &w.unit
	_, fault := c.stopUpload(lease)
	m := lease.Member
	lease.Release(false)
	if fault != nil {
		return clientFault(fault)
	}
	c.srv.log.Warn("member sent garbage", "client", c.remote, "member", m.Name, "error", cause)
	c.srv.current.Report(m.Name, u.intent.DB, cluster.Broken)
	if u.answered {
		c.closing = true
		if c.commits() {
			c.doubted(m.Name, "")
		}
		return fmt.Errorf("proxy: member %s: the body of its answer is malformed: %w", m.Name, cause)
	}
	u.tries++
	switch kind := w.path.kind; {
	case kind == routeStatements && u.resendable(w.path) && u.tries < maxTries && !u.expired() && c.mayRetry(m, resentLost):
		u.tried = append(u.tried, m)
		return errAgain
	case kind == routeBegin, kind == routeInside && !w.path.commit:
		return c.answerFailure(httpFailure{503, codeLeaderSwitch, "member " + m.Name + " sent an answer that is no HTTP: " + plainText(cause) +
			"; nothing was committed, please try all of it again"})
	}
	code, doubt := codeUnknown, ""
	if c.commits() {
		c.doubted(m.Name, "")
		code, doubt = codeCommitFailed, "; whether anything was committed is unknown"
	}
	return c.answerFailure(httpFailure{502, code, "member " + m.Name + " sent an answer that is no HTTP: " + plainText(cause) + doubt})
}
