package discovery

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cluster"
)

func words(members []*cluster.Member) string {
	var all []string
	for _, m := range members {
		text := m.Name
		if m.Bolt != "" {
			text += " bolt=" + m.Bolt
		}
		if m.HTTP != "" {
			text += " http=" + m.HTTP
		}
		all = append(all, fmt.Sprintf("%s weight=%d %s", text, m.Weight, strings.Join(m.Tags, ",")))
	}
	return strings.Join(all, "\n")
}

func hosts(ips ...string) (records []Record) {
	for _, ip := range ips {
		records = append(records, Record{Host: ip})
	}
	return records
}

func TestAnswersBecomeMembers(t *testing.T) {
	bolt, http := Service{Name: "_bolt._tcp.x"}, Service{Name: "_http._tcp.x", HTTP: true}
	tests := map[string]struct {
		hosts    []Host
		services []Service
		answers  map[Question][]Record
		want     string
	}{
		"nobody was found": {hosts: []Host{{"db", 7687, 7474}}, services: []Service{bolt}},
		"addresses speak both protocols": {
			hosts:   []Host{{"db", 7687, 7474}},
			answers: map[Question][]Record{{"db", Addresses}: hosts("10.0.0.2", "10.0.0.1")},
			want: "10.0.0.1:7687 bolt=10.0.0.1:7687 http=10.0.0.1:7474 weight=1 db\n" +
				"10.0.0.2:7687 bolt=10.0.0.2:7687 http=10.0.0.2:7474 weight=1 db",
		},
		"IPv6 addresses": {
			hosts:   []Host{{"db", 7687, 0}},
			answers: map[Question][]Record{{"db", Addresses}: hosts("fd00::1")},
			want:    "[fd00::1]:7687 bolt=[fd00::1]:7687 weight=1 db",
		},
		"cores and replicas have names of their own, and a member in both is one": {
			hosts:   []Host{{"cores", 7687, 0}, {"replicas", 7687, 0}},
			answers: map[Question][]Record{{"cores", Addresses}: hosts("10.0.0.1", "10.0.0.2"), {"replicas", Addresses}: hosts("10.0.0.3", "10.0.0.2")},
			want: "10.0.0.1:7687 bolt=10.0.0.1:7687 weight=1 cores\n" +
				"10.0.0.2:7687 bolt=10.0.0.2:7687 weight=1 cores,replicas\n" +
				"10.0.0.3:7687 bolt=10.0.0.3:7687 weight=1 replicas",
		},
		"one name for each protocol": {
			hosts:   []Host{{"bolt", 7000, 0}, {"http", 0, 8000}},
			answers: map[Question][]Record{{"bolt", Addresses}: hosts("10.0.0.1", "10.0.0.2"), {"http", Addresses}: hosts("10.0.0.1", "10.0.0.3")},
			want: "10.0.0.1:7000 bolt=10.0.0.1:7000 http=10.0.0.1:8000 weight=1 bolt\n" +
				"10.0.0.2:7000 bolt=10.0.0.2:7000 weight=1 bolt",
		},
		"HTTP alone": {
			hosts:   []Host{{"http", 0, 8000}},
			answers: map[Question][]Record{{"http", Addresses}: hosts("10.0.0.1")},
			want:    "10.0.0.1:8000 http=10.0.0.1:8000 weight=1 http",
		},
		"services of both protocols": {
			services: []Service{bolt, http},
			answers: map[Question][]Record{
				{bolt.Name, Services}: {{"a.x", 7687, 0, 0}, {"b.x", 7688, 0, 0}},
				{http.Name, Services}: {{"b.x", 7475, 0, 0}, {"a.x", 7474, 0, 0}},
			},
			want: "a.x:7687 bolt=a.x:7687 http=a.x:7474 weight=1 _bolt._tcp.x\n" +
				"b.x:7688 bolt=b.x:7688 http=b.x:7475 weight=1 _bolt._tcp.x",
		},
		"several members on one host: nobody knows whose the HTTP ports are": {
			services: []Service{bolt, http},
			answers: map[Question][]Record{
				{bolt.Name, Services}: {{"a.x", 7687, 0, 0}, {"a.x", 7688, 0, 0}},
				{http.Name, Services}: {{"a.x", 7474, 0, 0}, {"a.x", 7475, 0, 0}},
			},
			want: "a.x:7687 bolt=a.x:7687 weight=1 _bolt._tcp.x\n" +
				"a.x:7688 bolt=a.x:7688 weight=1 _bolt._tcp.x",
		},
		"the lowest priority stands first, whatever the names": {
			services: []Service{bolt},
			answers:  map[Question][]Record{{bolt.Name, Services}: {{"a.x", 7687, 20, 5}, {"c.x", 7687, 10, 5}, {"b.x", 7687, 20, 10}}},
			want: "c.x:7687 bolt=c.x:7687 weight=1 _bolt._tcp.x\n" +
				"a.x:7687 bolt=a.x:7687 weight=1 _bolt._tcp.x\n" +
				"b.x:7687 bolt=b.x:7687 weight=2 _bolt._tcp.x",
		},
	}
	for name, tt := range tests {
		if got := words(fold(tt.hosts, tt.services, tt.answers)); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}

func TestWeightsKeepTheirProportion(t *testing.T) {
	for _, tt := range []struct {
		given []uint16
		want  []int
	}{
		{[]uint16{0, 0, 0}, []int{1, 1, 1}},
		{[]uint16{33, 33, 33}, []int{1, 1, 1}},
		{[]uint16{10, 20, 50}, []int{1, 2, 5}},
		{[]uint16{7, 3}, []int{7, 3}},
		{[]uint16{10, 0}, []int{10, 1}},
		{[]uint16{30, 10, 0}, []int{30, 10, 1}},
		{[]uint16{65535, 1}, []int{100, 1}},
		{[]uint16{65535, 32768, 0}, []int{100, 50, 1}},
		{nil, []int{}},
	} {
		var records []Record
		for _, w := range tt.given {
			records = append(records, Record{Weight: w})
		}
		if got := weights(records); !slices.Equal(got, tt.want) {
			t.Errorf("%d: got %d; want %d", tt.given, got, tt.want)
		}
	}
}

// TestTheOrderOfAnswersDoesNotMatter shuffles names and records of many kinds of answers.
func TestTheOrderOfAnswersDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		names := []Host{{"db", 7687, 7474}, {"a", 7687, 0}, {"b", 0, 7475}}
		services := []Service{{"_bolt._tcp.x", false}, {"_http._tcp.x", true}, {"_bolt._tcp.y", false}}
		answers := make(map[Question][]Record)
		for _, h := range names {
			for range r.IntN(4) {
				answers[Question{h.Name, Addresses}] = append(answers[Question{h.Name, Addresses}], Record{Host: fmt.Sprint("10.0.0.", r.IntN(4))})
			}
		}
		for _, s := range services {
			for range r.IntN(4) {
				answers[Question{s.Name, Services}] = append(answers[Question{s.Name, Services}],
					Record{fmt.Sprint("10.0.0.", r.IntN(4)), uint16(7687 + r.IntN(2)), uint16(r.IntN(2)), uint16(r.IntN(3))})
			}
		}
		want := words(fold(names, services, answers))
		shuffle(r, names)
		shuffle(r, services)
		for _, records := range answers {
			shuffle(r, records)
		}
		if got := words(fold(names, services, answers)); got != want {
			t.Fatalf("%v: got\n%s\nwant\n%s", answers, got, want)
		}
	}
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func TestClientsSeeADigestInsteadOfTheAddress(t *testing.T) {
	members := fold([]Host{{"db", 7687, 7474}}, nil, map[Question][]Record{{"db", Addresses}: hosts("10.0.0.1", "10.0.0.2")})
	digest := regexp.MustCompile(`^[0-9a-f]{6}$`)
	a, b := members[0].ID(), members[1].ID()
	if !digest.MatchString(a) || !digest.MatchString(b) || a == b {
		t.Errorf("got %q and %q; want six hex digits each", a, b)
	}
	if again := fold([]Host{{"other", 7687, 0}}, nil, map[Question][]Record{{"other", Addresses}: hosts("10.0.0.1")})[0]; again.ID() != a {
		t.Errorf("the same address has %q at another gate; want %q", again.ID(), a)
	}
}
