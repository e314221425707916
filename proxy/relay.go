package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

const (
	quick        = 4 * time.Millisecond   // after which at the soonest a pump reads the client beside the relay,
	slow         = 10 * time.Millisecond  // and at the latest
	trusted      = 500 * time.Microsecond // so long after an answer a member's connection is used without a look at it
	noopEvery    = 30 * time.Second       // towards a client that waits for an answer (4.3+)
	maxSummary   = 16 << 20               // a SUCCESS or FAILURE is held whole; a plan can be long
	discardLimit = 1 << 20                // answers that are read and dropped after a client left
	discardTime  = time.Second
	muchToSend   = 64 << 10 // a member that reads no more may keep us waiting before this is sent
)

var (
	errAgain = errors.New("proxy: the unit of work may be sent again")
	errLeft  = errors.New("proxy: the client left")
	errReset = errors.New("proxy: the client sent RESET")
	errMore  = errors.New("proxy: more requests of the transaction were passed on meanwhile")
)

// answers is what was read from the member and not yet sent to the client.
type answers struct {
	buf   []byte
	out   int // from here nothing was sent
	pos   int // up to here messages were looked at
	end   int // up to here bytes were read
	walk  bolt.Walk
	mid   bool // pos stands inside a RECORD that is passed on in pieces
	seen  int  // of a summary at pos that is not whole: how far walk is
	asked bool // the time to the first bytes is still to be noted
	hold  bool // what stands before pos waits for the next message: the unit may still go elsewhere

	scratch []byte
	sent    time.Time // when the client last got something; set by slow waits only
}

func (a *answers) open() {
	if a.buf == nil {
		a.buf = getBuffer()
	}
	a.out, a.pos, a.end, a.seen = 0, 0, 0, 0
	a.walk, a.mid, a.hold = bolt.Walk{}, false, false
	a.sent = time.Time{}
}

// reopen makes ready to read over what is still to come, from wherever a relay stopped.
func (a *answers) reopen() {
	if a.buf == nil {
		a.open()
	}
	if !a.mid { // a summary that is not whole yet is met again from its start
		a.walk, a.seen = bolt.Walk{}, 0
	}
}

func (a *answers) close() {
	if a.buf != nil {
		putBuffer(a.buf)
		a.buf = nil
	}
}

// room makes place for more bytes, keeping what was not sent.
func (a *answers) room() error {
	if a.out == a.end {
		a.out, a.pos, a.end = 0, 0, 0
	}
	if a.end < len(a.buf) {
		return nil
	}
	keep := a.end - a.out
	if keep >= maxSummary {
		return fmt.Errorf("%w: a summary of more than %d bytes", bolt.ErrMessageTooLarge, maxSummary)
	}
	old := a.buf
	if keep > len(old)/2 {
		a.buf = make([]byte, 2*len(old))
	}
	copy(a.buf, old[a.out:a.end])
	if keep > len(old)/2 {
		putBuffer(old)
	}
	a.pos, a.end, a.out = a.pos-a.out, keep, 0
	return nil
}

func (s *boltSession) setLease(l *pool.Lease) {
	s.mu.Lock()
	s.lease = l
	s.mu.Unlock()
}

// giveBack ends the lease.
func (s *boltSession) giveBack(clean bool) {
	l := s.lease
	s.mu.Lock()
	s.lease = nil
	gone := s.gone != nil
	s.mu.Unlock()
	if gone { // a deadline may have ended our waits for the member
		l.Link.SetDeadline(time.Time{})
	}
	s.cut = false
	s.release(l, clean)
}

// release gives a connection back to the pool. One that is this client's own stays with it.
func (s *boltSession) release(l *pool.Lease, clean bool) {
	if s.pinnedTo == l {
		if clean {
			l.Keep()
			return
		}
		s.pinnedTo = nil
	}
	l.Release(clean)
}

// exchange sends requests to the lease's member and relays answers until nothing is owed.
func (s *boltSession) exchange(send []byte) error {
	a := &s.answers
	a.open()
	if len(send) > muchToSend {
		return s.exchangeLong(send)
	}
	s.lease.Link.LimitRead(s.now, quick, slow)
	n, unsent, err := s.lease.Link.Exchange(send, a.buf, s.now.Sub(s.lease.Returned()) > trusted)
	if err != nil && !isTimeout(err) {
		return s.lost(err, unsent)
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
		case errors.Is(err, errAgain):
			return s.again()
		case err != nil:
			return s.garbage(err)
		case !more:
			if err = s.settle(); !errors.Is(err, errMore) {
				return err
			}
			continue
		}
		if err := s.flushAnswers(); err != nil {
			return s.clientLost(err)
		}
		if err := a.room(); err != nil {
			return s.garbage(err)
		}
		if err := s.readAnswers(); err != nil {
			if errors.Is(err, errLeft) {
				return s.clientLost(err)
			}
			if err == errLate {
				if s.mayLeaveLate() {
					return s.leaveLate()
				}
				continue
			}
			return s.lost(err, false)
		}
	}
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
			a.pos += n
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
	tag := s.owed.head().tag
	s.unlockOwed()
	if tag != bolt.TagPull {
		return fmt.Errorf("a RECORD came where the answer to request %02x was due", tag)
	}
	a := &s.answers
	if !s.unit.delivered {
		s.unit.delivered = true
		s.accepted()
	}
	n, done := a.walk.Next(b)
	a.pos += n
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

func (s *boltSession) flushAnswers() error {
	a := &s.answers
	if a.hold {
		return nil
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
			s.noteLatency()
			return nil
		case !isTimeout(err):
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
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
	if s.pump == nil {
		s.startPump(nil)
	}
	if s.tooLate(now) {
		return errLate
	}
	if s.leftUpload() {
		return fmt.Errorf("%w in the middle of a request that the member does not take", errLeft)
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

// summary deals with a whole SUCCESS, FAILURE or IGNORED of size bytes at pos.
func (s *boltSession) summary(tag byte, payload []byte, size int) error {
	a := &s.answers
	s.lockOwed()
	o := s.owed.pop()
	s.unlockOwed()
	switch tag {
	case bolt.TagSuccess:
		s.success(o, payload)
	case bolt.TagIgnored:
	case bolt.TagFailure:
		f, err := bolt.ParseFailure(payload[2:])
		if err != nil {
			return err
		}
		return s.failure(o, f, size)
	default:
		return fmt.Errorf("an answer with tag %02x is unknown", tag)
	}
	a.pos += size
	return nil
}

// success moves the unit of work on.
func (s *boltSession) success(o owed, payload []byte) {
	u := &s.unit
	switch o.tag {
	case bolt.TagRun, bolt.TagBegin:
		if u.begun {
			return
		}
		u.begun = true
		if u.homeless && s.version >= bolt.V5_8 {
			s.noteHome(payload[2:])
		}
		s.wasInTime()
		if s.mayStillMove() {
			s.answers.hold = true
			return
		}
		s.accepted()
	case bolt.TagPull, bolt.TagDiscard:
		s.accepted()
		k := s.summaryKeys(payload[2:])
		if u.homeless {
			s.learnHome(k.db)
		}
		u.over = !k.more && (!u.explicit || o.ends != 0) // 1 and 2 end a transaction by RUN and PULL_ALL
		if u.over && o.ends != bolt.TagRollback {
			s.noteEnd(k)
		}
	case bolt.TagCommit:
		u.over = true
		s.noteEnd(s.summaryKeys(payload[2:]))
	case bolt.TagRollback:
		u.over = true
	case bolt.TagReset:
		u.over, u.failed = true, false
		s.mu.Lock()
		s.reset = false
		s.mu.Unlock()
		u.line.failed("reset")
	}
	if u.over && u.mayChangeUsers() {
		s.srv.logins.forgetAll()
	}
	if u.over && u.mayChangeDatabases() {
		s.srv.current.Report("", routing.System, cluster.Changed)
	}
}

// mayChangeUsers tells whether a password may be another one after the unit: a user command, or a transaction on the
// database that holds the users, whose texts nobody reads.
func (u *unit) mayChangeUsers() bool {
	return u.verdict.UserCommand || u.explicit && !u.declared && strings.EqualFold(u.intent.DB, "system")
}

// mayStillMove tells whether a unit whose RUN succeeded may still go elsewhere, when what comes next is lost or refuses it
// as a write: a read, the answer to whose PULL is on its way.
func (s *boltSession) mayStillMove() bool {
	u := &s.unit
	if u.raw == nil || !u.judged && !s.isRead() {
		return false
	}
	s.lockOwed()
	defer s.unlockOwed()
	return s.owed.anyPull()
}

var keyHasMore, keyDB, keyBookmark = []byte("has_more"), []byte("db"), []byte("bookmark")

// summaryKeys is what decisions need from the metadata of a result's or a transaction's end. db and bookmark are borrowed, and
// nil when absent.
type summaryKeys struct {
	more     bool
	db       []byte
	bookmark []byte
}

func (s *boltSession) summaryKeys(metadata []byte) (k summaryKeys) {
	d := packstream.NewDecoder(metadata)
	for range d.Map() {
		key := d.String()
		switch {
		case bytes.Equal(key, keyHasMore) && d.Kind() == packstream.KindBool:
			k.more = d.Bool()
		case bytes.Equal(key, keyDB) && d.Kind() == packstream.KindString:
			k.db = d.String()
		case bytes.Equal(key, keyBookmark) && d.Kind() == packstream.KindString:
			k.bookmark = d.String()
		default:
			d.Skip()
		}
	}
	return k
}

// failure decides what a member's FAILURE means: the unit goes elsewhere, or the client is told.
func (s *boltSession) failure(o owed, f *bolt.Failure, size int) error {
	a, u := &s.answers, &s.unit
	wrongMember := s.report(f) || s.wantedRouting(f)
	s.distrust(f.Code)
	if s.mayGoElsewhere(o, f) {
		u.failed = true
		return errAgain
	}
	s.accepted()
	if u.verdict.SelfCommitting || o.tag == bolt.TagCommit || o.ends == bolt.TagCommit { // part of it, or all, may be there
		s.noteUnmarked()
	}
	u.failed, u.over = true, true
	u.violated = f.Code == bolt.CodeInvalidRequest || f.Code == bolt.CodeInvalidFormat || f.Code == bolt.CodeAuthExpired
	u.misplaced = wrongMember
	if o.tag == bolt.TagReset {
		s.mu.Lock()
		s.reset = false
		s.mu.Unlock()
	}
	switch {
	case s.deniedAfterAll(f):
		s.insteadOf(size, bolt.CodeForbidden, forbidden("a member took it for a write ("+f.Code+")"))
	case wrongMember && !s.passedOn(o, f):
		s.insteadOf(size, bolt.CodeLeaderSwitch,
			"boltgate: the member was not the right one any more ("+s.lease.Member.Name+" said "+f.Code+"); please try again")
	default:
		u.line.failed(f.Code)
		a.pos += size
	}
	return nil
}

// insteadOf tells the client another failure than the member's, which has size bytes at pos.
func (s *boltSession) insteadOf(size int, code, message string) {
	a := &s.answers
	s.unit.line.failed(code)
	s.stage()
	s.out = bolt.AppendFailure(s.out, s.version, code, message)
	a.pos += size
	a.out = a.pos
}

// report tells the checks what a failure says about the member, and whether it is of the kind that clients do not get.
func (s *boltSession) report(f *bolt.Failure) bool {
	switch f.Code {
	case bolt.CodeNotALeader, bolt.CodeReadOnlyDatabase:
		if !s.unit.declared {
			s.srv.current.Report(s.lease.Member.Name, s.unit.intent.DB, cluster.NotALeader)
		}
		return true
	case bolt.CodeDatabaseUnavailable:
		s.srv.current.Report(s.lease.Member.Name, s.unit.intent.DB, cluster.Unserved)
		return true
	}
	return false
}

// passedOn lists the exceptions: what a member said about a unit declared a read, about its COMMIT, or about a database that
// its operator stopped.
func (s *boltSession) passedOn(o owed, f *bolt.Failure) bool {
	if f.Code == bolt.CodeRouting {
		return false
	}
	if s.unit.declared || o.tag == bolt.TagCommit || o.ends == bolt.TagCommit || s.front.router().Policy.Member != "" {
		return true
	}
	return f.Code == bolt.CodeDatabaseUnavailable && stoppedByOperator(s.srv.current.View(), s.unit.intent.DB)
}

func isSecurity(code string) bool { return strings.HasPrefix(code, "Neo.ClientError.Security.") }

// settle ends a relay in which everything was answered.
func (s *boltSession) settle() error {
	u := &s.unit
	if s.lease != nil && !u.over && u.explicit {
		return s.settleTx()
	}
	s.stopPump()
	if s.lease == nil {
		s.answerOwed(nil)
		s.answers.close()
		return s.clientGone()
	}
	if u.over && !u.failed {
		if u.verdict.UserCommand { // once more: a log-on may have been verified while it ran
			s.srv.logins.forgetAll()
		}
		s.state = stateReady
		s.giveBack(s.answers.pos == s.answers.end) // before the client hears of it: it may come back at once
		err := s.flushAnswers()
		s.answers.close()
		return errors.Join(err, s.clientGone())
	}
	s.state = stateStreaming
	if u.failed {
		s.state = stateFailed
	}
	err := s.flushAnswers()
	if u.failed && !s.recoverLease() {
		err = errors.Join(err, s.memberEnded())
	}
	s.answers.close()
	return errors.Join(err, s.stuck(), s.clientGone())
}

// settleTx ends a relay in a transaction that goes on. While the client takes its time to read, a pump may have passed on
// more of the transaction: errMore.
func (s *boltSession) settleTx() error {
	s.stopPump()
	s.state = stateTx
	err := s.flushAnswers()
	if s.pump != nil {
		if err == nil && !s.nothingOwed() {
			return errMore
		}
		s.stopPump()
	}
	s.answers.close()
	return errors.Join(err, s.clientGone())
}

// memberEnded is called when a member closed its connection after a FAILURE, as servers do after what they take for a
// violation of the protocol: the client sees what it would see without us.
func (s *boltSession) memberEnded() error {
	if s.unit.violated {
		return errClosed
	}
	return nil
}

// stuck is a session that stays with one member, which turned out to be the wrong one: its client has to come back.
func (s *boltSession) stuck() error {
	if s.pinnedTo != nil && s.unit.misplaced {
		return fmt.Errorf("%w: its login is good for one connection, and that leads to the wrong member now", errClosed)
	}
	return nil
}

func (s *boltSession) clientGone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return fmt.Errorf("%w: %w", errLeft, s.gone)
	}
	return nil
}

// recoverLease brings the member's connection back to READY by RESET, reading over what is still to come, within limits;
// else it is closed. Either way the lease ends.
func (s *boltSession) recoverLease() bool { return s.recoverWithin(discardTime) }

func (s *boltSession) recoverWithin(limit time.Duration) bool {
	s.stopPump()
	if s.cut {
		s.giveBack(false)
		s.answers.close()
		return false
	}
	s.answers.reopen()
	s.mu.Lock()
	due := s.owed.fromMember()
	s.mu.Unlock()
	err := s.resetMember(due, limit)
	s.giveBack(err == nil)
	s.answers.close()
	return err == nil
}

// resetMember sends RESET and reads until its SUCCESS, with due answers in front of it, for as long as limit.
func (s *boltSession) resetMember(due int, limit time.Duration) error {
	link := s.lease.Link
	link.SetDeadline(time.Now().Add(limit))
	defer link.SetDeadline(time.Time{})
	if _, err := link.Write(bolt.Reset); err != nil {
		return err
	}
	a := &s.answers
	for read := 0; ; {
		last, err := a.discard(&due)
		if err != nil {
			return err
		}
		if last {
			return nil
		}
		a.out = a.pos
		if err := a.room(); err != nil {
			return err
		}
		n, err := link.Read(a.buf[a.end:])
		if n == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		a.end += n
		if read += n; read > discardLimit {
			return errors.New("proxy: too much to discard")
		}
	}
}

// discard reads over messages; last says that the answer behind the due ones came, that it was SUCCESS, and that nothing
// follows it.
func (a *answers) discard(due *int) (last bool, err error) {
	for {
		if !a.walk.Midway() && a.seen == 0 {
			a.pos += bolt.SkipNoops(a.buf[a.pos:a.end])
			tag, _, ok, err := bolt.PeekTag(a.buf[a.pos:a.end])
			if err != nil || !ok {
				return false, err
			}
			if tag != bolt.TagRecord {
				*due--
				if *due == -1 {
					if tag != bolt.TagSuccess {
						return false, errors.New("proxy: RESET was not answered with SUCCESS")
					}
				}
			}
		}
		n, done := a.walk.Next(a.buf[a.pos:a.end])
		a.pos += n
		a.mid = false
		if !done {
			return false, nil
		}
		if *due < 0 {
			if a.pos != a.end {
				return false, errors.New("proxy: bytes follow the answer to RESET")
			}
			return true, nil
		}
	}
}
