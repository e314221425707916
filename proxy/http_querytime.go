package proxy

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/routing"
)

// This file owns how long HTTP requests with queries take, by the shapes of their texts. Of a request with several each text is a call, and has
// an equal share of the time: which of them took how long is not to be seen from outside, and so all shapes together have the time that
// clients waited. Texts are read where the choice of a member needs them anyway; of a request that declares what it is those at the
// beginning of its body are looked for. One that is passed on as it comes has no shape.

const lookedForText = 64 << 10 // of a body

// shapes are those of a request's texts, in their order; equal neighbours are one run.
type shapes struct {
	first shapeRun // of no text: there are none
	more  []shapeRun
}

type shapeRun struct {
	id querystats.ID
	n  uint32
}

func (s *shapes) add(id querystats.ID) {
	last := &s.first
	if len(s.more) > 0 {
		last = &s.more[len(s.more)-1]
	}
	switch {
	case id == querystats.None:
	case last.n == 0 || last.id == id:
		last.id = id
		last.n++
	default:
		s.more = append(s.more, shapeRun{id, 1})
	}
}

// texts is how many there are.
func (s *shapes) texts() int {
	n := int(s.first.n)
	for _, r := range s.more {
		n += int(r.n)
	}
	return n
}

// noteQuery finds the shapes of the request that was just decided on.
func (c *httpConn) noteQuery() {
	w := c.w
	u := &w.unit
	switch w.path.kind {
	case routeStatements, routeBegin, routeInside:
	default:
		return
	}
	if u.texts.known {
		u.shapes = u.texts.shapes
	} else if u.held {
		t := textFinder{path: w.path, queries: c.srv.queries}
		t.look(u.body[:min(len(u.body), lookedForText)])
		u.shapes = t.found
	}
	c.texted.Store(uint32(u.shapes.first.id))
}

// textFinder looks for the texts in the beginning of a body.
type textFinder struct {
	path    httpRoute
	queries *querystats.Table
	found   shapes
}

func (t *textFinder) look(body []byte) {
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

// text takes the shape of a text.
func (t *textFinder) text(s *jsonScan) {
	raw, escaped := s.str()
	if s.bad {
		return
	}
	if !escaped {
		t.found.add(t.queries.ID(raw))
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if text, ok := appendUnescaped(buf[:0], raw); ok {
		t.found.add(t.queries.ID(text))
	}
}

// endQuery counts the request that was just served, where err is how the connection goes on. It failed when its client got no answer, or one
// with a status of 400 and above; failures inside an answer are not looked for.
func (c *httpConn) endQuery(err error) {
	w := c.w
	if w == nil || w.unit.shapes.first.n == 0 {
		return
	}
	u := &w.unit
	now := time.Now()
	took, failed := now.Sub(u.intent.Now), err != nil || !u.answered || w.ans.status >= 400
	texts := u.shapes.texts()
	each, key := took/time.Duration(texts), uintptr(unsafe.Pointer(c))
	c.srv.queries.AddSame(u.shapes.first.id, key, each, u.shapes.first.n, failed)
	u.line.asked(spanQuery{at: u.intent.Now, id: u.shapes.first.id, took: each, failed: failed})
	for _, r := range u.shapes.more {
		c.srv.queries.AddSame(r.id, key, each, r.n, failed)
		u.line.asked(spanQuery{at: u.intent.Now, id: r.id, took: each, failed: failed})
	}
	if limit := c.srv.options.Load().Slow; limit > 0 && took >= limit {
		c.srv.writeSlow(SlowQuery{At: now, Text: c.slowText(texts), Took: took, Failed: failed, Session: c.id(), Frontend: w.set.Name,
			Client: c.remote, Member: u.member, Database: u.intent.DB, Read: u.intent.Mode == routing.Read, Trace: u.trace.ID()}, nil)
	}
	u.shapes = shapes{}
}

// slowText is the first text, and how many came with it.
func (c *httpConn) slowText(texts int) string {
	text := c.srv.queries.Text(c.w.unit.shapes.first.id)
	if texts > 1 {
		text += fmt.Sprintf(" (first of %d statements)", texts)
	}
	return text
}
