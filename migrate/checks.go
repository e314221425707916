package migrate

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"

	"github.com/boltgate/boltgate/internal/lazyregexp"
)

// This file owns what a health check says: which members it finds, and with which login it asks. Neo4j's role endpoints tell leader from
// follower by status and body, so a check is read by playing both answers to it.

// answer is what a role endpoint answers.
type answer struct {
	status int
	body   string
}

var (
	yes = answer{200, "true"}
	no  = answer{404, "false"}
)

// endpoint is one that tells roles: what the leader answers there, and what another member does.
type endpoint struct {
	generation       string // as cluster.generation; "" the path does not say
	leader, follower answer
}

var (
	oldEndpoint = lazyregexp.New(`^/db/manage/server/(ha|causalclustering|core|read-replica)/([a-z-]+)/?$`)
	newEndpoint = lazyregexp.New(`^/db/[^/]+/cluster/(writable|read-only|available|status)/?$`)
)

// endpointOf tells what a path asks; false: it tells no role.
func endpointOf(path string) (endpoint, bool) {
	path, _, _ = strings.Cut(path, "?")
	if m := newEndpoint.FindStringSubmatch(path); m != nil {
		return byWord("", m[1])
	}
	m := oldEndpoint.FindStringSubmatch(path)
	switch {
	case m == nil:
		return endpoint{}, false
	case m[1] == "ha" && m[2] == "available":
		return endpoint{"ha", answer{200, "master"}, answer{200, "slave"}}, true
	case m[1] == "ha":
		return byWord("ha", m[2])
	case m[1] == "read-replica":
		return endpoint{"causal", no, yes}, true
	}
	return byWord("causal", m[2])
}

func byWord(generation, word string) (endpoint, bool) {
	switch word {
	case "master", "writable":
		return endpoint{generation, yes, no}, true
	case "slave", "read-only":
		return endpoint{generation, no, yes}, true
	case "available":
		return endpoint{generation, yes, yes}, true
	case "status":
		return endpoint{generation, answer{200, "{}"}, answer{200, "{}"}}, true
	}
	return endpoint{}, false
}

// check is what option httpchk and http-check say together.
type check struct {
	line     *line // option httpchk; nil: there is none
	method   string
	path     string
	headers  map[string]string // by lower-case name
	expected []expectation
}

// expectation is one http-check expect.
type expectation struct {
	not   bool
	kind  string // status, rstatus, string, rstring
	value string
	regex *regexp.Regexp
}

// good tells whether an answer passes.
func (e expectation) good(a answer) bool {
	status := strconv.Itoa(a.status)
	var hit bool
	switch e.kind {
	case "status":
		hit = inRanges(e.value, a.status)
	case "rstatus":
		hit = e.regex.MatchString(status)
	case "string":
		hit = strings.Contains(a.body, e.value)
	case "rstring":
		hit = e.regex.MatchString(a.body)
	}
	return hit != e.not
}

// inRanges reads 200, 200-299 and lists of them.
func inRanges(text string, n int) bool {
	for _, part := range strings.Split(text, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		a, err := strconv.Atoi(low)
		b, err2 := strconv.Atoi(high)
		if err == nil && err2 == nil && a <= n && n <= b {
			return true
		}
	}
	return false
}

// good tells whether a member with this answer is up to HAProxy.
func (c *check) good(a answer) bool {
	if c.method == "HEAD" {
		a.body = ""
	}
	if len(c.expected) == 0 {
		return a.status >= 200 && a.status < 400
	}
	for _, e := range c.expected {
		if !e.good(a) {
			return false
		}
	}
	return true
}

// checkOf reads the lines about the check of a backend.
func (p *proxy) checkOf(n *notes) *check {
	c := &check{line: p.httpchk, headers: map[string]string{}}
	if c.line == nil {
		return c
	}
	c.line.take()
	args := c.line.rest(2)
	switch len(args) {
	case 0:
		c.method, c.path = "OPTIONS", "/"
	case 1:
		c.method, c.path = "OPTIONS", args[0]
	default:
		c.method, c.path = args[0], args[1]
		c.addHeaders(strings.Join(args[2:], " "))
	}
	for _, l := range p.httpCheck {
		switch l.word(1) {
		case "expect":
			c.expect(l, n)
		case "send":
			c.send(l)
		case "disable-on-404":
			n.other(l, "not needed: members are asked for their roles; a member leaves by `boltgate drain`")
		default:
			n.lost(l, "checks are boltgate's own; this step of them is left out")
		}
	}
	return c
}

// addHeaders reads what people append to the version: HTTP/1.0\r\nAuthorization:\ Basic\ …
func (c *check) addHeaders(text string) {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	for i, l := range lines {
		if name, value, found := strings.Cut(l, ":"); found && (i > 0 || !strings.HasPrefix(l, "HTTP/")) {
			c.headers[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
	}
}

// send reads http-check send meth GET uri /… hdr Authorization "Basic …"
func (c *check) send(l *line) {
	l.take()
	for i := 2; i < len(l.words); i++ {
		switch l.words[i] {
		case "meth":
			i, c.method = i+1, l.word(i+1)
		case "uri", "uri-lf":
			i, c.path = i+1, l.word(i+1)
		case "hdr":
			c.headers[strings.ToLower(l.word(i+1))] = l.word(i + 2)
			i += 2
		case "ver", "body", "body-lf", "comment":
			i++
		}
	}
}

// expect reads http-check expect [min-recv N] [comment TEXT] [!] KIND VALUE.
func (c *check) expect(l *line, n *notes) {
	l.take()
	var e expectation
	for i := 2; i < len(l.words); i++ {
		switch w := l.words[i]; w {
		case "!":
			e.not = true
		case "status", "rstatus", "string", "rstring":
			e.kind, e.value = w, strings.Join(l.rest(i+1), " ")
			i = len(l.words)
		case "min-recv", "comment", "ok-status", "error-status", "tout-status", "on-success", "on-error", "status-code":
			i++
		}
	}
	if strings.HasPrefix(e.kind, "r") {
		var err error
		if e.regex, err = regexp.Compile(e.value); err != nil {
			n.lost(l, "boltgate cannot read this regular expression; members are told apart by the path alone")
			return
		}
	}
	if e.kind == "" {
		n.lost(l, "an expectation that is not known; members are told apart by the path alone")
		return
	}
	c.expected = append(c.expected, e)
}

// login is the user and password that the check sends.
func (c *check) login() (user, password string, found bool) {
	scheme, text, _ := strings.Cut(c.headers["authorization"], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", "", false
	}
	user, password, found = strings.Cut(string(plain), ":")
	return user, password, found && user != "" && password != ""
}

// selection is which members a backend gives work to.
type selection struct {
	leader, others bool
	known          bool   // by a role endpoint
	generation     string // as cluster.generation; "" it does not say
}

func (s selection) onlyLeader() bool { return s.leader && !s.others }
func (s selection) onlyOthers() bool { return s.others && !s.leader }

// selects tells which members pass the check.
func (c *check) selects(n *notes) selection {
	at, found := endpointOf(c.path)
	if c.line == nil || !found {
		if c.line != nil {
			n.other(c.line, "this path tells no roles; boltgate asks members for theirs, and work goes by it")
		}
		return selection{leader: true, others: true}
	}
	s := selection{leader: c.good(at.leader), others: c.good(at.follower), known: true, generation: at.generation}
	if !s.leader && !s.others {
		n.lost(c.line, "no member can pass this check together with its http-check expect; all of them are taken")
		s.leader, s.others = true, true
	}
	return s
}
