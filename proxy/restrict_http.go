package proxy

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/boltgate/boltgate/pool"
)

// This file owns what a client that may only read is refused over HTTP (design "Reads and writes"): methods but GET, HEAD and
// OPTIONS outside the endpoints of statements, and there every body that cannot be read with certainty, or of which one text
// is no read. restrict.go owns the same for Bolt.

// restricted tells whether the request's client may only read.
func (c *httpConn) restricted() bool {
	return c.w.set.Access == AccessReadOnly || c.gate != nil && c.gate.user.readOnly
}

// restrict holds the body of a request that may only read and looks at all of it. refused is true when it was answered.
func (c *httpConn) restrict(ctx context.Context) (refused bool, err error) {
	w := c.w
	u := &w.unit
	u.readOnly = true
	if why := c.refusesHead(); why != "" {
		return true, c.forbid(ctx, why)
	}
	if err := c.holdBody(); err != nil {
		return true, err
	}
	if why := c.refusesBody(); why != "" {
		return true, c.forbid(ctx, why)
	}
	return false, nil
}

// refusesHead says why a request is refused before its body is looked at; "" lets it go on.
func (c *httpConn) refusesHead() string {
	w := c.w
	head := c.head()
	for i := range w.req.fields {
		f := &w.req.fields[i]
		if f.known != fOther {
			continue
		}
		switch strings.ToLower(string(f.name.of(head))) {
		case "x-http-method-override", "x-http-method", "x-method-override":
			return "a header that names another method"
		}
	}
	method := string(w.req.method.of(head))
	switch {
	case w.unit.safe:
		if w.req.body != noBody {
			return method + " with a body"
		}
		return ""
	case !c.atStatements(method):
		return method + " outside the endpoints of statements"
	case !plainPath(w.req.target.of(head)):
		return "a path that servers may read in more than one way"
	}
	return c.refusesEncoding()
}

// atStatements tells whether the request may carry statements, or ends a transaction.
func (c *httpConn) atStatements(method string) bool {
	switch c.w.path.kind {
	case routeStatements, routeBegin:
		return method == "POST"
	case routeInside:
		return method == "POST" || method == "DELETE"
	}
	return false
}

// plainPath tells whether a path has nothing in it that servers decode, cut off or resolve: it leads where it seems to.
func plainPath(target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte("?"))
	for part := range bytes.SplitSeq(path, []byte("/")) {
		if len(bytes.Trim(part, ".")) == 0 && len(part) > 0 {
			return false
		}
		for _, c := range part {
			letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
			if !letter && c != '-' && c != '_' && c != '.' {
				return false
			}
		}
	}
	return true
}

// refusesEncoding looks at the headers that say how a body is to be read.
func (c *httpConn) refusesEncoding() string {
	w := c.w
	head := c.head()
	if coding := w.req.value(head, fContentEncoding); w.req.twice[fContentEncoding] || coding != nil && !equalFold(coding, "identity") {
		return "an encoded body"
	}
	if w.req.twice[fContentType] {
		return "more than one Content-Type"
	}
	given := w.req.value(head, fContentType)
	if given == nil {
		return ""
	}
	kind, rest, _ := strings.Cut(strings.ToLower(string(given)), ";")
	if kind = strings.TrimSpace(kind); kind != "application/json" && !strings.HasPrefix(kind, "application/vnd.neo4j.query") {
		return "a body that is not of type application/json"
	}
	for part := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(part, "=")
		if strings.TrimSpace(name) == "charset" && strings.Trim(strings.TrimSpace(value), `"`) != "utf-8" {
			return "a body in another character set than UTF-8"
		}
	}
	return ""
}

// refusesBody says why a held body is refused.
func (c *httpConn) refusesBody() string {
	u := &c.w.unit
	if u.safe {
		return ""
	}
	r := &bodyReader{route: c.w.path, scan: jsonScan{b: u.body}, text: func(text []byte) string {
		return c.front.refusesText(c.srv.current.View(), text)
	}}
	why := r.read()
	u.modeValue, u.bodyOpen, u.bodyBare = r.mode, r.open, r.bare
	return why
}

// bodyReader reads a body of statements as strictly as can be: what two parsers might read differently is refused.
type bodyReader struct {
	route httpRoute
	scan  jsonScan
	text  func([]byte) string // says why a text is refused
	why   string              // the first refusal

	mode span // Query API: the value of accessMode, quotes and all; empty when there is none
	open int  // behind the opening brace; 0: there is no body
	bare bool // the object has no members
}

func (r *bodyReader) refuse(why string) {
	if r.why == "" {
		r.why = why
	}
	r.scan.fail()
}

// read returns why the body is refused; "" when nothing speaks against it.
func (r *bodyReader) read() string {
	s := &r.scan
	if !utf8.Valid(s.b) {
		return "a body that is not UTF-8"
	}
	if s.space() == 0 && s.i == len(s.b) {
		return ""
	}
	r.open = s.i + 1
	r.bare = true
	r.members(func(key string) {
		r.bare = false
		switch {
		case r.route.query && key == "accessMode":
			s.space()
			from := s.i
			if _, escaped := s.str(); escaped {
				s.fail()
			}
			r.mode = span{uint32(from), uint32(s.i)}
		case r.route.query && key == "impersonatedUser":
			if s.space(); !s.null() {
				r.refuse(whyImpersonation)
			}
		case r.route.query && key == "statement", r.route.legacy && key == "query":
			r.statement()
		case !r.route.query && !r.route.legacy && key == "statements":
			s.elements(r.element)
		default:
			s.skip()
		}
	})
	if r.why == "" && !s.end() {
		return "a body that is not JSON, or not as statements are"
	}
	return r.why
}

// element reads one of "statements".
func (r *bodyReader) element() {
	n := 0
	r.members(func(key string) {
		if key != "statement" {
			r.scan.skip()
			return
		}
		n++
		r.statement()
	})
	if n != 1 {
		r.scan.fail()
	}
}

// maxKeys is how many members an object that is looked into may have.
const maxKeys = 64

// meaningful are the keys that the gate looks for.
var meaningful = [...]string{"statement", "statements", "query", "accessMode", "impersonatedUser"}

// members walks an object that is looked into: a key that is repeated, or is one that matters but for its case, is refused.
func (r *bodyReader) members(each func(key string)) {
	var seen []string
	r.scan.members(func(raw []byte) {
		key := string(raw)
		for _, k := range seen {
			if k == key {
				r.refuse(whyRepeatedKey)
				return
			}
		}
		if seen = append(seen, key); len(seen) > maxKeys {
			r.refuse(fmt.Sprintf("more than %d keys", maxKeys))
			return
		}
		for _, word := range meaningful {
			if key != word && strings.EqualFold(key, word) {
				r.refuse("a key that some parser may take for " + word)
				return
			}
		}
		each(key)
	})
}

// statement reads one query.
func (r *bodyReader) statement() {
	raw, escaped := r.scan.str()
	if r.scan.bad {
		return
	}
	if escaped {
		text, ok := appendUnescaped(make([]byte, 0, len(raw)), raw)
		if !ok {
			r.scan.fail()
			return
		}
		raw = text
	}
	if why := r.text(raw); why != "" {
		r.refuse(why)
	}
}

// null reads over null, if that comes next.
func (s *jsonScan) null() bool {
	if bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += len("null")
		return true
	}
	return false
}

// appendRestricted ends the head of a request whose client may only read, and appends the body, or leaves it in rest when it is
// long. Where a unit of work begins the member is told to refuse writes; versions that know no access mode read over the header.
func (c *httpConn) appendRestricted(out []byte) []byte {
	w := c.w
	u := &w.unit
	body := u.body
	begins := w.path.kind == routeStatements || w.path.kind == routeBegin
	switch {
	case w.path.query && (begins || !u.modeValue.empty()):
		body = u.withReadMode()
		if u.bodyOpen == 0 && !w.req.has(fContentType) {
			out = append(out, "Content-Type: application/json\r\n"...)
		}
	case begins:
		out = append(out, "Access-Mode: READ\r\n"...)
	}
	if len(body) > 0 || u.post {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	if len(out)+len(body) <= bufferSize {
		return append(out, body...)
	}
	w.rest = body
	return out
}

// withReadMode is a body of the Query API with the access mode Read, whatever it had.
func (u *httpUnit) withReadMode() []byte {
	b := u.body
	out := make([]byte, 0, len(b)+len(queryReadMode)+2)
	switch {
	case u.bodyOpen == 0:
		return append(out, `{"accessMode":"Read"}`...)
	case !u.modeValue.empty():
		out = append(append(out, b[:u.modeValue.from]...), `"Read"`...)
		return append(out, b[u.modeValue.to:]...)
	}
	mode := queryReadMode
	if u.bodyBare {
		mode = strings.TrimSuffix(mode, ",")
	}
	return append(append(append(out, b[:u.bodyOpen]...), mode...), b[u.bodyOpen:]...)
}

// forbid refuses the request. Its transaction, when it has one, ends, as after any error at a server.
func (c *httpConn) forbid(ctx context.Context, why string) error {
	user := ""
	if u := c.gateUser(); u != nil {
		user = u.name
	}
	c.srv.log.Debug("refused: only reads are allowed", "client", c.remote, "user", user, "why", why)
	if c.w.path.kind == routeInside && plainPath(c.w.req.target.of(c.head())) {
		c.rollBack(ctx)
	}
	return c.answerFailure(httpFailure{403, codeForbidden, strings.TrimPrefix(forbidden(why), "boltgate: ")})
}

// rollBack ends the transaction of the present request at its member, in the client's name. When that fails the member ends
// it after its own idle time.
func (c *httpConn) rollBack(ctx context.Context) {
	lease, err := c.borrow(ctx)
	if err != nil {
		return
	}
	clean := c.askRollBack(lease)
	if status := c.w.ans.status; clean && (status < 300 || status == 404) {
		c.srv.open.drop(c.insideTx())
	}
	lease.Release(clean)
}

// askRollBack sends the DELETE and reads over its answer; clean tells whether the connection can be used again.
func (c *httpConn) askRollBack(lease *pool.Lease) (clean bool) {
	w := c.w
	if w.answer == nil {
		w.answer = getBuffer()
	}
	lease.Link.SetDeadline(time.Now().Add(c.srv.options.Load().AskTimeout))
	w.aTo = 0
	n, _, err := lease.Link.Exchange(c.buildRollBack(), w.answer, true)
	for ; err == nil; n, err = lease.Link.Read(w.answer[w.aTo:]) {
		w.aTo += n
		if over, clean := c.rolledBack(); over || w.aTo == len(w.answer) {
			lease.Link.SetDeadline(time.Time{})
			return clean
		}
	}
	return false
}

// rolledBack tells whether the answer to the DELETE is there to its end, and whether the connection is in step behind it.
func (c *httpConn) rolledBack() (over, clean bool) {
	w := c.w
	if err := w.ans.parseAnswer(w.answer[:w.aTo], false); err != nil {
		return err != errShort, false
	}
	var end bodyEnd
	end.start(&w.ans)
	took, err := end.take(w.answer[w.ans.len:w.aTo])
	if err != nil || end.kind == untilClose {
		return true, false
	}
	return end.over(), end.over() && !w.ans.close && w.ans.len+took == w.aTo
}

func (c *httpConn) buildRollBack() []byte {
	w := c.w
	b := c.head()
	if w.out == nil {
		w.out = getBuffer()
	}
	t := w.req.target.of(b)
	out := append(append(w.out[:0], "DELETE "...), t[:w.path.id.from]...)
	out = append(append(out, w.unit.memberID(w.path.id.of(t))...), " HTTP/1.1\r\nHost: "...)
	if w.req.host.empty() {
		out = append(out, c.local...)
	} else {
		out = append(out, w.req.host.of(b)...)
	}
	out = append(out, "\r\n"...)
	if login := w.req.value(b, fAuthorization); c.gate != nil {
		out = append(out, c.gate.user.header...)
	} else if login != nil {
		out = append(append(append(out, "Authorization: "...), login...), "\r\n"...)
	}
	w.out = append(out, "\r\n"...)
	return w.out
}
