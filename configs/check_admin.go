package configs

// This file owns the checks of the operator's side.

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/boltgate/boltgate/internal/lazyregexp"
)

func (c *checker) admin() {
	a := &c.config.Admin
	c.adminLogins(a)
	c.adminBinds(a)
	c.webhooks(a.Webhooks)
	if a.TLS.Mode == "optional" {
		c.fault("admin.tls.mode", "here it takes only off or required")
	}
	c.serverTLS("admin.tls", &a.TLS)
}

// adminBinds checks where the operator's side listens, against the frontends too.
func (c *checker) adminBinds(a *Admin) {
	if len(a.Users)+len(a.Tokens) == 0 && a.Bind != "" && !loopback(a.Bind) {
		c.fault("admin.bind", "without admin.users and admin.tokens it must be a loopback address, such as 127.0.0.1:8474 (found %s)", c.words("admin.bind", a.Bind))
	}
	if len(a.Users)+len(a.Tokens) > 0 && a.Bind != "" && !loopback(a.Bind) && a.TLS.Mode == "off" {
		c.warn("admin.bind", "passwords and tokens travel in plain text; give admin.tls.cert and admin.tls.key, or bind a loopback address")
	}
	if a.Metrics == "login" && len(a.Users)+len(a.Tokens) == 0 {
		c.fault("admin.metrics", "login needs somebody who can log in; give admin.users or admin.tokens")
	}
	taken := c.bounds()
	for _, one := range []struct{ key, text string }{{"admin.bind", a.Bind}, {"admin.probes", a.Probes}} {
		if one.text == "" {
			continue
		}
		b, err := parseBind(one.key, one.text)
		if err == nil && b.unix != "" {
			err = fmt.Errorf("expected host:port, such as 127.0.0.1:8474")
		}
		if err != nil {
			c.fault(one.key, "%v", err)
			continue
		}
		if j := slices.IndexFunc(taken, b.overlaps); j >= 0 {
			c.fault(one.key, "%s listens there already", taken[j].key)
		}
		taken = append(taken, b)
	}
}

// bounds are the addresses that frontends listen on, those with a fault left out.
func (c *checker) bounds() (all []bound) {
	for i, f := range c.config.Frontends {
		for j, text := range f.Bind {
			if b, err := parseBind(fmt.Sprintf("frontends[%d].bind[%d]", i, j), text); err == nil {
				all = append(all, b)
			}
		}
	}
	return all
}

// loopback tells whether only this machine reaches a host:port.
func loopback(bind string) bool {
	host, _, err := net.SplitHostPort(bind)
	if err != nil {
		return true // its form is another fault
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

var bcryptHash = lazyregexp.New(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

const leastToken = 20 // characters

func (c *checker) adminLogins(a *Admin) {
	names := map[string]string{}
	for i, u := range a.Users {
		key := fmt.Sprintf("admin.users[%d]", i)
		c.adminName(key, u.Name, names)
		c.secret(key+".password", u.Password)
		if u.Password.Value() != "" && !bcryptHash.MatchString(u.Password.Value()) {
			c.fault(key+".password", "expected a bcrypt hash, not the password; `boltgate hash` makes one")
		}
	}
	for i, t := range a.Tokens {
		key := fmt.Sprintf("admin.tokens[%d]", i)
		c.adminName(key, t.Name, names)
		switch {
		case c.faults.under(key+".token") || c.faults.under(key+".token_file"):
		case t.Token.Value() == "":
			c.fault(key+".token", "needs a token; give %s.token_file or %s.token", key, key)
		case len(t.Token.Value()) < leastToken || strings.ContainsAny(t.Token.Value(), " \t\r\n"):
			c.fault(key+".token", "a token has at least %d characters and no spaces; `openssl rand -hex 24` makes one", leastToken)
		}
	}
}

// adminName checks the name of a user or token; names says which key has each.
func (c *checker) adminName(key, name string, names map[string]string) {
	switch other, found := names[name]; {
	case name == "":
		c.fault(key+".name", "needs a name")
	case strings.ContainsAny(name, ":\x00"):
		c.fault(key+".name", "a name has no colon, for HTTP could not tell where it ends (found %s)", c.words(key+".name", name))
	case found:
		c.fault(key+".name", "%s has this name already (found %s)", other, c.words(key+".name", name))
	}
	names[name] = key
}

// webhooks checks where events are sent.
func (c *checker) webhooks(hooks []Webhook) {
	seen := map[Secret]int{}
	for i, h := range hooks {
		key := fmt.Sprintf("admin.webhooks[%d]", i)
		u, err := url.Parse(h.URL.Value())
		switch first, found := seen[h.URL]; {
		case c.faults.under(key+".url") || c.faults.under(key+".url_file"):
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			c.fault(key+".url", "expected http://HOST/… or https://HOST/…")
		case found:
			c.fault(key+".url", "admin.webhooks[%d] is the same", first)
		case u.Scheme == "http" && h.Secret != "" && !loopback(net.JoinHostPort(u.Hostname(), "80")):
			c.warn(key+".url", "events travel in plain text")
		}
		seen[h.URL] = i
	}
}
