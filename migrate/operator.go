package migrate

import (
	"net"
	"slices"
	"strings"
)

// This file owns HAProxy's page of statistics: where it is becomes the admin address, who may see it becomes admin.users.

// operator is the operator's side.
type operator struct {
	bind  string
	cert  string
	ca    string // those who log in have to show a certificate of it
	lines []*line
	users []user
}

type user struct {
	name, password string
	acts           bool // stats admin
	line           *line
}

// addOperator looks at every proxy with statistics; the first one with an address of its own counts.
func (b *builder) addOperator() {
	for _, p := range b.config.frontends {
		if len(p.stats) == 0 {
			continue
		}
		o := b.operatorOf(p)
		switch {
		case b.gate.admin == nil:
			b.gate.admin = o
		case o.bind != "" && b.gate.admin.bind == "":
			b.gate.admin.bind, b.gate.admin.cert, b.gate.admin.ca = o.bind, o.cert, o.ca
			b.gate.admin.users = append(b.gate.admin.users, o.users...)
		case o.bind != "":
			b.notes.lost(p.head, "a second page of statistics; boltgate has one admin address")
		}
	}
	if o := b.gate.admin; o != nil {
		o.settle(b.notes)
	}
}

func (b *builder) operatorOf(p *proxy) *operator {
	o := &operator{lines: p.stats}
	serves := len(p.servers) > 0 || p.fallback.text != "" || len(p.rules) > 0
	acts := slices.ContainsFunc(p.stats, func(l *line) bool { return l.word(1) == "admin" })
	for _, l := range p.stats {
		switch l.word(1) {
		case "auth":
			name, password, _ := strings.Cut(l.word(2), ":")
			o.addUser(user{name, password, acts, l}, b.notes)
		case "uri":
			b.notes.other(l, "the page is at / of the admin address, the CSV at /stats;csv")
		}
		l.take()
	}
	if serves {
		b.notes.other(p.stats[0], "the page is at the admin address, not at a path of a frontend")
		return o
	}
	p.head.take()
	p.mode.line.take()
	f := &front{}
	b.bind(f, p)
	b.connections(f, p)
	for _, l := range p.filters {
		b.notes.lost(l, "the admin address has logins, not lists of addresses")
	}
	for _, word := range []string{"client", "server", "connect"} {
		p.timeouts[word].line.take()
	}
	o.bind, o.cert, o.ca = f.binds[0], f.cert, f.clientCA
	if len(f.binds) > 1 {
		b.notes.lost(p.binds[len(p.binds)-1], "the admin address is one; %s is taken", f.binds[0])
	}
	return o
}

func (o *operator) addUser(u user, n *notes) {
	switch {
	case u.name == "" || u.password == "" || len(u.password) > 72:
		n.lost(u.line, "no user and password (of up to 72 bytes) can be read; add one to admin.users with `boltgate hash`")
	case slices.ContainsFunc(o.users, func(other user) bool { return other.name == u.name }):
		n.lost(u.line, "a second password for the same user; the first is taken")
	default:
		o.users = append(o.users, u)
	}
}

// settle keeps the page of a set-up without users on the machine itself, as boltgate asks.
func (o *operator) settle(n *notes) {
	if strings.HasPrefix(o.bind, "unix:") {
		n.lost(o.lines[0], "the admin address is host:port; it is the default here")
		o.bind = ""
	}
	h, port, err := net.SplitHostPort(o.bind)
	if o.bind == "" || err != nil || len(o.users) > 0 || h == "localhost" || strings.HasPrefix(h, "127.") || h == "::1" {
		return
	}
	o.bind = net.JoinHostPort("127.0.0.1", port)
	n.lost(o.lines[0], "the page was open to everybody; without admin.users it has to be at a loopback address: %s", o.bind)
}
