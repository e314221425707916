package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file owns the keywords of defaults, frontend, backend and listen: each line goes to a field of a proxy, what defaults say first.

// setting is a value and where it stands; the zero setting was not given.
type setting struct {
	text string
	line *line
}

func (s setting) set() bool { return s.line != nil }

// use returns the value, which is in the result now.
func (s setting) use() string {
	s.line.take()
	return s.text
}

// proxy is a frontend, a backend, both (listen), or what defaults say.
type proxy struct {
	kind, name string
	head       *line
	mode       setting // tcp or http; not set means tcp
	maxconn    setting
	timeouts   map[string]setting // by HAProxy's word: connect, client, server, queue, check, …
	balance    setting
	httpchk    *line
	httpCheck  []*line // http-check …
	preset     []*line // default-server
	fallback   setting // default_backend

	binds     []*line
	rules     []*line            // use_backend, in order
	acls      map[string][]*line // by name
	filters   []*line            // who may connect: tcp-request connection, http-request deny, block
	servers   []*line
	templates []*line // server-template
	stats     []*line // stats enable, auth, uri, admin
}

// inherit returns what a proxy starts from: what defaults say.
func (p *proxy) inherit(kind, name string, head *line) *proxy {
	q := &proxy{kind: kind, name: name, head: head, acls: map[string][]*line{}, timeouts: map[string]setting{}}
	if p == nil {
		return q
	}
	q.mode, q.maxconn, q.balance, q.httpchk, q.fallback = p.mode, p.maxconn, p.balance, p.httpchk, p.fallback
	q.timeouts = maps.Clone(p.timeouts)
	q.httpCheck, q.preset, q.stats = slices.Clip(p.httpCheck), slices.Clip(p.preset), slices.Clip(p.stats)
	return q
}

// config is the whole file, sorted by kind.
type config struct {
	maxconn   setting // of global
	frontends []*proxy
	backends  map[string]*proxy
}

// sort makes proxies of sections. What no keyword is known for is noted.
func sort(sections []*section, n *notes) *config {
	c := &config{backends: map[string]*proxy{}}
	var newest *proxy
	named := map[string]*proxy{}
	for _, s := range sections {
		switch s.kind {
		case "global":
			s.head.take()
			c.global(s, n)
		case "defaults":
			s.head.take()
			newest = fill(named[s.from()].inherit(s.kind, s.name, s.head), s, n)
			named[s.name] = newest
		case "frontend", "backend", "listen":
			s.head.take()
			base := newest
			if from := s.from(); from != "" {
				base = named[from]
			}
			c.add(fill(base.inherit(s.kind, s.name, s.head), s, n), n)
		default:
			c.foreign(s, n)
		}
	}
	return c
}

// from is the defaults section that this one names.
func (s *section) from() string {
	if i := slices.Index(s.head.words, "from"); i > 0 {
		return s.head.word(i + 1)
	}
	return ""
}

func (c *config) add(p *proxy, n *notes) {
	if p.kind != "backend" {
		c.frontends = append(c.frontends, p)
	}
	if p.kind != "frontend" {
		if c.backends[p.name] != nil {
			n.lost(p.head, "a second one of this name; only the last counts here")
		}
		c.backends[p.name] = p
	}
}

func (c *config) global(s *section, n *notes) {
	for _, l := range s.lines {
		switch {
		case l.words[0] == "maxconn":
			c.maxconn = setting{l.word(1), l}
		case n.noteUnneeded(l):
		}
	}
}

// foreign notes a section that is about something else.
func (c *config) foreign(s *section, n *notes) {
	why := "boltgate has no such section"
	switch s.kind {
	case "userlist":
		why = "boltgate's own users are in admin.users (the page) and users (clients); others log in at the members"
	case "resolvers":
		why = "names are asked of the system's resolvers, or of cluster.discover.resolvers"
	case "peers":
		why = "gates share no state; any number run side by side"
	}
	for _, l := range append([]*line{s.head}, s.lines...) {
		if l != nil {
			n.lost(l, "%s", why)
		}
	}
}

// fill puts the lines of a section into a proxy.
func fill(p *proxy, s *section, n *notes) *proxy {
	if head := s.head; s.kind != "defaults" && strings.Contains(head.word(2), ":") { // frontend NAME ADDRESS, as before 1.9
		p.binds = append(p.binds, &line{number: head.number, words: append([]string{"bind"}, head.rest(2)...), taken: true})
	}
	for _, l := range s.lines {
		if !p.keyword(l) {
			n.noteUnneeded(l)
		}
	}
	return p
}

// keyword takes one line; false: it is none that something is made of.
func (p *proxy) keyword(l *line) bool {
	switch first, second := l.words[0], l.word(1); first {
	case "mode":
		p.mode = setting{second, l}
	case "maxconn":
		p.maxconn = setting{second, l}
	case "balance":
		p.balance = setting{second, l}
	case "default_backend":
		p.fallback = setting{second, l}
	case "timeout":
		p.timeouts[second] = setting{l.word(2), l}
	case "contimeout", "clitimeout", "srvtimeout": // of HAProxy 1.3
		p.timeouts[map[string]string{"contimeout": "connect", "clitimeout": "client", "srvtimeout": "server"}[first]] = setting{second, l}
	case "default-server":
		p.preset = append(p.preset, l)
	case "bind":
		p.binds = append(p.binds, l)
	case "use_backend":
		p.rules = append(p.rules, l)
	case "acl":
		p.acls[second] = append(p.acls[second], l)
	case "server":
		p.servers = append(p.servers, l)
	case "server-template":
		p.templates = append(p.templates, l)
	case "http-check":
		p.httpCheck = append(p.httpCheck, l)
	case "block":
		p.filters = append(p.filters, l)
	case "option":
		return p.option(l)
	case "stats":
		return p.stat(l)
	case "tcp-request", "http-request":
		return p.request(l)
	default:
		return false
	}
	return true
}

func (p *proxy) option(l *line) bool {
	if l.word(1) != "httpchk" {
		return false
	}
	p.httpchk = l
	return true
}

func (p *proxy) stat(l *line) bool {
	switch l.word(1) {
	case "enable", "auth", "uri", "admin":
		p.stats = append(p.stats, l)
		return true
	}
	return false
}

func (p *proxy) request(l *line) bool {
	action := l.word(1)
	if action == "connection" || action == "content" {
		action = l.word(2)
	}
	switch action {
	case "accept", "reject", "deny":
		p.filters = append(p.filters, l)
		return true
	}
	return false
}

// duration reads HAProxy's form: a number alone is milliseconds.
func duration(text string) (time.Duration, error) {
	digits := strings.TrimRight(text, "usmhd")
	count, err := strconv.ParseInt(digits, 10, 64)
	units := map[string]time.Duration{"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	unit, found := units[text[len(digits):]]
	if err != nil || !found || count < 0 || count > int64(365*24*time.Hour/unit) {
		return 0, fmt.Errorf("%q is no duration", shown(text))
	}
	return time.Duration(count) * unit, nil
}

// time returns one of the timeouts; 0 where it is not given.
func (p *proxy) time(word string, n *notes) (time.Duration, *line) {
	s := p.timeouts[word]
	if !s.set() {
		return 0, nil
	}
	d, err := duration(s.use())
	if err != nil {
		n.lost(s.line, "%v", err)
		return 0, nil
	}
	return d, s.line
}
