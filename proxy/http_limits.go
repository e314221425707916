package proxy

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// This file owns limits of users and addresses over HTTP, see limits.go.

// limited notes what the request may take, and refuses one that is over a rate; refused is true when it was answered.
func (c *httpConn) limited() (refused bool, err error) {
	if c.srv.memory.full.Load() {
		return true, c.turnAway(errMemory)
	}
	l := c.front.limits.Load()
	if l == nil || c.w.path.kind == routeStatic {
		return false, nil
	}
	user := ""
	if len(l.named) > 0 {
		user = c.userName()
	}
	c.w.unit.limits = l.of(user)
	if err := c.withinRates(l, user); err != nil {
		return true, c.turnAway(err)
	}
	return false, nil
}

// userName is the name that the request's login has; "" when it has none.
func (c *httpConn) userName() string {
	if g := c.gateUser(); g != nil {
		return g.name
	}
	return httpAuth(c.w.req.value(c.head(), fAuthorization)).Principal
}

// turnAway tells the client of a request to come back later.
func (c *httpConn) turnAway(err error) error {
	c.srv.counts.turn(err)
	f := httpFailure{503, codeNoThreads, plain(err)}
	if soon, ok := errors.AsType[*tooSoon](err); ok {
		f.status = 429
		c.w.unit.retryAfter = soon.seconds()
	}
	return c.answerFailure(f)
}

// takePlaces takes the places that the request needs, and waits for them, see places.go.
func (c *httpConn) takePlaces(ctx context.Context) error {
	u := &c.w.unit
	l := u.limits
	if l == nil || u.places.done {
		return nil
	}
	account, database := uint64(0), uint64(0)
	if l.user.inFlight > 0 {
		c.user()
		account = c.who.account
	}
	if l.database.inFlight > 0 {
		database = databaseKey(c.databaseName())
	}
	if u.places.tryBoth(&c.srv.places, l, account, database) {
		return nil
	}
	if c.within {
		return c.leave(restPerform)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // a shutdown lets the present request finish
	defer cancel(nil)
	defer c.watch(cancel)()
	c.waitFor(nil, cancel)
	defer c.wait.end()
	return u.places.enterBoth(ctx, &c.srv.places, l, account, database, queueLimit(c.w.set))
}

// databaseName is the name by which the request's database has its places. Before 4.0 there is one.
func (c *httpConn) databaseName() string {
	if db := c.w.unit.intent.DB; db != "" {
		return db
	}
	return c.srv.current.View().Default
}

// limitTime lowers the time that the client gives the request to what it may have.
func (c *httpConn) limitTime() {
	u := &c.w.unit
	if u.limits == nil {
		return
	}
	if most := u.limits.transaction; most > 0 && (u.timeout == 0 || u.timeout > most) {
		u.timeout, u.shortened = most, true
	}
}

// appendTime appends the header by which members limit the time of a transaction, where the client's own gives more than it may.
func (u *httpUnit) appendTime(out []byte) []byte {
	if !u.shortened {
		return out
	}
	out = append(out, "max-execution-time: "...)
	out = strconv.AppendInt(out, int64(max(u.timeout/time.Millisecond, 1)), 10)
	return append(out, "\r\n"...)
}
