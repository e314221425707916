package proxy

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/internal/mutant"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the relay: requests to the lease's member, and its answers back to the client as they come.

const (
	quick      = 4 * time.Millisecond   // after which at the soonest a pump reads the client beside the relay,
	slow       = 10 * time.Millisecond  // and at the latest
	trusted    = 500 * time.Microsecond // so long after an answer a member's connection is used without a look at it
	noopEvery  = 30 * time.Second       // towards a client that waits for an answer (4.3+)
	muchToSend = 64 << 10               // a member that reads no more may keep us waiting before this is sent
)

var (
	errAgain = errors.New("proxy: the unit of work may be sent again")
	errLeft  = errors.New("proxy: the client left")
	errReset = errors.New("proxy: the client sent RESET")
	errMore  = errors.New("proxy: more requests of the transaction were passed on meanwhile")
)

// exchange sends requests to the lease's member and relays answers until nothing is owed.
func (s *boltSession) exchange(send []byte) error {
	a := &s.answers
	a.open()
	if err := s.silenced(); err != nil {
		return s.lostMember(err, true)
	}
	if len(send) > muchToSend {
		return s.exchangeLong(send)
	}
	s.lease.Link.LimitRead(s.now, quick, slow)
	n, unsent, err := s.lease.Link.Exchange(send, a.buf, s.now.Sub(s.lease.Returned()) > trusted)
	if err != nil && (!isTimeout(err) || s.poked.Load()) {
		return s.lostMember(err, unsent)
	}
	a.end = n
	a.asked = s.front.router().Policy.Balance == routing.Latency
	s.noteLatency()
	return s.relay()
}

// noteLatency tells the pool how long the first bytes of an answer took, where that is asked for.
func (s *boltSession) noteLatency() {
	if a := &s.answers; a.asked && a.end > 0 {
		a.asked = false
		s.lease.Answered(time.Since(s.now))
	}
}

// relay passes answers on until none is owed, then settles what became of the unit of work.
func (s *boltSession) relay() error {
	a := &s.answers
	for {
		more, err := s.scan()
		switch {
		case err != nil:
			return s.scanEnded(err)
		case !more:
			if err = s.settle(); !errors.Is(err, errMore) {
				return err
			}
			continue
		}
		switch err := s.flushAnswers(); {
		case err == errLeave:
			return s.leave(rest{do: restRelay})
		case err != nil:
			return s.lostClient(err)
		}
		if err := a.room(); err != nil {
			return s.scanEnded(err)
		}
		switch err := s.readAnswers(); {
		case err == nil:
		case err == errLeave:
			return s.leave(rest{do: restRelay})
		case errors.Is(err, errLeft):
			return s.lostClient(err)
		case err == errLate:
			if s.mayLeaveLate() {
				return s.leaveLate()
			}
		default:
			return s.lostMember(err, false)
		}
	}
}

// scanEnded deals with an answer that ends the relay: the unit goes elsewhere, or the member makes no sense.
func (s *boltSession) scanEnded(err error) error {
	if s.within {
		return s.leave(rest{do: restScan, err: err})
	}
	switch {
	case errors.Is(err, errAgain):
		return s.again()
	case err == errTooMuch:
		return s.endTooMuch()
	case err == errOtherFields:
		return s.endOtherFields()
	}
	return s.garbage(err)
}

// nothingOwed tells whether all was answered, and if so keeps the pump from forwarding more.
func (s *boltSession) nothingOwed() bool {
	s.lockOwed()
	defer s.unlockOwed()
	if s.owed.empty() {
		s.stopping = true
		return true
	}
	return false
}

// answeredEarly tells whether a member answered what it cannot have read yet.
func (s *boltSession) answeredEarly() bool {
	if s.pump == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed.empty() && s.pump.midway && !s.pump.last
}

// scan looks at the messages that were read. It returns false when nothing is owed any more, true when more bytes are
// needed.
func (s *boltSession) scan() (more bool, err error) {
	a := &s.answers
	for {
		if !a.mid && a.seen == 0 {
			if s.nothingOwed() {
				if s.answeredEarly() {
					return false, errors.New("an answer came before its request was sent to the end")
				}
				return false, nil
			}
			if s.answerOwn() {
				continue
			}
		}
		if a.mid {
			n, done := a.walk.Next(a.buf[a.pos:a.end])
			if j := s.unit.journal; j != nil {
				j.records(a.buf[a.pos : a.pos+n])
			}
			a.pos += n
			s.unit.allowed.bytes -= int64(n)
			a.mid = !done
			if a.mid {
				return true, nil
			}
			continue
		}
		wait, err := s.scanMessage()
		if wait || err != nil {
			return true, err
		}
	}
}

// answerOwn answers what is due first when that is the gate's to say.
func (s *boltSession) answerOwn() bool {
	s.lockOwed()
	own := s.owed.head().own
	if own {
		s.owed.pop()
	}
	s.unlockOwed()
	if own { // what overtook held requests goes to the member itself, so this is one of those that it overtook
		s.stage()
		s.out = append(s.out, bolt.Ignored...)
	}
	return own
}

// scanMessage looks at the message at pos; wait says that it is not there yet.
func (s *boltSession) scanMessage() (wait bool, err error) {
	a := &s.answers
	if a.seen == 0 {
		if n := bolt.SkipNoops(a.buf[a.pos:a.end]); n > 0 { // taken out: what stands before may have to be held
			a.end = a.pos + copy(a.buf[a.pos:], a.buf[a.pos+n:a.end])
		}
	}
	b := a.buf[a.pos:a.end]
	tag, _, ok, err := bolt.PeekTag(b)
	if err != nil || !ok {
		return !ok, err
	}
	if tag == bolt.TagRecord {
		return false, s.startRecord(b)
	}
	n, done := a.walk.Next(b[a.seen:])
	a.seen += n
	if !done {
		return true, nil
	}
	size := a.seen
	a.seen = 0
	var payload []byte
	payload, a.scratch = bolt.Payload(b[:size], a.scratch)
	return false, s.summary(tag, payload, size)
}

func (s *boltSession) startRecord(b []byte) error {
	s.lockOwed()
	o := s.owed.head()
	s.unlockOwed()
	if o.tag != bolt.TagPull || o.mute {
		return fmt.Errorf("a RECORD came where the answer to request %02x was due", o.tag)
	}
	if s.unit.allowed.limited && !s.record() {
		return errTooMuch
	}
	a := &s.answers
	s.query.rows++
	if !s.unit.delivered {
		s.unit.delivered = true
		s.unit.line.answered()
	}
	n, done := a.walk.Next(b)
	if j := s.unit.journal; j != nil {
		j.records(b[:n])
	}
	a.pos += n
	s.unit.allowed.bytes -= int64(n)
	a.mid = !done
	return nil
}

// accepted notes that the unit of work runs at this member: it will not be sent again.
func (s *boltSession) accepted() {
	s.answers.hold = false
	s.unit.raw, s.unit.send = nil, nil
	if s.pump == nil { // else stopPump does
		s.in.unpin()
	}
}

// stage moves what may be sent already into out, so that something of ours can follow it.
func (s *boltSession) stage() {
	a := &s.answers
	s.out = append(s.out, a.buf[a.out:a.pos]...)
	a.out = a.pos
}

// flushAnswers sends what was looked at, before more is waited for. Until it sends a record, a read may still go elsewhere: one whose few records
// came together with the FAILURE of a member that shuts down does.
func (s *boltSession) flushAnswers() error {
	a := &s.answers
	if u := &s.unit; u.delivered && (a.hold || u.raw != nil) {
		if a.hold = false; !mutant.Is(mutant.ResendDelivered) {
			s.accepted()
		}
	}
	if a.hold {
		return nil
	}
	if s.within {
		return s.flushNow()
	}
	if err := s.flush(); err != nil {
		return err
	}
	if a.out == a.pos {
		return nil
	}
	err := s.send(a.buf[a.out:a.pos])
	a.out = a.pos
	return err
}

// flushNow is flushAnswers where the client cannot be waited for: errLeave when it does not take all at once.
func (s *boltSession) flushNow() error {
	a := &s.answers
	if len(s.out) > 0 || !s.client.Raw() {
		return errLeave
	}
	n, err := s.client.TryWrite(a.buf[a.out:a.pos])
	if a.out += n; err == nil && a.out < a.pos {
		return errLeave
	}
	return err
}

// readAnswers waits for more of the member's bytes. The first wait is short: when it ends without any, a pump reads the
// client meanwhile.
func (s *boltSession) readAnswers() error {
	a := &s.answers
	started := time.Time{}
	for {
		n, err := s.lease.Link.Read(a.buf[a.end:])
		a.end += n
		switch {
		case n > 0:
			if s.pump != nil {
				s.lastHeard.Store(time.Now().UnixNano())
			}
			s.noteLatency()
			return nil
		case !isTimeout(err):
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if s.within {
			return errLeave
		}
		now := time.Now()
		if started.IsZero() {
			started, a.sent = now, now
		}
		if err := s.waitLonger(now, started); err != nil {
			return err
		}
	}
}

// waitLonger decides, when a wait for the member ended without bytes, whether and how long to go on.
func (s *boltSession) waitLonger(now, started time.Time) error {
	a := &s.answers
	limit := s.front.settings.Load().Timeouts.Server
	if limit > 0 && now.Sub(started) >= limit {
		return fmt.Errorf("proxy: the member sent nothing for timeouts.server (%v)", limit)
	}
	if s.version >= bolt.V4_3 && !a.mid && now.Sub(a.sent) >= noopEvery {
		a.sent = now
		if err := s.send(bolt.Noop); err != nil {
			return fmt.Errorf("%w: %w", errLeft, err)
		}
	}
	sure := s.pump != nil
	if !sure {
		s.startPump(nil)
	}
	if s.tooLate(now) {
		return errLate
	}
	if err := s.givenUp(sure || now.Sub(started) > silenceLook/2); err != nil {
		return err
	}
	if s.leftUpload() {
		return fmt.Errorf("%w in the middle of a request that the member does not take", errLeft)
	}
	commits := s.commits()
	if commits && s.deposed(now) {
		return errDeposed
	}
	next := now.Add(noopEvery)
	if s.version >= bolt.V4_3 && !a.mid {
		next = a.sent.Add(noopEvery)
	}
	if limit > 0 && started.Add(limit).Before(next) {
		next = started.Add(limit)
	}
	if at := s.unit.lateAt; !at.IsZero() && !s.unit.begun && at.Before(next) {
		next = at
	}
	if at := now.Add(deposedLook); commits && at.Before(next) {
		next = at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return fmt.Errorf("%w: %w", errLeft, s.gone)
	}
	if soon := now.Add(leftLook); s.pump.midway && soon.Before(next) {
		next = soon
	}
	s.lease.Link.SetReadDeadline(next)
	return nil
}
