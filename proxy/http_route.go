package proxy

import "bytes"

// This file owns what a request's path says (facts of Neo4j, "HTTP surfaces"): which endpoint, database and transaction.

// routeKind is the kind of endpoint.
type routeKind uint8

const (
	routeOther      routeKind = iota // by its method
	routeRoot                        // the discovery document
	routeStatements                  // statements that commit with the request: tx/commit, query/v2, cypher
	routeBegin                       // opens an explicit transaction
	routeInside                      // of an explicit transaction: statements, keep-alive, commit, rollback
	routeRole                        // describes the member's role
	routeStatic                      // the same at every member: the Browser's files
)

// httpRoute is a path that was read. Its spans count from the path's start.
type httpRoute struct {
	kind     routeKind
	db       span // the database's name as the path has it; empty before 4.0
	id       span // of the transaction; routeInside only
	role     span // the last segment; routeRole only
	base     span // the segment before it: ha, core, cluster, …
	commit   bool // routeInside: the transaction ends with this request
	query    bool // of the Query API
	legacy   bool // /db/data/cypher, whose body differs
	escaped  bool // db has % in it
	users    bool // of users and their passwords, before 4.0
	segments int
}

const maxSegments = 8

// parseRoute reads the path of a target that begins with a slash, or is "*".
func parseRoute(target []byte) (r httpRoute) {
	path := target
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	var room [maxSegments]span
	s, ok := segmentsOf(path, &room)
	r.segments = len(s)
	word := func(i int, w string) bool { return i < len(s) && string(s[i].of(path)) == w }
	switch {
	case !ok:
	case len(s) == 0:
		r.kind = routeRoot
	case word(0, "browser"), word(0, "favicon.ico"):
		r.kind = routeStatic
	case word(0, "user"):
		r.users = true
	case word(0, "dbms") && word(1, "cluster") && len(s) == 3:
		r.kind, r.base, r.role = routeRole, s[1], s[2]
	case !word(0, "db") || len(s) < 3:
	case word(1, "manage"):
		if word(2, "server") && len(s) == 5 {
			r.kind, r.base, r.role = routeRole, s[3], s[4]
		}
	case word(1, "data") && word(2, "transaction"):
		r.transaction(path, s[3:])
	case word(1, "data") && word(2, "cypher") && len(s) == 3:
		r.kind, r.legacy = routeStatements, true
	default:
		r.database(path, s)
	}
	return r
}

// database reads the paths of 4.0 and newer: /db/{name}/…
func (r *httpRoute) database(path []byte, s []span) {
	is := func(i int, w string) bool { return i < len(s) && string(s[i].of(path)) == w }
	switch {
	case is(2, "tx"):
		r.transaction(path, s[3:])
	case is(2, "query") && is(3, "v2"):
		r.query = true
		if len(s) == 4 {
			r.kind = routeStatements
		} else if is(4, "tx") {
			r.transaction(path, s[5:])
		}
	case is(2, "cluster") && len(s) == 4:
		r.kind, r.base, r.role = routeRole, s[2], s[3]
	default:
		return
	}
	r.db = s[1]
	r.escaped = bytes.IndexByte(r.db.of(path), '%') >= 0
}

// transaction reads what follows …/tx.
func (r *httpRoute) transaction(path []byte, s []span) {
	switch {
	case len(s) == 0:
		r.kind = routeBegin
	case len(s) == 1 && string(s[0].of(path)) == "commit" && !r.query:
		r.kind = routeStatements
	case len(s) == 1:
		r.kind, r.id = routeInside, s[0]
	case len(s) == 2 && string(s[1].of(path)) == "commit":
		r.kind, r.id, r.commit = routeInside, s[0], true
	}
}

// segmentsOf splits a path. ok is false for one that is too deep or has empty segments, other than behind a last slash.
func segmentsOf(path []byte, room *[maxSegments]span) (s []span, ok bool) {
	s = room[:0]
	for i := 1; i < len(path); {
		n := bytes.IndexByte(path[i:], '/')
		if n < 0 {
			n = len(path) - i
		}
		if n == 0 || len(s) == maxSegments {
			return nil, false
		}
		s = append(s, span{uint32(i), uint32(i + n)})
		i += n + 1
	}
	return s, len(path) > 0 && path[0] == '/'
}

// appendUnpercent appends a path segment with its % escapes decoded.
func appendUnpercent(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) { // the parser has checked the digits
			dst = append(dst, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}
