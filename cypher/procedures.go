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
}

// procedure is what is known of one.
type procedure struct {
	access    Access
	commits   bool // opens transactions of its own, or acts outside of any
	oneMember bool
	system    bool
	users     bool
	reason    string
}

// Add says that a procedure has a mode, as SHOW PROCEDURES gives it: read, write, schema or dbms, in any case of letters. Names are
// compared as Neo4j compares them, case and all. A name that ends in ".*" speaks for everything below it that has no entry of
// its own. What is added wins over the built-in table, with one exception: mode dbms says nothing about reading and writing,
// so that it leaves a built-in entry as it is and makes any other procedure a write. An error means that nothing was added.
func (p *Procedures) Add(name, mode string) error {
	entry := procedure{access: Write, commits: true}
	switch strings.ToLower(mode) {
	case "read":
		entry = procedure{access: Read}
	case "write", "schema":
	case "dbms":
		if _, ok := builtin()[name]; ok {
			return nil
		}
	default:
		return fmt.Errorf("procedure %s: unknown mode %q; use read, write, schema or dbms", name, mode)
	}
	if name == "" || len(name) > maxProcedure {
		return fmt.Errorf("procedure name %q: it must have 1 to %d bytes", name, maxProcedure)
	}
	if b, ok := builtin()[name]; ok { // a mode tells nothing of these
		entry.oneMember, entry.system, entry.users = b.oneMember, b.system, b.users
		entry.commits = b.commits
	}
	entry.reason = reasonOf(name, entry.access)
	if p.byName == nil {
		p.byName = make(map[string]procedure)
	}
	p.byName[name] = entry
	return nil
}

// Len returns the number of procedures that were added.
func (p *Procedures) Len() int {
	if p == nil {
		return 0
	}
	return len(p.byName)
}

func reasonOf(name string, a Access) string {
	return "procedure " + name + " is a " + a.String()
}

// find looks a name up, in what was added first.
func (p *Procedures) find(name []byte) (procedure, bool) {
	if p != nil && len(p.byName) > 0 {
		if e, ok := findIn(p.byName, name); ok {
			return e, true
		}
	}
	return findIn(builtin(), name)
}

// findIn looks for the name and then for each namespace around it, the innermost first.
func findIn(table map[string]procedure, name []byte) (procedure, bool) {
	if e, ok := table[string(name)]; ok {
		return e, true
	}
	var buf [maxProcedure + 2]byte
	for {
		dot := bytes.LastIndexByte(name, '.')
		if dot < 0 {
			return procedure{}, false
		}
		name = name[:dot]
		if e, ok := table[string(append(append(buf[:0], name...), ".*"...))]; ok {
			return e, true
		}
	}
}

// builtin is the built-in table, made when first asked for.
var builtin = sync.OnceValue(func() map[string]procedure {
	t := make(map[string]procedure, 1024)
	for _, group := range builtinProcedures {
		for _, name := range strings.Fields(group.names) {
			e := group.procedure
			e.reason = reasonOf(name, e.access)
			t[name] = e
		}
	}
	return t
})
