package migrate

import (
	"slices"
	"strconv"
	"strings"
)

// This file owns frontends: where they listen, whom they serve, and what work goes to the leader.

// addFronts makes a frontend of each proxy that listens and leads to Neo4j.
func (b *builder) addFronts() {
	for _, p := range b.config.frontends {
		main := b.parts[p.name] // of a listen with servers
		if p.kind == "frontend" || main == nil {
			main = b.parts[p.fallback.text]
		}
		rules := b.rulesOf(p)
		switch {
		case main == nil && len(rules) > 0:
			main = rules[0].to
		case main == nil:
			b.strayFront(p)
			continue
		}
		p.fallback.line.take()
		b.addFront(p, main, rules)
	}
	b.restOfBackends()
}

// strayFront notes a proxy that leads to no Neo4j; one with statistics alone belongs to the operator.
func (b *builder) strayFront(p *proxy) {
	if len(p.stats) > 0 && p.fallback.text == "" && len(p.rules) == 0 && len(p.servers) == 0 {
		return
	}
	p.fallback.line.take()
	b.leave(p, "it leads to no Neo4j that is seen here; leave it to HAProxy")
}

// rule is a use_backend that leads to Neo4j.
type rule struct {
	line  *line
	to    *part
	signs signs
}

func (b *builder) rulesOf(p *proxy) (rules []rule) {
	for _, l := range p.rules {
		to := b.parts[l.word(1)]
		if to == nil {
			b.notes.lost(l, "this backend is no Neo4j that is seen here")
			continue
		}
		l.take()
		rules = append(rules, rule{l, to, p.signsOf(l.rest(3))})
	}
	return rules
}

func (b *builder) addFront(p *proxy, main *part, rules []rule) {
	p.head.take()
	p.mode.line.take()
	f := &front{name: b.frontName(p), head: p.head, protocols: protocolsOf(p, main)}
	b.gate.fronts = append(b.gate.fronts, f)
	b.bind(f, p)
	b.connections(f, p)
	f.allow, f.deny, _ = p.allowed(b.notes)
	b.choose(f, main, rules)
	b.balance(f, main)
	b.times(f, p, main)
}

func (b *builder) frontName(p *proxy) string {
	name := plainName(p.name, "main")
	for i := 2; slices.ContainsFunc(b.gate.fronts, func(f *front) bool { return f.name == name }); i++ {
		name = plainName(p.name, "main") + "-" + strconv.Itoa(i)
	}
	if name != p.name {
		b.notes.other(p.head, "its name is %s here", name)
	}
	return name
}

// protocolsOf: in TCP mode a port serves what the server's port does; Bolt's also carries it in WebSockets.
func protocolsOf(p *proxy, main *part) []string {
	if p.mode.text == "http" || main.mode.text == "http" || len(main.list) > 0 && main.list[0].http {
		return []string{"http"}
	}
	if len(main.list) == 0 && main.speaksHTTP(&server{port: portOf(main.templates)}) {
		return []string{"http"}
	}
	return []string{"bolt", "websocket"}
}

func portOf(templates []*line) string {
	if len(templates) == 0 {
		return ""
	}
	_, port, _ := strings.Cut(templates[0].word(3), ":")
	return port
}

// bind reads bind lines.
func (b *builder) bind(f *front, p *proxy) {
	for _, l := range p.binds {
		l.take()
		for _, address := range strings.Split(l.word(1), ",") {
			f.binds = append(f.binds, bindOf(address))
		}
		b.bindOptions(f, l)
	}
	if len(f.binds) == 0 {
		b.notes.lost(p.head, "it listens nowhere; give it a bind")
		f.binds = []string{"127.0.0.1:7687"}
	}
}

// bindOf is an address in boltgate's words.
func bindOf(address string) string {
	switch {
	case strings.HasPrefix(address, "/"):
		return "unix:" + address
	case strings.HasPrefix(address, "unix@"):
		return "unix:" + strings.TrimPrefix(address, "unix@")
	case strings.HasPrefix(address, "abns@"):
		return "unix:@" + strings.TrimPrefix(address, "abns@")
	}
	for _, family := range []string{"ipv4@", "ipv6@"} {
		address = strings.TrimPrefix(address, family)
	}
	address = strings.TrimPrefix(address, "*")
	if i := strings.LastIndexByte(address, ':'); strings.Contains(address[:max(0, i)], ":") && !strings.HasPrefix(address, "[") {
		return "[" + address[:i] + "]" + address[i:] // IPv6, which HAProxy takes without brackets
	}
	return address
}

func (b *builder) bindOptions(f *front, l *line) {
	for i := 2; i < len(l.words); i++ {
		switch word, value := l.words[i], l.word(i+1); word {
		case "ssl", "v4v6", "transparent", "defer-accept":
			continue
		case "crt":
			f.cert = value
		case "accept-proxy":
			f.fromProxy = true
			b.notes.other(l, "proxy_protocol.from takes PROXY headers from everybody here, as accept-proxy did; name the balancers in front alone")
			continue
		case "ca-file", "verify":
			b.clientCertificates(f, l)
		case "crl-file":
			b.notes.lost(l, "crl-file: certificates of clients are not looked up in lists of those that were taken back")
		case "name", "alpn", "npn", "mode", "user", "group", "uid", "gid", "backlog", "maxconn", "ciphers", "ciphersuites", "ssl-min-ver", "process", "thread", "id", "level", "tcp-ut":
			if word == "ciphers" || word == "ciphersuites" || word == "ssl-min-ver" || word == "maxconn" || word == "mode" || word == "user" || word == "group" {
				b.notes.other(l, "%s: boltgate has a default of its own", word)
			}
		default:
			b.notes.lost(l, "%s: boltgate has nothing for it", shown(word))
			continue
		}
		i++
	}
}

// clientCertificates reads ca-file and verify of a bind line, which belong together. Without verify HAProxy asks for none.
func (b *builder) clientCertificates(f *front, l *line) {
	ca, verify := "", "none"
	for i := 2; i < len(l.words)-1; i++ {
		switch l.words[i] {
		case "ca-file":
			ca = l.words[i+1]
		case "verify":
			verify = l.words[i+1]
		}
	}
	switch {
	case f.clientCA != "" || ca == "" && verify == "none":
	case verify == "required" && ca != "":
		f.clientCA = ca
	case verify == "optional":
		b.notes.lost(l, "verify optional: clients show no certificate here, for tls.client_ca asks all of them for one")
	default:
		b.notes.other(l, "ca-file: without verify required it asks clients for nothing, and is left out")
	}
}

// connections: HAProxy's global bound holds for all frontends together, boltgate's for each.
func (b *builder) connections(f *front, p *proxy) {
	own, _ := strconv.Atoi(p.maxconn.text)
	global, _ := strconv.Atoi(b.config.maxconn.text)
	if f.maximum = bounded(own, global); f.maximum == 0 {
		return
	}
	if f.maximum == own {
		f.maxAt = append(f.maxAt, p.maxconn.line)
		p.maxconn.line.take()
	} else {
		f.maxAt = append(f.maxAt, b.config.maxconn.line)
	}
	b.config.maxconn.line.take()
}

// choose tells which work goes to the leader: by where the frontend leads, and by what.
func (b *builder) choose(f *front, main *part, rules []rule) {
	var toLeader signs
	leads, spreads := false, main.selection
	for _, r := range rules {
		switch {
		case r.to == main:
		case r.to.selection.onlyLeader():
			leads = true
			toLeader.add(r.signs)
		default: // from the leader, or past it
			b.partial(r, f)
			if main.selection.onlyLeader() {
				leads, spreads = true, r.to.selection
				toLeader.add(signs{method: true})
			}
		}
	}
	if spreads.leader && spreads.others {
		f.routing.leaderReads = "always"
	}
	switch {
	case !leads && main.selection.onlyLeader():
		f.access, f.why = "write", "all work goes to the leader: "+lineWords(main.check.line)
	case !leads && main.selection.onlyOthers():
		f.access, f.why = "read", "undeclared reads and transactions go to readers: "+lineWords(main.check.line)
	case leads && toLeader.header && !toLeader.text && !toLeader.method:
		f.routing.undeclared = "read"
	}
	b.explain(rules, toLeader)
}

func (b *builder) partial(r rule, f *front) {
	if r.signs.foreign || r.signs.other {
		b.notes.lost(r.line, "boltgate does not look at this; work of %s goes by what it declares (X-Write, Access-Mode, Bolt's mode) and by its text", f.name)
	} else {
		b.notes.other(r.line, "reads are told from writes by what they declare and by their text")
	}
}

// explain says what became of the conditions.
func (b *builder) explain(rules []rule, all signs) {
	for _, r := range rules {
		switch s := r.signs; {
		case !r.to.selection.onlyLeader():
		case s.foreign:
			b.notes.lost(r.line, "this header is not looked at: have clients say X-Write: 1 (or 0), or Access-Mode; what says nothing goes by its text")
		case s.other:
			b.notes.lost(r.line, "a condition that boltgate does not know; work goes by what it declares, and by its text")
		case s.text:
			b.notes.other(r.line, "boltgate reads the statements themselves (routing.undeclared: detect), not a regular expression over the body")
		case s.method && !s.header:
			b.notes.other(r.line, "a GET is a read, and Cypher in a POST goes by its text (routing.undeclared: detect): reads go to readers also when they are POSTed; routing.undeclared: leader keeps all of it at the leader")
		case s.header && (all.text || all.method):
			b.notes.other(r.line, "X-Write: 1 goes to the leader always; what says nothing goes by its text, since other rules look at more than the header")
		}
	}
}

var balances = map[string]string{"roundrobin": "", "static-rr": "", "leastconn": "least-busy", "first": "first", "random": "random-two"}

func (b *builder) balance(f *front, main *part) {
	s := main.balance
	if !s.set() {
		return
	}
	word, _, _ := strings.Cut(s.text, "(")
	to, known := balances[word]
	if !known {
		b.notes.lost(s.line, "reads are given to members in turn; none is picked by what the client or the request is")
		return
	}
	s.line.take()
	f.routing.balance = to
}

// times reads the timeouts of a frontend and of what is behind it.
func (b *builder) times(f *front, p *proxy, main *part) {
	bolt := f.protocols[0] == "bolt"
	add := func(q *proxy, word, key string) bool {
		d, at := q.time(word, b.notes)
		if at != nil {
			f.timeouts = append(f.timeouts, timed{key, d, at})
		}
		return at != nil
	}
	if d, at := p.time("http-request", b.notes); at != nil && d > 0 {
		f.timeouts = append(f.timeouts, timed{"handshake", d, at})
	}
	p.timeouts["client"].line.take()
	main.timeouts["server"].line.take()
	tunnel := bolt && add(main.proxy, "tunnel", "client_idle")
	if !tunnel && !(!bolt && add(p, "http-keep-alive", "client_idle")) {
		add(p, "client", "client_idle")
	}
	add(main.proxy, "queue", "queue")
	if !tunnel || !add(main.proxy, "tunnel", "server") {
		add(main.proxy, "server", "server")
	}
}

// restOfBackends takes what backends repeat, or say of work that a frontend has its word on.
func (b *builder) restOfBackends() {
	for _, name := range b.order() {
		p := b.parts[name]
		if p.balance.set() && !p.balance.line.taken {
			b.secondBalance(p)
		}
		for word, s := range p.timeouts {
			if s.set() && !s.line.taken && (word == "server" || word == "queue" || word == "tunnel") {
				b.notes.other(s.line, "frontends[].timeouts has one for both reads and writes: that of the default_backend is taken")
			}
		}
	}
}

// secondBalance: a backend that only has the leader has nothing to balance.
func (b *builder) secondBalance(p *part) {
	if _, known := balances[p.balance.text]; known || p.selection.onlyLeader() {
		p.balance.line.take()
		return
	}
	b.notes.lost(p.balance.line, "reads are given to members in turn")
}
