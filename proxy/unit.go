package proxy

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// unit is the unit of work that a session has open: what was asked, what it needs, and how far it got.
type unit struct {
	intent   routing.Intent
	explicit bool // BEGIN, not an auto-commit RUN
	declared bool // the client said mode "r"
	judged   bool // we took it for a read, and sent mode "r" where the version has it
	moved    bool // we judged, not the operator: it has to see what its user has seen
	homeless bool // the client named no database
	readOnly bool // the client may only read: sent with mode "r" wherever it goes
	mayWrite bool // of a reading transaction that no mode holds to it: a text of it may write all the same; changed under the session's mu
	because  because
	routed   bool // wants a connection with server-side routing (USE)

	refusals   int    // how often a member said that the database is not its to serve, since the home was asked for
	remembered bool   // intent's database is the home that an earlier answer named
	unsettled  bool   // that was wrong: the home has to be asked for anew
	used       bool   // intent's database is the one that USE names
	named      string // the database that the client named outside the text; only when used

	verdict cypher.Verdict

	verdicts *cypher.Cache // by which verdict was found

	raw       []byte // the opening request and what was pipelined behind it, as the client sent them; nil once answered
	send      []byte // the same as it leaves: raw, or rebuilt with mode "r"
	query     []byte // inside raw
	rebuilt   []byte // the buffer of a rebuilt send, kept for the next unit
	tried     []*cluster.Member
	triedRoom [4]*cluster.Member
	sent      int       // how often a member may have got it
	own       []ownMark // what we add to the client's bookmarks
	lateAt    time.Time // when a member without an answer was too late to get the unit's transactions; zero: whenever it comes

	deposedAt time.Time // since when another member leads, while a commit is waited for; zero: none does

	journal  *journal      // of a transaction that may be replayed; nil without failover.replay
	timeout  time.Duration // tx_timeout: how long the client gives the unit; 0 no limit
	deadline time.Time     // when that has passed since it was first sent; zero: never, or not sent yet
	left     int64         // milliseconds, said in place of tx_timeout: what is left until deadline when it is sent again, or what a limit allows; 0: what the client said
	limits   *unitLimits   // nil: there are none
	allowed  allowance     // of its results
	denied   bool          // only failover.retry_budget kept it from another try

	rebuffs   int       // how often a member refused it before it did anything
	forgiveAt time.Time // when those that did may be asked again; zero: at the next View
	ticket    uint64    // its place among those that wait; 0 before it first had to
	until     time.Time // when a refused unit stops looking for a member that takes it; zero before the first refusal
	told      told      // of a read, to its client, before there was a PULL
	begun     bool      // the opening request was answered with SUCCESS
	delivered bool      // a record came for the client; while raw is there it has not left yet
	ending    byte      // COMMIT or ROLLBACK was taken: nothing behind it belongs to the unit; the pump's while one runs
	textEnds  byte      // 1-2: a RUN with one of these as its text was taken, its PULL_ALL is still to come; as ending
	over      bool      // the last answer of the unit came
	failed    bool      // a FAILURE came: the member has to be RESET
	violated  bool      // the FAILURE is of those after which servers close the connection
	misplaced bool      // the FAILURE was that this is the wrong member
	forwarded bool      // a pump sent requests beyond send: the unit cannot be sent again as a whole

	line *accessLine // nil while the access log is off and the unit has no spans, and once it is written
}

func (u *unit) reset() {
	u.triedRoom = [4]*cluster.Member{}
	*u = unit{rebuilt: u.rebuilt[:0]}
	u.tried = u.triedRoom[:0]
}

// opening is what begin reads from a RUN or BEGIN.
type opening struct {
	query  []byte // nil for BEGIN
	params []byte // encoded map; RUN only
	extra  []byte // encoded map; nil before version 3
	mode   []byte
	db     []byte
	as     []byte // imp_user: whom the client impersonates
	limit  int64  // tx_timeout, in milliseconds; 0 when absent
	length int    // of all that was read, counted from the payload's start

	bookmarks []byte // encoded, of whatever kind; nil: none given
	metadata  []byte // tx_metadata, encoded, of whatever kind; nil: none given
}

func (s *boltSession) parseOpening(tag byte, payload []byte) (o opening, err error) {
	d := packstream.NewDecoder(payload[2:])
	if tag == bolt.TagRun {
		o.query = d.String()
		o.params = d.Raw()
	}
	if s.version < bolt.V3 {
		o.length = 2 + d.Offset()
		return o, d.Err()
	}
	o.extra = d.Raw()
	o.length = 2 + d.Offset()
	if d.Err() != nil {
		return o, d.Err()
	}
	e := packstream.NewDecoder(o.extra)
	if e.Kind() != packstream.KindMap {
		return o, errors.New("the extra field is not a map")
	}
	for range e.Map() {
		key := e.String()
		switch {
		case string(key) == "mode" && e.Kind() == packstream.KindString:
			o.mode = e.String()
		case string(key) == "db" && e.Kind() == packstream.KindString:
			o.db = e.String()
		case string(key) == "imp_user" && e.Kind() == packstream.KindString:
			o.as = e.String()
		case string(key) == "tx_timeout" && e.Kind() == packstream.KindInt:
			o.limit = e.Int()
		case string(key) == "bookmarks" && e.Kind() != packstream.KindNull:
			o.bookmarks = e.Raw()
		case string(key) == "tx_metadata":
			o.metadata = e.Raw()
		default:
			e.Skip()
		}
	}
	return o, e.Err()
}

// begin opens a unit of work with the RUN or BEGIN at the inbox's start.
func (s *boltSession) begin(ctx context.Context, tag byte) error {
	raw, ok, err := s.wholeRequest(s.srv.options.Load().RequestLimit)
	if err != nil || !ok {
		return err
	}
	payload, _ := bolt.Payload(raw, nil)
	o, err := s.parseOpening(tag, payload)
	if err != nil {
		return s.violation(err)
	}
	s.takeTrace(o.metadata)
	readOnly := s.restricted()
	if readOnly {
		if why := s.refusesOpening(tag, payload, o); why != "" {
			return s.refuseOpening(why)
		}
	}
	s.in.pinned = true // o and payload stand in its buffer
	if s.version < bolt.V3 || tag == bolt.TagRun && isRoutingCall(o.query) {
		if s.within {
			return s.leave(rest{do: restServe, tag: tag})
		}
		if done, err := s.serveText(ctx, o); done {
			return err
		}
	}
	if s.refusesForMemory() || s.refusedByLimits() {
		return nil
	}
	s.unit.reset()
	u := &s.unit
	u.readOnly = readOnly
	u.explicit = tag == bolt.TagBegin || s.version < bolt.V3 && isText(o.query, "BEGIN")
	u.query = o.query
	u.journal = s.newJournal()
	u.timeout = time.Duration(min(max(o.limit, 0), maxLimit)) * time.Millisecond
	s.limitUnit()
	s.decide(o)
	s.place()
	s.startLine()
	err = s.resolveHome(ctx, o.as)
	if err == nil {
		err = s.carry(ctx, o)
	}
	switch {
	case err == errLeave:
		s.admitted = true
		return s.leave(rest{do: restServe, tag: tag})
	case err != nil:
		return s.notServed(err)
	}
	s.takeOpening(payload, o)
	return s.perform(ctx)
}

// decide fills in the unit's intent: declared, judged, or a write (design "Reads and writes").
func (s *boltSession) decide(o opening) {
	u := &s.unit
	f := s.front.settings.Load()
	view := s.srv.current.View()
	u.verdicts = s.front.verdicts(view)
	u.intent = routing.Intent{Version: s.version, UTC: s.utc, DB: bytesToName(o.db, s), Now: s.now}
	if view.Blind {
		s.srv.learner.want(u.intent.DB)
	}
	if len(o.mode) == 1 && o.mode[0] == 'r' {
		u.declared, u.intent.Mode, u.because = true, routing.Read, becauseDeclared
		if s.version < bolt.V4_0 && !u.explicit { // no mode is enforced: what the text says counts when an answer is lost
			u.verdict = u.verdicts.Classify(o.query)
		}
		return
	}
	if u.explicit {
		s.decideTransaction(f)
		return
	}
	u.verdict = u.verdicts.Classify(o.query)
	switch {
	case u.verdict.System && s.manyDatabases(): // at its leader
		u.because = becauseSystem
	case f.Access == AccessWrite:
		u.because = becauseFrontend
	case f.Undeclared == UndeclaredLeader:
		u.because = becauseUndeclared
	case u.verdict.OneMember:
		u.because = becauseOneMember
	case u.verdict.Access == cypher.Write:
		u.because = becauseText
	case f.Access == AccessRead:
		u.intent.Mode, u.judged, u.because = routing.Read, true, becauseText
	default:
		u.because = s.staysAtLeader()
		if u.because == becauseRefusedBefore {
			break
		}
		u.intent.Mode, u.judged = routing.Read, true // at the leader, too: when that is lost nothing is in doubt
		if u.because == becauseNothing {
			u.moved, u.because = true, becauseText
		} else {
			u.intent.AtLeader = true
		}
	}
}

// decideTransaction decides for one that declares nothing: the frontend's word, where it has one.
func (s *boltSession) decideTransaction(f *Frontend) {
	u := &s.unit
	u.because = becauseTransaction
	u.moved = f.Access != AccessRead && u.readOnly && s.staysAtLeader() == becauseNothing
	if u.moved || f.Access == AccessRead {
		u.intent.Mode, u.judged, u.because = routing.Read, s.version >= bolt.V4_0, becauseFrontend
	}
}

// staysAtLeader tells why an undeclared read may not leave the leader on our own judgement: this very text was refused as a write
// before, or nothing could tell a member what the read has to see. becauseNothing: it may.
func (s *boltSession) staysAtLeader() because {
	switch {
	case s.srv.writes.contains(s.unit.query):
		return becauseRefusedBefore
	case s.front.settings.Load().Causality == CausalityCluster && !s.takesBookmarks():
		return becauseCausality
	}
	return becauseNothing
}

// bytesToName avoids a copy for the names that come again and again.
func bytesToName(db []byte, s *boltSession) string {
	if len(db) == 0 {
		return ""
	}
	if string(db) == s.lastDB {
		return s.lastDB
	}
	s.lastDB = string(db)
	return s.lastDB
}

// takeOpening collects what is to be sent: the opening request and those pipelined behind it that are there already.
func (s *boltSession) takeOpening(payload []byte, o opening) {
	u := &s.unit
	in := &s.in
	from := in.start
	in.pinned = true
	s.take(payload[1])
	first := in.start
	end := s.takeFollowing()
	u.raw = in.buf[from:end]
	u.send = u.raw
	if s.saysRead() || len(u.own) > 0 || u.left > 0 {
		u.rebuilt = s.appendRebuilt(u.rebuilt[:0], payload, o)
		u.rebuilt = append(u.rebuilt, in.buf[first:end]...)
		u.send = u.rebuilt
	}
	if u.journal != nil {
		u.journal.opened(u.send)
	}
}

// take moves the inbox past the message at its start and notes that its answer is owed.
func (s *boltSession) take(tag byte) {
	if j := s.unit.journal; j != nil {
		j.request(tag, s.in.message(), s.unit.verdicts.Procedures())
	}
	s.noteText(tag)
	query := s.queryTaken(tag)
	s.in.drop()
	s.lockOwed()
	s.owed.push(owed{tag: tag, ends: s.unit.ends(), query: query})
	s.unlockOwed()
}

// ends is what the request that is being taken does to an explicit transaction: COMMIT, ROLLBACK, or 0.
func (u *unit) ends() byte { return max(u.ending, u.textEnds) }

// takeFollowing takes the requests behind the present one that belong to the same unit of work and are there already, as
// many as a socket takes while the member does not read: it may be busy with answers that we do not read yet.
func (s *boltSession) takeFollowing() (end int) {
	in := &s.in
	first := in.start
	for end = first; s.unit.ending == 0 && end-first < bufferSize; end = in.start {
		if bolt.SkipNoops(in.buf[in.start:in.end]) > 0 {
			return end
		}
		tag, fields, ok, err := in.head()
		if err != nil || !ok || !in.complete() || in.walked > bufferSize || s.checkQuiet(tag, fields) != nil || !s.follows(tag) {
			return end
		}
		s.take(tag)
	}
	return end
}

func (s *boltSession) checkQuiet(tag byte, fields int) error {
	if r, ok := bolt.RequestIn(tag, s.version); !ok || r.Fields != fields {
		return errClosed
	}
	return nil
}

// follows tells whether the whole request at the inbox's start may be sent to the member before the answers to those in
// front of it came. Behind an auto-commit RUN that is one PULL or DISCARD; in a transaction everything up to its end.
func (s *boltSession) follows(tag byte) bool {
	u := &s.unit
	if !u.explicit {
		if tag != bolt.TagPull && tag != bolt.TagDiscard {
			return false
		}
		s.lockOwed()
		defer s.unlockOwed()
		return !s.owed.anyPull()
	}
	if !inTransaction(tag) || !s.mayPass(tag) {
		return false
	}
	s.noteEnding(tag)
	return true
}

// noteEnding remembers that the request at the inbox's start ends the transaction. Behind it the next unit begins; only
// versions 1 and 2, whose COMMIT is a RUN, have a PULL_ALL that still belongs to it.
func (s *boltSession) noteEnding(tag byte) {
	u := &s.unit
	switch {
	case tag == bolt.TagCommit || tag == bolt.TagRollback:
		u.ending = tag
	case s.version < bolt.V3 && tag == bolt.TagRun && s.in.complete():
		payload, _ := bolt.Payload(s.in.message(), nil)
		d := packstream.NewDecoder(payload[2:])
		switch text := d.String(); {
		case isText(text, "COMMIT"):
			u.textEnds = bolt.TagCommit
		case isText(text, "ROLLBACK"):
			u.textEnds = bolt.TagRollback
		}
	case s.version < bolt.V3 && u.textEnds != 0:
		u.ending = u.textEnds
	}
}

// isText compares a query with one of the words that versions 1 and 2 use for transactions.
func isText(query []byte, word string) bool {
	q := bytes.TrimRight(bytes.TrimSpace(query), ";")
	return len(q) == len(word) && bytes.EqualFold(q, []byte(word))
}

// appendChunks2 appends a message whose payload is a followed by b.
func appendChunks2(dst, a, b []byte) []byte {
	if n := len(a) + len(b); n <= bolt.MaxChunk {
		dst = append(dst, byte(n>>8), byte(n))
		dst = append(append(dst, a...), b...)
		return append(dst, 0, 0)
	}
	return bolt.AppendChunks(dst, append(a[:len(a):len(a)], b...))
}

// perform finds a member, sends the unit's opening and relays the answers; where nothing was done yet and the rules allow
// it, another member is tried.
func (s *boltSession) perform(ctx context.Context) error {
	switch err := s.takePlaces(ctx); {
	case err == errLeave:
		return s.leave(rest{do: restPerform})
	case err != nil:
		return s.notServed(err)
	}
	for {
		if s.unit.unsettled {
			s.unit.unsettled = false
			if err := s.resolveHome(ctx, nil); err != nil {
				return s.notServed(err)
			}
		}
		lease, err := s.borrow(ctx, s.unit.intent, false)
		switch {
		case err == errLeave:
			return s.leave(rest{do: restPerform})
		case err != nil:
			return s.notServed(err)
		}
		s.setLease(lease)
		s.limitLateness()
		s.unit.sent++
		s.startTimeout()
		s.unit.line.went(lease)
		if err := s.exchange(s.unit.send); !errors.Is(err, errAgain) {
			return err
		}
		s.onceMore()
	}
}

// onceMore makes the unit ready for its next try.
func (s *boltSession) onceMore() {
	s.now = time.Now()
	s.query.again()
	s.unit.line.again()
	s.shortenTimeout()
}

// performAgain is perform for a unit that was sent before.
func (s *boltSession) performAgain(ctx context.Context) error {
	s.onceMore()
	return s.perform(ctx)
}

// notServed ends a unit of work for which no connection could be had: nothing of it was sent.
func (s *boltSession) notServed(err error) error {
	s.in.unpin()
	s.unit.raw, s.unit.send = nil, nil
	s.srv.counts.turn(err)
	if errors.Is(err, errReset) {
		s.unit.line.failed("reset")
		return s.settle()
	}
	f := failureFor(err)
	if f == nil {
		return err
	}
	s.owedFail(f)
	if f.Code == bolt.CodeAuthExpired || f.Code == bolt.CodeTokenExpired || errors.Is(err, routing.ErrVersion) || errors.Is(err, context.Canceled) {
		return errors.Join(errClosed, err)
	}
	return s.settle()
}

// failureFor is what a client is told when no connection could be had; nil when it is gone itself.
func failureFor(err error) *bolt.Failure {
	switch {
	case errors.Is(err, errLeft) || errors.Is(err, errClosed):
		return nil
	case errors.Is(err, errSpent):
		return &bolt.Failure{Code: bolt.CodeAuthExpired, Message: "boltgate: " + plain(err)}
	case errors.Is(err, pool.ErrFull) || errors.Is(err, errHeldFull) || errors.Is(err, errQueueTime) || isTurned(err) || errors.Is(err, errMemory):
		return &bolt.Failure{Code: bolt.CodeNoThreads, Message: "boltgate: too much work is waiting: " + plain(err)}
	}
	if f, ok := errors.AsType[*bolt.Failure](err); ok {
		switch f.Code {
		case bolt.CodeTokenExpired:
			return f
		case bolt.CodeNoThreads:
			return &bolt.Failure{Code: f.Code, Message: "boltgate: no member takes one more log-on: " + f.Message}
		}
		return &bolt.Failure{Code: bolt.CodeAuthExpired, Message: "boltgate: the member did not accept the login again: " + f.Code}
	}
	return &bolt.Failure{Code: bolt.CodeLeaderSwitch, Message: "boltgate: no member could take the work: " + plain(err)}
}
