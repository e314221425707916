package proxy

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
)

// This file owns what a client that may only read is refused over Bolt: one of a frontend with access: read-only, or a gate
// user who may only read (design "Reads and writes"). Nothing of a refused request reaches a member. What is let through is
// sent with mode "r" besides, where the version has it (3 on), so that a member of 4.0 or newer refuses what the look at a text has missed.
// restrict_http.go owns the same for HTTP.

// restricted tells whether the session's client may only read.
func (s *boltSession) restricted() bool {
	return s.front.settings.Load().Access == AccessReadOnly || s.gateUser != nil && s.gateUser.readOnly
}

// carefully is the table by which texts are refused: the operator's word on procedures, and of what members listed only what
// makes a procedure a write.
func (f *frontend) carefully(v *cluster.View) *cypher.Cache {
	f.verdicts(v)
	t := f.tables.Load()
	t.once.Do(func() { t.careful = cypher.NewCache(t.both.Procedures().Careful()) })
	return t.careful
}

// refusesText says why a text is refused; "" lets it through.
func (f *frontend) refusesText(v *cluster.View, text []byte) string {
	verdict := f.carefully(v).Classify(text)
	if verdict.Access == cypher.Read {
		return ""
	}
	if strings.HasPrefix(verdict.Reason, "procedure outside") {
		return verdict.Reason + "; the gate's operator can call it a read in routing.procedures"
	}
	return verdict.Reason
}

// forbidden is the message of every refusal.
func forbidden(why string) string {
	return "boltgate: only reads are allowed here, and this is refused: " + why
}

const (
	whyImpersonation = "impersonation"
	whyRepeatedKey   = "a key that is repeated"
	whyUnreadable    = "a request that cannot be read with certainty"
)

// refusesOpening says why a RUN or BEGIN that opens a unit of work is refused. payload is all of the message.
func (s *boltSession) refusesOpening(tag byte, payload []byte, o opening) string {
	if s.version >= bolt.V3 {
		if why := refusesExtra(o.extra); why != "" {
			return why
		}
	}
	switch {
	case o.length != len(payload):
		return whyUnreadable
	case tag == bolt.TagBegin, s.version < bolt.V3 && (isText(o.query, "BEGIN") || isText(o.query, "ROLLBACK")):
		return ""
	}
	return s.front.refusesText(s.srv.current.View(), o.query)
}

// refusesExtra looks for what nobody may ask for here, and for keys of which a server may take another than we do.
func refusesExtra(extra []byte) string {
	d := packstream.NewDecoder(extra)
	if d.Kind() != packstream.KindMap {
		return whyUnreadable
	}
	var room [16][]byte
	seen := room[:0]
	for range d.Map() {
		key := d.String()
		for _, k := range seen {
			if bytes.Equal(k, key) {
				return whyRepeatedKey
			}
		}
		if len(seen) == cap(seen) { // no version has that many, and telling all apart would take long
			return whyUnreadable
		}
		seen = append(seen, key)
		if string(key) == "imp_user" && d.Kind() != packstream.KindNull {
			return whyImpersonation
		}
		d.Skip()
	}
	if d.Err() != nil {
		return whyUnreadable
	}
	return ""
}

// refusesRun says why a RUN inside a transaction, whole and with its chunk headers, is refused.
func (s *boltSession) refusesRun(raw []byte) string {
	payload, _ := bolt.Payload(raw, nil)
	o, err := s.parseOpening(bolt.TagRun, payload)
	switch {
	case err != nil || o.length != len(payload):
		return whyUnreadable
	case s.version < bolt.V3 && (isText(o.query, "COMMIT") || isText(o.query, "ROLLBACK")):
		return ""
	case s.version >= bolt.V3:
		if why := refusesExtra(o.extra); why != "" {
			return why
		}
	}
	return s.front.refusesText(s.srv.current.View(), o.query)
}

// mayPass tells whether the request at the inbox's start, in a transaction, may go to the member without run looking at it
// first. A RUN of a client that may only read has to be there whole, and read. Both run and a pump ask.
func (s *boltSession) mayPass(tag byte) bool {
	if tag != bolt.TagRun || !s.restricted() {
		return true
	}
	return s.in.complete() && s.in.walked <= bufferSize && s.refusesRun(s.in.message()) == ""
}

// forwardChecked is forward for a RUN of a client that may only read: it is held until it can be read.
func (s *boltSession) forwardChecked() error {
	limit := s.srv.options.Load().RequestLimit
	for !s.in.complete() {
		if s.in.full(limit) {
			s.srv.counts.limit(limitedRequest)
			return s.refuseInside(fmt.Sprintf("a request larger than limits.request (%d bytes) cannot be read", limit))
		}
		if err := s.readMore(limit + bufferSize); err != nil {
			return err
		}
	}
	if why := s.refusesRun(s.in.message()); why != "" {
		return s.refuseInside(why)
	}
	return s.forward()
}

// refuseInside refuses the request at the inbox's start and ends its transaction, as a failure at a server does.
func (s *boltSession) refuseInside(why string) error {
	s.recoverLease()
	if err := s.discardRequest(); err != nil {
		return err
	}
	return s.refuse(why)
}

// refuse answers with the failure of a refusal; the request itself is done with.
func (s *boltSession) refuse(why string) error {
	s.srv.log.Debug("refused: only reads are allowed", "session", s.id, "client", s.remote, "user", s.userName(), "why", why)
	s.fail(bolt.CodeForbidden, forbidden(why))
	if s.unit.line.failed(bolt.CodeForbidden); s.unit.line == nil {
		s.refusedLine(bolt.CodeForbidden, why)
	}
	return nil
}

// refuseOpening is refuse for the request at the inbox's start, which opens a unit of work.
func (s *boltSession) refuseOpening(why string) error {
	s.in.drop()
	s.in.unpin()
	return s.refuse(why)
}

// deniedAfterAll is what a member said that had to refuse as a write what we let through: the client is told as if it had
// been refused here, for drivers take the member's own word for a change of leaders.
func (s *boltSession) deniedAfterAll(f *bolt.Failure) bool {
	return s.unit.readOnly && (f.Code == bolt.CodeNotALeader || f.Code == bolt.CodeReadOnlyDatabase)
}
