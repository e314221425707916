package proxy

import (
	"context"
	"errors"

	"github.com/boltgate/boltgate/netio"
)

// This file owns how a client is waited for. Requests of a client that is answered at once are served from within the wait
// (netio.Link.Serve), which spares a system call each. Nobody may read from the client there, so neither a pump nor the session itself:
// whatever has to wait, or may have to, leaves first, and is finished outside. serve.go and http_serve.go own what that is.

var (
	errWait  = errors.New("proxy: the client has to be waited for")
	errLeave = errors.New("proxy: what is to be done is not for within the wait")
)

// restOf is what has to be finished outside. HTTP has the first three.
type restOf uint8

const (
	restNone    restOf = iota // the next request
	restServe                 // the request that was begun, of which nothing was done
	restPerform               // the unit of work, which no member has got
	restRelay                 // the answers that are to come
	restScan                  // what an answer has brought about
	restMember                // the loss of the lease's member
	restClient                // the loss of the client
	restSettle                // the end of a relay
	restFinish                // the last answers, which the client has not taken
)

// attendance is what a session or connection keeps of such a wait; its own goroutine's alone.
type attendance struct {
	within bool  // requests are served within the wait: no pump, no reading
	left   error // why that ended
}

// attended is who serves its client so.
type attended interface {
	netio.Taker
	sit(ctx context.Context) error              // makes ready for a wait
	ended(ctx context.Context, err error) error // what the end of a wait without bytes means; nil: wait again
	serveThese(ctx context.Context) error       // serves the requests that are there: errWait, errLeave, or the end of the connection
	doRest(ctx context.Context) error           // finishes what was left; nil: the connection goes on
}

// serveAsTheyCome waits for requests and serves those that need no waiting, until one does, the client leaves, or its session is to
// park. nil: there may be more.
func (a *attendance) serveAsTheyCome(ctx context.Context, link *netio.Link, c attended) error {
	if err := c.sit(ctx); err != nil {
		return err
	}
	if err := link.Serve(c); err != nil {
		return c.ended(ctx, err)
	}
	err := a.left
	a.left = nil
	if err == errLeave {
		err = c.doRest(ctx)
	}
	return err
}

// attend serves what has just been read, and whatever else is there: the end of every Take.
func (a *attendance) attend(ctx context.Context, c attended) (on bool) {
	a.within = true
	err := c.serveThese(ctx)
	a.within = false
	if err == errWait {
		if err = c.sit(ctx); err == nil {
			return true
		}
	}
	a.left = err
	return false
}
