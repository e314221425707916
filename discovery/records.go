package discovery

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// This file owns what an answer of a DNS server tells: records that belong to the name that was asked for, and for how long they hold.

// Kind is which records a Question asks for.
type Kind uint8

// The kinds of records.
const (
	Addresses Kind = iota // A, or AAAA where there is no A
	Services              // SRV
)

// Question is a name to ask DNS for.
type Question struct {
	Name string // whole, or to be completed by the search list of resolv.conf
	Kind Kind
}

// Record is a place where a member may be.
type Record struct {
	Host             string // an IP address, or of Services a host name in lower case without the last dot
	Port             uint16 // of Services
	Priority, Weight uint16 // of Services
}

// Answer is the records of a name, in any order, at least one.
type Answer struct {
	Records []Record
	TTL     time.Duration
}

// maxRecords is more members than any cluster has; an answer with more is not about a cluster.
const maxRecords = 256

var errUnusable = errors.New("its records name no usable address")

// addresses takes the A or AAAA records out of a reply.
func addresses(reply *dns.Msg) (Answer, error) {
	return collect(reply, func(rr dns.RR) (Record, bool) {
		var ip netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			ip, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			ip, _ = netip.AddrFromSlice(rr.AAAA)
		}
		ip = ip.Unmap()
		usable := ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() // 0.0.0.0 is what filters answer
		return Record{Host: ip.String()}, usable
	})
}

// services takes the SRV records out of a reply.
func services(reply *dns.Msg) (Answer, error) {
	return collect(reply, func(rr dns.RR) (Record, bool) {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			return Record{}, false
		}
		host := strings.TrimSuffix(dns.CanonicalName(srv.Target), ".")
		return Record{host, srv.Port, srv.Priority, srv.Weight}, host != "" && srv.Port != 0 // the target "." says: not here
	})
}

// collect goes through the records of the type that was asked for, at the name that was asked for or an alias of it.
func collect(reply *dns.Msg, take func(dns.RR) (Record, bool)) (Answer, error) {
	name, ttl := finalName(reply)
	a := Answer{}
	seen := 0
	have := make(map[Record]bool)
	for _, rr := range reply.Answer {
		h := rr.Header()
		if h.Rrtype != reply.Question[0].Qtype || dns.CanonicalName(h.Name) != name {
			continue
		}
		seen++
		ttl = min(ttl, h.Ttl)
		if r, usable := take(rr); usable && !have[r] {
			have[r] = true
			a.Records = append(a.Records, r)
		}
	}
	a.TTL = time.Duration(ttl) * time.Second
	switch {
	case seen == 0:
		return Answer{}, ErrNone
	case len(a.Records) == 0:
		return Answer{}, errUnusable
	case len(a.Records) > maxRecords:
		return Answer{}, fmt.Errorf("it has %d records; a cluster has at most %d members", len(a.Records), maxRecords)
	}
	return a, nil
}

// finalName follows the aliases in a reply from the name that was asked for, and tells for how long they hold.
func finalName(reply *dns.Msg) (name string, ttl uint32) {
	aliases := make(map[string]*dns.CNAME)
	for _, rr := range reply.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			aliases[dns.CanonicalName(alias.Hdr.Name)] = alias
		}
	}
	name, ttl = dns.CanonicalName(reply.Question[0].Name), math.MaxUint32
	for range len(aliases) { // aliases may go round in a circle
		alias := aliases[name]
		if alias == nil {
			break
		}
		name, ttl = dns.CanonicalName(alias.Target), min(ttl, alias.Hdr.Ttl)
	}
	return name, ttl
}
