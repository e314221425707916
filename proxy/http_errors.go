package proxy

import (
	"errors"
	"strconv"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns the answers that the gate gives itself.

const (
	codeNoThreads    = bolt.CodeNoThreads
	codeLeaderSwitch = bolt.CodeLeaderSwitch
	codeCommitFailed = bolt.CodeCommitFailed
	codeTxNotFound   = "Neo.ClientError.Transaction.TransactionNotFound"
	codeInvalid      = bolt.CodeInvalidRequest
	codeUnknown      = bolt.CodeUnknown
	codeForbidden    = bolt.CodeForbidden
	codeUnauthorized = bolt.CodeUnauthorized
)

// httpFailure is an error answer in Neo4j's shape.
type httpFailure struct {
	status  int
	code    string
	message string
}

var statusText = map[int]string{
	200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 413: "Content Too Large",
	417: "Expectation Failed", 429: "Too Many Requests", 431: "Request Header Fields Too Large", 502: "Bad Gateway", 503: "Service Unavailable",
	505: "HTTP Version Not Supported",
}

// answerFailure answers with an error. A 503 says when to come back.
func (c *httpConn) answerFailure(f httpFailure) error {
	c.front.stats.failed(f.code)
	if c.w.unit.line.failed(f.code); c.w.unit.line != nil {
		c.w.unit.line.status = f.status
	}
	body := append([]byte(nil), `{"errors":[{"code":`...)
	body = appendQuoted(body, f.code)
	body = append(body, `,"message":`...)
	body = appendQuoted(body, "boltgate: "+f.message)
	body = append(body, "}]}"...)
	extra := ""
	switch f.status {
	case 401:
		extra = "WWW-Authenticate: Basic realm=\"Neo4j\"\r\n"
	case 429, 503:
		extra = "Retry-After: " + strconv.Itoa(max(c.w.unit.retryAfter, 1)) + "\r\n"
	}
	return c.answerOwn(f.status, "application/json", extra, body)
}

// answerOwn sends an answer of the gate's own. A body of the request that was not read is read over when it is short, else
// the connection ends.
func (c *httpConn) answerOwn(status int, contentType, extra string, body []byte) error {
	if !c.discardBody() {
		c.closing, c.unread = true, true
	}
	out := append([]byte(nil), "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(append(out, ' '), statusText[status]...)
	out = append(append(out, "\r\nContent-Type: "...), contentType...)
	out = append(append(out, "\r\n"...), extra...)
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, "\r\n"...)
	out = c.appendConnection(out)
	out = append(out, "\r\n"...)
	if !c.w.unit.toHead {
		out = append(out, body...)
	}
	return c.write(out)
}

// appendConnection says whether the connection goes on, where the version's default does not.
func (c *httpConn) appendConnection(dst []byte) []byte {
	switch {
	case c.closing:
		return append(dst, "Connection: close\r\n"...)
	case c.w.req.minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

// answerBad answers a request that cannot be read, after which nothing more can be read either.
func (c *httpConn) answerBad(bad *headError) error {
	if c.w == nil || c.w.unit.answered {
		return nil
	}
	if bad.status == 413 {
		c.srv.counts.limit(limitedRequest)
	}
	c.closing = true
	c.w.req.body = noBody // what follows is not looked at
	return c.answerFailure(httpFailure{bad.status, codeInvalid, bad.text})
}

// discardBody reads over what is left of the request's body, as far as that is little. false: the connection cannot go on.
func (c *httpConn) discardBody() bool {
	w := c.w
	if c.closing || w.unit.held || w.req.body == noBody {
		return true
	}
	if w.unit.streamed || w.req.body == fixedBody && w.req.length > bufferSize || w.req.has(fExpect) {
		return false
	}
	var end bodyEnd
	end.start(&w.req)
	buf := getBuffer()
	defer putBuffer(buf)
	for left := bufferSize; ; {
		n, err := end.take(c.in[c.next:c.end])
		c.next += n
		if left -= n; err != nil || left < 0 {
			return false
		}
		if end.over() {
			return true
		}
		n, err = c.readClient(end.want(buf[:min(len(buf), max(left, 1))]))
		if err != nil {
			return false
		}
		c.next, c.end = c.start, c.start+copy(c.in[c.start:], buf[:n]) // the head is not needed any more
	}
}

// plainText is an error's text on one line, for the body of an answer.
func plainText(err error) string {
	if bad, ok := errors.AsType[*headError](err); ok {
		return bad.text
	}
	return err.Error()
}
