// Package migrate reads the haproxy.cfg that people run in front of Neo4j and writes the boltgate.yaml that does the same.
//
// Nothing is left out in silence: each line of the file is in the result, or a Note says what became of it. No note, comment or error
// shows a password.
//
// This file owns the way through the package: reader.go takes the file apart, notes.go keeps the remarks, proxies.go sorts lines by what they
// are about, checks.go finds out which members a backend means, conditions.go what its ACLs look at, servers.go makes members of servers,
// fronts.go and operator.go make frontends and the admin address, gate.go holds them together, yaml.go writes.
package migrate

import (
	"errors"
	"time"
)

// fastDefault is cluster.check.fast_interval's default, which may not be above interval.
const fastDefault = 200 * time.Millisecond

// Options say how the result is written. Hash must be set.
type Options struct {
	Name string                                // of the file, for the first line of the result; "" means haproxy.cfg
	Stem string                                // passwords go into files whose names begin so; "": a variable, and hashes in the result itself
	Hash func(password string) (string, error) // bcrypt, for admin.users
}

// Result is a configuration and what to say about it.
type Result struct {
	YAML         []byte
	Files        map[string]string // secrets by file name, to be kept from others; names are relative to the result's folder
	Notes        []Note            // in the order of the lines
	NeedsSetting string            // the variable that has to hold the checks' password; "" none
}

// Convert reads the text of a haproxy.cfg. Errors: it is none, or nothing in it leads to a server.
func Convert(text string, o Options) (*Result, error) {
	sections, err := read(text)
	if err != nil {
		return nil, err
	}
	n := new(notes)
	c := sort(sections, n)
	g := build(c, n)
	if len(g.fronts) == 0 {
		return nil, errors.New("no frontend or listen in it leads to a server; there is nothing to migrate")
	}
	sweep(sections, n)
	s := secrets{files: o.Stem != "", stem: o.Stem}
	r := &Result{Notes: n.sorted()}
	if g.user != "" && !s.files {
		r.NeedsSetting = passwordVariable
	}
	if o.Name == "" {
		o.Name = "haproxy.cfg"
	}
	r.YAML, r.Files, err = g.write(o.Name, r.Notes, o.Hash, s)
	return r, err
}

// sweep notes each line that nothing was made of.
func sweep(sections []*section, n *notes) {
	for _, s := range sections {
		for _, l := range append([]*line{s.head}, s.lines...) {
			switch {
			case l == nil || l.taken:
			case known[l.words[0]]:
				n.other(l, "nothing that was carried over needs it")
			default:
				n.lost(l, "boltgate has nothing for it")
			}
		}
	}
}

// known are keywords whose lines are carried over where something needs them.
var known = map[string]bool{
	"mode": true, "maxconn": true, "balance": true, "default_backend": true, "timeout": true, "contimeout": true, "clitimeout": true, "srvtimeout": true,
	"default-server": true, "acl": true, "http-check": true, "stats": true,
}
