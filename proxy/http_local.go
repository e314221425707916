package proxy

import (
	"bytes"
	"context"
	"net"
	"slices"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what the gate answers for the whole cluster: the discovery document and the members' role endpoints.

// serveLocally answers what no member has to be asked for; done is false for everything else.
func (c *httpConn) serveLocally(ctx context.Context) (done bool, err error) {
	w := c.w
	u := &w.unit
	switch {
	case c.wantsWebSocket():
		return true, c.serveWebSocket(ctx)
	case c.front.settings.Load().Protocols.NoHTTP:
		return true, c.answerFailure(httpFailure{404, codeInvalid, "this address does not serve HTTP"})
	case w.path.kind == routeRoot && u.safe && c.wantsDocument():
		return true, c.answerDiscovery()
	case w.path.kind == routeRole && u.safe && c.front.router().Policy.Member == "": // else that member's own answer is asked for
		return c.answerRole()
	case w.path.kind == routeInside && !c.pin():
		return true, c.unknownTx()
	}
	return false, nil
}

// wantsDocument tells whether a GET / asks for the document; a browser, which asks for HTML, is led to /browser/ by a member.
func (c *httpConn) wantsDocument() bool {
	accept := c.w.req.value(c.head(), fAccept)
	if bytes.Contains(accept, []byte("json")) {
		return true
	}
	return !bytes.Contains(accept, []byte("html"))
}

// answerDiscovery answers GET /: a member's document, with the address that the client used in all URLs of its own.
func (c *httpConn) answerDiscovery() error {
	document := c.srv.current.View().Discovery
	if document == nil {
		return c.answerFailure(httpFailure{503, codeLeaderSwitch, "no member has answered a discovery request yet"})
	}
	address := c.ownAddress()
	return c.answerOwn(200, "application/json", "Vary: Accept\r\n", rewriteDiscovery(document, address, c.scheme() == "https"))
}

// ownAddress is host:port as the client should use it: advertise, else what it used.
func (c *httpConn) ownAddress() string {
	if own := c.w.set.Advertise; len(own) > 0 {
		return own[0]
	}
	host := string(c.hostUsed())
	if host == "" {
		return c.local
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if c.scheme() == "https" { // Bolt's default port is another one, so it is always said
		return host + ":443"
	}
	return host + ":80"
}

// rewriteDiscovery puts address into the URLs of a discovery document. Only those at its top level are the member's own; an
// identity provider's, further in, stay.
func rewriteDiscovery(document []byte, address string, secure bool) []byte {
	out := make([]byte, 0, len(document)+256)
	var walk jsonWalk
	for p := document; len(p) > 0; {
		n, ev := walk.next(p)
		if ev != jsonStringEnd {
			out = append(out, p[:n]...)
		} else {
			out = appendOwnURL(out, p[:n], address, secure)
		}
		p = p[n:]
		if ev == jsonValue && p[0] == '"' && walk.depth == 1 {
			walk.tellEnd = true
		}
	}
	return out
}

var ownSchemes = []struct{ scheme, secure string }{
	{"http", "https"}, {"bolt", "bolt+s"}, {"neo4j", "neo4j+s"},
}

// appendOwnURL appends a JSON string; one that is a URL of Neo4j's with address and scheme of ours.
func appendOwnURL(dst, quoted []byte, address string, secure bool) []byte {
	scheme, rest, ok := bytes.Cut(quoted[1:], []byte("://"))
	if !ok {
		return append(dst, quoted...)
	}
	for _, s := range ownSchemes {
		base := string(scheme)
		if base != s.scheme && base != s.secure && base != s.scheme+"+ssc" {
			continue
		}
		name := s.scheme
		if secure {
			name = s.secure
		}
		dst = append(append(append(dst, '"'), name...), "://"...)
		dst = append(dst, address...)
		end := bytes.IndexAny(rest, `/?#"`)
		return append(dst, rest[max(end, 0):]...)
	}
	return append(dst, quoted...)
}

// answerRole answers a role endpoint for the whole cluster. Those with more to say than yes or no are the leader's to
// answer, and so are those of another kind of cluster than this.
func (c *httpConn) answerRole() (done bool, err error) {
	w := c.w
	path := w.req.target.of(c.head())
	view := c.srv.current.View()
	yes, known := clusterRole(view, string(w.path.base.of(path)), string(w.path.role.of(path)), c.database())
	if !known {
		w.path.kind = routeOther
		return false, nil
	}
	text := roleText(string(w.path.base.of(path)), string(w.path.role.of(path)), yes, view)
	status := 200
	if !yes {
		status = 404
	}
	return true, c.answerOwn(status, "text/plain", "", []byte(text))
}

// clusterRole is the answer of the cluster as one server; known is false for endpoints that it has not.
func clusterRole(v *cluster.View, base, role, db string) (yes, known bool) {
	kinds := map[string][]cluster.Generation{
		"ha": {cluster.HA}, "core": {cluster.Causal}, "read-replica": {cluster.Causal}, "causalclustering": {cluster.Causal},
		"cluster": {cluster.Causal, cluster.Autonomous},
	}
	if !slices.Contains(kinds[base], v.Generation) {
		return false, false
	}
	reads, replicas, up := false, false, false
	for s := range v.Readers(db) {
		reads = true
		replicas = replicas || s.Role(db) == cluster.Replica
	}
	for range v.Up() {
		up = true
	}
	writes := v.Leader(db) != nil
	switch role {
	case "writable", "master":
		return writes, true
	case "read-only", "slave":
		return reads, true
	case "available":
		if base == "read-replica" {
			return replicas, true
		}
		return up && (writes || reads), true
	}
	return false, false
}

// roleText is the body that servers have: true or false, and for HA's available the role.
func roleText(base, role string, yes bool, v *cluster.View) string {
	switch {
	case base == "ha" && role == "available" && !yes:
		return "UNKNOWN"
	case base == "ha" && role == "available" && v.Leader("") != nil:
		return "master"
	case base == "ha" && role == "available":
		return "slave"
	case yes:
		return "true"
	}
	return "false"
}
