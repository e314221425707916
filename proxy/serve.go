package proxy

import (
	"context"
	"errors"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns which requests of a Bolt session are served from within the wait for its client (attend.go), and what leaves it.

// rest is what has to be finished outside.
type rest struct {
	do     restOf
	tag    byte  // of restServe
	err    error // of restScan, restMember and restClient
	unsent bool  // of restMember
}

// leave is the error by which the session leaves the wait.
func (s *boltSession) leave(r rest) error {
	s.rest = r
	return errLeave
}

// serveRequests serves the client until it leaves, or the session parks.
func (s *boltSession) serveRequests(ctx context.Context) (err error) {
	defer func() {
		if err != errParked {
			s.end()
		}
	}()
	for {
		err := s.serveThese(ctx)
		if err == errWait {
			err = s.serveAsTheyCome(ctx, s.client, s)
		}
		if err == errParked {
			return err
		}
		if err != nil {
			s.flush() //nolint:errcheck // the session ends anyway; a last FAILURE may still arrive
			return err
		}
	}
}

// serveThese serves the requests that are there. It ends with an error only: errWait when more have to be waited for.
func (s *boltSession) serveThese(ctx context.Context) error {
	for {
		tag, err := s.nextRequest(ctx)
		if err == nil {
			err = s.serve(ctx, tag)
			if err != errLeave {
				s.endQuery()
				s.leavePlaces()
				s.noteBytes()
				s.endLine(err)
			}
		}
		if err != nil {
			return err
		}
	}
}

// sit makes ready for a wait.
func (s *boltSession) sit(ctx context.Context) error {
	if s.lease != nil {
		return nil
	}
	if ctx.Err() != nil {
		return errClosed
	}
	s.fallAsleep()
	if s.outdated() {
		s.wakeUp()
		return errOutdated
	}
	return nil
}

// ended is what the end of a wait without bytes means; nil: wait again.
func (s *boltSession) ended(ctx context.Context, err error) error {
	if s.lease == nil && s.wakeUp() && isTimeout(err) {
		switch {
		case s.ending:
			return errDismissed
		case s.outdated():
			return errOutdated
		case s.mayPark():
			return errParked
		}
		return nil
	}
	return s.endedWait(ctx, endOf(err))
}

// Room, Nothing and Take are for netio.Link.Serve.
func (s *boltSession) Room() []byte { return s.in.room() }

// Nothing is part of netio.Taker.
func (s *boltSession) Nothing() { s.in.nothing() }

// Take serves what was read, and whatever else is there.
func (s *boltSession) Take(n int) (on bool) {
	s.in.took(n)
	if s.lease == nil {
		s.wakeUp()
	}
	return s.attend(s.srv.work, s)
}

// mayServe tells whether the next wait may be one that serves: one without a time limit, with room for bytes.
func (s *boltSession) mayServe() bool {
	return s.loggedIn() && s.readBy().IsZero() && (s.in.buf == nil || s.in.end < len(s.in.buf))
}

// isQuick tells whether the request at the inbox's start may be served within the wait: it is there as a whole, and usually needs an
// idle connection and a member that answers at once.
func (s *boltSession) isQuick(tag byte) bool {
	if s.version < bolt.V3 || s.in.end-s.in.start > muchToSend/2 || s.restricted() || !s.in.complete() {
		return false
	}
	switch s.state {
	case stateReady:
		return tag == bolt.TagRun || tag == bolt.TagBegin
	case stateStreaming:
		return tag == bolt.TagPull || tag == bolt.TagDiscard
	case stateTx:
		return inTransaction(tag)
	}
	return false
}

// doRest finishes outside what was left. nil: the session goes on.
func (s *boltSession) doRest(ctx context.Context) error {
	r := s.rest
	s.rest = rest{}
	err := s.doRestOnce(ctx, r)
	if errors.Is(err, errAgain) {
		err = s.performAgain(ctx)
	}
	s.endQuery()
	s.leavePlaces()
	s.noteBytes()
	s.endLine(err)
	return err
}

func (s *boltSession) doRestOnce(ctx context.Context, r rest) error {
	switch r.do {
	case restServe:
		return s.serve(ctx, r.tag)
	case restPerform:
		return s.perform(ctx)
	case restRelay:
		return s.relay()
	case restScan:
		return s.scanEnded(r.err)
	case restMember:
		return s.lost(r.err, r.unsent)
	case restClient:
		return s.clientLost(r.err)
	case restSettle:
		if err := s.settle(); !errors.Is(err, errMore) {
			return err
		}
		return s.relay()
	case restFinish:
		return s.finish()
	}
	return nil
}

// lostMember is lost, outside.
func (s *boltSession) lostMember(err error, unsent bool) error {
	if s.within {
		return s.leave(rest{do: restMember, err: err, unsent: unsent})
	}
	return s.lost(err, unsent)
}

// lostClient is clientLost, outside.
func (s *boltSession) lostClient(err error) error {
	if s.within {
		return s.leave(rest{do: restClient, err: err})
	}
	return s.clientLost(err)
}
