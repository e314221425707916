package discovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cluster"
)

// given makes members that are listed: "s1=10.0.0.1:7687", "s1=10.0.0.1:7687/10.0.0.1:7474", "s1=/10.0.0.1:7474".
func given(lines ...string) (list []*cluster.Member) {
	for _, line := range lines {
		name, addresses, _ := strings.Cut(line, "=")
		bolt, http, _ := strings.Cut(addresses, "/")
		list = append(list, &cluster.Member{Name: name, Bolt: bolt, HTTP: http, Weight: 1})
	}
	return list
}

// server makes a server from "id bolt http", each "-" for none; "peer:HOST:PORT" in place of bolt is a HA peer.
func server(text string) (s cluster.Server) {
	words := append(strings.Fields(text), "-", "-", "-")
	for i, to := range [...]*string{&s.ID, &s.Bolt, &s.HTTP} {
		if words[i] != "-" {
			*to = words[i]
		}
	}
	if peer, ok := strings.CutPrefix(s.Bolt, "peer:"); ok {
		s.Peer, s.Bolt = peer, ""
	}
	return s
}

// hears makes what checks heard: whom, "id bolt" of itself, and of which servers it tells.
func hears(name, self string, servers ...string) cluster.Heard {
	h := cluster.Heard{Name: name, Up: true, HTTP: true, Good: 9, Self: server(self)}
	for _, s := range servers {
		h.Servers = append(h.Servers, server(s))
	}
	return h
}

func down(h cluster.Heard) cluster.Heard {
	h.Up, h.Servers = false, nil
	return h
}

func overBolt(good int, h cluster.Heard) cluster.Heard {
	h.HTTP, h.Good = false, good
	return h
}

// words is what was learned in short: members, "?" and candidates, "!" and the unknown.
func (l Learned) words() string {
	text := ""
	add := func(sign string, m *cluster.Member) {
		text += " " + sign + m.Bolt
		if m.HTTP != "" {
			text += "/" + m.HTTP
		}
	}
	for _, m := range l.Members {
		add("", m)
	}
	for _, m := range l.Candidates {
		add("?", m)
	}
	for _, name := range l.Unknown {
		text += " !" + name
	}
	return strings.TrimSpace(text)
}

func TestLearn(t *testing.T) {
	const a, b, c = "1 a:7687 a:7474", "2 b:7687 b:7474", "3 c:7687 c:7474"
	all := []string{a, b, c}
	for _, tt := range []struct {
		name      string
		given     []*cluster.Member
		addresses map[string]string
		before    []*cluster.Member
		heard     []cluster.Heard
		want      string
	}{
		{"nobody has told anything", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687")}, ""},
		{"who is told of is a candidate first", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", all...)}, "?b:7687/b:7474 ?c:7687/c:7474"},
		{"and a member once it has answered as that server", given("s1=a:7687/a:7474"), nil, nil,
			[]cluster.Heard{hears("s1", "1 a:7687", all...), hears("b:7687", "- b:7687"), down(hears("c:7687", ""))}, "b:7687/b:7474 ?c:7687/c:7474"},
		{"its id tells too who it is", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", all...), hears("b:7687", "2 -"), hears("c:7687", "4 -")}, "b:7687/b:7474 ?c:7687/c:7474"},
		{"another server answers there", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", all...), hears("b:7687", "9 x:7687")}, "?b:7687/b:7474 ?c:7687/c:7474"},
		{"it does not say who it is", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", all...), hears("b:7687", "")}, "?b:7687/b:7474 ?c:7687/c:7474"},
		{"its HTTP address does not answer: it is given time", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", a, b), overBolt(2, hears("b:7687", "2 b:7687"))}, "?b:7687/b:7474"},
		{"then it joins without", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", a, b), overBolt(3, hears("b:7687", "2 b:7687"))}, "b:7687"},
		{"all are given", given("s1=a:7687/a:7474", "s2=b:7687", "s3=c:7687"), nil, nil, []cluster.Heard{hears("s1", "1 a:7687", all...), hears("s2", "2 b:7687", all...), hears("s3", "3 c:7687")}, ""},

		{"given under other addresses, and they say theirs", given("s1=10.0.0.1:7687", "s2=10.0.0.2:7687"), nil, nil,
			[]cluster.Heard{hears("s1", "- a:7687", all...), hears("s2", "- b:7687", all...)}, "?c:7687/c:7474"},
		{"given under other addresses, and they say their ids", given("s1=10.0.0.1:7687", "s2=10.0.0.2:7687"), nil, nil,
			[]cluster.Heard{hears("s1", "1 -", all...), hears("s2", "2 -", all...)}, "?c:7687/c:7474"},
		{"one of them does not say: it could be any", given("s1=10.0.0.1:7687", "s2=10.0.0.2:7687"), nil, nil,
			[]cluster.Heard{hears("s1", "1 a:7687", all...), hears("s2", "", all...)}, "!s2"},
		{"but it is down", given("s1=10.0.0.1:7687", "s2=10.0.0.2:7687"), nil, nil,
			[]cluster.Heard{hears("s1", "1 a:7687", all...), down(hears("s2", ""))}, "?b:7687/b:7474 ?c:7687/c:7474"},
		{"when it answers it turns out to be one that was learned", given("s1=10.0.0.1:7687", "s2=10.0.0.2:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", all...), hears("s2", "- b:7687"), hears("b:7687", "- b:7687", all...), hears("c:7687", "- c:7687", all...)}, "c:7687"},
		{"addresses are mapped", given("s1=10.0.0.1:7687"), map[string]string{"a:7687": "10.0.0.1:7687", "b:7687": "10.0.0.2:17687", "b:7474": "10.0.0.2:17474"}, nil,
			[]cluster.Heard{hears("s1", "", a, b), hears("10.0.0.2:17687", "2 b:7687")}, "10.0.0.2:17687/10.0.0.2:17474"},
		{"case does not matter", given("s1=A.example:7687"), nil, nil, []cluster.Heard{hears("s1", "", "1 a.example:7687", b), hears("b:7687", "- B:7687")}, "b:7687/b:7474"},

		{"localhost is the teller's, not ours", given("s1=10.0.0.1:7687"), nil, nil, []cluster.Heard{hears("s1", "1 localhost:7687", "1 localhost:7687", "2 localhost:7688")}, ""},
		{"unless the teller is here", given("s1=127.0.0.1:7687"), nil, nil, []cluster.Heard{hears("s1", "", "1 localhost:7687", "2 localhost:7688")}, "?localhost:7688"},
		{"or it is mapped", given("s1=10.0.0.1:7687"), map[string]string{"localhost:7688": "10.0.0.1:7688"}, nil,
			[]cluster.Heard{hears("s1", "1 localhost:7687", "1 localhost:7687", "2 localhost:7688")}, "?10.0.0.1:7688"},
		{"all advertise one address", given("s1=10.0.0.1:7687"), nil, nil, []cluster.Heard{hears("s1", "1 x:7687", "1 x:7687", "2 x:7687", "3 x:7687")}, ""},

		{"an empty list takes nobody away", given("s1=a:7687"), nil, given("b:7687=b:7687"), []cluster.Heard{hears("s1", "1 a:7687"), hears("b:7687", "2 b:7687")}, "b:7687"},
		{"a list without its teller is none", given("s1=a:7687"), nil, given("b:7687=b:7687"), []cluster.Heard{hears("s1", "1 a:7687", "8 x:7687", "9 y:7687"), hears("b:7687", "2 b:7687")}, "b:7687"},
		{"a teller that hears nobody is cut off, not alone", given("s1=a:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", a), hears("b:7687", "2 b:7687", b), hears("c:7687", "3 c:7687", c)}, "b:7687 c:7687"},
		{"only one tells what is to be believed, and that is no word against itself", given("s1=a:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", "9 x:7687"), hears("b:7687", "2 b:7687", "9 x:7687"), hears("c:7687", "3 c:7687", a, b, c)}, "b:7687 c:7687"},
		{"of two parts the larger is believed", given("s1=a:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", a, b), hears("b:7687", "2 b:7687", a, b), hears("c:7687", "3 c:7687", c)}, "b:7687"},
		{"one that nobody tells of has left", given("s1=a:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", a, b), hears("b:7687", "2 b:7687", a, b), down(hears("c:7687", ""))}, "b:7687"},
		{"one that is down and told of stays", given("s1=a:7687"), nil, given("b:7687=b:7687"), []cluster.Heard{hears("s1", "1 a:7687", a, b), down(hears("b:7687", ""))}, "b:7687"},
		{"nobody answers: all stay", given("s1=a:7687"), nil, given("b:7687=b:7687"), []cluster.Heard{down(hears("s1", "1 a:7687")), down(hears("b:7687", ""))}, "b:7687"},
		{"the one given is down: those learned tell on", given("s1=a:7687"), nil, given("b:7687=b:7687"),
			[]cluster.Heard{down(hears("s1", "1 a:7687")), hears("b:7687", "2 b:7687", all...)}, "b:7687 ?c:7687/c:7474"},
		{"the one given leaves the cluster: it stays, for it is given", given("s1=a:7687"), nil, given("b:7687=b:7687", "c:7687=c:7687"),
			[]cluster.Heard{hears("s1", "1 a:7687", a), hears("b:7687", "2 b:7687", b, c), hears("c:7687", "3 c:7687", b, c)}, "b:7687 c:7687"},

		{"HA: the host is told, ports are the teller's", given("s1=a:7687/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 -", "1 peer:a:6001", "2 peer:b:6001"), hears("b:7687", "2 -")}, "b:7687/b:7474"},
		{"HA 2.x: HTTP alone", given("s1=/a:7474"), nil, nil, []cluster.Heard{hears("s1", "1 -", "1 peer:a:6001", "2 peer:b:6001"), hears("b:7474", "2 -")}, "/b:7474"},
		{"HA on one machine: mapped, and it says its HTTP address itself", given("s1=127.0.0.1:1/127.0.0.1:2"), map[string]string{"127.0.0.1:6002": "127.0.0.1:3"}, nil,
			[]cluster.Heard{hears("s1", "1 -", "1 peer:127.0.0.1:6001", "2 peer:127.0.0.1:6002"), hears("127.0.0.1:3", "2 127.0.0.1:3 127.0.0.1:4")}, "127.0.0.1:3/127.0.0.1:4"},
		{"HA on one machine: until it has said so it is asked over Bolt alone", given("s1=127.0.0.1:1/127.0.0.1:2"), map[string]string{"127.0.0.1:6002": "127.0.0.1:3"}, nil,
			[]cluster.Heard{hears("s1", "1 -", "1 peer:127.0.0.1:6001", "2 peer:127.0.0.1:6002"), down(hears("127.0.0.1:3", "- - 127.0.0.1:4"))}, "?127.0.0.1:3/127.0.0.1:4"},
		{"HA on one machine, not mapped: the teller's own address is nobody else's", given("s1=127.0.0.1:1/127.0.0.1:2"), nil, nil,
			[]cluster.Heard{hears("s1", "1 -", "1 peer:127.0.0.1:6001", "2 peer:127.0.0.1:6002")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := learn(Known{tt.given, tt.addresses}, tt.heard, Learned{Members: tt.before}).words()
			if got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

// TestALearnedMemberIsCalledByItsAddress, of which clients see six digits, and carries its server's tags.
func TestALearnedMemberIsCalledByItsAddress(t *testing.T) {
	b := server("2 b:7687 b:7474")
	b.Tags = []string{"east"}
	h := hears("s1", "1 a:7687", "1 a:7687")
	h.Servers = append(h.Servers, b)
	l := learn(Known{Given: given("s1=a:7687")}, []cluster.Heard{h, hears("b:7687", "2 b:7687")}, Learned{})
	if len(l.Members) != 1 {
		t.Fatalf("got %s", l.words())
	}
	m := l.Members[0]
	if found := (site{host: "b", bolt: 7687, http: 7474, weight: 1}).member(); m.Name != "b:7687" || m.ID() != found.ID() || len(m.ID()) != 6 || !slices.Equal(m.Tags, []string{"east"}) {
		t.Errorf("got %+v; want the name and id that it has when DNS finds it: %+v", m, found)
	}
	h.Servers[1].Tags = []string{"west"}
	if again := learn(Known{Given: given("s1=a:7687")}, []cluster.Heard{h, hears("b:7687", "2 b:7687")}, l); !slices.Equal(again.Members[0].Tags, []string{"west"}) || m.Tags[0] != "east" {
		t.Errorf("its tags changed: got %v, and the member that there was has %v", again.Members[0].Tags, m.Tags)
	}
}

// TestNoLieEmptiesTheList has one of five members say anything, for all kinds of what others say.
func TestNoLieEmptiesTheList(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	truth := func() (list []string) {
		for i, n := range names {
			list = append(list, fmt.Sprintf("%d %s:7687", i+1, n))
		}
		return list
	}()
	before := given("b:7687=b:7687", "c:7687=c:7687", "d:7687=d:7687", "e:7687=e:7687")
	lies := [][]string{nil, {}, {truth[0]}, {"9 x:7687"}, {"9 x:7687", "8 y:7687", "7 z:7687", "6 v:7687"}, {truth[0], "9 x:7687", "8 y:7687"}, {truth[0], truth[1], "9 x:7687", "8 y:7687", "7 z:7687", "6 w:7687"}, {truth[0], truth[0], truth[0], truth[0]}, {"- -", "- -", "- -"}}
	for liar := range names {
		for _, lie := range lies {
			var heard []cluster.Heard
			for i, n := range names {
				name := map[bool]string{true: "s1", false: n + ":7687"}[i == 0]
				tells := truth
				if i == liar {
					tells = lie
				}
				heard = append(heard, hears(name, truth[i], tells...))
			}
			l := learn(Known{Given: given("s1=a:7687")}, heard, Learned{Members: before})
			if len(l.Members) != 4 {
				t.Errorf("%s tells of %q: got %s; want the four that there were", names[liar], lie, l.words())
			}
		}
	}
}
