package discovery

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what follows from what members tell of each other: which servers are members too. Pure functions of what was
// heard; checks ask the members, and check each candidate before it is one.

// Known is what does not come from members themselves.
type Known struct {
	Given     []*cluster.Member // listed, or found by DNS: they stay whatever anybody tells
	Addresses map[string]string // advertised address -> the one where we reach it
}

// Learned is what follows from what was heard.
type Learned struct {
	Members    []*cluster.Member // beside those given, by name
	Candidates []*cluster.Member // told, and not checked yet: each becomes a member once it has shown who it is
	Unknown    []string          // members of whom nobody knows under which address others tell of them: until they are known nobody is a candidate
}

// settledAfter is how many good answers a candidate gives over Bolt alone before it becomes a member without HTTP.
const settledAfter = 3

// learn makes the members of what was heard from those given, from those learned before, and from candidates.
//
// A server becomes a member when a member tells of it, it is nobody who is a member already, and it answered at the address
// where we would reach it as the one that was told of. It stays one as long as another member tells of it, or no other tells
// anything to be believed.
func learn(k Known, heard []cluster.Heard, was Learned) (l Learned) {
	before := was.Members
	w := newHearsay(k, heard, before)
	l.Unknown = w.unknown()
	told := w.told()
	for _, m := range before {
		if w.isGiven(m) {
			continue // it turned out to be one that is given
		}
		now := told[m.Name]
		switch {
		case now != nil:
			l.Members = append(l.Members, now.refreshed(m))
		case !slices.ContainsFunc(w.believed, func(teller string) bool { return teller != m.Name }):
			l.Members = append(l.Members, m)
		}
	}
	if len(l.Unknown) > 0 {
		return l
	}
	for name, p := range told {
		if p.http == "" { // it may say itself, where its peers do not; and once it has, it is asked there too
			p.http = cmp.Or(w.reachable(w.heard[name].Self.HTTP), httpOf(was.Candidates, name))
		}
		switch m := w.joined(name, p); {
		case slices.ContainsFunc(before, func(b *cluster.Member) bool { return b.Name == name }):
		case m != nil:
			l.Members = append(l.Members, m)
		default:
			l.Candidates = append(l.Candidates, p.member())
		}
	}
	for _, list := range [...][]*cluster.Member{l.Members, l.Candidates} {
		slices.SortFunc(list, func(a, b *cluster.Member) int { return cmp.Compare(a.Name, b.Name) })
	}
	return l
}

func httpOf(members []*cluster.Member, name string) string {
	for _, m := range members {
		if m.Name == name {
			return m.HTTP
		}
	}
	return ""
}

// place is a server that was told of, where we would reach it.
type place struct {
	server     cluster.Server
	bolt, http string
}

// member makes the member at a place. Its name is its address, as with members found by DNS.
func (p *place) member() *cluster.Member {
	m := &cluster.Member{Name: cmp.Or(p.bolt, p.http), Bolt: p.bolt, HTTP: p.http, Weight: 1, Tags: p.server.Tags}
	m.Short = short(m.Name)
	return m
}

// refreshed is m with the tags that it has now; m itself when nothing is new. Whether it speaks HTTP was settled when it joined.
func (p *place) refreshed(m *cluster.Member) *cluster.Member {
	if slices.Equal(m.Tags, p.server.Tags) {
		return m
	}
	fresh := *m
	fresh.Tags = p.server.Tags
	return &fresh
}

// hearsay is all that is known while members are learned.
type hearsay struct {
	Known
	heard    map[string]cluster.Heard   // by name
	members  map[string]*cluster.Member // given and learned before, by name
	given    map[string]bool            // addresses of those given: where we reach them, and those that they say are theirs
	ids      map[string]bool            // their ids
	believed []string                   // who tells what is to be believed
}

func newHearsay(k Known, heard []cluster.Heard, before []*cluster.Member) *hearsay {
	w := &hearsay{Known: k, heard: map[string]cluster.Heard{}, members: map[string]*cluster.Member{}, given: map[string]bool{}, ids: map[string]bool{}}
	for _, h := range heard {
		w.heard[h.Name] = h
	}
	for _, m := range k.Given {
		self := w.heard[m.Name].Self
		for _, a := range [...]string{m.Bolt, m.HTTP, self.Bolt} {
			w.given[plain(a)] = true
		}
		w.ids[self.ID] = true
	}
	delete(w.given, "")
	delete(w.ids, "")
	for _, m := range slices.Concat(before, k.Given) {
		w.members[m.Name] = m
	}
	return w
}

// plain is an address as it is compared.
func plain(address string) string {
	host, port, err := net.SplitHostPort(strings.ToLower(address))
	if err != nil {
		return ""
	}
	if host == "localhost" || host == "::1" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// isGiven tells whether a member that was learned is one of those given, which may have answered only since.
func (w *hearsay) isGiven(m *cluster.Member) bool {
	self := w.heard[m.Name].Self
	return w.given[plain(m.Bolt)] || w.given[plain(m.HTTP)] || w.given[plain(self.Bolt)] || w.ids[self.ID]
}

// unknown names the given members that are up, and that nobody could tell from a server that others tell of: they say neither
// under which address they are told of nor their id, and are told of under none where we reach them.
func (w *hearsay) unknown() (names []string) {
	told := map[string]bool{}
	for _, h := range w.heard {
		for _, s := range h.Servers {
			told[plain(s.Bolt)], told[plain(w.Addresses[s.Bolt])], told[plain(w.Addresses[s.Peer])] = true, true, true
		}
	}
	delete(told, "")
	for _, m := range w.Given {
		h := w.heard[m.Name]
		if h.Up && h.Self.Bolt == "" && h.Self.ID == "" && !told[plain(m.Bolt)] {
			names = append(names, m.Name)
		}
	}
	return names
}

// told are the servers that members tell of and that are not given, by the name that they have as members. What a member
// tells of itself alone does not count.
func (w *hearsay) told() map[string]*place {
	places := map[string]*place{}
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		teller, h := w.members[name], w.heard[name]
		if !w.believable(teller, h) {
			continue
		}
		w.believed = append(w.believed, name)
		for _, s := range h.Servers {
			p := w.place(s, teller)
			if p == nil || w.isOwn(teller, h, p) || w.given[plain(p.bolt)] || w.given[plain(p.http)] || w.given[plain(s.Bolt)] || w.ids[s.ID] {
				continue
			}
			if at := cmp.Or(p.bolt, p.http); places[at] == nil {
				places[at] = p
			}
		}
	}
	return places
}

// believable tells whether what a member tells is to be believed: it is up, tells of itself and of most of the members that
// are up, and of none twice.
func (w *hearsay) believable(teller *cluster.Member, h cluster.Heard) bool {
	if !h.Up || !w.tellsOf(teller, teller, h.Servers) {
		return false
	}
	seen := map[string]bool{}
	for _, s := range h.Servers {
		key := cmp.Or(plain(s.Bolt), s.Peer)
		if seen[key] || key == "" {
			return false
		}
		seen[key] = true
	}
	up, named := 0, 0
	for name, m := range w.members {
		if w.heard[name].Up {
			up++
			if w.tellsOf(teller, m, h.Servers) {
				named++
			}
		}
	}
	return 2*named > up
}

// tellsOf tells whether a member is among the servers that teller told of.
func (w *hearsay) tellsOf(teller, m *cluster.Member, servers []cluster.Server) bool {
	return slices.ContainsFunc(servers, func(s cluster.Server) bool {
		p := w.place(s, teller)
		if p == nil {
			p = &place{server: s}
		}
		return w.isOwn(m, w.heard[m.Name], p)
	})
}

// isOwn tells whether a server is the member itself.
func (w *hearsay) isOwn(m *cluster.Member, h cluster.Heard, p *place) bool {
	same := func(a, b string) bool { return plain(a) != "" && plain(a) == plain(b) }
	return same(p.server.Bolt, h.Self.Bolt) || p.server.ID != "" && p.server.ID == h.Self.ID ||
		same(p.bolt, m.Bolt) || p.bolt == "" && same(p.http, m.HTTP)
}

// place finds where we would reach a server: at the mapped address, else at the advertised one; nil when there is none. An address of
// this machine means the teller's own machine, which is ours only when we reach the teller there.
func (w *hearsay) place(s cluster.Server, teller *cluster.Member) *place {
	p := &place{server: s, bolt: s.Bolt, http: s.HTTP}
	if s.Peer != "" {
		p.bolt, p.http = besides(s.Peer, teller.Bolt), besides(s.Peer, teller.HTTP)
		if to := w.Addresses[s.Peer]; to != "" {
			p.bolt, p.http = to, ""
			if teller.Bolt == "" {
				p.bolt, p.http = "", to
			}
		}
	}
	p.bolt, p.http = w.reachable(p.bolt), w.reachable(p.http)
	for _, a := range [...]*string{&p.bolt, &p.http} {
		host, _, err := net.SplitHostPort(*a)
		if err != nil || isLoopback(host) && !reachedHere(teller) && w.Addresses[s.Bolt] == "" && w.Addresses[s.Peer] == "" {
			*a = ""
		}
	}
	if p.bolt == "" && (p.http == "" || teller.Bolt != "") {
		return nil
	}
	return p
}

func (w *hearsay) reachable(address string) string {
	if to := w.Addresses[address]; to != "" {
		return to
	}
	return address
}

// besides is the port of one address on the host of another.
func besides(host, port string) string {
	h, _, err := net.SplitHostPort(host)
	_, p, err2 := net.SplitHostPort(port)
	if err != nil || err2 != nil {
		return ""
	}
	return net.JoinHostPort(h, p)
}

func reachedHere(m *cluster.Member) bool {
	host, _, _ := net.SplitHostPort(cmp.Or(m.Bolt, m.HTTP))
	return isLoopback(host)
}

// joined is the member that a candidate becomes; nil while it has not answered, or not as the server that was told of.
func (w *hearsay) joined(name string, p *place) *cluster.Member {
	h := w.heard[name]
	is := h.Self.Bolt != "" && plain(h.Self.Bolt) == plain(p.server.Bolt) || h.Self.ID != "" && h.Self.ID == p.server.ID
	if !h.Up || !is {
		return nil
	}
	m := p.member()
	if m.HTTP != "" && !h.HTTP {
		if h.Good < settledAfter {
			return nil
		}
		m.HTTP = ""
	}
	return m
}
