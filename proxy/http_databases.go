package proxy

import (
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/routing"
)

// This file owns where the statements of a request send themselves: to the database that their USE names, to system, to one
// member. Members serve HTTP with server-side routing wherever it is on, so nothing else is asked of them.

// place completes the request's intent by what its statements say.
func (c *httpConn) place() {
	w := c.w
	u := &w.unit
	if w.path.kind != routeStatements || !u.held || w.path.db == (span{}) {
		return
	}
	t := u.readTexts(w.path)
	u.intent.AtLeader = t.oneMember
	switch {
	case t.system:
		u.intent.DB = routing.System
	case t.used != "" && !t.strays():
		u.intent.DB = graphOf(c.srv.current.View(), t.used)
	}
}

// use notes the database that a text's USE names.
func (t *statements) use(v cypher.Verdict, text []byte) {
	if !v.UsesUse {
		t.useless = true
		return
	}
	name, ok := cypher.UsedDatabase(text)
	t.unsure = t.unsure || !ok || t.used != "" && routing.Fold(t.used) != routing.Fold(name)
	t.used = name
}

// strays tells whether the statements belong to several databases, or to one that only a server can tell.
func (t *statements) strays() bool { return t.unsure || t.used != "" && t.useless }
