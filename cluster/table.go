package cluster

import (
	"slices"
	"time"
)

// Table is a routing table that a member gave out when a client's login asked it: what the checks know of roles when members
// tell them nothing. It never changes once told.
type Table struct {
	Asked   time.Time // when the question left: what was met later the answer cannot have known
	Member  string    // who was asked
	Address string    // under which it advertises itself; "" while unknown (it says so from 5.8 on)
	Server  string    // what that member calls itself, such as "Neo4j/4.4.48"
	DB      string    // AnyDatabase before 4.0, and for the default database of servers that do not name it
	Home    bool      // DB is the asker's home database: the answer to a question that named none

	Writers, Readers, Routers []string // advertised addresses
}

// Evidence tells whether the table can say anything of roles: one with a single address is what a server on its own gives
// out, and what dbms.routing.default_router=SERVER makes of a whole cluster.
func (t *Table) Evidence() bool {
	first := ""
	for _, list := range [...][]string{t.Writers, t.Readers, t.Routers} {
		for _, address := range list {
			switch first {
			case "", address:
				first = address
			default:
				return true
			}
		}
	}
	return false
}

// Addresses are all that the table names, each once.
func (t *Table) Addresses() []string {
	all := slices.Concat(t.Writers, t.Readers, t.Routers)
	slices.Sort(all)
	return slices.Compact(all)
}

// Same tells whether two tables say the same, whenever they were asked for.
func (t *Table) Same(other *Table) bool {
	alike := func(a, b []string) bool { // members shuffle them
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return t.Member == other.Member && t.Server == other.Server && t.Address == other.Address && t.DB == other.DB &&
		alike(t.Writers, other.Writers) && alike(t.Readers, other.Readers) && alike(t.Routers, other.Routers)
}

// Tell hands a table to the checks. It never blocks: one that finds no room is asked for again.
func (c *Current) Tell(t *Table) {
	select {
	case c.channel() <- Report{Member: t.Member, DB: t.DB, Why: Told, Table: t}:
	default:
	}
}
