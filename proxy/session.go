package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/netio"
	"github.com/boltgate/boltgate/otlp"
	"github.com/boltgate/boltgate/pool"
)

// sessionState is where a client stands in the protocol (Bolt specification, "Server state"). It is the gate's own: the
// member that serves a unit of work is never asked to be in the failed state for us.
type sessionState uint8

const (
	stateConnected sessionState = iota // after the handshake: HELLO or INIT is due
	stateLogon                         // 5.1+: LOGON is due
	stateReady                         // no unit of work
	stateStreaming                     // an auto-commit result is open at the lease
	stateOwn                           // a result that the gate made is open
	stateTx                            // an explicit transaction is open at the lease
	stateFailed                        // after FAILURE, until RESET (ACK_FAILURE in 1 and 2)
)

var stateNames = [...]string{"connected", "waiting for LOGON", "ready", "streaming", "streaming", "in a transaction", "failed"}

func (s sessionState) String() string { return stateNames[s] }

// maxBeforeLogin bounds what a client may send before it is logged on (design rule 6).
const maxBeforeLogin = 64 << 10

// boltSession is one client's Bolt connection from handshake to close. All fields belong to run, but for those that say
// otherwise; while a pump runs it owns in and the writing side of the lease.
type boltSession struct {
	srv    *Server
	front  *frontend
	client *netio.Link // set before run, never changed
	id     string      // connection_id in HELLO's answer
	local  string      // the address that the client used, as far as we know it
	remote string

	version bolt.Version
	utc     bool
	dialect atomic.Uint32 // version and utc, once they are settled, for others to read
	state   sessionState
	in      inbox
	out     []byte // the gate's own answers that have not been sent

	address  string         // HELLO's routing.address; "" when it had none
	routed   bool           // HELLO had a routing map
	agent    string         // user_agent, for logs
	notify   []byte         // encoded notification filters of HELLO
	notifyN  int            // how many pairs
	login    *login         // nil until logged on
	identity *pool.Identity // how member connections for this client are logged on
	account  uint64         // by which limits know the user, see accountOf
	gateUser *gateUser      // whom the gate itself has verified; nil: a user of the members
	pinnedTo *pool.Lease    // kerberos, custom: the one connection that was logged on

	seen           *marks         // with CausalitySession: what this session has seen; nil until it has
	routedIdentity *pool.Identity // identity with server-side routing; nil until needed
	loginBy        time.Time      // until the login: when the present step has to be there
	over           bool           // its address has too many connections: it is told so, and ends
	cut            bool           // the lease's connection is not in step any more: it is closed, not RESET

	now time.Time // when the present request was begun, or its last wait for a member ended

	attendance
	rest   rest   // with errLeave
	chosen choice // with restPerform: what was picked

	napping

	*busy  // nil while parked
	own    ownResult
	lastDB string // the last database name seen, so that it is not copied again

	mu       sync.Mutex
	owed     owedQueue   // guarded by mu: answers that are due to the client
	pump     *pump       // written by run; the pump reads its own
	gone     error       // guarded by mu: why the client is gone
	reset    bool        // guarded by mu: a RESET overtook the unit of work
	stopping bool        // guarded by mu: the pump is to end
	lease    *pool.Lease // written by run under mu; nil between units of work

	who       unique.Handle[whom] // guarded by mu: for operators; zero until logged on
	texted    atomic.Uint32       // for operators: the shape of the last query's text, see querytime.go
	poked     atomic.Bool         // the lease's deadline was let pass because its member is silent
	lastHeard atomic.Int64        // when bytes of an answer came last, in nanoseconds; noted in slow waits only
}

// busy is the part of a session that only its work needs.
type busy struct {
	unit    unit
	answers answers
	scratch []byte // for building what is sent in place of a request
	query   queryTime
	heard   heard

	retained []byte     // between.go's: unit.raw of a RUN that was answered before its PULL came
	places   heldPlaces // of the unit of work
	admitted bool       // the opening request at the inbox's start was counted for its rates already
	ahead    int        // bytes of requests that were read when bytes were counted last, and not yet dealt with
	behind   int        // of the gate's own answers that were not sent then

	lineRoom   accessLine   // of unit.line
	trace      otlp.Context // that the client named for its last unit of work
	traceState string       // of that; only where spans are sent

	marksRoom [maxMarks]bolt.Position // of unit.intent.Marks
	ownRoom   [maxMarks]ownMark       // of unit.own
}

// run serves the client until it leaves, fails the protocol, or ctx ends between units of work; or until it parks.
func (s *boltSession) run(ctx context.Context) error {
	if err := s.handshake(ctx); err != nil {
		s.end()
		return err
	}
	return s.serveRequests(ctx)
}

// end lets go of everything. A lease that is still held is not clean.
func (s *boltSession) end() {
	if s.lease != nil {
		s.abandonWrite()
		s.recoverLease()
		s.endQuery()
		s.noteBytes()
		s.endLine(errLeft)
	}
	s.noteBytes()
	s.leavePlaces()
	s.unpin()
	s.leaveLogin()
	s.in.unpin()
	s.in.release()
}

// errClosed ends a session in good order: GOODBYE, or the gate shuts down.
var errClosed = errors.New("proxy: session closed")

// nextRequest waits until the head of the next message is there, after sending what is due.
func (s *boltSession) nextRequest(ctx context.Context) (tag byte, err error) {
	if s.within && (s.in.rest || len(s.out) > 0) {
		return 0, s.leave(rest{})
	}
	if s.in.rest {
		if err := s.discardRest(); err != nil {
			return 0, err
		}
	}
	for {
		tag, fields, ok, err := s.in.head()
		if err != nil {
			return 0, s.violation(err)
		}
		if ok {
			if ok, err = s.checkRequest(tag, fields); ok || err != nil {
				return tag, err
			}
			continue
		}
		if err := s.flush(); err != nil {
			return 0, err
		}
		if err := s.waitForClient(ctx); err != nil {
			return 0, err
		}
	}
}

// waitForClient reads more of the client's bytes, or says that Serve can do it: errWait. Between units of work a shutdown ends the
// wait, and so does the time limit that the state has.
func (s *boltSession) waitForClient(ctx context.Context) error {
	if s.mayServe() {
		return errWait
	}
	if s.within {
		return s.leave(rest{})
	}
	if err := s.sit(ctx); err != nil {
		return err
	}
	if err := s.readMore(s.fillLimit()); err != nil {
		return s.ended(ctx, err)
	}
	if s.lease == nil {
		s.wakeUp()
	}
	return nil
}

// endedWait is what the end of a wait for the client means.
func (s *boltSession) endedWait(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolt.ErrMessageTooLarge):
		return s.violation(err)
	case ctx.Err() != nil:
		return errClosed
	}
	return err
}

// readMore reads more of the client's bytes, for as long as the session's state allows.
func (s *boltSession) readMore(limit int) error {
	if s.within {
		panic("proxy: a read within the wait for the client")
	}
	by := s.readBy()
	if by.IsZero() {
		return endOf(s.in.fill(limit))
	}
	s.client.Conn.SetReadDeadline(by) //nolint:errcheck // a closed connection shows in fill
	err := s.in.fill(limit)
	s.client.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	if isTimeout(err) {
		return fmt.Errorf("proxy: the client sent nothing in time while %v: %w", s.state, err)
	}
	return endOf(err)
}

// endOf takes the end of the client's stream for what it is: a client that leaves.
func endOf(err error) error {
	if err == io.EOF {
		return errClosed
	}
	return err
}

// readBy is when the client's next bytes have to be there; zero is no limit. Until the login it is one time for the whole
// step, so that a byte now and then wins nothing.
func (s *boltSession) readBy() time.Time {
	t := &s.front.settings.Load().Timeouts
	limit := t.ClientIdle
	switch s.state {
	case stateConnected, stateLogon:
		return s.loginBy
	case stateTx:
		if t.TransactionIdle > 0 {
			limit = t.TransactionIdle
		}
	}
	if limit == 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

// startStep gives the client its time for the next step towards the login.
func (s *boltSession) startStep() { s.loginBy = time.Now().Add(handshakeTime(s.front.settings.Load())) }

func (s *boltSession) loggedIn() bool { return s.state != stateConnected && s.state != stateLogon }

func (s *boltSession) fillLimit() int {
	if !s.loggedIn() {
		return maxBeforeLogin
	}
	return s.srv.options.Load().RequestLimit
}

// checkRequest refuses what the session's version does not know, as members do: a tag that it does not have ends the
// connection without a word, and so does a wrong number of fields, but from 5.x on that is a failure like others.
func (s *boltSession) checkRequest(tag byte, fields int) (ok bool, err error) {
	r, known := bolt.RequestIn(tag, s.version)
	switch {
	case !known:
		return false, fmt.Errorf("proxy: protocol violation: a message with tag %02x is not part of Bolt %v", tag, s.version)
	case r.Fields == fields:
		return true, nil
	}
	err = fmt.Errorf("%s has %d fields instead of %d", r.Name, fields, r.Fields)
	if !s.loggedIn() || s.state == stateFailed || !s.modernMembers() {
		return false, fmt.Errorf("proxy: protocol violation: %w", err)
	}
	if s.within {
		return false, s.leave(rest{})
	}
	if s.lease != nil {
		s.recoverLease()
	}
	if err := s.discardRequest(); err != nil {
		return false, err
	}
	s.fail(bolt.CodeInvalidFormat, err.Error())
	return false, nil
}

// modernMembers tells whether the members are of 5.x or newer, as far as they said.
func (s *boltSession) modernMembers() bool {
	if agent := s.server(s.srv.current.View()); agent != "" {
		return agentNumbers(agent)[0] >= 5
	}
	return s.version >= bolt.V5_0
}

// violation answers what no server would go on after: FAILURE, and the connection ends.
func (s *boltSession) violation(err error) error {
	s.out = bolt.AppendFailure(s.out, s.version, bolt.CodeInvalidRequest, err.Error())
	return fmt.Errorf("proxy: protocol violation: %w", err)
}

// illegal is the violation of a request that does not fit the state.
func (s *boltSession) illegal(tag byte) error {
	r, _ := bolt.RequestIn(tag, s.version)
	return s.violation(fmt.Errorf("%s cannot be handled by a session in state %q", r.Name, s.state))
}

// flush sends the gate's own answers.
func (s *boltSession) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.send(s.out)
	s.out = s.out[:0]
	if cap(s.out) > bufferSize {
		s.out = nil
	}
	return err
}

// send writes b to the client. What the socket does not take at once is written with a pump beside it, so that a client
// that writes before it reads is not left hanging, and its RESET is seen. A connection that cannot be asked what it takes
// at once (TLS, WebSocket) gets its pump before.
func (s *boltSession) send(b []byte) error {
	if !s.client.Raw() && s.pump == nil && s.working() {
		s.startPump(nil)
	}
	n, err := s.client.TryWrite(b)
	if err != nil || n == len(b) {
		return err
	}
	if s.pump == nil {
		if s.working() {
			s.startPump(nil)
		} else {
			s.startHolding()
			defer s.stopPump()
		}
	}
	limit := s.front.settings.Load().Timeouts.ClientIdle
	if limit > 0 {
		s.client.Conn.SetWriteDeadline(time.Now().Add(limit)) //nolint:errcheck // a closed connection shows in Write
		defer s.client.Conn.SetWriteDeadline(time.Time{})     //nolint:errcheck // as above
	}
	_, err = s.client.Write(b[n:])
	return err
}

// working tells whether a member still has to answer, or is there for the next request of a transaction.
func (s *boltSession) working() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease != nil && (s.state == stateTx || !s.owed.empty())
}

// serve deals with the request at the inbox's start.
func (s *boltSession) serve(ctx context.Context, tag byte) error {
	if s.within && !s.isQuick(tag) {
		return s.leave(rest{do: restServe, tag: tag})
	}
	s.now = time.Now()
	s.query.asked = s.now
	switch {
	case tag == bolt.TagGoodbye:
		return errClosed
	case s.state == stateConnected:
		return s.serveHello(ctx, tag)
	case s.state == stateLogon:
		return s.serveLogon(ctx, tag)
	case tag == bolt.TagReset:
		return s.serveReset()
	}
	switch s.state {
	case stateReady:
		return s.serveReady(ctx, tag)
	case stateStreaming:
		if tag == bolt.TagPull || tag == bolt.TagDiscard {
			return s.forwardOrAgain(ctx)
		}
	case stateOwn:
		if tag == bolt.TagPull || tag == bolt.TagDiscard {
			return s.serveOwnResult(tag)
		}
	case stateTx:
		if tag == bolt.TagRun && s.restricted() {
			return s.forwardChecked()
		}
		if inTransaction(tag) {
			return s.forward()
		}
	case stateFailed:
		return s.serveFailed(tag)
	}
	return s.illegal(tag)
}

// inTransaction lists what may be sent inside an explicit transaction.
func inTransaction(tag byte) bool {
	switch tag {
	case bolt.TagRun, bolt.TagPull, bolt.TagDiscard, bolt.TagCommit, bolt.TagRollback:
		return true
	}
	return false
}

func (s *boltSession) serveReady(ctx context.Context, tag byte) error {
	if s.gateUser != nil && !s.srv.users.Load().has(s.gateUser) {
		return s.userChanged()
	}
	switch tag {
	case bolt.TagRun, bolt.TagBegin:
		return s.begin(ctx, tag)
	case bolt.TagRoute:
		return s.serveRoute(ctx)
	case bolt.TagTelemetry:
		return s.answerWhole(bolt.EmptySuccess)
	case bolt.TagLogoff:
		s.logoff()
		return s.answerWhole(bolt.EmptySuccess)
	}
	return s.illegal(tag)
}

// answerWhole answers the request at start, once it is there to its end, without looking into it.
func (s *boltSession) answerWhole(answer []byte) error {
	if err := s.discardRequest(); err != nil {
		return err
	}
	s.out = append(s.out, answer...)
	return nil
}

// discardRequest reads over the request at start, of any size.
func (s *boltSession) discardRequest() error {
	for !s.in.complete() {
		s.in.passed(s.in.walked)
		if err := s.readMore(maxBeforeLogin); err != nil {
			return err
		}
	}
	s.in.drop()
	return nil
}

// discardRest reads over what is still to come of a request whose member was lost while it was passed on. It was
// answered.
func (s *boltSession) discardRest() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.discardRequest()
}

// wholeRequest makes the request at start whole, or answers FAILURE and reads over it when it is longer than limit.
// ok is false in the second case: the session is in the failed state then.
func (s *boltSession) wholeRequest(limit int) (raw []byte, ok bool, err error) {
	for !s.in.complete() {
		if s.in.full(limit) {
			if !s.loggedIn() {
				return nil, false, s.violation(fmt.Errorf("a request of more than %d bytes before the login", limit))
			}
			if err := s.discardRequest(); err != nil {
				return nil, false, err
			}
			s.srv.counts.limit(limitedRequest)
			s.fail(bolt.CodeInvalidRequest, fmt.Sprintf("the request that opens a unit of work is larger than limits.request (%d bytes)", limit))
			return nil, false, nil
		}
		if err := s.readMore(limit + bufferSize); err != nil {
			return nil, false, err
		}
	}
	return s.in.message(), true, nil
}

// fail answers FAILURE and enters the failed state.
func (s *boltSession) fail(code, message string) {
	s.out = bolt.AppendFailure(s.out, s.version, code, message)
	s.state = stateFailed
}

// serveFailed answers as a server in the failed state does.
func (s *boltSession) serveFailed(tag byte) error {
	switch tag {
	case bolt.TagAckFailure:
		s.state = stateReady
		return s.answerWhole(bolt.EmptySuccess)
	case bolt.TagBegin, bolt.TagHello, bolt.TagLogon, bolt.TagLogoff:
		return s.illegal(tag)
	}
	return s.answerWhole(bolt.Ignored)
}

// serveReset answers a RESET that finds nothing running. One that stands before another is ignored, as servers do.
func (s *boltSession) serveReset() error {
	if _, ok, err := s.wholeRequest(maxBeforeLogin); err != nil || !ok {
		return err
	}
	s.in.drop()
	if s.lease != nil {
		return s.resetUnit()
	}
	s.state = stateReady
	if tag, _, ok, _ := s.in.head(); ok && tag == bolt.TagReset {
		s.out = append(s.out, bolt.Ignored...)
		return nil
	}
	s.out = append(s.out, bolt.EmptySuccess...)
	return nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
