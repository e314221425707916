package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file owns the way from proxies to a gate: which backends are Neo4j, what a frontend's work may do, and the settings that are one for
// all in boltgate where HAProxy has them per proxy.

// gate is what the result says.
type gate struct {
	generation string
	fronts     []*front
	members    []*member
	dns, srv   []string
	byHTTP     bool // checks by HTTP
	check      timing
	user       string
	password   string
	userLine   *line
	tls        *tlsTo
	connect    time.Duration
	connectAt  *line
	admin      *operator

	crowded map[string]bool // hosts with several servers in one backend: a host alone does not tell who is who
}

// timing is how often members are checked; zero: not given.
type timing struct {
	interval, fast, timeout time.Duration
	rise, fall              int
	at                      map[string]*line // by key
}

// front is one frontend of the result.
type front struct {
	name      string
	head      *line
	binds     []string
	protocols []string
	cert      string
	clientCA  string // clients have to show a certificate of it
	fromProxy bool
	maximum   int
	maxAt     []*line
	allow     []string
	deny      []string
	access    string // "" any
	why       string // for access
	routing   choices
	timeouts  []timed
}

// choices are the keys of routing that differ from the defaults; "" the default.
type choices struct{ undeclared, leaderReads, balance string }

type timed struct {
	key  string
	d    time.Duration
	from *line
}

// part is a backend with its check read.
type part struct {
	*proxy
	check     *check
	selection selection
	list      []*server
}

// builder goes from a config to a gate.
type builder struct {
	config *config
	parts  map[string]*part // the backends that are Neo4j
	gate   *gate
	notes  *notes
}

func build(c *config, n *notes) *gate {
	b := &builder{config: c, notes: n, parts: map[string]*part{}, gate: &gate{crowded: map[string]bool{}, check: timing{at: map[string]*line{}}}}
	b.findNeo4j()
	for _, name := range b.order() {
		b.addPart(b.parts[name])
	}
	b.addFronts()
	b.addOperator()
	return b.gate
}

// order is the names of the parts in the order of the file.
func (b *builder) order() []string {
	return slices.SortedFunc(maps.Keys(b.parts), func(x, y string) int { return b.parts[x].head.number - b.parts[y].head.number })
}

// findNeo4j keeps the backends that look like Neo4j: by a role endpoint, or by its ports; all that have servers, when none does.
func (b *builder) findNeo4j() {
	var likely, possible []*proxy
	for _, p := range b.config.backends {
		if len(p.servers)+len(p.templates) == 0 {
			continue
		}
		possible = append(possible, p)
		if p.looksLikeNeo4j() {
			likely = append(likely, p)
		}
	}
	taken := likely
	if len(likely) == 0 {
		taken = possible
	}
	for _, p := range taken {
		b.parts[p.name] = &part{proxy: p}
	}
	for _, p := range possible {
		if b.parts[p.name] == nil {
			b.leave(p, "its servers do not look like Neo4j (by port or by check); leave it to HAProxy")
		}
	}
}

func (p *proxy) looksLikeNeo4j() bool {
	if p.httpchk != nil && strings.Contains(strings.Join(p.httpchk.words, " ")+joined(p.httpCheck), "/db/") {
		return true
	}
	return slices.ContainsFunc(slices.Concat(p.servers, p.templates), func(l *line) bool {
		text := strings.Join(l.words, " ") + " "
		return strings.Contains(text, ":7474 ") || strings.Contains(text, ":7473 ") || strings.Contains(text, ":7687 ") || strings.Contains(text, " port 7474 ")
	})
}

func joined(lines []*line) (text string) {
	for _, l := range lines {
		text += " " + strings.Join(l.words, " ")
	}
	return text
}

// leave notes every line of a proxy that is about its servers.
func (b *builder) leave(p *proxy, why string) {
	for _, l := range slices.Concat([]*line{p.head}, p.binds, p.rules, p.servers, p.templates, p.filters) {
		b.notes.lost(l, "%s", why)
	}
}

// addPart reads a backend's check and servers into the gate.
func (b *builder) addPart(p *part) {
	g, n := b.gate, b.notes
	p.mode.line.take()
	p.check = p.checkOf(n)
	p.selection = p.check.selects(n)
	switch was := g.generation; {
	case was == "":
		g.generation = p.selection.generation
	case p.selection.generation != "" && p.selection.generation != was:
		n.lost(p.check.line, "this path is of another kind of cluster than one before it; %s is taken", was)
	}
	b.addLogin(p)
	hosts := map[string]int{}
	for _, l := range p.servers {
		s := p.serverOf(l, n)
		p.list = append(p.list, s)
		if hosts[s.host]++; hosts[s.host] > 1 {
			g.crowded[s.host] = true
		}
	}
	for _, s := range p.list {
		g.join(s, n)
		b.addTiming(s)
		b.addTLS(s)
	}
	for _, l := range p.templates {
		b.addTemplate(p, l)
	}
	b.setTime(p, "check", "timeout", &g.check.timeout)
	if d, at := p.time("connect", n); at != nil && (g.connectAt == nil || d > g.connect) {
		g.connect, g.connectAt = d, at
	}
	g.byHTTP = g.byHTTP || p.selection.generation == "ha"
}

// addLogin takes the login of the checks.
func (b *builder) addLogin(p *part) {
	user, password, found := p.check.login()
	switch g := b.gate; {
	case !found && p.check.headers["authorization"] != "":
		b.notes.lost(p.check.line, "no Basic user and password can be read from its Authorization; set cluster.check.user and password_file")
	case !found:
	case g.user == "":
		g.user, g.password, g.userLine = user, password, p.check.line
	case g.user != user || g.password != password:
		b.notes.lost(p.check.line, "its login is another one than that of line %d, which is taken for all checks", g.userLine.number)
	}
}

// addTiming takes how often a server is checked; the most careful of all servers counts.
func (b *builder) addTiming(s *server) {
	t := &b.gate.check
	for _, one := range []struct {
		key string
		at  *time.Duration
		s   setting
	}{{"interval", &t.interval, s.inter}, {"fast_interval", &t.fast, s.fastinter}} {
		if !one.s.set() {
			continue
		}
		if d, err := duration(one.s.text); err != nil {
			b.notes.lost(one.s.line, "%v", err)
		} else if d > 0 && (*one.at == 0 || d < *one.at) {
			*one.at, t.at[one.key] = d, one.s.line
		}
	}
	for _, one := range []struct {
		key string
		at  *int
		s   setting
	}{{"rise", &t.rise, s.rise}, {"fall", &t.fall, s.fall}} {
		if count, err := strconv.Atoi(one.s.text); one.s.set() && err == nil && count > *one.at {
			*one.at, t.at[one.key] = count, one.s.line
		}
	}
}

func (b *builder) setTime(p *part, word, key string, at *time.Duration) {
	if d, l := p.time(word, b.notes); l != nil && (*at == 0 || d > *at) {
		*at, b.gate.check.at[key] = d, l
	}
}

func (b *builder) addTLS(s *server) {
	if s.ssl == nil || s.ssl.line == nil {
		return
	}
	switch was := b.gate.tls; {
	case was == nil:
		b.gate.tls = s.ssl
		if s.ssl.cert != "" {
			b.notes.other(s.line, "crt: one file with certificate and key, as cluster.tls.cert and key name it")
		}
	case was.insecure != s.ssl.insecure || was.ca != s.ssl.ca || was.name != s.ssl.name:
		b.notes.lost(s.line, "its TLS is other than that of line %d, which is taken for all members", was.line.number)
	}
}

// addTemplate takes server-template PREFIX NUMBER NAME:PORT as a name in DNS.
func (b *builder) addTemplate(p *part, l *line) {
	l.take()
	s := p.serverOf(&line{number: l.number, words: append([]string{"server", l.word(1), l.word(3)}, l.rest(4)...)}, b.notes)
	b.addTiming(s)
	b.addTLS(s)
	switch {
	case strings.HasPrefix(s.host, "_"):
		b.gate.srv = append(b.gate.srv, s.host)
	case s.http:
		b.gate.dns = append(b.gate.dns, "http://"+s.address("7474"))
	case s.check != "" && s.check != s.port:
		b.gate.dns = append(b.gate.dns, s.host)
		b.notes.other(l, "members behind this name are expected to serve Bolt at 7687 and HTTP at 7474")
	default:
		b.gate.dns = append(b.gate.dns, s.address("7687"))
	}
}

// bounded is the smaller of two bounds; 0 is none.
func bounded(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// lineWords names lines for a comment.
func lineWords(lines ...*line) string {
	var words []string
	for _, l := range lines {
		if l != nil {
			if w := fmt.Sprintf("line %d", l.number); !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	if len(words) > 3 {
		words = append(words[:3], "…")
	}
	return strings.Join(words, ", ")
}
