package configs

// This file owns the names of cluster.discover: what may stand there, what they mean, and their checks. Nobody asks DNS here.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// DNSName is an entry of cluster.discover.dns taken apart.
type DNSName struct {
	Host       string
	Bolt, HTTP int // ports of its members; 0: not spoken to
}

// SRVName is an entry of cluster.discover.srv taken apart.
type SRVName struct {
	Name string
	HTTP bool // its first label says http; else its ports speak Bolt
}

// On tells whether members are looked for.
func (d *Discover) On() bool { return len(d.DNS) > 0 || len(d.SRV) > 0 }

// settle takes one empty text for no name, and gives servers without a port DNS's own.
func (d *Discover) settle() {
	for _, list := range []*[]string{&d.DNS, &d.SRV, &d.Resolvers} {
		if len(*list) == 1 && (*list)[0] == "" {
			*list = nil
		}
	}
	for i, server := range d.Resolvers {
		if ip, err := netip.ParseAddr(server); err == nil {
			d.Resolvers[i] = net.JoinHostPort(ip.String(), "53")
		}
	}
}

var errNoName = errors.New("expected a DNS name, such as neo4j.example.org: letters, digits, dashes and underscores between dots")

// ParseDNS takes an entry of cluster.discover.dns apart: NAME is Bolt and HTTP at their usual ports, NAME:PORT or bolt://NAME
// Bolt alone, http://NAME HTTP alone. secure says that members speak TLS, for HTTP has another port then.
func ParseDNS(text string, secure bool) (DNSName, error) {
	bolt, http := 7687, 7474
	if secure {
		http = 7473
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	port := 0
	if host, _, err := net.SplitHostPort(rest); err == nil {
		if err := checkAddress(rest); err != nil {
			return DNSName{}, err
		}
		_, port, _ = splitAddress(rest)
		rest = host
	}
	switch {
	case scheme == "http":
		bolt = 0
	case scheme == "bolt" || scheme == "" && port != 0:
		http = 0
	case scheme != "":
		return DNSName{}, errors.New("the scheme is bolt or http; none is Bolt, and HTTP too where no port is given")
	}
	if port != 0 && bolt != 0 {
		bolt = port
	} else if port != 0 {
		http = port
	}
	if ip := net.ParseIP(strings.Trim(rest, "[]")); ip != nil {
		return DNSName{}, errors.New("this is an address, not a name; list it in cluster.members")
	}
	return DNSName{rest, bolt, http}, checkName(rest)
}

// ParseSRV takes an entry of cluster.discover.srv apart.
func ParseSRV(text string) (SRVName, error) {
	first, _, _ := strings.Cut(text, ".")
	return SRVName{text, strings.Contains(strings.ToLower(first), "http")}, checkName(text)
}

// checkName checks the form of a DNS name, whole or to be completed by a search list.
func checkName(name string) error {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return errNoName
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notOfLabel) {
			return errNoName
		}
	}
	return nil
}

func notOfLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// discover checks the names, and that what they bring can be checked by the method that is set.
func (c *checker) discover() {
	d := &c.config.Cluster.Discover
	seen := map[string]string{}
	for i, text := range d.DNS {
		key := fmt.Sprintf("cluster.discover.dns[%d]", i)
		name, err := ParseDNS(text, c.config.Cluster.TLS.Mode != "off")
		c.discovered(key, text, err, seen)
		switch method := c.config.Cluster.Check.Method; {
		case err != nil:
		case method == "bolt" && name.Bolt == 0:
			c.fault(key, "cluster.check.method is bolt, but these members have no bolt port")
		case method == "http" && name.HTTP == 0:
			c.fault(key, "cluster.check.method is http, but these members have no http port")
		}
	}
	for i, text := range d.SRV {
		_, err := ParseSRV(text)
		c.discovered(fmt.Sprintf("cluster.discover.srv[%d]", i), text, err, seen)
	}
	for i, server := range d.Resolvers {
		if ap, err := netip.ParseAddrPort(server); err != nil || ap.Port() == 0 {
			c.fault(fmt.Sprintf("cluster.discover.resolvers[%d]", i), "expected the address of a DNS server, such as 10.0.0.10 or 10.0.0.10:53")
		}
	}
	if len(d.Resolvers) > 0 && !d.On() {
		c.warn("cluster.discover.resolvers", "there is no name in cluster.discover to ask them for; they are asked for the hosts of members only")
	}
}

// discovered faults one entry that is no name or stands there already.
func (c *checker) discovered(key, text string, err error, seen map[string]string) {
	if err != nil {
		c.fault(key, "%v (found %s)", err, c.words(key, text))
		return
	}
	text = strings.ToLower(text)
	if other := seen[text]; other != "" {
		c.fault(key, "the same name stands at %s", other)
		return
	}
	seen[text] = key
}

// silentNames are the names whose members can tell their roles over Bolt alone.
func (c *checker) silentNames() (names []string) {
	d := &c.config.Cluster.Discover
	method := c.config.Cluster.Check.Method
	for _, text := range d.DNS {
		if name, err := ParseDNS(text, false); err == nil && (name.HTTP == 0 || method == "bolt") && !c.hasHTTP(name.Host) {
			names = append(names, text)
		}
	}
	http := false
	for _, text := range d.SRV {
		name, err := ParseSRV(text)
		http = http || err == nil && name.HTTP && method != "bolt"
	}
	if !http {
		names = append(names, d.SRV...)
	}
	return names
}

// hasHTTP tells whether another entry gives the members of a host an HTTP port that is asked.
func (c *checker) hasHTTP(host string) bool {
	for _, text := range c.config.Cluster.Discover.DNS {
		if name, err := ParseDNS(text, false); err == nil && strings.EqualFold(name.Host, host) && name.HTTP != 0 && c.config.Cluster.Check.Method != "bolt" {
			return true
		}
	}
	return false
}
