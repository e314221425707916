package discovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"strconv"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the fold of answers into members: a pure function, in which neither the order of records nor of names matters.

// Host is a name that stands for the addresses of members.
type Host struct {
	Name       string
	Bolt, HTTP uint16 // ports on each address; 0: not spoken there
}

// Service is a name that stands for SRV records of members.
type Service struct {
	Name string
	HTTP bool // its ports speak HTTP; else Bolt
}

// site is one place that a name told.
type site struct {
	host       string
	bolt, http uint16
	priority   uint16
	weight     int
	tag        string
}

// maxWeight bounds the weights of SRV records, which are turns in a row at one member.
const maxWeight = 100

// fold makes the members that answers tell of, the ones with the lowest priority first.
func fold(hosts []Host, services []Service, answers map[Question][]Record) []*cluster.Member {
	var sites []site
	for _, h := range hosts {
		for _, r := range answers[Question{h.Name, Addresses}] {
			sites = append(sites, site{host: r.Host, bolt: h.Bolt, http: h.HTTP, weight: 1, tag: h.Name})
		}
	}
	for _, s := range services {
		records := answers[Question{s.Name, Services}]
		for i, w := range weights(records) {
			at := site{host: records[i].Host, bolt: records[i].Port, priority: records[i].Priority, weight: w, tag: s.Name}
			if s.HTTP {
				at.bolt, at.http = 0, records[i].Port
			}
			sites = append(sites, at)
		}
	}
	return list(pair(sites))
}

// weights scales the weights of one name's records to the smallest whole numbers in their proportion: a server that spreads
// 100 evenly over however many members there are says the same as one that says 1 for each. Beside others 0 means hardly ever.
func weights(records []Record) []int {
	divisor, least, most := 0, maxWeight, 0
	for _, r := range records {
		w := int(r.Weight)
		divisor, least, most = gcd(divisor, w), min(least, w), max(most, w)
	}
	all := make([]int, len(records))
	for i, r := range records {
		w := 1
		switch {
		case most == 0:
		case most/divisor > maxWeight:
			w = int(r.Weight) * maxWeight / most
		case least == 0:
			w = min(10*int(r.Weight)/divisor, maxWeight)
		default:
			w = int(r.Weight) / divisor
		}
		all[i] = max(w, 1)
	}
	return all
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// ports are what the places on one host speak.
type ports struct {
	bolt, http map[uint16]bool // http: of places that speak no Bolt
	both       bool            // a place speaks both
}

// pair joins a place that speaks only Bolt with the one on the same host that speaks only HTTP, where there is no doubt
// which. Other HTTP ports are left out where any place speaks Bolt: on a host with several members nobody knows whose they
// are, and a host that has only HTTP is about to come or to leave, for its two names are not asked at the same moment.
func pair(sites []site) []site {
	hosts := portsByHost(sites)
	anyBolt := slices.ContainsFunc(sites, func(s site) bool { return s.bolt != 0 })
	var paired []site
	for _, s := range sites {
		at := hosts[s.host]
		if s.bolt == 0 && anyBolt {
			continue
		}
		if s.http == 0 && len(at.bolt) == 1 && !at.both && len(at.http) == 1 {
			for s.http = range at.http {
			}
		}
		paired = append(paired, s)
	}
	return paired
}

func portsByHost(sites []site) map[string]*ports {
	hosts := make(map[string]*ports)
	for _, s := range sites {
		at := hosts[s.host]
		if at == nil {
			at = &ports{bolt: map[uint16]bool{}, http: map[uint16]bool{}}
			hosts[s.host] = at
		}
		if s.bolt == 0 {
			at.http[s.http] = true
			continue
		}
		at.bolt[s.bolt] = true
		at.both = at.both || s.http != 0
	}
	return hosts
}

// keepHTTP gives members whose HTTP port is not told any more the one that they had: when a member leaves, the name that
// tells it may be asked before the one that tells of Bolt, and a member that loses a port is another member.
func keepHTTP(members, before []*cluster.Member) {
	for _, m := range members {
		for _, b := range before {
			if m.Name == b.Name && m.Bolt == b.Bolt && m.HTTP == "" {
				m.HTTP = b.HTTP
			}
		}
	}
}

// list makes one member of all places with the same address.
func list(sites []site) []*cluster.Member {
	type found struct {
		*cluster.Member
		priority uint16
	}
	byName := make(map[string]*found)
	slices.SortStableFunc(sites, func(a, b site) int { // the same whatever the order in which they came
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.weight, a.weight), cmp.Compare(b.http, a.http), cmp.Compare(a.tag, b.tag))
	})
	var all []*found
	for _, s := range sites {
		m := s.member()
		f := byName[m.Name]
		if f == nil {
			f = &found{m, s.priority}
			byName[m.Name] = f
			all = append(all, f)
		}
		if f.HTTP == "" {
			f.HTTP = m.HTTP
		}
		if !slices.Contains(f.Tags, s.tag) {
			f.Tags = append(f.Tags, s.tag)
			slices.Sort(f.Tags)
		}
	}
	slices.SortFunc(all, func(a, b *found) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.Name, b.Name))
	})
	members := make([]*cluster.Member, len(all))
	for i, f := range all {
		members[i] = f.Member
	}
	return members
}

// member names a member by its address, which is all that is known of it, so that it is the same at every gate and after
// every start. Clients see a digest of it.
func (s site) member() *cluster.Member {
	m := &cluster.Member{Weight: s.weight, Bolt: address(s.host, s.bolt), HTTP: address(s.host, s.http)}
	m.Name = cmp.Or(m.Bolt, m.HTTP)
	m.Short = short(m.Name)
	return m
}

// short is what clients see of a name that is an address.
func short(name string) string {
	digest := sha256.Sum256([]byte(name))
	return hex.EncodeToString(digest[:3])
}

func address(host string, port uint16) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
