package health

import (
	"net"
	"net/url"
	"strings"

	"github.com/boltgate/boltgate/cluster"
)

// book finds the member behind an address that a member advertised. It never changes once made.
type book map[string]string // advertised host:port in lower case -> member name

// newBook knows each member by its own Bolt address and by every advertised address that addresses maps to it.
func newBook(members []*cluster.Member, addresses map[string]string) book {
	b := make(book, len(members)+len(addresses))
	reachable := make(map[string]string, len(members))
	for _, m := range members {
		if m.Bolt == "" {
			continue
		}
		b[bare(m.Bolt)] = m.Name
		reachable[bare(m.Bolt)] = m.Name
		if host, port, err := net.SplitHostPort(m.Bolt); err == nil && isLoopback(host) {
			b.addLoopback(port, m.Name)
		}
	}
	for advertised, dialled := range addresses {
		if name, ok := reachable[bare(dialled)]; ok {
			b[bare(advertised)] = name
		}
	}
	return b
}

// addLoopback adds the other names of this machine: a member that we dial at 127.0.0.1 often calls itself localhost.
func (b book) addLoopback(port, name string) {
	for _, host := range [...]string{"localhost", "127.0.0.1", "::1"} {
		if key := net.JoinHostPort(host, port); b[key] == "" {
			b[key] = name
		}
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// member finds the member that advertises address, a host:port or a URI; "" when it is none of ours.
func (b book) member(address string) string { return b[bare(address)] }

// bare strips scheme and path from an address and lowers its case; a URI without a port gets Bolt's 7687.
func bare(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	if _, _, err := net.SplitHostPort(address); err != nil && address != "" {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "7687")
	}
	return strings.ToLower(address)
}
