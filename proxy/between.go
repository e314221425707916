package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/querystats"
)

// This file owns auto-commit reads whose client heard of their RUN's success before it sent the PULL. When the member is lost, or fails, before a
// record came, the next one is sent both; what it answers to the RUN is for the gate alone, and has to name the fields that the client was told.

// maxTold is how long a RUN is that is kept for that.
const maxTold = bufferSize / 2

// told is what the client has heard of a RUN whose PULL it sends later. The zero value: nothing.
type told struct {
	run    bool   // its SUCCESS; the unit's raw is the session's own copy
	fields uint64 // that were named: a hash
	query  querystats.ID
}

var keyFields = []byte("fields")

// errOtherFields ends a second try.
var errOtherFields = errors.New("proxy: a read that was sent again has other fields than its client was told")

// awaitsPull keeps a read whose RUN was answered, for its client has not asked for records yet.
func (s *boltSession) awaitsPull(o owed, metadata []byte) bool {
	u := &s.unit
	if o.tag != bolt.TagRun || u.explicit || len(u.raw) == 0 || len(u.raw) > maxTold || s.pinnedTo == s.lease {
		return false
	}
	s.lockOwed()
	last := s.owed.empty()
	s.unlockOwed()
	if !last || !s.isRead() { // what its text says is asked last: most clients have sent the PULL already
		return false
	}
	s.retained = append(s.retained[:0], u.raw...)
	s.accepted()
	u.raw, u.query = s.retained, nil
	u.told = told{true, fieldsOf(metadata), o.query}
	return true
}

// fieldsOf is the hash of the fields that a RUN's SUCCESS names.
func fieldsOf(metadata []byte) uint64 {
	d := packstream.NewDecoder(metadata)
	for range d.Map() {
		if bytes.Equal(d.String(), keyFields) {
			return maphash.Bytes(hashSeed, d.Raw())
		}
		d.Skip()
	}
	return 0
}

// pulls keeps the PULL behind the RUN of which the client was told, as it is sent.
func (s *boltSession) pulls(request []byte) {
	if u := &s.unit; u.told.run && u.raw != nil {
		s.retained = append(s.retained, request...)
		u.raw = s.retained
	}
}

// forwardOrAgain is forward for what a client wants of a result. When its query goes elsewhere that is done.
func (s *boltSession) forwardOrAgain(ctx context.Context) error {
	err := s.forward()
	if errors.Is(err, errAgain) {
		return s.performAgain(ctx)
	}
	return err
}

// rewind makes all due once more, for the unit is sent again. The answer to a RUN of which the client was told is the gate's.
func (s *boltSession) rewind() {
	u := &s.unit
	u.begun, u.failed, u.over, u.delivered = false, false, false, false
	s.query.rows = 0
	u.allow()
	s.mu.Lock()
	s.owed.rewind()
	if u.told.run {
		s.owed.before(owed{tag: bolt.TagRun, mute: true, query: u.told.query})
	}
	s.mu.Unlock()
	if u.told.run {
		s.rebuild()
	}
}

// summaryAgain deals with an answer of size bytes at pos that is not for the client.
func (s *boltSession) summaryAgain(tag byte, o owed, payload []byte, size int) error {
	switch {
	case tag == bolt.TagSuccess && o.tag == bolt.TagRun:
		s.success(o, payload)
		s.swallow(size)
		if fieldsOf(payload[2:]) != s.unit.told.fields {
			return errOtherFields
		}
	case tag == bolt.TagFailure && o.tag == bolt.TagRun:
		return s.failedAgain(o, payload, size)
	case tag == bolt.TagIgnored:
		s.swallow(size)
	default:
		return fmt.Errorf("an answer with tag %02x came to request %02x, which failed", tag, o.tag)
	}
	return nil
}

// failedAgain is failure for the RUN of a second try: its client hears of it in place of the answer to its PULL.
func (s *boltSession) failedAgain(o owed, payload []byte, size int) error {
	f, err := bolt.ParseFailure(payload[2:])
	if err != nil {
		return err
	}
	if err := s.failure(o, f, size); err != nil {
		return err
	}
	s.lockOwed()
	s.owed.muteHead()
	s.unlockOwed()
	return nil
}

// swallow leaves the size bytes at pos out of what the client gets.
func (s *boltSession) swallow(size int) {
	a := &s.answers
	s.stage()
	a.pos += size
	a.out = a.pos
}

// endOtherFields gives a second try up: what the client was told does not hold any more.
func (s *boltSession) endOtherFields() error {
	u := &s.unit
	member := s.lease.Member.Name
	s.answers.hold = false
	s.recoverLease()
	u.raw, u.send = nil, nil
	s.in.unpin()
	s.owedFail(&bolt.Failure{Code: bolt.CodeLeaderSwitch, Message: "boltgate: the query's member was lost before it gave a record, and at " + member +
		" its result has other fields than were told; please try again"})
	return s.settle()
}
