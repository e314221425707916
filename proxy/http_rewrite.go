package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what the gate changes in heads on their way: hop-by-hop headers go, forwarding headers come, ids of
// transactions get or lose their member's name. Everything else is copied as it was given.

// fieldSet is a set of known headers.
type fieldSet uint32

func (s fieldSet) has(f fieldName) bool      { return s>>f&1 != 0 }
func (s fieldSet) with(f fieldName) fieldSet { return s | 1<<f }

var (
	hopByHop = fieldSet(0).with(fConnection).with(fKeepAlive).with(fProxyConnection).with(fUpgrade).with(fTE)
	ofLength = fieldSet(0).with(fContentLength).with(fTransferEncoding)
)

// appendFields appends the header lines of h, whose bytes b are, without those in drop and those that Connection names.
func appendFields(dst []byte, h *httpHead, b []byte, drop fieldSet) []byte {
	from := h.first.to
	for i := range h.fields {
		f := &h.fields[i]
		if !drop.has(f.known) && (!h.named || f.known != fOther || !h.names(b, f.name.of(b))) {
			continue
		}
		dst = append(dst, b[from:f.line.from]...)
		from = f.line.to
	}
	return append(dst, b[from:h.len-2]...)
}

// names tells whether Connection names this header.
func (h *httpHead) names(b, name []byte) bool {
	for i := range h.fields {
		if h.fields[i].known != fConnection {
			continue
		}
		for item := range listItems(h.fields[i].value.of(b)) {
			if len(item) == len(name) && foldedEqual(item, name) {
				return true
			}
		}
	}
	return false
}

func foldedEqual(a, b []byte) bool {
	for i := range a {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// buildRequest puts the request's head into out, as it goes to m, and the body behind it when that is short.
func (c *httpConn) buildRequest(m *cluster.Member) {
	w := c.w
	u := &w.unit
	b := c.head()
	if w.out == nil {
		w.out = getBuffer()
	}
	out := append(w.out[:0], w.req.method.of(b)...)
	out = append(out, ' ')
	out = c.appendTarget(out, b)
	out = append(out, " HTTP/1.1\r\n"...)
	drop := hopByHop
	if u.held {
		drop |= ofLength.with(fExpect)
	}
	if c.gate != nil {
		drop = drop.with(fAuthorization)
	}
	if u.readOnly {
		drop = drop.with(fAccessMode)
	}
	if u.shortened {
		drop = drop.with(fMaxTime)
	}
	if c.looksInside() {
		drop = drop.with(fAcceptEncoding)
	}
	if given := w.req.value(b, fForwardedHost); len(given) > 0 && !forwardable(given) {
		drop = drop.with(fForwardedHost)
	}
	out = appendFields(out, &w.req, b, drop)
	out = u.appendTime(c.appendForwarding(out, b))
	w.rest = nil
	if u.held {
		out = c.appendHeld(out, m)
	} else {
		out = append(out, "\r\n"...)
	}
	w.out = out
}

// appendHeld ends the head of a request whose body was held, and appends the body, or leaves it in rest when it is long.
// A read that we judged tells the member so where the member's version can be told.
func (c *httpConn) appendHeld(out []byte, m *cluster.Member) []byte {
	w := c.w
	u := &w.unit
	if u.readOnly && !u.safe {
		return c.appendRestricted(out)
	}
	tell := u.judged && c.takesMode(m)
	body := u.body
	var added additions
	switch {
	case tell && w.path.query && u.texts.open > 0:
		added = c.additions()
	case tell && !w.path.query:
		out = append(out, "Access-Mode: READ\r\n"...)
		out = u.appendBookmarksHeader(out)
	}
	length := len(body) + added.length()
	if length > 0 || u.post {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, int64(length), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	switch {
	case len(out)+length <= bufferSize:
		return added.appendTo(out, body)
	case added.length() > 0:
		w.rest = added.appendTo(make([]byte, 0, length), body)
	default:
		w.rest = body
	}
	return out
}

// takesMode tells whether m is of a version whose HTTP knows an access mode: 5.0 and newer.
func (c *httpConn) takesMode(m *cluster.Member) bool {
	s := c.srv.current.View().Member(m.Name)
	if s == nil {
		return false
	}
	version, ok := strings.CutPrefix(s.Agent, "Neo4j/")
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return ok && err == nil && n >= 5
}

// looksInside tells whether the gate has to read the answer's body.
func (c *httpConn) looksInside() bool {
	switch c.w.path.kind {
	case routeStatements, routeBegin, routeInside:
		return true
	}
	return false
}

func (c *httpConn) appendTarget(out, b []byte) []byte {
	w := c.w
	t := w.req.target.of(b)
	if w.path.kind != routeInside || w.unit.pinned == nil {
		return append(out, t...)
	}
	out = append(out, t[:w.path.id.from]...)
	out = append(out, w.unit.memberID(w.path.id.of(t))...)
	return append(out, t[w.path.id.to:]...)
}

// appendForwarding appends what tells the member who asks, and by which address, so that its URLs lead back to us.
func (c *httpConn) appendForwarding(out, b []byte) []byte {
	w := c.w
	if !w.req.has(fHost) {
		out = append(out, "Host: "...)
		if w.req.host.empty() {
			out = append(out, c.local...)
		} else {
			out = append(out, w.req.host.of(b)...)
		}
		out = append(out, "\r\n"...)
	}
	if c.gate != nil {
		out = append(out, c.gate.user.header...)
	}
	out = append(out, c.forwarded...)
	if host := w.req.host.of(b); !w.req.has(fForwardedHost) && len(host) > 0 && forwardable(host) {
		out = append(out, "X-Forwarded-Host: "...)
		out = append(out, w.req.host.of(b)...)
		out = append(out, "\r\n"...)
	}
	if !w.req.has(fForwardedProto) {
		if c.tls {
			out = append(out, "X-Forwarded-Proto: https\r\n"...)
		} else {
			out = append(out, "X-Forwarded-Proto: http\r\n"...)
		}
	}
	if !w.req.has(fRequestID) {
		out = append(out, "X-Request-ID: "...)
		out = c.appendRequestID(out)
		out = append(out, "\r\n"...)
	}
	return out
}

// forwardable tells whether a member can be given this as X-Forwarded-Host. Seen on 5.26.30: it reads the value as a URI, so
// that host:port passes only where the host could be a scheme, and 10.0.0.1:7474 is answered with 500. The URLs come out
// right all the same, for Host is passed on as it is and those of transactions are rewritten here.
func forwardable(host []byte) bool {
	name, _, port := bytes.Cut(host, []byte{':'})
	if !port {
		return host[0] != '['
	}
	for i, c := range name {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return false
		}
	}
	return len(name) > 0
}

// queryReadMode is added to a Query API body that we judged a read; the member then refuses to write.
const queryReadMode = `"accessMode":"Read",`
