package proxy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
)

// pump reads the client while run waits for something else: a member's answer, a member, or the client's own slowness. It
// passes on the requests that belong to the unit of work, holds the others, and sees RESET and leaving. It lives no longer
// than the wait. While it runs it owns the session's inbox and the writing side of the lease.
type pump struct {
	s      *boltSession
	cancel context.CancelCauseFunc // ends a wait for a member; nil when there is a lease
	stream bool                    // the message at the inbox's start is being passed on already
	hold   bool                    // nothing is passed on: it only reads, so that the client can go on writing
	done   chan struct{}

	midway bool // guarded by the session's mu: a message was begun, and not sent to its end
	last   bool // guarded by the session's mu: its last piece is being sent, so that its answer may come
	dead   bool // the member does not take more: what belongs to it is read over
	moved  int  // guarded by the session's mu: how many pieces the member took
	looked int  // run's: moved, when run looked the last time; from 1 on
}

var longAgo = time.Unix(1, 0)

// startPump starts a pump; cancel, when there is no lease, is called with errLeft or errReset.
func (s *boltSession) startPump(cancel context.CancelCauseFunc) { s.start(&pump{cancel: cancel}) }

// startHolding starts a pump that keeps what it reads for later.
func (s *boltSession) startHolding() { s.start(&pump{hold: true}) }

func (s *boltSession) start(p *pump) {
	if s.within {
		panic("proxy: a pump within the wait for the client") // it could not read
	}
	p.s, p.midway, p.done = s, p.stream, make(chan struct{})
	s.mu.Lock()
	s.stopping = false
	s.mu.Unlock()
	s.pump = p
	go p.run()
}

// stopPump ends the pump, if one runs, and waits for it. One that is in the middle of a message leaves the lease's
// connection out of step; only who gives that up stops a pump then, for the message is owed an answer.
func (s *boltSession) stopPump() {
	p := s.pump
	if p == nil {
		return
	}
	s.mu.Lock()
	s.stopping = true
	midway := p.midway && s.lease != nil
	s.mu.Unlock()
	if midway {
		s.lease.Link.Conn.SetWriteDeadline(longAgo) //nolint:errcheck // the member may not be reading
	}
	s.client.Conn.SetReadDeadline(longAgo) //nolint:errcheck // a closed connection ends the pump as well
	<-p.done
	s.client.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	s.pump = nil
	switch {
	case midway && p.midway:
		s.cut = true
	case midway: // it was the end of the message that was just on its way
		s.lease.Link.Conn.SetWriteDeadline(time.Time{}) //nolint:errcheck // as above
	}
	if s.unit.raw == nil || s.unit.told.run {
		s.in.unpin()
	}
}

func (p *pump) run() {
	defer close(p.done)
	s := p.s
	if p.hold {
		p.keepReading()
		return
	}
	if p.stream {
		if err := p.passOn(); err != nil {
			p.end(err)
			return
		}
	}
	for {
		if goOn, err := p.deal(); err != nil || !goOn {
			p.end(err)
			return
		}
		if s.in.full(s.fillLimit()) {
			return // nothing more is read until the unit of work is done
		}
		if err := s.in.fill(s.fillLimit() + bufferSize); err != nil {
			p.end(err)
			return
		}
	}
}

// abort ends the session at once, whatever it waits for; the server's shutdown calls it, again and again.
func (s *boltSession) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = errClosed
	}
	if s.lease != nil {
		s.lease.Link.SetDeadline(longAgo) // run finds gone when its read or write ends
	}
}

// keepReading reads until run stops it, or no more can be kept.
func (p *pump) keepReading() {
	s := p.s
	for !s.in.full(s.fillLimit()) {
		if err := s.in.fill(s.fillLimit() + bufferSize); err != nil {
			p.end(err)
			return
		}
	}
}

// end tells run that the client is gone, unless it was run that ended the pump.
func (p *pump) end(err error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || s.stopping && isTimeout(err) {
		return
	}
	if err == io.EOF {
		err = errLeft
	}
	s.gone = err
	if p.cancel != nil {
		p.cancel(fmt.Errorf("%w: %w", errLeft, err))
	}
	if s.lease != nil {
		s.lease.Link.SetDeadline(longAgo) // run finds gone when its read or write ends
	}
	s.client.Conn.SetWriteDeadline(longAgo) //nolint:errcheck // run may be writing to a client that left
}

// deal does what can be done with the requests that were read. goOn is false when run wants the pump to end.
func (p *pump) deal() (goOn bool, err error) {
	s := p.s
	for {
		tag, fields, ok, err := s.in.head()
		switch {
		case err != nil || !ok:
			return true, nil // what cannot be read waits for run to say so
		case tag == bolt.TagGoodbye:
			return false, errLeft
		case tag == bolt.TagReset:
			if !s.in.complete() {
				return true, nil
			}
			return p.overtake(0)
		case !p.belongs(tag, fields):
			return p.lookAhead()
		}
		if !s.in.complete() && !s.in.full(bufferSize) {
			return true, nil
		}
		s.noteEnding(tag)
		if !p.owe(tag) {
			return false, nil
		}
		if !s.in.complete() {
			p.lookSoon()
		}
		if err := p.passOn(); err != nil {
			return false, err
		}
	}
}

// belongs tells whether the request at the inbox's start may go to the member now.
func (p *pump) belongs(tag byte, fields int) bool {
	s := p.s
	return p.cancel == nil && s.unit.explicit && s.unit.ending == 0 && inTransaction(tag) && s.checkQuiet(tag, fields) == nil && s.mayPass(tag)
}

// owe notes that an answer is due; false when run has settled the unit of work meanwhile.
func (p *pump) owe(tag byte) bool {
	s := p.s
	s.noteText(tag)
	query := s.queryPassing(tag)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.unit.forwarded, p.midway = true, true
	s.owed.push(owed{tag: tag, ends: s.unit.ends(), kept: p.dead, query: query})
	return true
}

// passOn sends the message at the inbox's start to the member, in pieces as it arrives. When the member does not take it
// the rest is read over; run finds the member's end when it reads.
func (p *pump) passOn() error {
	s := p.s
	for {
		whole := s.in.complete()
		if whole {
			s.mu.Lock()
			p.last = true
			s.mu.Unlock()
		}
		if n := s.in.walked; n > 0 && !p.dead {
			_, err := s.lease.Link.Write(s.in.buf[s.in.start : s.in.start+n])
			p.dead = err != nil
			s.mu.Lock()
			p.moved++
			if p.dead {
				s.owed.keepLast()
			}
			s.mu.Unlock()
		}
		if whole {
			s.in.drop()
			s.mu.Lock()
			p.midway, p.last = p.dead, false
			s.mu.Unlock()
			return nil
		}
		s.in.passed(s.in.walked)
		if err := s.in.fill(2 * bufferSize); err != nil {
			return err
		}
	}
}

// lookAhead searches behind requests that are held for a RESET, which overtakes them, and for GOODBYE.
func (p *pump) lookAhead() (goOn bool, err error) {
	s := p.s
	b := s.in.buf[s.in.start:s.in.end]
	for held := 0; ; held++ {
		b = b[bolt.SkipNoops(b):]
		tag, _, ok, err := bolt.PeekTag(b)
		if err != nil || !ok {
			return true, nil
		}
		if tag == bolt.TagGoodbye {
			return false, errLeft
		}
		var w bolt.Walk
		n, done := w.Next(b)
		if !done {
			return true, nil
		}
		if tag == bolt.TagReset {
			return p.overtake(held)
		}
		b = b[n:]
	}
}

// overtake deals with a RESET behind held requests: they are ignored, and what runs is interrupted.
func (p *pump) overtake(held int) (goOn bool, err error) {
	s := p.s
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return false, nil
	}
	if mutant.Is(mutant.ResetFirst) {
		s.owed.push(owed{tag: bolt.TagReset, own: p.cancel != nil})
	}
	for range held {
		s.owed.push(owed{own: true})
	}
	if !mutant.Is(mutant.ResetFirst) {
		s.owed.push(owed{tag: bolt.TagReset, own: p.cancel != nil})
	}
	s.reset = true
	s.mu.Unlock()
	for range held + 1 {
		s.in.head() //nolint:errcheck // drops NOOPs; the messages were found to be whole
		s.in.complete()
		s.in.drop()
	}
	s.unit.ending = bolt.TagReset // nothing behind it belongs to the unit of work
	if p.cancel != nil {
		p.cancel(errReset)
		return false, nil
	}
	s.lease.Link.Write(bolt.Reset) //nolint:errcheck // run finds the member's end when it reads
	return true, nil
}

// forward sends the request at the inbox's start, which the state allows, and those behind it to the lease's member.
func (s *boltSession) forward() error {
	for !s.in.complete() && !s.in.full(bufferSize) {
		if err := s.readMore(2 * bufferSize); err != nil {
			return err
		}
	}
	tag, _, _, _ := s.in.head()
	if s.unit.explicit {
		s.noteEnding(tag)
	}
	if !s.in.complete() {
		s.accepted()
		return s.forwardLarge(tag)
	}
	s.in.pinned = true
	from, buf := s.in.start, s.in.buf
	s.take(tag)
	send := buf[from:s.takeFollowing()]
	s.pulls(send)
	err := s.exchange(send)
	s.in.unpin()
	return err
}

// forwardLarge passes a request on in pieces, by a pump, while the answers are relayed: two full buffers must never wait
// for each other.
func (s *boltSession) forwardLarge(tag byte) error {
	if j := s.unit.journal; j != nil {
		j.end("it is too long")
	}
	s.noteText(tag)
	query := s.queryPassing(tag)
	s.mu.Lock()
	s.owed.push(owed{tag: tag, ends: s.unit.ends(), query: query})
	s.mu.Unlock()
	s.answers.open()
	if err := s.silenced(); err != nil {
		return s.lost(err, true)
	}
	s.lease.Link.LimitRead(s.now, quick, slow)
	s.start(&pump{stream: true})
	return s.relay()
}

// resetUnit sends the client's RESET to the member of the open unit of work.
func (s *boltSession) resetUnit() error {
	s.accepted()
	s.mu.Lock()
	s.owed.push(owed{tag: bolt.TagReset})
	s.mu.Unlock()
	s.unit.ending = bolt.TagReset
	s.unit.line.failed("reset")
	return s.exchange(slices.Clip(bolt.Reset))
}
