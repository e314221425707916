package migrate

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// This file owns server lines: addresses, limits, weights, how often they are checked, TLS. Servers of several backends that are one
// Neo4j become one member.

// server is one server line with default-server under it.
type server struct {
	name     string
	line     *line
	host     string
	port     string // "" the line names none
	check    string // port of the checks where it is another
	http     bool   // the port speaks HTTP
	maxconn  string
	weight   string
	backup   bool
	disabled bool
	ssl      *tlsTo // nil: none

	inter, fastinter, rise, fall setting
}

// tlsTo is TLS towards servers.
type tlsTo struct {
	line     *line
	insecure bool
	ca, name string
	cert     string
}

// words of a server line that take a value which boltgate has no use for.
var valued = map[string]string{
	"cookie": "nothing sticks but HTTP transactions, which do so anyhow", "track": "members are checked once, whatever leads to them",
	"resolvers": "names are asked of the system's resolvers, or of cluster.discover.resolvers", "init-addr": "not needed: names are asked for at each connection",
	"slowstart": "", "minconn": "not needed: max_in_flight is a fixed bound", "maxqueue": "frontends[].timeouts.queue bounds the queue", "id": "",
	"source": "boltgate connects from the address that the system picks", "ciphers": "", "ciphersuites": "", "ssl-min-ver": "", "ssl-max-ver": "", "alpn": "", "npn": "",
	"on-marked-down": "not needed: work on a lost member ends there at once", "on-marked-up": "", "observe": "not needed: failures of work wake the checks", "error-limit": "",
	"on-error": "", "downinter": "", "check-sni": "", "check-alpn": "", "pool-max-conn": "", "pool-purge-delay": "", "redir": "reads are relayed, not redirected",
	"addr": "members are checked at the address where they serve", "agent-port": "members are asked for their roles", "agent-inter": "", "agent-addr": "", "proto": "", "resolve-prefer": "", "resolve-net": "",
}

// serverOf reads one line. web: by its mode and port it speaks HTTP.
func (p *proxy) serverOf(l *line, n *notes) *server {
	l.take()
	s := &server{name: l.word(1), line: l}
	host, port, err := net.SplitHostPort(l.word(2))
	if err != nil {
		host, port = strings.Trim(l.word(2), "[]"), ""
	}
	s.host, s.port = host, port
	for _, d := range p.preset {
		d.take()
		s.options(d, 1, n)
	}
	s.options(l, 3, n)
	s.http = p.speaksHTTP(s)
	return s
}

// speaksHTTP tells the protocol of a server's port: by the mode, by checks that go to that very port, or by what Neo4j's ports are.
func (p *proxy) speaksHTTP(s *server) bool {
	switch {
	case p.mode.text == "http":
		return true
	case s.port == "7474" || s.port == "7473":
		return true
	case s.port == "7687":
		return false
	}
	return p.httpchk != nil && (s.check == "" || s.check == s.port)
}

func (s *server) options(l *line, from int, n *notes) {
	for i := from; i < len(l.words); i++ {
		word, value := l.words[i], l.word(i+1)
		switch word {
		case "check", "check-ssl", "enabled", "no-check", "tcp-ut", "tfo", "non-stick", "allow-0rtt", "no-ssl-reuse":
			continue
		case "port":
			s.check = value
		case "maxconn":
			s.maxconn = value
		case "weight":
			s.weight = value
		case "inter":
			s.inter = setting{value, l}
		case "fastinter":
			s.fastinter = setting{value, l}
		case "rise":
			s.rise = setting{value, l}
		case "fall":
			s.fall = setting{value, l}
		case "backup":
			s.backup = true
			continue
		case "disabled":
			s.disabled = true
			continue
		case "send-proxy", "send-proxy-v2", "check-send-proxy":
			n.lost(l, "%s: members are sent no PROXY header; they see the gate's address", word)
			continue
		case "ssl", "verify", "ca-file", "sni", "verifyhost", "crt":
			i += s.tls(word, value, l)
			continue
		default:
			if why, known := valued[word]; !known {
				n.lost(l, "%s: boltgate has nothing for it", shown(word))
				continue
			} else if why != "" {
				n.other(l, "%s: %s", word, why)
			}
		}
		i++
	}
}

// tls reads one word about TLS, and returns how many more it took.
func (s *server) tls(word, value string, l *line) int {
	if s.ssl == nil {
		s.ssl = &tlsTo{}
	}
	switch word {
	case "ssl":
		s.ssl.line = l
		return 0
	case "verify":
		s.ssl.insecure = value == "none"
	case "ca-file":
		s.ssl.ca = value
	case "verifyhost":
		s.ssl.name = value
	case "crt":
		s.ssl.cert = value
	case "sni":
		if inner, found := strings.CutPrefix(value, "str("); found {
			s.ssl.name = strings.TrimSuffix(inner, ")")
		}
	}
	return 1
}

// member is one Neo4j, from as many server lines as lead to it.
type member struct {
	name       string
	bolt, http string // host:port
	limit      int    // max_in_flight
	weight     int
	lines      []*line
}

// address is where the server serves; fallback is the port where the line names none.
func (s *server) address(fallback string) string {
	if s.port == "" {
		return net.JoinHostPort(s.host, fallback)
	}
	return net.JoinHostPort(s.host, s.port)
}

// addresses are those of a server: of Bolt and of HTTP, where it has them.
func (s *server) addresses() (bolt, http string) {
	if s.http {
		http = s.address("7474")
	} else {
		bolt = s.address("7687")
		if s.check != "" && s.check != s.port {
			http = net.JoinHostPort(s.host, s.check)
		}
	}
	return bolt, http
}

// join adds a server to the member that it is part of, or as a member of its own.
func (g *gate) join(s *server, n *notes) {
	bolt, http := s.addresses()
	m := g.memberOf(s, bolt, http)
	if m == nil {
		m = &member{name: g.freeName(s, n)}
		g.members = append(g.members, m)
	} else if m.name != s.name {
		n.other(s.line, "the same server as %s, whose name it has here", m.name)
	}
	if m.bolt == "" {
		m.bolt = bolt
	}
	if m.http == "" {
		m.http = http
	}
	m.lines = append(m.lines, s.line)
	if limit, err := strconv.Atoi(s.maxconn); err == nil {
		if m.limit > 0 {
			n.other(s.line, "maxconn: max_in_flight bounds what a member does for all frontends together; HAProxy counted for each backend")
		}
		m.limit = max(m.limit, limit)
	}
	g.weigh(m, s, n)
	if s.backup {
		n.lost(s.line, "backup: all members that are up serve; routing.prefer, or routing.balance: first, put some first")
	}
	if s.disabled {
		n.lost(s.line, "disabled: take it out with `boltgate maint %s`, or leave the member out", m.name)
	}
}

func (g *gate) weigh(m *member, s *server, n *notes) {
	weight, err := strconv.Atoi(s.weight)
	switch {
	case err != nil:
	case weight == 0:
		n.lost(s.line, "weight 0: take it out with `boltgate drain %s`, or leave the member out", m.name)
	default:
		m.weight = max(m.weight, weight)
	}
}

// memberOf finds the member that a server is: by an address, else by host where both have something to tell them by.
func (g *gate) memberOf(s *server, bolt, http string) *member {
	for _, m := range g.members {
		if bolt != "" && bolt == m.bolt || http != "" && http == m.http {
			return m
		}
	}
	for _, m := range g.members {
		sameHost := m.bolt != "" && host(m.bolt) == s.host || m.http != "" && host(m.http) == s.host
		complement := (m.bolt == "" || bolt == "") && (m.http == "" || http == "")
		if sameHost && complement && (m.name == s.name || !g.crowded[s.host]) {
			return m
		}
	}
	return nil
}

func host(address string) string {
	h, _, _ := net.SplitHostPort(address)
	return h
}

// freeName is the server's name in a form that boltgate takes and no other member has.
func (g *gate) freeName(s *server, n *notes) string {
	base := plainName(s.name, "member")
	name := base
	for i := 2; slices.ContainsFunc(g.members, func(m *member) bool { return m.name == name }); i++ {
		name = base + "-" + strconv.Itoa(i)
	}
	if name != s.name {
		n.other(s.line, "its name is %s here", name)
	}
	return name
}

// plainName makes a name of letters, digits, dots, dashes and underscores.
func plainName(name, otherwise string) string {
	name = strings.Map(func(r rune) rune {
		if r < 128 && (r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, name)
	name = strings.TrimLeft(name, "._-")
	if name == "" {
		return otherwise
	}
	return name[:min(len(name), 63)]
}
