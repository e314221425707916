package proxy

import (
	"log/slog"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
)

// This file owns what is made of a commit in doubt (design rule 3): one log line, a count, an event.

// Doubt is one commit of which nobody can say whether it took place: its answer was lost, or the member itself does not know. The client was
// told so, and nothing of it is sent again.
type Doubt struct {
	At       time.Time
	Member   string
	DB       string // "" is the user's home database, or the only one
	User     string // as the client logged on; "" when there is no login
	Client   string // its address
	Protocol string // bolt or http
	Explicit bool   // at COMMIT; else an auto-commit query
	Code     string // what the member said; "" when its answer was lost
}

// doubted counts, logs and tells of d. The text of the query is not among it.
func (s *Server) doubted(d Doubt) {
	d.At = time.Now()
	s.counts.doubt.Add(1)
	attrs := []any{"member", d.Member, "db", d.DB, "user", d.User, "client", d.Client, "protocol", d.Protocol, "explicit", d.Explicit}
	if d.Code != "" {
		attrs = append(attrs, slog.String("code", d.Code))
	}
	s.log.Warn("outcome in doubt", attrs...)
	if s.OnDoubt != nil {
		s.OnDoubt(d)
	}
}

// doubted tells of the session's unit; code is what the member said.
func (s *boltSession) doubted(member, code string) {
	u := &s.unit
	s.srv.doubted(Doubt{Member: member, DB: u.intent.DB, User: s.user(), Client: s.remote, Protocol: "bolt", Explicit: u.explicit, Code: code})
}

// user is whom the client logged on as.
func (s *boltSession) user() string {
	switch {
	case s.gateUser != nil:
		return s.gateUser.name
	case s.identity != nil:
		return s.identity.User()
	}
	return ""
}

// noteDoubt looks at a FAILURE of the member for one that leaves a commit in doubt.
func (s *boltSession) noteDoubt(o owed, code string) (doubt bool) {
	s.mu.Lock()
	harmless := s.harmless()
	s.mu.Unlock()
	if o.tag == bolt.TagReset || o.tag == bolt.TagRollback || o.ends == bolt.TagRollback || harmless {
		return false
	}
	if rule(code, s.version, s.stepOf(o)) != doubtful {
		return false
	}
	s.doubted(s.lease.Member.Name, code)
	return true
}

// misleads tells whether a code of a commit in doubt is one that drivers take for a reason to try again: their transaction functions would do twice
// what was done after all.
func misleads(code string) bool {
	return strings.HasPrefix(code, "Neo.TransientError.") && !mutant.Is(mutant.DoubtIsRetryable)
}

// doubtMessage is what the client of such a commit is told of what its member said.
func doubtMessage(member, code string) string {
	return "member " + member + " said " + code + " at the commit; whether the transaction was committed is unknown. Look before you try again."
}

// doubted tells of the request, once: one that its member doubts may break off behind that. code is what the member said.
func (c *httpConn) doubted(member, code string) {
	w := c.w
	if w.unit.doubted {
		return
	}
	w.unit.doubted = true
	c.srv.doubted(Doubt{
		Member: member, DB: w.unit.intent.DB, User: c.userName(), Client: c.remote, Protocol: "http", Explicit: w.path.kind == routeInside, Code: code,
	})
}
