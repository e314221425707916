package proxy

import (
	"bytes"
	"context"
	"hash/maphash"
	"time"
	"unicode/utf8"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the decision what a request needs (design "Reads and writes"): what it declares, and else what its
// method or its statements say.

// httpUnit is the unit of work that a request is.
type httpUnit struct {
	intent    routing.Intent
	declared  declaration
	because   because
	readOnly  bool            // its client may only read: members are told so, wherever it goes
	judged    bool            // we took it for a read: the member is told so where it can be, and may refuse
	moved     bool            // we judged, not the operator: it has to see what its scope has seen
	safe      bool            // GET, HEAD or OPTIONS: can be sent again
	post      bool            // the method is POST
	toHead    bool            // the method is HEAD: the answer has no body
	body      []byte          // the body, when it was held whole
	held      bool            // body is all of it, decoded
	streamed  bool            // the body is passed on as it comes
	texts     statements      // what the body says; looked at only when needed
	verdicts  *cypher.Cache   // by which texts are judged; nil: by the built-in table
	modeValue span            // readOnly, Query API: where body says accessMode; empty when it does not
	bodyOpen  int             // readOnly: behind the brace with which body begins; 0 when it is empty
	bodyBare  bool            // readOnly: there is nothing between the braces
	pinned    *cluster.Member // of an explicit transaction
	member    string          // that is serving it

	tried     []*cluster.Member
	triedRoom [4]*cluster.Member
	tries     int
	timeout   time.Duration // max-execution-time: how long the client gives the request; 0 no limit
	deadline  time.Time     // when that has passed since it was first sent; zero: never, or not sent yet
	denied    bool          // only failover.retry_budget kept it from another try
	rebuffs   int           // how often a member refused it before it did anything
	until     time.Time     // when such a request stops looking for a member that takes it; zero before the first refusal
	forgiveAt time.Time     // when those that refused it may be asked again; zero: at the next View
	ticket    uint64        // its place among those that wait; 0 before it first had to
	own       []ownMark     // bookmarks that we add, where the member takes them
	ownRoom   [4]ownMark
	markRoom  [maxMarks]bolt.Position // of intent.Marks
	lateAt    time.Time               // when a member without an answer is too late to get them; zero: whenever it comes
	told      bool                    // the answer said what the write committed
	writing   *marks                  // of the user whose write this is, until its end is noted
	waited    time.Duration           // for members, in all tries
	answered  bool                    // bytes of a final answer are on their way to the client
	doubted   bool                    // it was told of as in doubt

	txID    string    // of the explicit transaction that it began, as its member knows it
	txStays bool      // the transaction is open behind the answer,
	txUntil time.Time // and until then, when nothing more is heard of it

	readsSince time.Time // when it, or the explicit transaction that it is in, began as a read to which its member holds it; zero: it may write

	limits     *unitLimits // nil: there are none
	places     heldPlaces  // where the limits have some
	shortened  bool        // timeout is ours: the client's was longer, or it gave none
	bytes      int64       // of the answer, so far; counted where limits have some
	retryAfter int         // seconds, of a refusal; 0 means 1

	line       *accessLine  // nil while the access log is off, and the unit has no spans
	trace      otlp.Context // that its client named
	traceState string       // of that; only where spans are sent

	shapes  shapes // of its texts; none: it has none, or they were not looked at
	queries *querystats.Table
}

func (u *httpUnit) reset() {
	*u = httpUnit{}
	u.tried = u.triedRoom[:0]
}

// declaration is what a client says of its work.
type declaration uint8

const (
	undeclared declaration = iota
	declaredRead
	declaredWrite
)

// and joins two declarations; those that disagree make a write.
func (d declaration) and(o declaration) declaration {
	switch {
	case d == undeclared:
		return o
	case o == undeclared || o == d:
		return d
	}
	return declaredWrite
}

// decide fills in the unit's intent. An error is the client's end while the leader was asked what a read has to see.
func (c *httpConn) decide(ctx context.Context) error {
	w := c.w
	u := &w.unit
	u.intent = routing.Intent{DB: c.database(), Now: time.Now()}
	u.verdicts, u.queries = c.front.verdicts(c.srv.current.View()), c.srv.queries
	u.declared = c.declaration()
	c.place()
	set := w.set
	switch {
	case w.path.kind == routeStatic:
		u.intent.Mode, u.because = routing.Read, becauseAny
	case u.declared != undeclared:
		if u.because = becauseDeclared; u.declared == declaredRead {
			u.intent.Mode = routing.Read
		}
	case set.Access == AccessWrite:
		u.because = becauseFrontend
	case set.Undeclared == UndeclaredRead && set.Access == AccessAny:
		u.intent.Mode, u.because = routing.Read, becauseUndeclared
	case set.Undeclared == UndeclaredLeader && set.Access == AccessAny:
		u.because = becauseUndeclared
	default:
		u.because = c.judge()
	}
	if u.pinned != nil {
		u.because = becauseTransaction
	}
	return c.carry(ctx)
}

// judge decides for work that nobody declared, and says by what.
func (c *httpConn) judge() because {
	w := c.w
	u := &w.unit
	read, by := c.looksLikeRead()
	if !read {
		return by
	}
	if w.req.has(fAccessMode) { // one that we do not know
		return becauseDeclared
	}
	stays := c.staysAtLeader()
	if stays == becauseRefusedBefore {
		return stays
	}
	u.intent.Mode, u.judged = routing.Read, !u.safe
	if stays != becauseNothing { // still a read: when that leader is lost nothing is in doubt
		u.intent.AtLeader = true
		return stays
	}
	u.moved = w.set.Access != AccessRead
	return by
}

// looksLikeRead tells whether undeclared work is a read, and what says so.
func (c *httpConn) looksLikeRead() (read bool, by because) {
	w := c.w
	u := &w.unit
	switch w.path.kind {
	case routeStatements:
		t := u.readTexts(w.path)
		if t.users {
			c.srv.logins.forgetAll()
		}
		switch {
		case t.read && t.oneMember:
			return false, becauseOneMember
		case t.read && t.strays():
			return false, becauseSeveral
		}
		return t.read, becauseText
	case routeBegin:
		if w.set.Access == AccessRead || u.readOnly {
			return true, becauseFrontend
		}
		return false, becauseTransaction
	}
	if w.path.users && !u.safe {
		c.srv.logins.forgetAll()
	}
	return u.safe, becauseMethod
}

// staysAtLeader tells why an undeclared read may not leave the leader on our own judgement: this very body was refused as a write
// before, or nothing could tell a member what the read has to see. becauseNothing: it may.
func (c *httpConn) staysAtLeader() because {
	u := &c.w.unit
	switch {
	case c.w.set.Access == AccessRead:
	case u.held && c.srv.writes.contains(u.body):
		return becauseRefusedBefore
	case c.w.set.Causality == CausalityCluster && !c.takesBookmarks():
		return becauseCausality
	}
	return becauseNothing
}

// declaration reads X-Write, Access-Mode and, of the Query API, accessMode.
func (c *httpConn) declaration() declaration {
	d := undeclared
	w := c.w
	head := c.head()
	if w.req.has(fXWrite) || w.req.has(fAccessMode) {
		for i := range w.req.fields {
			f := &w.req.fields[i]
			v := f.value.of(head)
			switch {
			case f.known == fXWrite && string(v) == "1", f.known == fAccessMode && equalFold(v, "write"):
				d = d.and(declaredWrite)
			case f.known == fXWrite && string(v) == "0", f.known == fAccessMode && equalFold(v, "read"):
				d = d.and(declaredRead)
			}
		}
	}
	if w.path.query && w.unit.held {
		d = d.and(w.unit.readTexts(w.path).mode)
	}
	return d
}

// database is the name of the database in the path; "" when there is none.
func (c *httpConn) database() string {
	w := c.w
	name := w.path.db.of(w.req.target.of(c.head()))
	if len(name) == 0 {
		return ""
	}
	if w.path.escaped {
		return string(appendUnpercent(nil, name))
	}
	if string(name) != c.lastDB {
		c.lastDB = string(name)
	}
	return c.lastDB
}

// statements is what the texts of one body come to. The zero value is what is assumed of a body that cannot be read.
type statements struct {
	known     bool // the body was looked at
	whole     bool // it is JSON that can be read in one way only
	read      bool // every text is a read
	clean     bool // the body is JSON that can be read in one way only, and no text commits by itself
	oneMember bool
	system    bool
	users     bool
	changes   bool        // databases or aliases may come or go
	used      string      // the database that a USE names
	useless   bool        // a text has no USE
	unsure    bool        // a USE names its database in a way that only a server can read, or another than the one before
	open      int         // Query API: where in the body members may be added; 0 nowhere
	given     span        // Query API: the elements of bookmarks, in the body; empty: none
	marks     bool        // Query API: there is a member bookmarks
	mode      declaration // Query API: accessMode

	verdicts *cypher.Cache // by which texts are judged

	queries *querystats.Table // nil: shapes are not asked for
	shapes  shapes

	explain bool   // reason and at are wanted
	reason  string // what decided in the first text that is no read, else in the last
	at      string // and where
}

// readTexts reads the statements of a held body; once.
func (u *httpUnit) readTexts(r httpRoute) statements {
	if u.texts.known {
		return u.texts
	}
	u.texts = statements{known: true, verdicts: u.verdicts, queries: u.queries, explain: u.line != nil}
	if u.held && !u.texts.scan(u.body, r) {
		u.texts = statements{known: true, whole: u.texts.whole, mode: u.texts.mode, shapes: u.texts.shapes}
	}
	return u.texts
}

// scan is false when the body cannot be read with certainty.
func (t *statements) scan(body []byte, r httpRoute) bool {
	if !utf8.Valid(body) {
		return false
	}
	t.read, t.clean = true, true
	texts := 0
	seen := uint(0)
	s := jsonScan{b: body}
	once := func(bit uint) {
		if seen&bit != 0 { // parsers differ on which one counts
			s.fail()
		}
		seen |= bit
	}
	s.members(func(key []byte) {
		switch {
		case r.query && string(key) == "accessMode":
			once(1)
			t.readMode(&s)
		case r.query && string(key) == "bookmarks":
			once(4)
			t.readMarks(&s)
		case r.query && string(key) == "statement", r.legacy && string(key) == "query":
			once(2)
			texts++
			t.text(&s)
		case !r.query && !r.legacy && string(key) == "statements":
			once(2)
			s.elements(func() { texts += t.statement(&s) })
		default:
			s.skip()
		}
	})
	t.open = 1 + bytes.IndexByte(body, '{')
	if texts == 0 && !r.query {
		t.open = 0
	}
	t.whole = s.end()
	return t.whole && texts > 0
}

func (t *statements) readMode(s *jsonScan) {
	raw, escaped := s.str()
	switch {
	case escaped:
		s.fail()
	case bytes.EqualFold(raw, []byte("read")):
		t.mode = declaredRead
	case bytes.EqualFold(raw, []byte("write")):
		t.mode = declaredWrite
	}
}

// readMarks finds the elements of bookmarks; they stay the member's to judge.
func (t *statements) readMarks(s *jsonScan) {
	t.marks = true
	if s.space() != '[' {
		s.skip()
		return
	}
	from := s.i + 1
	s.skip()
	if !s.bad {
		t.given = span{uint32(from), uint32(s.i - 1)}
	}
}

// statement reads one element of "statements" and returns how many texts it has: one, or it is not as it should be.
func (t *statements) statement(s *jsonScan) int {
	n := 0
	s.members(func(key []byte) {
		if string(key) != "statement" {
			s.skip()
			return
		}
		n++
		t.text(s)
	})
	if n != 1 {
		s.fail()
	}
	return n
}

// text classifies one query.
func (t *statements) text(s *jsonScan) {
	raw, escaped := s.str()
	if s.bad {
		return
	}
	if escaped {
		buf := getBuffer()
		defer putBuffer(buf)
		text, ok := appendUnescaped(buf[:0], raw)
		if !ok {
			s.fail()
			return
		}
		raw = text
	}
	if t.queries != nil {
		t.shapes.add(t.queries.ID(raw))
	}
	v := t.verdicts.Classify(raw)
	if t.explain && t.read {
		t.reason, t.at = v.Reason, cypher.Place(raw, v)
	}
	t.read = t.read && v.Access == cypher.Read
	t.use(v, raw)
	t.clean = t.clean && !v.SelfCommitting
	t.oneMember = t.oneMember || v.OneMember
	t.system = t.system || v.System
	t.users = t.users || v.UserCommand
	t.changes = t.changes || v.System && v.Access == cypher.Write && !v.UserCommand
}

// resendable tells whether the work may be done twice without harm: it is safe by its method, or all its texts are reads
// that the member cannot take for anything else.
func (u *httpUnit) resendable(r httpRoute) bool {
	if u.safe && r.kind != routeInside {
		return true
	}
	if r.kind != routeStatements || !u.held || u.intent.Mode != routing.Read {
		return false
	}
	t := u.readTexts(r)
	return t.read && t.clean
}

// hashSeed is the seed of the hashes of credentials and texts.
var hashSeed = maphash.MakeSeed()
