package proxy

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the home database of clients who name none: asked once for each credential, remembered for a while, and
// corrected by every answer that names it. It is never added to a request: which database it is stays the member's to decide.

// resolveHome finds the home database of a client whose work names none, where databases have leaders of their own.
// An error is the client's RESET or end while a member was asked.
func (s *boltSession) resolveHome(ctx context.Context, as []byte) error {
	u := &s.unit
	v := s.srv.current.View()
	u.homeless = u.intent.DB == ""
	if !u.homeless || v.Default == "" {
		return nil
	}
	if as != nil {
		u.homeless = false // somebody else's home: not ours to remember
	} else if home := s.login.homeDatabase(s.now); home != "" {
		u.intent.DB, u.remembered = home, true
		return nil
	}
	if s.within {
		return errLeave
	}
	return s.askHome(ctx, as, v)
}

// askHome has a member say which home database the user, or whom it impersonates, has. Without an answer it is the default.
func (s *boltSession) askHome(ctx context.Context, as []byte, v *cluster.View) error {
	u, began := &s.unit, time.Now()
	name, err := s.homeByMember(ctx, as, v)
	if errors.Is(err, errUnserved) && u.until.IsZero() { // this wait for a member was the unit's own: it has failover.hold once
		u.until = began.Add(s.srv.options.Load().Hold)
	}
	switch {
	case errors.Is(err, errReset) || errors.Is(err, errLeft):
		return err
	case name != "" && err == nil:
		u.intent.DB = name
	default: // without a home database the default's leader is a good guess
		name = v.Default
	}
	if as == nil && !errors.Is(err, errUnserved) {
		s.login.learnHome(name, s.now)
	}
	return nil
}

// homeByMember asks in the way that the session's version has: ROUTE for no database, else a query.
func (s *boltSession) homeByMember(ctx context.Context, as []byte, v *cluster.View) (name string, err error) {
	if s.version < bolt.V4_4 {
		return s.homeByQuery(ctx, v)
	}
	extra := map[string]any{}
	if as != nil {
		extra["imp_user"] = string(as)
	}
	route := bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, extra)
	rt, err := s.askMember(ctx, "", func(c *bolt.Client) (any, error) { return c.AskReady(route) })
	answer, _ := rt.(map[string]any)
	table, _ := answer["rt"].(map[string]any)
	name, _ = table["db"].(string)
	return name, err
}

// homeByQuery asks for the home database of the session's own user; servers before 4.3 have one default for all.
func (s *boltSession) homeByQuery(ctx context.Context, v *cluster.View) (string, error) {
	text, extra := "SHOW DEFAULT DATABASE", map[string]any{"mode": "r"}
	if slices.Compare(agentNumbers(s.server(v)), []int{4, 3}) >= 0 {
		text = "SHOW HOME DATABASE"
	}
	if s.version >= bolt.V4_0 {
		extra["db"] = routing.System
	}
	answer, err := s.askMember(ctx, "", func(c *bolt.Client) (any, error) { return c.Query(text, nil, extra) })
	result, ok := answer.(*bolt.Result)
	if err != nil || !ok || len(result.Rows) == 0 {
		return "", err
	}
	for i, field := range result.Fields {
		if name, ok := result.Rows[0][i].(string); ok && field == "name" {
			return name, nil
		}
	}
	return "", nil
}

// doubtHome forgets the home database by which the unit was sent to members that did not take it: perform asks anew. One
// refusal is no reason, for leaders move more often than homes.
func (s *boltSession) doubtHome() bool {
	u := &s.unit
	if u.refusals++; !u.homeless || !u.remembered || u.refusals < 2 {
		return false
	}
	s.login.forgetHome()
	u.refusals, u.tried = 0, u.tried[:0]
	u.intent.DB, u.remembered, u.unsettled = "", false, true
	return true
}

// noteHome learns the home database from an answer's metadata: of a BEGIN or RUN that named none (5.8+), or of the end of a
// result. A command on system inside a transaction answers for system, which is nobody's home.
func (s *boltSession) noteHome(metadata []byte) {
	if s.unit.homeless {
		s.learnHome(s.summaryKeys(metadata).db)
	}
}

func (s *boltSession) learnHome(db []byte) {
	if len(db) == 0 || bytes.EqualFold(db, []byte(routing.System)) || s.login.homeDatabase(s.now) == string(db) {
		return
	}
	s.login.learnHome(string(db), s.now)
}
