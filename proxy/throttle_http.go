package proxy

import (
	"context"
	"hash/maphash"
)

// This file owns how a member's word on logins over HTTP slows their address, as its word on Bolt log-ons does. HTTP logs on with every
// request: the one that slows is a login that no member has taken on this connection yet, so that who works there already is not
// slowed by a neighbour's guesses. Gate users are slowed where the gate verifies them.

// loginHash tells the request's login from others; 0 when it has none, or it is a gate user's.
func (c *httpConn) loginHash() uint64 {
	value := c.w.req.value(c.head(), fAuthorization)
	if value == nil || c.gateUser() != nil {
		return 0
	}
	return maphash.Bytes(hashSeed, value)
}

// slowed tells whether the request has to wait for the failed logins of its address.
func (c *httpConn) slowed() bool {
	if !c.srv.throttle.busy.Load() || c.w.path.kind == routeStatic {
		return false
	}
	login := c.loginHash()
	return login != 0 && login != c.proven && c.srv.throttle.delay(c.remote) > 0
}

// slowDown holds the request for as long as its address has earned; not within the wait for the client.
func (c *httpConn) slowDown(ctx context.Context) error {
	switch {
	case !c.slowed():
		return nil
	case c.within:
		return c.leave(restServe)
	}
	return c.srv.throttle.wait(ctx, c.remote)
}

// noteLogin notes what the member that answers said of the request's login. Only work that no member does without a login proves one.
func (c *httpConn) noteLogin() {
	w := c.w
	refused := w.ans.status == 401 || w.ans.status == 429 // 429: too many wrong passwords of this user
	if !refused && !c.srv.throttle.busy.Load() {
		return
	}
	login := c.loginHash()
	switch {
	case login == 0:
	case refused:
		c.proven = 0
		c.srv.throttle.bad(c.remote)
	case login == c.proven || w.ans.status >= 300:
	case w.path.kind == routeStatements || w.path.kind == routeBegin || w.path.kind == routeInside:
		c.proven = login
		c.srv.throttle.good(c.remote)
	}
}
