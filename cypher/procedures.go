package cypher

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// This file owns the table of procedures that CALL asks; builtin.go holds what it begins with.

// Procedures adds to the built-in table of procedures. The zero value and nil add nothing. Add to it before it is shared: any
// number of goroutines may classify with one table while none adds.
type Procedures struct {
	byName map[string]procedure // a name that ends in ".*" stands for all below it
	below  *Procedures          // asked about names that have no entry here; nil: none
}

// procedure is what is known of one.
type procedure struct {
	access    Access
	commits   bool // opens transactions of its own, or acts outside of any
	oneMember bool
	system    bool
	users     bool
	set       bool // by the operator
	reason    string
}

// Add says that a procedure has a mode, as SHOW PROCEDURES or dbms.procedures gives it: read, write, schema or dbms, in any case of
// letters. Names are compared as Neo4j compares them, case and all. Where the built-in table knows the procedure too, the more
// careful of the two counts: mode READ is also carried by procedures that act, and mode DBMS says nothing about writing, so
// that one unknown to the table is a write. An error means that nothing was added.
func (p *Procedures) Add(name, mode string) error {
	said, err := fromMode(name, mode)
	if err != nil {
		return err
	}
	known, ok := (*Procedures)(nil).find([]byte(name))
	if ok && (said.access == Read || known.access == Write || strings.EqualFold(mode, "dbms")) {
		return nil
	}
	if was, ok := p.byName[name]; ok && was.access == Write {
		return nil // members may differ
	}
	said.oneMember, said.system, said.users = known.oneMember, known.system, known.users
	p.put(name, said)
	return nil
}

// Over returns a table that asks p first and then below. Either may be nil; neither is changed.
func (p *Procedures) Over(below *Procedures) *Procedures {
	switch {
	case below.Len() == 0:
		return p
	case p.Len() == 0:
		return below
	}
	return &Procedures{byName: p.byName, below: below}
}

// Set is the operator's word on a procedure: it takes the same names and modes as [Procedures.Add], and wins over the built-in
// table and over what was added, in either direction. A name that ends in ".*" speaks for everything below it that has no
// entry of its own.
func (p *Procedures) Set(name, mode string) error {
	said, err := fromMode(name, mode)
	if err != nil {
		return err
	}
	if known, ok := (*Procedures)(nil).find([]byte(name)); ok {
		said.oneMember, said.system, said.users = known.oneMember, known.system, known.users
		said.commits = known.commits
	}
	said.set = true
	p.put(name, said)
	return nil
}

// Careful returns the table without what members' lists alone call a read, for mode READ is also carried by procedures that
// act: beyond the built-in table only the operator's word makes one. p is not changed, nor is what is added to it later seen.
func (p *Procedures) Careful() *Procedures {
	if p == nil {
		return nil
	}
	c := &Procedures{below: p.below.Careful()}
	for name, e := range p.byName {
		if e.access == Write || e.set {
			c.put(name, e)
		}
	}
	return c
}

// put records an entry, unless the operator has spoken and this is not the operator.
func (p *Procedures) put(name string, e procedure) {
	if p.byName[name].set && !e.set {
		return
	}
	if p.byName == nil {
		p.byName = make(map[string]procedure)
	}
	e.reason = reasonOf(name, e.access)
	p.byName[name] = e
}

// fromMode is what a mode alone says. A write that we do not know may commit on its own.
func fromMode(name, mode string) (procedure, error) {
	if name == "" || len(name) > maxProcedure {
		return procedure{}, fmt.Errorf("procedure name %q: it must have 1 to %d bytes", name, maxProcedure)
	}
	switch strings.ToLower(mode) {
	case "read":
		return procedure{access: Read}, nil
	case "write", "schema", "dbms":
		return procedure{access: Write, commits: true}, nil
	}
	return procedure{}, fmt.Errorf("procedure %s: unknown mode %q; use read, write, schema or dbms", name, mode)
}

// Len returns the number of procedures that were added.
func (p *Procedures) Len() int {
	if p == nil {
		return 0
	}
	return len(p.byName) + p.below.Len()
}

func reasonOf(name string, a Access) string {
	return "procedure " + name + " is a " + a.String()
}

// find looks a name up: in what was added, in the built-in table, then by the rule for graph algorithms.
func (p *Procedures) find(name []byte) (procedure, bool) {
	for ; p != nil; p = p.below {
		if e, ok := p.added(name); ok {
			return e, true
		}
	}
	if e, ok := builtin()[string(name)]; ok {
		return e, true
	}
	return algorithm(name)
}

// added looks for the name and then for each namespace around it, the innermost first.
func (p *Procedures) added(name []byte) (procedure, bool) {
	if len(p.byName) == 0 {
		return procedure{}, false
	}
	if e, ok := p.byName[string(name)]; ok {
		return e, true
	}
	var buf [maxProcedure + 2]byte
	for {
		dot := bytes.LastIndexByte(name, '.')
		if dot < 0 {
			return procedure{}, false
		}
		name = name[:dot]
		if e, ok := p.byName[string(append(append(buf[:0], name...), ".*"...))]; ok {
			return e, true
		}
	}
}

// algorithm is the rule for Graph Data Science (gds.…) and the Graph Algorithms library before it (algo.…), whose some 600 names
// end in what they do. Graphs and models lie in the memory of one member, so that all of them concern it; whatever changes
// those, or the database, counts as a write, although most of it carries mode READ.
func algorithm(name []byte) (procedure, bool) {
	if !bytes.HasPrefix(name, []byte("gds.")) && !bytes.HasPrefix(name, []byte("algo.")) {
		return procedure{}, false
	}
	switch string(name[bytes.LastIndexByte(name, '.')+1:]) {
	case "stream", "stats", "estimate", "list", "exists", "version", "userLog", "listProgress", "sysInfo", "state", "summary",
		"sizeOf", "streamNodeProperty", "streamNodeProperties", "streamRelationshipProperty", "streamRelationshipProperties":
		return procedure{access: Read, oneMember: true, reason: "graph algorithms: a procedure that reads"}, true
	}
	return procedure{access: Write, oneMember: true, commits: true, reason: "graph algorithms: a procedure that writes, or changes a graph in memory"}, true
}

// builtin is the built-in table, made when first asked for.
var builtin = sync.OnceValue(func() map[string]procedure {
	t := make(map[string]procedure, 1024)
	for _, group := range builtinProcedures {
		prefix := ""
		for _, name := range strings.Fields(group.names) {
			if strings.HasSuffix(name, ".") {
				prefix = name
				continue
			}
			e := group.procedure
			e.reason = reasonOf(prefix+name, e.access)
			t[prefix+name] = e
		}
	}
	return t
})
