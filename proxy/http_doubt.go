package proxy

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns commits over HTTP of which the member says itself that it does not know what became of them (design rule 3, and
// docs/design/2026-11-22-a-members-own-doubt.md). The answer keeps its form; in it a code by which drivers would try again becomes ours, and
// so does the message behind it. That is done as the answer passes, for what is long or slow is not held.

// version is the oldest Bolt of the servers that have the request's path: the one that the verdicts go by.
func (c *httpConn) version() bolt.Version {
	if c.w.path.db == (span{}) {
		return bolt.V3
	}
	return bolt.V4_0
}

// doubts tells whether a failure with this code leaves open what became of the request's commit. Where in the request it failed the answer
// does not say, but for one thing: while no result has begun no statement has run, and nothing is committed before that. The legacy
// endpoint says nothing at all before its commit. A text that commits by itself may have done a part of its work by then, whatever becomes of
// the rest; only what a client has to mend first is no reason to do all of it again.
func (c *httpConn) doubts(code string, begun bool) bool {
	w := c.w
	at := stepCommit
	switch {
	case !c.endsWork():
		return false
	case w.path.kind != routeStatements:
	case !w.unit.readTexts(w.path).clean:
		return !strings.HasPrefix(code, "Neo.ClientError.")
	case begun || w.path.legacy:
		at = stepPull
	default:
		at = stepRun
	}
	return rule(code, c.version(), at) == doubtful
}

// endsWork tells whether the request commits a write, as far as is known: with its statements, or a transaction.
func (c *httpConn) endsWork() bool {
	return (c.w.path.kind == routeStatements || c.w.path.commit) && c.commits()
}

// watches tells whether the answer, whose head of n bytes was parsed, is to be looked through for such a doubt: unless it is here to its end
// and has no error. A status that says that the member failed, and no more, is one.
func (c *httpConn) watches(lease *pool.Lease, n int) bool {
	w := c.w
	switch {
	case !c.endsWork():
		return false
	case w.ans.status >= 500:
		return true
	case w.body.kind == noBody, w.ans.has(fContentEncoding): // though we asked for none
		return false
	case w.body.kind == fixedBody && int64(w.aTo-w.aFrom-n) >= w.body.left:
		return bytes.Contains(w.answer[w.aFrom+n:w.aTo], errorCodes)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	text, whole, _ := c.answerBody(buf, n)
	return !whole || bytes.Contains(text, errorCodes)
}

// inDoubt counts a commit that its member answered with code.
func (c *httpConn) inDoubt(member, code string) {
	if code == bolt.CodeDatabaseUnavailable {
		c.srv.current.Report(member, c.w.unit.intent.DB, cluster.Unserved)
	}
	c.doubted(member, code)
}

// doubtEdit is the part of a bodyEdit that finds a doubt. The first error decides: those behind it are of what came of it.
type doubtEdit struct {
	watch  bool
	name   string // of the member
	begun  bool   // a result has
	failed bool   // an error was seen
	doubt  bool   // and leaves open what became of the commit
	told   string // the code in whose place the present error has ours
	first  string // the same of the answer's first error
}

// code is what stands in the place of an error's code.
func (e *doubtEdit) code(c *httpConn, code []byte) []byte {
	if e.told = ""; !e.failed {
		e.failed = true
		if e.doubt = c.doubts(string(code), e.begun); e.doubt {
			c.inDoubt(e.name, string(code))
		}
	}
	if !e.doubt || !misleads(string(code)) {
		return code
	}
	e.told, e.first = string(code), cmp.Or(e.first, string(code))
	c.w.unit.line.failed(codeCommitFailed)
	return []byte(codeCommitFailed)
}

// ended is called at the answer's end, and counts a commit that was answered with a status which says that the member failed, and with no code.
// Where nothing of the answer has left the client is told instead: 503 means, of this gate's answers too, that nothing was done. "": it keeps the answer.
func (e *doubtEdit) ended(c *httpConn) (instead string) {
	status := c.w.ans.status
	if !e.watch || status < 500 {
		return ""
	}
	said := e.first
	if !e.failed {
		said = httpStatuses[min(status-500, len(httpStatuses)-1)]
		c.doubted(e.name, said)
	}
	if said == "" {
		return ""
	}
	return doubtMessage(e.name, said)
}
