package proxy

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns gate users over HTTP: each request's Basic login is looked at, and members get the other user's instead.

// httpGate is the gate user of a connection's newest request.
type httpGate struct {
	user   *gateUser
	header [sha256.Size]byte // keyed: of the header that was verified
}

// admit finds the gate user of the request, if it is one's. refused is true when the request was answered: a wrong password,
// or a header of which a member may read something else than we do.
func (c *httpConn) admit(ctx context.Context, users *gateUsers) (refused bool, err error) {
	last := c.gate
	c.gate = nil
	w := c.w
	header := w.req.value(c.head(), fAuthorization)
	if header == nil {
		return false, nil
	}
	if w.req.twice[fAuthorization] {
		return true, c.answerFailure(httpFailure{400, codeInvalid, "more than one Authorization header"})
	}
	sum := users.sum(string(header))
	if last != nil && last.header == sum && users.has(last.user) {
		c.gate = last
		return false, nil
	}
	name, password, basic, err := basicLogin(header)
	switch {
	case err != nil:
		return true, c.unauthorized()
	case !basic:
		return false, nil
	}
	u, err := c.srv.verifyUser(ctx, users, name, password, c.remote)
	switch {
	case errors.Is(err, errWrongPassword):
		return true, c.unauthorized()
	case errors.Is(err, errTooMany):
		return true, c.answerFailure(httpFailure{429, bolt.CodeAuthRate, tooMany})
	case err != nil:
		return true, err
	case u != nil:
		c.gate = &httpGate{u, sum}
	}
	return false, nil
}

func (c *httpConn) unauthorized() error {
	return c.answerFailure(httpFailure{401, codeUnauthorized, unauthorized})
}

// gateUser is the gate user of the present request; nil when it is a user of the members'.
func (c *httpConn) gateUser() *gateUser {
	if c.gate == nil {
		return nil
	}
	return c.gate.user
}
