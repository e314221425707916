package migrate

import (
	"net/netip"
	"slices"
	"strings"
)

// This file owns conditions: by what a frontend tells writes from reads, and who may connect.

// signs are what a condition looks at.
type signs struct {
	header  bool // X-Write
	foreign bool // another header
	method  bool
	text    bool // the request's body
	other   bool
}

func (s *signs) add(o signs) {
	s.header = s.header || o.header
	s.foreign = s.foreign || o.foreign
	s.method = s.method || o.method
	s.text = s.text || o.text
	s.other = s.other || o.other
}

// criterion classifies one test, such as hdr_val(X-Write) or method.
func criterion(words []string) signs {
	if len(words) == 0 {
		return signs{other: true}
	}
	name, argument, _ := strings.Cut(strings.ToLower(words[0]), "(")
	argument, _, _ = strings.Cut(argument, ")")
	argument, _, _ = strings.Cut(argument, ",")
	name = strings.TrimPrefix(name, "req.")
	switch {
	case strings.HasPrefix(name, "hdr") || strings.HasPrefix(name, "fhdr"):
		return signs{header: argument == "x-write", foreign: argument != "x-write"}
	case name == "method":
		return signs{method: true}
	case name == "payload" || strings.HasPrefix(name, "body") || name == "payload_lv":
		return signs{text: true}
	case strings.HasPrefix(name, "path") || strings.HasPrefix(name, "url"):
		return signs{} // which endpoint: boltgate knows them all
	}
	return signs{other: true}
}

// signsOf tells what the condition of a line (… if a b || !c, … unless { hdr(X) 1 }) looks at; its acl lines are taken.
func (p *proxy) signsOf(condition []string) signs {
	var all signs
	for i := 0; i < len(condition); i++ {
		switch word := strings.TrimPrefix(condition[i], "!"); word {
		case "", "or", "||", "and":
		case "{":
			end := slices.Index(condition[i:], "}")
			if end < 0 {
				end = len(condition) - i
			}
			all.add(criterion(condition[i+1 : i+end]))
			i += end
		default:
			all.add(p.aclSigns(word))
		}
	}
	return all
}

func (p *proxy) aclSigns(name string) (all signs) {
	lines, found := p.acls[name]
	if !found {
		switch strings.ToUpper(name) {
		case "METH_GET", "METH_HEAD", "METH_POST", "METH_PUT", "METH_DELETE", "METH_OPTIONS":
			return signs{method: true}
		case "TRUE", "FALSE", "HTTP":
			return signs{}
		}
		return signs{other: true}
	}
	for _, l := range lines {
		l.take()
		all.add(criterion(l.rest(2)))
	}
	return all
}

// allowed makes allow and deny lists of lines such as: tcp-request connection reject if !inside. Anything else is noted.
func (p *proxy) allowed(n *notes) (allow, deny []string, lines []*line) {
	for _, l := range p.filters {
		action := l.word(1)
		if action == "connection" || action == "content" {
			action = l.word(2)
		}
		if l.words[0] == "block" {
			action = "deny"
		}
		nets, inverted, ok := p.networks(l)
		switch refuses := action != "accept"; {
		case ok && refuses && !inverted:
			deny = append(deny, nets...)
		case ok && refuses && inverted, ok && !inverted && p.refusesTheRest():
			allow = append(allow, nets...)
		case refuses && bare(l) && len(allow) > 0: // after accept if inside
		default:
			n.lost(l, "only conditions on the client's address (src) become frontends[].allow and deny; see docs/migrating.md")
			continue
		}
		l.take()
		lines = append(lines, l)
	}
	return allow, deny, lines
}

// bare tells whether a line has no condition.
func bare(l *line) bool {
	return !slices.Contains(l.words, "if") && !slices.Contains(l.words, "unless")
}

// refusesTheRest tells whether who was not accepted before is refused.
func (p *proxy) refusesTheRest() bool {
	return slices.ContainsFunc(p.filters, func(l *line) bool {
		return bare(l) && (slices.Contains(l.words, "reject") || slices.Contains(l.words, "deny"))
	})
}

// networks reads the condition of a line when it is about the client's address alone. inverted: it holds for everybody else.
func (p *proxy) networks(l *line) (nets []string, inverted, ok bool) {
	i := slices.IndexFunc(l.words, func(w string) bool { return w == "if" || w == "unless" })
	if i < 0 {
		return nil, false, false
	}
	inverted = l.words[i] == "unless"
	condition := l.rest(i + 1)
	if len(condition) > 0 && condition[0] == "!" {
		condition, inverted = condition[1:], !inverted
	}
	if len(condition) > 2 && condition[0] == "{" && condition[len(condition)-1] == "}" {
		nets, ok = sources(condition[1 : len(condition)-1])
		return nets, inverted, ok
	}
	if len(condition) != 1 {
		return nil, false, false
	}
	name, negated := strings.CutPrefix(condition[0], "!")
	for _, acl := range p.acls[name] {
		more, is := sources(acl.rest(2))
		if !is {
			return nil, false, false
		}
		acl.take()
		nets = append(nets, more...)
	}
	return nets, inverted != negated, len(nets) > 0
}

// sources reads: src 10.0.0.0/8 192.168.0.1
func sources(words []string) ([]string, bool) {
	if len(words) < 2 || words[0] != "src" {
		return nil, false
	}
	var nets []string
	for _, w := range words[1:] {
		if prefix, err := netip.ParsePrefix(w); err == nil {
			nets = append(nets, prefix.Masked().String())
		} else if _, err := netip.ParseAddr(w); err == nil {
			nets = append(nets, w)
		} else {
			return nil, false
		}
	}
	return nets, true
}
