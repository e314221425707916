package proxy

import (
	"bytes"
	"hash/maphash"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

// This file owns whose requests an HTTP connection sends. A login is the same for HTTP and Bolt, so that a user's reads over
// one see the user's writes over the other (design rule 5).

// httpUser is the user of a connection's newest request that it mattered for.
type httpUser struct {
	gate    *gateUser
	login   *login // nil before the first
	hash    uint64 // of the Authorization header, with a seed of this process
	account uint64 // by which limits know the user, see accountOf
	seen    *marks // with CausalitySession: what this connection has seen of the login; nil until it matters
}

// user is the login of the request's credential. It lasts until the connection ends or sends another.
func (c *httpConn) user() *login {
	value := c.w.req.value(c.head(), fAuthorization)
	hash := maphash.Bytes(hashSeed, value)
	gate := c.gateUser()
	if c.who.login == nil || c.who.hash != hash || c.who.gate != gate {
		c.leaveUser()
		auth := httpAuth(value)
		account := accountOf(gate, auth)
		if gate != nil {
			auth = gate.auth
		}
		login, _ := c.srv.logins.enter(auth, nil)
		c.who = httpUser{gate: gate, login: login, hash: hash, account: account}
	}
	return c.who.login
}

func (c *httpConn) leaveUser() {
	if c.who.login != nil {
		c.srv.logins.leave(c.who.login)
		c.who = httpUser{}
	}
}

// httpAuth is what a driver would send over Bolt for the same credential. A header of another kind is a credential of its
// own, which no Bolt session has.
func httpAuth(header []byte) bolt.Auth {
	scheme, rest, _ := bytes.Cut(header, []byte(" "))
	rest = bytes.TrimSpace(rest)
	switch {
	case len(header) == 0:
		return authOf(map[string]string{"scheme": "none"})
	case equalFold(scheme, "bearer"):
		return authOf(map[string]string{"scheme": "bearer", "credentials": string(rest)})
	case equalFold(scheme, "basic"):
		if user, password, _, err := basicLogin(header); err == nil {
			return bolt.Basic(user, password)
		}
	}
	return bolt.Auth{Entries: "http " + string(header)}
}

func authOf(entries map[string]string) bolt.Auth {
	auth, _ := bolt.ParseAuth(packstream.AppendValue(nil, entries)) // what was just encoded can be read
	return auth
}
