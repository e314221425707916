package configs

// This file owns the checks of what the schema alone cannot say, for all but frontends: whole sections that must fit together.

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// checker collects what is wrong with a configuration. It says nothing about a key that has a fault already, for that would be its echo.
type checker struct {
	world    world
	config   *Config
	faults   Faults
	decoded  int // how many of faults come from before the checks
	warnings []string
	at       map[string]*node // nil for a configuration that came from no file
}

func (c *checker) check() {
	c.decoded = len(c.faults)
	c.cluster()
	c.frontends()
	c.users()
	c.admin()
	c.limits()
	c.log()
	c.backup()
	if c.config.Failover.Hold > 0 && c.config.Failover.MaxHeld == 0 {
		c.warn("failover.max_held", "0 lets nothing wait; failover.hold has no effect")
	}
}

// fault adds a fault at key. It stands at the key's value or, where the file has none, at the section around it.
func (c *checker) fault(key, format string, args ...any) {
	if c.faults.under(key) || c.faults[:c.decoded].inside(key) {
		return
	}
	c.faults = append(c.faults, c.place(key, fmt.Sprintf(format, args...)))
}

func (c *checker) warn(key, format string, args ...any) {
	c.warnings = append(c.warnings, c.place(key, fmt.Sprintf(format, args...)).String())
}

func (c *checker) place(key, text string) Fault {
	for at := key; ; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if n := c.at[at]; n != nil {
			return n.file.fault(n.line, n.column, key, text)
		}
		if at == "" {
			return Fault{Key: key, Text: text}
		}
	}
}

// words says what stands at a key, without what a variable or file said.
func (c *checker) words(key, value string) string {
	switch n := c.at[key]; {
	case n != nil:
		return n.words(field{})
	case c.at[key+"_file"] != nil:
		return "the text of the file"
	default:
		return strconv.Quote(value)
	}
}

func (c *checker) cluster() {
	cl := &c.config.Cluster
	if len(cl.Members) == 0 && !cl.Discover.On() {
		c.fault("cluster.members", "no member is named; name at least one, such as {bolt: \"10.0.0.1:7687\"}, or a DNS name in cluster.discover")
	}
	if cl.Generation == "standalone" && (len(cl.Members) > 1 || cl.Discover.On()) {
		c.standalone()
	}
	c.members()
	c.discover()
	for from, to := range cl.Addresses {
		key := fmt.Sprintf("cluster.addresses[%q]", from)
		if err := checkAddress(from); err != nil {
			c.fault(key, "the advertised address: %v", err)
		} else if err := checkAddress(to); err != nil {
			c.fault(key, "%v", err)
		}
	}
	c.healthCheck()
	c.clusterTLS()
}

// standalone: several servers that know nothing of each other can only be cold spares, or writes would be lost among them.
func (c *checker) standalone() {
	n := len(c.config.Cluster.Members)
	if c.config.Routing.Balance != "first" && n > 1 {
		c.fault("cluster.members", "generation standalone takes one member (found %d); more only as cold spares, with routing.balance: first", n)
	} else if c.config.Routing.Balance != "first" {
		c.fault("cluster.discover", "generation standalone takes one member, and DNS may name more; name it in cluster.members, or say routing.balance: first")
	}
	for i, f := range c.config.Frontends {
		key := fmt.Sprintf("frontends[%d].routing.balance", i)
		if c.at[key] != nil && f.Routing.Balance != "first" && f.Member == "" {
			c.fault(key, "generation standalone with several members takes only first")
		}
	}
}

var nameLetters = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// isName tells whether a member or a frontend may have the name. (An expression with {0,62} in it would be 60 KiB large.)
func isName(name string) bool { return len(name) <= 63 && nameLetters.MatchString(name) }

func (c *checker) members() {
	names, addresses := map[string]int{}, map[string]string{}
	for i, m := range c.config.Cluster.Members {
		key := fmt.Sprintf("cluster.members[%d]", i)
		if first, found := names[m.Name]; found {
			c.fault(key+".name", "cluster.members[%d] has this name already (found %s)", first, c.words(key+".name", m.Name))
		} else if names[m.Name] = i; !isName(m.Name) {
			c.fault(key+".name", "a name has 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit")
		}
		if m.Bolt == "" && m.HTTP == "" {
			c.fault(key, "needs an address: bolt, http or both")
		}
		c.memberAddress(key+".bolt", m.Bolt, addresses)
		c.memberAddress(key+".http", m.HTTP, addresses)
		switch method := c.config.Cluster.Check.Method; {
		case method == "bolt" && m.Bolt == "":
			c.fault(key, "cluster.check.method is bolt, but this member has no bolt address")
		case method == "http" && m.HTTP == "":
			c.fault(key, "cluster.check.method is http, but this member has no http address")
		}
	}
}

// memberAddress checks one address of a member; seen says which key has each address.
func (c *checker) memberAddress(key, address string, seen map[string]string) {
	if address == "" {
		return
	}
	if err := checkAddress(address); err != nil {
		c.fault(key, "%v", err)
		return
	}
	if other := seen[address]; other != "" {
		c.fault(key, "the same address stands at %s", other)
		return
	}
	seen[address] = key
}

func (c *checker) healthCheck() {
	ch := &c.config.Cluster.Check
	switch {
	case c.faults.under("cluster.check.password") || c.faults.under("cluster.check.password_file"):
		// the password is not known
	case ch.User != "" && ch.Password == "":
		c.fault("cluster.check.user", "a user needs a password; give cluster.check.password_file or cluster.check.password")
	case ch.User == "" && ch.Password != "":
		c.fault("cluster.check", "there is a password but no user")
	}
	if ch.FastInterval > ch.Interval {
		c.fault("cluster.check.fast_interval", "longer than cluster.check.interval")
	}
	if c.config.Cluster.Generation != "standalone" && len(c.faults) == 0 {
		c.unknownRoles()
	}
}

// unknownRoles warns where no check can learn who leads, so that the daemon would start and let all work wait. A single server's
// role need not be learned; members without authentication tell theirs to everybody, which no file shows, so that this is no fault.
func (c *checker) unknownRoles() {
	ch := &c.config.Cluster.Check
	if ch.Method == "tcp" {
		c.warn("cluster.check.method", "tcp learns no roles: no leader will be known, and all work waits for failover.hold and fails; "+
			"use auto, http or bolt, or cluster.generation: standalone for a single server")
		return
	}
	var silent []string
	for _, m := range c.config.Cluster.Members {
		if m.HTTP == "" || ch.Method == "bolt" {
			silent = append(silent, m.Name)
		}
	}
	silent = append(silent, c.silentNames()...)
	if ch.User == "" && len(silent) > 0 {
		c.warn("cluster.check.user", "not set, and over Bolt members tell their roles only to a logged-in user (%s), unless they run without authentication: "+
			"no leader is known until a client logs on over Bolt, by whose login members are then asked for routing tables (a cluster of 3.1 or newer, not HA), and "+
			"other work waits for failover.hold and fails; set user and password_file, or cluster.generation: standalone for a single server",
			strings.Join(silent, ", "))
	}
}

func (c *checker) clusterTLS() {
	t := &c.config.Cluster.TLS
	c.keyPair("cluster.tls", t.Cert, t.Key)
	if t.CA != "" {
		if pem := c.read("cluster.tls.ca", t.CA); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			c.fault("cluster.tls.ca", "there is no PEM certificate in the file")
		}
	}
	if t.Mode == "off" && (t.CA != "" || t.ServerName != "" || t.Cert != "") {
		c.warn("cluster.tls", "mode is off, so that nothing else here has an effect")
	}
	if t.Mode == "insecure" && t.CA != "" {
		c.warn("cluster.tls.ca", "mode insecure verifies nothing; the file has no effect")
	}
}

// keyPair checks that a certificate and its key come together, can be read and belong together.
func (c *checker) keyPair(section, cert, key string) {
	switch {
	case cert == "" && key == "":
		return
	case cert == "":
		c.fault(section+".key", "a key needs a certificate; give %s.cert", section)
		return
	case key == "":
		c.fault(section+".cert", "a certificate needs a key; give %s.key", section)
		return
	}
	c.pairOfFiles(section+".cert", cert, section+".key", key)
}

// pairOfFiles checks that a certificate and its key can be read and belong together.
func (c *checker) pairOfFiles(certAt, cert, keyAt, key string) {
	certText := c.read(certAt, cert)
	keyText := c.read(keyAt, key)
	if certText == nil || keyText == nil {
		return
	}
	if _, err := tls.X509KeyPair(certText, keyText); err != nil {
		c.fault(certAt, "no usable pair of certificate and key: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
}

// read returns the text of a file, nil with a fault when it cannot be read.
func (c *checker) read(key, name string) []byte {
	text, _, err := c.world.readFile(name)
	if err != nil {
		c.fault(key, "cannot read the file: %s", plainError(err))
		return nil
	}
	return append([]byte{}, text...) // not nil, even when it is empty
}

// checkAddress checks a host:port that can be dialled.
func checkAddress(address string) error {
	host, port, err := splitAddress(address)
	switch {
	case err != nil:
		return err
	case host == "":
		return errors.New("expected host:port; the host is missing")
	case port == 0:
		return errors.New("port 0 cannot be reached")
	}
	return nil
}

var errNoHostPort = errors.New("expected host:port, such as 10.0.0.1:7687 or [fd00::1]:7687")

// splitAddress takes host:port apart. The host may be empty and the port 0.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, errNoHostPort
	}
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		return "", 0, errors.New("a port is a number up to 65535")
	case strings.ContainsAny(host, " \t\r\n/@\"'{}$"):
		return "", 0, errors.New("this cannot be a host; expected host:port without a scheme, user or path")
	}
	return host, int(n), nil
}
