package proxy

import (
	"time"
	"unsafe"

	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// This file owns how long HTTP requests with queries take, by the shape of their first text. Texts are read where the choice of a member needs
// them anyway; of a request that declares what it is only the first text is looked for, at the beginning of its body. One that is passed on
// as it comes has no shape.

const lookedForText = 64 << 10 // of a body

// noteQuery finds the shape of the request that was just decided on.
func (c *httpConn) noteQuery() {
	w := c.w
	u := &w.unit
	switch w.path.kind {
	case routeStatements, routeBegin, routeInside:
	default:
		return
	}
	if u.texts.known {
		u.query = u.texts.query
	} else if u.held {
		t := firstText{path: w.path, queries: c.srv.queries}
		t.look(u.body[:min(len(u.body), lookedForText)])
		u.query = t.query
	}
	c.texted.Store(uint32(u.query))
}

// firstText looks for the first text in a body, and no further.
type firstText struct {
	path    httpRoute
	queries *querystats.Table
	query   querystats.ID
}

func (t *firstText) look(body []byte) {
	s := jsonScan{b: body}
	s.members(func(key []byte) {
		switch {
		case t.path.query && string(key) == "statement", t.path.legacy && string(key) == "query":
			t.text(&s)
		case !t.path.query && !t.path.legacy && string(key) == "statements":
			s.elements(func() {
				s.members(func(key []byte) {
					if string(key) == "statement" {
						t.text(&s)
						return
					}
					s.skip()
				})
			})
		default:
			s.skip()
		}
	})
}

// text takes the shape of a text, and ends the search.
func (t *firstText) text(s *jsonScan) {
	raw, escaped := s.str()
	if s.bad {
		return
	}
	defer s.fail()
	if !escaped {
		t.query = t.queries.ID(raw)
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if text, ok := appendUnescaped(buf[:0], raw); ok {
		t.query = t.queries.ID(text)
	}
}

// endQuery counts the request that was just served, where err is how the connection goes on. It failed when its client got no answer, or one
// with a status of 400 and above; failures inside an answer are not looked for.
func (c *httpConn) endQuery(err error) {
	w := c.w
	if w == nil || w.unit.query == querystats.None {
		return
	}
	u := &w.unit
	now := time.Now()
	took, failed := now.Sub(u.intent.Now), err != nil || !u.answered || w.ans.status >= 400
	c.srv.queries.Add(u.query, uintptr(unsafe.Pointer(c)), took, 0, failed)
	if limit := c.srv.options.Load().Slow; limit > 0 && took >= limit {
		c.srv.writeSlow(SlowQuery{At: now, Text: c.srv.queries.Text(u.query), Took: took, Failed: failed, Session: c.id(), Frontend: w.set.Name,
			Client: c.remote, Member: u.member, Database: u.intent.DB, Read: u.intent.Mode == routing.Read}, nil)
	}
	u.query = querystats.None
}
