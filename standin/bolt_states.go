package standin

import (
	"errors"
	"strings"

	"github.com/boltgate/boltgate/bolt"
)

// state is where a connection stands between two requests (facts of Neo4j, "State machine"). INTERRUPTED is no value of
// it: that is a RESET read and not yet answered.
type state uint8

const (
	negotiation    state = iota // before INIT or HELLO
	authentication              // 5.1+, before LOGON
	ready
	streaming   // the result of an auto-commit query is open
	inTx        // an explicit transaction, no result open
	txStreaming // an explicit transaction with open results
	failed
)

func (s state) String() string {
	return [...]string{"NEGOTIATION", "AUTHENTICATION", "READY", "STREAMING", "TX_READY", "TX_STREAMING", "FAILED"}[s]
}

// request is what a message must look like, and in which states it is understood.
type request struct {
	name     string
	fields   int
	legal    []state
	ignored  bool // while FAILED
	handle   func(*boltConn, message) *bolt.Failure
	from, to bolt.Version // to 0: still there
}

var requestTable map[byte][]request

func init() { // a literal would refer to itself through the handlers
	open := []state{streaming, txStreaming}
	requestTable = map[byte][]request{
		bolt.TagHello: {
			{"INIT", 2, []state{negotiation}, false, (*boltConn).hello, bolt.V1, bolt.V3},
			{"HELLO", 1, []state{negotiation}, false, (*boltConn).hello, bolt.V3, 0},
		},
		bolt.TagLogon:  {{"LOGON", 1, []state{authentication}, false, (*boltConn).logon, bolt.V5_1, 0}},
		bolt.TagLogoff: {{"LOGOFF", 0, []state{ready}, false, (*boltConn).logoff, bolt.V5_1, 0}},
		bolt.TagRun: {
			{"RUN", 2, []state{ready}, true, (*boltConn).run, bolt.V1, bolt.V3},
			{"RUN", 3, []state{ready, inTx}, true, (*boltConn).run, bolt.V3, bolt.V4_0},
			{"RUN", 3, []state{ready, inTx, txStreaming}, true, (*boltConn).run, bolt.V4_0, 0},
		},
		bolt.TagPull: {
			{"PULL_ALL", 0, open, true, (*boltConn).pull, bolt.V1, bolt.V4_0},
			{"PULL", 1, open, true, (*boltConn).pull, bolt.V4_0, 0},
		},
		bolt.TagDiscard: {
			{"DISCARD_ALL", 0, open, true, (*boltConn).discard, bolt.V1, bolt.V4_0},
			{"DISCARD", 1, open, true, (*boltConn).discard, bolt.V4_0, 0},
		},
		bolt.TagBegin: {{"BEGIN", 1, []state{ready}, false, (*boltConn).begin, bolt.V3, 0}},
		bolt.TagCommit: {
			{"COMMIT", 0, []state{inTx}, true, (*boltConn).commit, bolt.V3, bolt.V4_0},
			{"COMMIT", 0, []state{inTx, txStreaming}, true, (*boltConn).commit, bolt.V4_0, 0},
		},
		bolt.TagRollback: {
			{"ROLLBACK", 0, []state{inTx}, true, (*boltConn).rollback, bolt.V3, bolt.V4_0},
			{"ROLLBACK", 0, []state{inTx, txStreaming}, true, (*boltConn).rollback, bolt.V4_0, 0},
		},
		bolt.TagRoute:      {{"ROUTE", 3, []state{ready}, true, (*boltConn).route, bolt.V4_3, 0}},
		bolt.TagTelemetry:  {{"TELEMETRY", 1, []state{ready}, true, (*boltConn).telemetry, bolt.V5_4, 0}},
		bolt.TagAckFailure: {{"ACK_FAILURE", 0, []state{failed}, false, (*boltConn).ackFailure, bolt.V1, bolt.V3}},
		bolt.TagReset:      {{"RESET", 0, nil, false, nil, bolt.V1, 0}},
		bolt.TagGoodbye:    {{"GOODBYE", 0, nil, false, nil, bolt.V3, 0}},
	}
}

// lookup finds a request as version v has it.
func lookup(tag byte, v bolt.Version) *request {
	for i, r := range requestTable[tag] {
		if v >= r.from && (r.to == 0 || v < r.to) {
			return &requestTable[tag][i]
		}
	}
	return nil
}

// handle answers one request.
func (c *boltConn) handle(m message) {
	r := lookup(m.tag, c.v)
	switch f := malformed(r, m); {
	case m.fault == nil && r == nil, f != nil && !c.m.release().atLeast(5, 0):
		c.closing = true // without a word
	case f != nil && c.state < ready:
		c.fatal(f)
	case f != nil:
		c.fail(f)
	case m.tag == bolt.TagGoodbye:
		c.closing = true
	case m.tag == bolt.TagReset:
		c.reset()
	case c.interrupted():
		c.whileInterrupted(r)
	case c.state == failed && r.ignored:
		c.out.ignored()
	default:
		c.dispatch(r, m)
	}
}

// malformed says why a message cannot be understood, or nil. To 5.x that is a failure like any other, except at the login;
// before, and when it is no request at all, the connection ends.
func malformed(r *request, m message) *bolt.Failure {
	switch {
	case errors.Is(m.fault, errStruct):
		return withKind(invalidRequest("Unexpected type: Expected STRUCT but got another"), kindStruct)
	case m.fault != nil:
		return invalidRequest("%v", m.fault)
	case r != nil && len(m.fields) != r.fields:
		return failure(bolt.CodeInvalidFormat, "Illegal struct size: Expected struct to be %d fields but got %d", r.fields, len(m.fields))
	}
	return nil
}

func (c *boltConn) dispatch(r *request, m message) {
	for _, s := range r.legal {
		if s == c.state {
			if f := r.handle(c, m); f != nil {
				c.fail(f)
			}
			return
		}
	}
	c.fatal(illegal(r, c.state.String()))
}

// illegal refuses a request that the state does not know, in the words of 5.x, which names only some states.
func illegal(r *request, state string) *bolt.Failure {
	switch state {
	case streaming.String():
		state = "AUTO_COMMIT"
	case inTx.String(), txStreaming.String():
		state = "IN_TRANSACTION"
	case failed.String():
		return withKind(invalidRequest("Message '%s' cannot be handled by session in the READY state", r.message()), kindFailed)
	}
	return invalidRequest("Message of type %s cannot be handled by a session in the %s state.", r.message(), state)
}

// message is the request's name as the server's messages have it: RunMessage.
func (r *request) message() string {
	return r.name[:1] + strings.ToLower(r.name[1:]) + "Message"
}

// whileInterrupted answers what is queued in front of a RESET. Servers of 5.x break the connection for what they do not
// ignore while failed, older ones ignore all.
func (c *boltConn) whileInterrupted(r *request) {
	if c.m.release().atLeast(5, 0) && !r.ignored {
		c.fatal(illegal(r, "INTERRUPTED"))
		return
	}
	c.out.ignored()
}

// fail answers FAILURE and leaves the connection FAILED. An open transaction is gone.
func (c *boltConn) fail(f *bolt.Failure) {
	c.out.failure(f)
	c.state = failed
	c.dropTx()
	if f.Code == bolt.CodeAuthExpired {
		c.closing = true
	}
}

// fatal answers FAILURE and closes.
func (c *boltConn) fatal(f *bolt.Failure) {
	c.out.failure(f)
	c.closing = true
}

func (c *boltConn) dropTx() {
	c.tx, c.explicit = nil, false
	clear(c.streams)
}

// reset ends all that is open. Of k RESETs in a row the first k-1 are ignored.
func (c *boltConn) reset() {
	if c.state == negotiation || c.state == authentication {
		c.fatal(illegal(lookup(bolt.TagReset, c.v), c.state.String()))
		return
	}
	c.dropTx()
	if !c.resetDone() {
		c.out.ignored()
		return
	}
	c.state = ready
	c.out.success(nil)
}

func (c *boltConn) ackFailure(message) *bolt.Failure {
	c.state = ready
	c.out.success(nil)
	return nil
}
