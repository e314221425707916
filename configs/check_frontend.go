package configs

// This file owns the checks of frontends.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (c *checker) frontends() {
	if len(c.config.Frontends) == 0 {
		c.fault("frontends", "no frontend is given; leave the key out for one on :7687, or name at least one")
	}
	names := map[string]int{}
	var binds []bound
	for i := range c.config.Frontends {
		f := &c.config.Frontends[i]
		key := fmt.Sprintf("frontends[%d]", i)
		if first, found := names[f.Name]; found && f.Name != "" {
			c.fault(key+".name", "frontends[%d] has this name already (found %s)", first, c.words(key+".name", f.Name))
		} else if names[f.Name] = i; !isName(f.Name) {
			c.fault(key+".name", "needs a name of 1 to 63 letters, digits, dots, dashes and underscores that begins with a letter or digit")
		}
		binds = c.binds(key, f, binds)
		c.addresses(key, f)
		c.protocols(key, f)
		c.frontendTLS(key, f)
	}
}

// bound is one address that a frontend listens on.
type bound struct {
	key  string
	unix string // the path; "" for TCP
	host string
	port int
}

// overlaps tells whether the kernel would refuse one of two binds.
func (b bound) overlaps(other bound) bool {
	if b.unix != "" || other.unix != "" {
		return b.unix == other.unix
	}
	return b.port != 0 && b.port == other.port && (b.host == other.host || b.everywhere() || other.everywhere())
}

func (b bound) everywhere() bool {
	a, err := netip.ParseAddr(b.host)
	return b.host == "" || err == nil && a.IsUnspecified()
}

// binds checks the addresses that a frontend listens on against their form and against those of all frontends before.
func (c *checker) binds(key string, f *Frontend, taken []bound) []bound {
	if len(f.Bind) == 0 {
		c.fault(key+".bind", "needs an address to listen on, such as \":7687\"")
	}
	for i, text := range f.Bind {
		at := fmt.Sprintf("%s.bind[%d]", key, i)
		b, err := parseBind(at, text)
		if err != nil {
			c.fault(at, "%v", err)
			continue
		}
		if j := slices.IndexFunc(taken, b.overlaps); j >= 0 {
			c.fault(at, "%s listens there already", taken[j].key)
			continue
		}
		taken = append(taken, b)
	}
	return taken
}

func parseBind(key, text string) (bound, error) {
	if path, found := strings.CutPrefix(text, "unix:"); found {
		switch {
		case path == "" || path == "@":
			return bound{}, errors.New("unix: needs a path, such as unix:/run/boltgate.sock")
		case len(path) > 107:
			return bound{}, errors.New("the path of a unix socket has at most 107 bytes")
		}
		return bound{key: key, unix: path}, nil
	}
	host, port, err := splitAddress(text)
	switch {
	case errors.Is(err, errNoHostPort):
		return bound{}, errors.New("expected an address to listen on, such as :7687, 10.0.0.1:7687, [fd00::1]:7687 or unix:/path")
	case err != nil:
		return bound{}, err
	}
	return bound{key: key, host: host, port: port}, nil
}

// addresses checks what clients are told to come back to.
func (c *checker) addresses(key string, f *Frontend) {
	for i, address := range f.Advertise {
		if err := checkAddress(address); err != nil {
			c.fault(fmt.Sprintf("%s.advertise[%d]", key, i), "%v", err)
		}
	}
	if f.AdvertiseRead == "" {
		return
	}
	if err := checkAddress(f.AdvertiseRead); err != nil {
		c.fault(key+".advertise_read", "%v", err)
	}
	if !slices.ContainsFunc(c.config.Frontends, func(o Frontend) bool { return o.Access == "read" || o.Access == "read-only" }) {
		c.fault(key+".advertise_read", "there is no frontend with access: read that it could be the address of")
	}
}

// protocols checks that what a frontend speaks is spoken by a member that it reaches.
func (c *checker) protocols(key string, f *Frontend) {
	if len(f.Protocols) == 0 {
		c.fault(key+".protocols", "needs at least one of bolt, websocket, http")
		return
	}
	members, discovers := c.config.Cluster.Members, c.config.Cluster.Discover.On()
	if discovers && (f.Member == "" || checkAddress(f.Member) == nil) {
		return // whom DNS names shows only when it is asked
	}
	if f.Member != "" && c.config.Cluster.Discover.Cluster && checkAddress(f.Member) == nil {
		return // nor whom members tell of
	}
	if f.Member != "" {
		i := slices.IndexFunc(members, func(m Member) bool { return m.Name == f.Member })
		if i < 0 {
			c.fault(key+".member", "no member has this name (found %s)", c.words(key+".member", f.Member))
			return
		}
		members = members[i : i+1]
	}
	if len(members) == 0 || c.faults.under("cluster.members") {
		return
	}
	bolt := slices.ContainsFunc(members, func(m Member) bool { return m.Bolt != "" })
	http := slices.ContainsFunc(members, func(m Member) bool { return m.HTTP != "" })
	speaksBolt := slices.Contains(f.Protocols, "bolt") || slices.Contains(f.Protocols, "websocket")
	switch {
	case speaksBolt && !bolt:
		c.fault(key+".protocols", "no member that this frontend reaches has a bolt address; give one, or say protocols: [http]")
	case !speaksBolt && !http:
		c.fault(key+".protocols", "no member that this frontend reaches has an http address; give one, or add bolt")
	}
}

func (c *checker) frontendTLS(key string, f *Frontend) { c.serverTLS(key+".tls", &f.TLS) }
