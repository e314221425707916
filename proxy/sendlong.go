package proxy

import (
	"fmt"
	"time"

	"github.com/boltgate/boltgate/bolt"
)

// This file owns what is sent to members that may stop reading: an opening request that no socket takes in one go is bounded
// by timeouts.server, and the client of a request that a pump cannot get rid of is looked at.

// exchangeLong is exchange for more than a socket takes at once. Meanwhile a pump reads the client, so that its leaving is
// seen.
func (s *boltSession) exchangeLong(send []byte) error {
	link := s.lease.Link
	if !s.lease.Fresh {
		if err := link.Quiet(); err != nil {
			return s.lost(err, true)
		}
	}
	s.startHolding()
	n, err := s.sendPieces(send)
	s.stopPump()
	s.cut = n < len(send)
	if gone := s.clientGone(); gone != nil {
		return s.clientLost(gone)
	}
	if err != nil {
		s.mu.Lock()
		s.owed.keepFrom(wholeMessages(send[:n]))
		s.mu.Unlock()
		return s.lost(err, n == 0)
	}
	link.Conn.SetWriteDeadline(time.Time{}) //nolint:errcheck // a closed connection shows in the read
	link.SetReadDeadline(time.Now().Add(quick))
	return s.relay()
}

// wholeMessages is how many messages b has to their end, which is the empty chunk behind each: before that no server can begin
// to carry one out.
func wholeMessages(b []byte) (whole int) {
	var w bolt.Walk
	for {
		if !w.Midway() {
			b = b[bolt.SkipNoops(b):]
		}
		n, done := w.Next(b)
		if !done {
			return whole
		}
		whole, b = whole+1, b[n:]
	}
}

// sendPieces sends b in pieces and tells how much a member took. Each piece has timeouts.server for itself: who reads slowly
// is not cut off, who reads nothing is.
func (s *boltSession) sendPieces(b []byte) (n int, err error) {
	limit := s.front.settings.Load().Timeouts.Server
	for n < len(b) {
		if err := s.limitWrite(limit); err != nil {
			return n, err
		}
		k, err := s.lease.Link.Write(b[n:min(n+muchToSend, len(b))])
		n += k
		switch {
		case err == nil:
		case isTimeout(err) && s.poked.Load():
			return n, errSilent
		case k > 0 && isTimeout(err):
		case isTimeout(err):
			return n, fmt.Errorf("proxy: the member took nothing for timeouts.server (%v)", limit)
		default:
			return n, err
		}
	}
	return n, nil
}

// limitWrite sets the deadline of a write to the member, unless the pump has ended writes because the client is gone.
func (s *boltSession) limitWrite(limit time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return fmt.Errorf("%w: %w", errLeft, s.gone)
	}
	if limit > 0 {
		s.lease.Link.Conn.SetWriteDeadline(time.Now().Add(limit)) //nolint:errcheck // a closed connection shows in the write
	}
	return nil
}

// lookSoon makes run, which may be in a long wait for the member, look after the client before long.
func (p *pump) lookSoon() {
	s := p.s
	soon := leftLook
	if limit := s.front.settings.Load().Timeouts.Server; limit > 0 {
		soon = min(soon, limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping && s.gone == nil {
		s.lease.Link.SetReadDeadline(time.Now().Add(soon))
	}
}

// leftUpload tells whether the client has left in the middle of a request of which the member took nothing since run looked
// the last time. The pump cannot see it: it waits for the member.
func (s *boltSession) leftUpload() bool {
	p := s.pump
	s.mu.Lock()
	stuck := p.midway && p.moved+1 == p.looked
	p.looked = p.moved + 1
	s.mu.Unlock()
	return stuck && hungUp(s.client.Conn)
}
