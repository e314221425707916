package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/routing"
)

// ownResult is a result that the gate made itself: at most one record, in answer to a RUN that no member has to see.
type ownResult struct {
	record []byte // whole RECORD message; nil for an empty result
}

// serveOwnResult answers PULL or DISCARD.
func (s *boltSession) serveOwnResult(tag byte) error {
	if err := s.discardRequest(); err != nil {
		return err
	}
	if tag == bolt.TagPull {
		s.out = append(s.out, s.own.record...)
	}
	s.out = bolt.AppendSuccess(s.out, map[string]any{"type": "r"})
	s.own.record = nil
	s.state = stateReady
	return nil
}

// startOwn answers a RUN with a result of ours.
func (s *boltSession) startOwn(fields []any, record []byte) {
	s.out = bolt.AppendSuccess(s.out, map[string]any{"fields": fields})
	s.own.record = record
	s.state = stateOwn
}

// serveText answers the RUNs that are the gate's own business: requests for a routing table, and in 1 and 2 a ROLLBACK
// after a failed transaction. done is false for all others.
func (s *boltSession) serveText(ctx context.Context, o opening) (done bool, err error) {
	switch {
	case isRoutingCall(o.query):
		return true, s.serveRoutingCall(ctx, o)
	case s.version < bolt.V3 && isText(o.query, "ROLLBACK"):
		s.in.drop()
		s.in.unpin()
		s.startOwn([]any{}, nil)
		return true, nil
	}
	return false, nil
}

// isRoutingCall recognises the procedures by which drivers before 4.3 ask for a routing table:
// dbms.cluster.routing.getServers, dbms.cluster.routing.getRoutingTable and dbms.routing.getRoutingTable.
func isRoutingCall(query []byte) bool {
	q := bytes.TrimSpace(query)
	if len(q) < 10 || len(q) > 200 || !bytes.EqualFold(q[:4], []byte("CALL")) {
		return false
	}
	name := bytes.TrimSpace(q[4:])
	name, _, _ = bytes.Cut(name, []byte("("))
	switch strings.ToLower(string(bytes.TrimSpace(name))) {
	case "dbms.cluster.routing.getservers", "dbms.cluster.routing.getroutingtable", "dbms.routing.getroutingtable":
		return true
	}
	return false
}

// serveRoutingCall answers such a procedure call with our own table. From 4.0 on a member is asked first: it may know the
// database not.
func (s *boltSession) serveRoutingCall(ctx context.Context, o opening) error {
	params := packstream.NewDecoder(o.params)
	given, _ := params.Value().(map[string]any)
	if c, ok := given["context"].(map[string]any); ok && s.address == "" {
		s.address, _ = c["address"].(string)
	}
	if s.manyDatabases() {
		text, extra := string(o.query), map[string]any{"mode": "r"}
		if s.version >= bolt.V4_0 {
			extra["db"] = routing.System
		}
		db, _ := given["database"].(string)
		s.unit.reset()
		_, err := s.askMember(ctx, db, func(c *bolt.Client) (any, error) { return c.Query(text, given, extra) })
		if f, ok := errors.AsType[*bolt.Failure](err); err != nil && (!ok || f.Code != bolt.CodeProcedureNotFound) {
			return s.routeRefused(err, db)
		}
	}
	s.in.drop()
	s.in.unpin()
	readers := s.addresses()
	if read := s.front.settings.Load().AdvertiseRead; read != "" && s.version < bolt.V3 {
		readers = []string{read}
	}
	servers := routing.Servers(s.addresses(), readers)
	record := bolt.AppendMessage(nil, bolt.TagRecord, []any{int64(routing.TTL), servers})
	s.startOwn([]any{"ttl", "servers"}, record)
	return nil
}

// routeRefused answers a request for a routing table that a member refused, or that none could answer.
func (s *boltSession) routeRefused(err error, db string) error {
	if errors.Is(err, errReset) { // the pump has dealt with what was read
		return s.notServed(err)
	}
	tag, _, _, _ := s.in.head()
	s.in.drop()
	s.in.unpin()
	if errors.Is(err, errUnserved) {
		s.mu.Lock()
		s.owed.push(owed{tag: tag})
		s.mu.Unlock()
		return s.notServed(err)
	}
	f, ok := errors.AsType[*bolt.Failure](err)
	switch {
	case !ok:
		if f = failureFor(err); f == nil {
			return err
		}
	case f.Code == bolt.CodeDatabaseUnavailable && s.front.router().Policy.Member == "" && !stoppedByOperator(s.srv.current.View(), db):
		f = &bolt.Failure{Code: bolt.CodeLeaderSwitch, Message: "boltgate: no member serves the database now: " + f.Message}
	}
	s.out = f.Append(s.out, s.version)
	s.state = stateFailed
	return nil
}

// serveRoute answers ROUTE. A member resolves the database's name, refuses one that does not exist, and knows the home
// database of the user, or of the one impersonated.
func (s *boltSession) serveRoute(ctx context.Context) error {
	raw, ok, err := s.wholeRequest(s.srv.options.Load().RequestLimit)
	if err != nil || !ok {
		return err
	}
	s.in.pinned = true
	payload, _ := bolt.Payload(raw, nil)
	db, imp, address, err := s.parseRoute(payload[2:])
	if err != nil {
		return s.violation(err)
	}
	if imp != "" && s.restricted() {
		return s.refuseOpening(whyImpersonation)
	}
	if address != "" {
		s.address = address
	}
	s.unit.reset()
	rt, err := s.askMember(ctx, db, func(c *bolt.Client) (any, error) { return c.AskReady(raw) })
	if f, ok := errors.AsType[*bolt.Failure](err); err != nil && (!ok || f.Code != bolt.CodeProcedureNotFound) {
		return s.routeRefused(err, db)
	}
	answer, _ := rt.(map[string]any)
	table, _ := answer["rt"].(map[string]any)
	if name, ok := table["db"].(string); ok {
		if db == "" && imp == "" {
			s.login.learnHome(name, s.now)
		}
		db = name
	}
	s.in.drop()
	s.in.unpin()
	s.out = bolt.AppendSuccess(s.out, map[string]any{"rt": routing.Table(s.addresses(), db, s.version)})
	return nil
}

func (s *boltSession) parseRoute(fields []byte) (db, imp, address string, err error) {
	d := packstream.NewDecoder(fields)
	context, _ := d.Value().(map[string]any)
	address, _ = context["address"].(string)
	d.Skip() // bookmarks
	switch last := d.Value().(type) {
	case string:
		db = last
	case map[string]any:
		db, _ = last["db"].(string)
		imp, _ = last["imp_user"].(string)
	}
	return db, imp, address, d.Err()
}

// askMember has a member, logged on as the client, answer a question about db outside a unit of work: any reader, or who
// knows all databases when the View has none of that name. Another member is tried, for up to failover.hold, when one cannot
// be reached, or says that it does not serve the database now.
func (s *boltSession) askMember(ctx context.Context, db string, ask func(*bolt.Client) (any, error)) (any, error) {
	u := &s.unit
	tried, until, routed := u.tried, u.until, u.routed
	u.tried, u.until, u.routed = nil, time.Now().Add(s.srv.options.Load().Hold), false
	s.in.held = true // the question is no unit of work whose end would let go of the request that waits
	defer func() {
		u.tried, u.until, u.routed = tried, until, routed
		s.in.held = false
	}()
	in := routing.Intent{Mode: routing.Read, Version: s.version, UTC: s.utc, Now: s.now}
	known := routing.Known(s.srv.current.View(), routing.Fold(db))
	if !known {
		in.DB = db
	}
	for {
		lease, err := s.borrow(ctx, in, false)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUnserved, err)
		}
		answer, err := s.askOn(lease, ask)
		f, refused := errors.AsType[*bolt.Failure](err)
		switch {
		case err == nil, refused && s.finalAnswer(f.Code, db), len(u.tried) >= maxTries:
			return answer, err
		case refused && f.Code == bolt.CodeDatabaseNotFound && s.mayNotKnow(lease.Member): // there may be one all the same
			if known {
				in.DB = routing.System
			}
			u.tried = append(u.tried, lease.Member)
		case refused && f.Code != bolt.CodeDatabaseUnavailable && f.Code != bolt.CodeAuthExpired:
			return answer, err
		default:
			u.tried = append(u.tried, lease.Member)
		}
	}
}

// finalAnswer tells whether a member's refusal of a question about db is not for another member to better.
func (s *boltSession) finalAnswer(code, db string) bool {
	if s.front.router().Policy.Member != "" {
		return code != bolt.CodeAuthExpired
	}
	return code == bolt.CodeDatabaseUnavailable && stoppedByOperator(s.srv.current.View(), db)
}

// errUnserved says that a question reached no member.
var errUnserved = errors.New("proxy: no member was asked")

// askOn puts a question to the lease's member, and ends the lease. ask leaves the connection READY, after a *bolt.Failure too.
func (s *boltSession) askOn(lease *pool.Lease, ask func(*bolt.Client) (any, error)) (any, error) {
	lease.Link.SetDeadline(time.Now().Add(s.srv.options.Load().AskTimeout))
	done := s.srv.seekers.asks(lease)
	answer, err := ask(lease.Client)
	done()
	lease.Link.SetDeadline(time.Time{})
	f, refused := errors.AsType[*bolt.Failure](err)
	if err != nil && !refused {
		s.srv.current.Report(lease.Member.Name, "", cluster.Broken)
		s.release(lease, false)
		return nil, err
	}
	if refused {
		s.distrust(f.Code)
	}
	clean := err == nil || err == error(f) && f.Code != bolt.CodeAuthExpired // a joined error: its RESET failed
	s.release(lease, clean && lease.Client.Trim() == nil)
	return answer, err
}

// addresses is where drivers are told to find the cluster: advertise, else what the client used (design "Routing tables").
func (s *boltSession) addresses() []string {
	f := s.front.settings.Load()
	if len(f.Advertise) > 0 {
		return f.Advertise
	}
	if s.address != "" {
		return []string{withPort(s.address, s.local)}
	}
	return []string{s.local}
}

// withPort adds the default port to an address without one.
func withPort(address, local string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	port := "7687"
	if _, p, err := net.SplitHostPort(local); err == nil {
		port = p
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}
