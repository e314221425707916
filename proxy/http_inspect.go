package proxy

import (
	"bytes"
	"io"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the look into the answers of statements: one that a member refused because of its role, before it did
// anything, is not for the client but goes to another member (design rule 2c and "Reads and writes").

// inspects tells whether the answer may hold such a refusal: statements that commit with their request, held whole, or of an explicit
// transaction, of which the client did not say that they are reads.
func (c *httpConn) inspects() bool {
	w := c.w
	u := &w.unit
	statements := w.path.kind == routeStatements && u.held && u.declared != declaredRead
	return w.body.kind != noBody && c.front.router().Policy.Member == "" && (statements || c.inTransaction())
}

// answerLook finds the first row or error in an answer.
type answerLook struct {
	walk    jsonWalk
	decided bool
	begun   bool // a result has
	row     bool
	reading bool // the code
	code    []byte
}

// look reads on until a row or an error's code.
func (l *answerLook) look(p []byte) {
	for len(p) > 0 && !l.decided {
		n, ev := l.walk.next(p)
		if l.reading {
			l.code = append(l.code, p[:n]...)
			l.decided = len(l.code) > 256
		}
		p = p[n:]
		l.begun = l.begun || ev == jsonValue && l.walk.result()
		switch {
		case ev == jsonValue && l.walk.row():
			l.row, l.decided = true, true
		case ev == jsonValue && p[0] == '"' && l.walk.errorCode():
			l.reading, l.walk.tellEnd = true, true
		case ev == jsonStringEnd:
			l.code = bytes.Trim(l.code, `"`)
			l.decided = true
		}
	}
	l.decided = l.decided || l.walk.lost
}

// errorCodes is in every code of an error (Neo.ClientError.…), and not in those of notifications.
var errorCodes = []byte("Error.")

// inspect holds up to 64 KiB of the answer until it is clear whether it is a refusal. ended is true when the answer is not to be delivered, and the
// lease is gone: the request is to be sent to another member (errAgain), or its client was told already what became of it.
func (c *httpConn) inspect(lease *pool.Lease, n int) (ended bool, err error) {
	w := c.w
	if first := w.answer[w.aFrom+n : w.aTo]; w.body.kind == fixedBody && int64(len(first)) >= w.body.left && !bytes.Contains(first, errorCodes) {
		return false, nil
	}
	if w.ans.has(fContentEncoding) { // though we asked for none
		return false, nil
	}
	var look answerLook
	body := w.body
	buf := getBuffer()
	defer putBuffer(buf)
	for from := n; ; {
		for at := w.aFrom + from; at < w.aTo && !body.over(); {
			piece := w.answer[at:min(at+bufferSize, w.aTo)]
			text, took, err := body.decode(buf[:0], piece)
			if err != nil {
				return true, c.garbage(lease, err)
			}
			look.look(text)
			at += took
			from += took
		}
		if look.decided || body.over() || w.aTo-w.aFrom >= bulkSize {
			break
		}
		c.answerRoom()
		if err := c.moreAnswer(lease); err != nil {
			if w.body.kind == untilClose && err == io.EOF {
				break
			}
			return true, c.lost(lease, false, err)
		}
	}
	if w.path.kind != routeStatements {
		if look.row || c.doubts(string(look.code), look.begun) || !c.endsTransaction(string(look.code)) {
			return false, nil
		}
		return true, c.tellRefused(lease, string(look.code), body.over() && !w.ans.close)
	}
	if look.row || c.doubts(string(look.code), look.begun) || !c.elsewhere(lease.Member, string(look.code)) {
		if u := &w.unit; !u.denied {
			return false, nil
		}
		c.stopUpload(lease) //nolint:errcheck // the answer says more
		lease.Release(false)
		return true, c.answerFailure(httpFailure{503, codeLeaderSwitch,
			"the member was not the right one any more (" + lease.Member.Name + " said " + string(look.code) + ")" + spent(true) + "; please try again"})
	}
	if _, fault := c.stopUpload(lease); fault != nil {
		lease.Release(false)
		return true, clientFault(fault)
	}
	lease.Release(body.over() && !w.ans.close)
	return true, errAgain
}

// patient tells whether the request, which a member refused, is still within failover.hold of its first refusal.
func (u *httpUnit) patient(hold time.Duration) bool {
	if u.until.IsZero() {
		u.until = time.Now().Add(hold)
	}
	return time.Now().Before(u.until)
}

// forgive lets the members that could not be reached, or refused the request, be asked again.
func (u *httpUnit) forgive() {
	if !time.Now().Before(u.forgiveAt) {
		u.tried = u.tried[:0]
	}
}

// elsewhere tells whether a refusal with this code sends the request to another member, and prepares it for that.
func (c *httpConn) elsewhere(m *cluster.Member, code string) bool {
	w := c.w
	u := &w.unit
	if code == "" || !u.patient(c.srv.options.Load().Hold) {
		return false
	}
	if u.readOnly && refusedAsWrite(code) {
		return false
	}
	if c.blamesBookmark(m, code) {
		c.srv.counts.again(resentBookmark)
		return true
	}
	if u.judged && refusedAsWrite(code) {
		if code == bolt.CodeAccessMode {
			c.srv.writes.add(u.body)
		} else {
			c.srv.current.Report(m.Name, u.intent.DB, cluster.NotALeader)
		}
		u.judged, u.intent.Mode = false, routing.Write
		c.srv.counts.again(resentMisjudged)
		u.because = becauseRefused
		u.tried = u.tried[:0]
		return true
	}
	if !aboutTheMember(code) || code == bolt.CodeAuthExpired || rule(code, c.version(), stepRun) != nothingDone {
		return false
	}
	if code == bolt.CodeDatabaseUnavailable && stoppedByOperator(c.srv.current.View(), u.intent.DB) {
		return false
	}
	if t := u.readTexts(w.path); !t.clean {
		return false
	}
	why := cluster.NotALeader
	if code == bolt.CodeDatabaseUnavailable {
		why = cluster.Unserved
	}
	c.srv.current.Report(m.Name, u.intent.DB, why)
	if u.expired() || !c.mayRetry(m, resentRefused) {
		return false
	}
	u.tried = append(u.tried, m)
	u.rebuffs++
	u.forgiveAt = time.Now().Add(forgiveness(u.rebuffs))
	return true
}
