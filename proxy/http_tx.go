package proxy

import (
	"bytes"
	"io"
	"strconv"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns explicit HTTP transactions: their ids carry the member's name towards clients, "<member>-<id>", in Location,
// in the commit URL and in the Query API's transaction.id, and lose it on their way back.

// pin finds the member of the transaction that the path names.
func (c *httpConn) pin() bool {
	w := c.w
	id := w.path.id.of(w.req.target.of(c.head()))
	var found *cluster.Member
	for _, s := range c.srv.current.View().Members {
		if namesMember(id, s.ID()) && (found == nil || len(s.ID()) > len(found.ID())) {
			found = s.Member
		}
	}
	if found == nil {
		if name := w.req.value(c.head(), fAffinity); name != nil {
			for _, s := range c.srv.current.View().Members {
				if string(name) == s.ID() {
					found = s.Member
				}
			}
		}
	}
	if only := c.front.router().Policy.Member; found != nil && only != "" && found.Name != only {
		found = nil // this frontend does not reach it
	}
	w.unit.pinned = found
	return found != nil
}

// namesMember tells whether a transaction's id is one of ours with this member's name.
func namesMember(id []byte, name string) bool {
	return len(id) > len(name)+1 && string(id[:len(name)]) == name && id[len(name)] == '-'
}

// memberID is the id as the member knows it.
func (u *httpUnit) memberID(id []byte) []byte {
	if name := u.pinned.ID(); namesMember(id, name) {
		return id[len(name)+1:]
	}
	return id
}

// unknownTx answers a request inside a transaction that no member can have.
func (c *httpConn) unknownTx() error {
	f := httpFailure{404, codeTxNotFound, "no member has a transaction of this id"}
	if c.w.path.query {
		f.code = codeInvalid
		f.message += "; its requests need the id, or the neo4j-cluster-affinity header, that came with its begin"
	}
	return c.answerFailure(f)
}

// rewrites tells whether the answer's body holds an id or URL of a transaction.
func (c *httpConn) rewrites() bool {
	w := c.w
	switch {
	case w.path.kind != routeBegin && w.path.kind != routeInside || !w.unit.post: // answers to a commit have a commit URL too
		return false
	case w.body.kind == noBody || w.ans.status >= 300:
		return false
	}
	coding := w.ans.value(w.answer[w.aFrom:w.aTo], fContentEncoding)
	if plain := coding == nil || equalFold(coding, "identity"); !plain && !w.path.commit {
		w.unit.stays(nil, time.Now()) // it cannot be read
		return false
	}
	return coding == nil || equalFold(coding, "identity")
}

// appendTxFields is appendFields with the transaction's id in Location made ours, and the member's name as affinity.
func (c *httpConn) appendTxFields(out, b []byte, drop fieldSet) []byte {
	w := c.w
	name := w.unit.member
	location := w.ans.value(b, fLocation)
	out = appendFields(out, &w.ans, b, drop.with(fLocation).with(fAffinity))
	if location != nil {
		out = append(out, "Location: "...)
		out = c.appendTxURL(out, location, name)
		out = append(out, "\r\n"...)
	}
	if w.path.kind == routeBegin && w.ans.status < 300 || w.path.kind == routeInside {
		out = append(out, "neo4j-cluster-affinity: "...)
		out = append(out, name...)
		out = append(out, "\r\n"...)
	}
	return out
}

// appendTxURL appends a transaction's URL with our id and the address that the client used. What does not look like one is
// left as it is.
func (c *httpConn) appendTxURL(dst, url []byte, name string) []byte {
	path, at := url, 0
	if n := schemeLength(url); n > 0 {
		if slash := bytes.IndexByte(url[n:], '/'); slash >= 0 {
			at = n + slash
			path = url[at:]
		}
	}
	r := parseRoute(path)
	if r.kind != routeInside {
		return append(dst, url...)
	}
	if host := c.hostUsed(); at > 0 && len(host) > 0 {
		dst = append(append(dst, c.scheme()...), "://"...)
		dst = append(dst, host...)
	} else {
		dst = append(dst, url[:at]...)
	}
	if c.w.path.kind == routeBegin {
		c.w.unit.txID = string(r.id.of(path))
	}
	dst = append(dst, path[:r.id.from]...)
	dst = append(append(dst, name...), '-')
	return append(dst, path[r.id.from:]...)
}

// hostUsed is the host and port by which the client, or the balancer in front of us, came; empty when it did not say.
func (c *httpConn) hostUsed() []byte {
	if h := c.w.req.value(c.head(), fForwardedHost); h != nil && validHost(h) && len(h) > 0 {
		return h
	}
	return c.w.req.host.of(c.head())
}

// scheme is http or https, as the client came.
func (c *httpConn) scheme() string {
	proto := c.w.req.value(c.head(), fForwardedProto)
	switch {
	case proto != nil && equalFold(proto, "https"), proto == nil && c.tls:
		return "https"
	}
	return "http"
}

const maxEditedString = 4 << 10

// bodyEdit rewrites an answer's body as it streams by. Its memory is one string.
type bodyEdit struct {
	c       *httpConn
	member  string
	walk    jsonWalk
	held    []byte // the string that is being read, with its quotes; not that of a message, for which ours is written
	holding bool   // one is being read
	what    editedString
	doubtEdit
}

// editedString is what the string that is held is.
type editedString uint8

const (
	aURL editedString = iota
	aTime
	anID
	aCode
	aMessage
)

// append appends p, edited, to dst.
func (e *bodyEdit) append(dst, p []byte) []byte {
	for len(p) > 0 {
		n, ev := e.walk.next(p)
		switch {
		case e.holding && e.what == aMessage: // ours stands in its place
		case e.holding:
			e.held = append(e.held, p[:n]...)
			if len(e.held) > maxEditedString {
				dst = e.flush(dst)
			}
		default:
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
		switch ev {
		case jsonValue:
			dst = e.begin(dst, p[0])
		case jsonStringEnd:
			dst = e.end(dst)
		}
	}
	return dst
}

// last ends the body; instead is what is to be said of the commit in the answer's place, if that has not left.
func (e *bodyEdit) last(dst []byte) (out []byte, instead string) {
	return e.flush(dst), e.ended(e.c)
}

// flush gives up on the string that is held.
func (e *bodyEdit) flush(dst []byte) []byte {
	dst = append(dst, e.held...)
	e.held, e.holding = e.held[:0], false
	return dst
}

// begin looks at a value that begins with c.
func (e *bodyEdit) begin(dst []byte, c byte) []byte {
	e.begun = e.begun || e.watch && e.walk.result()
	if c != '"' || e.holding {
		return dst
	}
	inTx := e.c.w.path.kind != routeStatements
	switch {
	case inTx && (e.walk.at(kCommit) || e.walk.at(kInfo, kCommit)):
		e.what = aURL
	case inTx && (e.walk.at(kTransaction, kExpires) || e.walk.at(kInfo, kTransaction, kExpires)):
		e.what = aTime
	case inTx && e.c.w.path.query && (e.walk.at(kTransaction, kID) || e.walk.at(kInfo, kTransaction, kID)):
		e.what = anID
	case e.watch && e.walk.errorCode():
		e.what = aCode
	case e.told != "" && e.walk.ofError(kMessage):
		e.what = aMessage
		dst = appendQuoted(dst, "boltgate: "+doubtMessage(e.name, e.told))
		e.told = ""
	default:
		return dst
	}
	e.holding, e.walk.tellEnd = true, true
	return dst
}

// end rewrites the string that was held.
func (e *bodyEdit) end(dst []byte) []byte {
	if !e.holding || e.what == aMessage {
		e.holding = false
		return dst
	}
	inside := e.held[1 : len(e.held)-1]
	dst = append(dst, '"')
	switch e.what {
	case aURL:
		dst = e.c.appendTxURL(dst, inside, e.member)
	case aTime:
		e.c.w.unit.stays(inside, time.Now())
		dst = append(dst, inside...)
	case aCode:
		dst = append(dst, e.code(e.c, inside)...)
	case anID:
		e.c.w.unit.txID = string(inside)
		dst = append(append(append(dst, e.member...), '-'), inside...)
	}
	dst = append(dst, '"')
	e.held, e.holding = e.held[:0], false
	return dst
}

// deliverRewritten passes on an answer whose body is edited; watch says that it may tell of a doubt.
func (c *httpConn) deliverRewritten(lease *pool.Lease, n int, watch bool) error {
	edit := &bodyEdit{c: c, member: lease.Member.ID(), doubtEdit: doubtEdit{watch: watch, name: lease.Member.Name}}
	return c.deliverEdited(lease, c.w.aFrom+n, edit.append, edit.last)
}

// deliverDecoded passes a chunked answer on to a client of HTTP/1.0, without its framing.
func (c *httpConn) deliverDecoded(lease *pool.Lease, first int) error {
	c.w.body.start(&c.w.ans)
	same := func(dst, p []byte) []byte { return append(dst, p...) }
	return c.deliverEdited(lease, first, same, func(dst []byte) ([]byte, string) { return dst, "" })
}

// deliverEdited passes on an answer whose body goes through edit. One that is here to its end is sent with its new length;
// a short one is waited for, and so is the beginning of one whose status says that the member failed; any other is sent in chunks, or until the
// connection closes.
func (c *httpConn) deliverEdited(lease *pool.Lease, first int, edit func(dst, p []byte) []byte, last func(dst []byte) (out []byte, instead string)) error {
	w := c.w
	head := bytes.Clone(w.answer[w.aFrom:first]) // the buffer is needed
	plain, edited := getBulk()[:0], getBulk()[:0]
	defer func() { putBulk(plain[:cap(plain)]); putBulk(edited[:cap(edited)]) }()
	whole := w.body.kind == fixedBody && w.body.left <= bufferSize
	begun := false
	w.aFrom = first
	for {
		var took int
		var err error
		plain, took, err = w.body.decode(plain[:0], w.answer[w.aFrom:w.aTo])
		if err != nil {
			return c.garbage(lease, err)
		}
		w.aFrom += took
		edited = edit(edited, plain)
		over := w.body.over()
		instead := ""
		if over {
			edited, instead = last(edited)
		}
		if instead != "" && !begun {
			if err := c.endLease(lease, w.aFrom == w.aTo); err != nil {
				return err
			}
			return c.answerFailure(httpFailure{502, codeCommitFailed, instead})
		}
		waits := whole || !begun && w.ans.status >= 500 && len(edited) <= bufferSize
		if over || !waits {
			if err := c.sendEdited(head, edited, begun, over); err != nil {
				return c.clientGone(lease, err)
			}
			begun, edited = true, edited[:0]
		}
		if over {
			return c.endLease(lease, w.aFrom == w.aTo)
		}
		w.aFrom, w.aTo = 0, 0
		if err := c.moreAnswer(lease); err != nil {
			if w.body.kind == untilClose && err == io.EOF {
				w.body.kind = noBody
				w.ans.close = true
				continue
			}
			return c.lost(lease, false, err)
		}
	}
}

// sendEdited sends a piece of an edited body, with the head in front of the first.
func (c *httpConn) sendEdited(head, piece []byte, begun, over bool) error {
	w := c.w
	chunked := w.req.minor == 1
	w.out = w.out[:0]
	switch {
	case begun:
	case over:
		w.out = c.appendEditedHead(w.out, head, "Content-Length: "+strconv.Itoa(len(piece))+"\r\n")
	case chunked:
		w.out = c.appendEditedHead(w.out, head, "Transfer-Encoding: chunked\r\n")
	default:
		c.closing = true
		w.out = c.appendEditedHead(w.out, head, "")
	}
	framed := chunked && (begun || !over)
	if framed {
		w.out = appendChunk(w.out, piece)
		if over {
			w.out = append(w.out, lastChunk...)
		}
	} else {
		w.out = append(w.out, piece...)
	}
	w.unit.answered = true
	if len(w.out) == 0 {
		return nil
	}
	return c.write(w.out)
}

func (c *httpConn) appendEditedHead(out, head []byte, length string) []byte {
	w := c.w
	if w.upload != nil && !w.upload.ended() {
		c.closing = true
	}
	out = append(append(append(out, "HTTP/1.1 "...), w.ans.reason.of(head)...), "\r\n"...)
	if w.path.kind == routeBegin || w.path.kind == routeInside {
		out = c.appendTxFields(out, head, hopByHop|ofLength)
	} else {
		out = appendFields(out, &w.ans, head, hopByHop|ofLength)
	}
	out = append(out, length...)
	out = c.appendConnection(out)
	return append(out, "\r\n"...)
}
