package proxy

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/cypher"
	"github.com/boltgate/boltgate/routing"
)

// This file owns where a text sends itself: to the database that its USE names, to system, to one member; and which work
// needs a connection with server-side routing.

// place completes the unit's intent by what its text says, and tells whether it needs server-side routing.
func (s *boltSession) place() {
	u := &s.unit
	if u.declared && !u.explicit && mayNamePlace(u.query) {
		u.classify()
	}
	u.intent.AtLeader = u.intent.AtLeader || u.verdict.OneMember
	if !s.manyDatabases() {
		return
	}
	view := s.srv.current.View()
	switch {
	case u.verdict.System:
		u.intent.DB = routing.System
	case u.verdict.UsesUse:
		u.routed = true
		if name, ok := cypher.UsedDatabase(u.query); ok {
			u.used, u.named, u.intent.DB = true, u.intent.DB, graphOf(view, name)
		}
	}
	u.routed = u.routed || needsRouting(view, u.intent.DB) || s.srv.routed.contains(u.intent.DB, s.now)
}

// manyDatabases tells whether the session's cluster has databases by name: from 4.0 on, and then for old Bolt too.
func (s *boltSession) manyDatabases() bool {
	return s.version >= bolt.V4_0 || s.version >= bolt.V3 && s.srv.current.View().Default != ""
}

// mayNamePlace tells whether a text may be one whose place counts for more than its mode: a command or CALL, or one with USE.
// It rules out those that begin as most reads do, for they need not be read at all when their mode was declared.
func mayNamePlace(query []byte) bool {
	for _, c := range query {
		switch c {
		case ' ', '\t', '\n', '\r':
			continue
		case 'M', 'm', 'R', 'r', 'W', 'w', 'O', 'o': // MATCH, RETURN, WITH, OPTIONAL MATCH
			return false
		}
		return true
	}
	return false
}

// graphOf is the database by which a name that USE gave is found: the composite database for a part that has no members of
// its own, else the name itself.
func graphOf(v *cluster.View, name string) string {
	if len(v.Composites) == 0 {
		return name
	}
	folded := routing.Fold(name)
	if composite, _, ok := strings.Cut(folded, "."); ok && v.Composites[composite] && !v.Composites[folded] && !v.Hosted(folded) {
		return composite
	}
	return name
}

// needsRouting tells whether a database's data lie in others, which a member may have to reach for us.
func needsRouting(v *cluster.View, db string) bool {
	return len(v.Composites) > 0 && v.Composites[routing.Fold(db)]
}

// stoppedByOperator tells whether a member has said that its operator stopped the database.
func stoppedByOperator(v *cluster.View, db string) bool {
	if db == "" {
		db = v.Default
	}
	db = routing.Fold(db)
	for _, m := range v.Members {
		if m.Stopped[db] {
			return true
		}
	}
	return false
}

// mayNotKnow tells whether a member may not have heard yet of a database that there is: another one leads system.
func (s *boltSession) mayNotKnow(m *cluster.Member) bool {
	leader := s.srv.current.View().Leader(routing.System)
	return leader != nil && leader.Member != m
}

// unheardOf tells whether a member refused the unit because it has not heard of a database that is new to the gate too, and
// that there may be all the same: it did not get as far as the text then. The leader of system knows.
func (s *boltSession) unheardOf(code string) bool {
	u := &s.unit
	return code == bolt.CodeDatabaseNotFound && (u.used || !u.verdict.UsesUse) && !u.verdict.System &&
		s.mayNotKnow(s.lease.Member) && !routing.Known(s.srv.current.View(), routing.Fold(u.intent.DB))
}

// finalHere tells whether a member's refusal is the client's to hear, whatever others might say: this frontend reaches one
// member only, or the database's operator stopped it.
func (s *boltSession) finalHere(code string) bool {
	u := &s.unit
	switch {
	case code == bolt.CodeAuthExpired || u.judged && refusedAsWrite(code):
		return false
	case s.front.router().Policy.Member != "":
		return true
	}
	return code == bolt.CodeDatabaseUnavailable && stoppedByOperator(s.srv.current.View(), u.intent.DB)
}

// routeOtherwise prepares another try for a unit that was refused with Cluster.Routing: over a connection with server-side
// routing; by the database that the client named, if it was sent by the one of its USE; then another member, if there is one.
func (s *boltSession) routeOtherwise() bool {
	u := &s.unit
	view := s.srv.current.View()
	switch {
	case !u.routed && s.front.settings.Load().ServerSide == ServerSideWhenNeeded:
		u.routed = true // this member knows where the work belongs
		if !routing.Known(view, routing.Fold(u.intent.DB)) {
			s.srv.routed.add(u.intent.DB, s.now)
		}
		return true
	case u.used:
		u.used, u.intent.DB = false, u.named
		u.homeless, u.unsettled = u.named == "", u.named == ""
		return true
	}
	u.tried = append(u.tried, s.lease.Member)
	s.srv.current.Report(s.lease.Member.Name, u.intent.DB, cluster.Unserved)
	_, err := s.front.router().Pick(view, u.intent, u.tried)
	return err == nil
}

// wantedRouting notes that a transaction, which began on a connection without server-side routing, turned out to need it: its
// client hears that it should try again, and the next one on that database begins with it.
func (s *boltSession) wantedRouting(f *bolt.Failure) bool {
	u := &s.unit
	if f.Code != bolt.CodeRouting || !u.explicit || !u.begun || u.routed || s.version < bolt.V4_1 ||
		s.front.settings.Load().ServerSide != ServerSideWhenNeeded || s.front.router().Policy.Member != "" {
		return false
	}
	s.srv.routed.add(u.intent.DB, s.now)
	return true
}

// mayChangeDatabases tells whether databases or aliases may have come or gone with the unit: checks look for them at once.
func (u *unit) mayChangeDatabases() bool {
	if u.explicit {
		return !u.declared && strings.EqualFold(u.intent.DB, routing.System)
	}
	return u.verdict.System && u.verdict.Access == cypher.Write && !u.verdict.UserCommand
}

// nameSet is a bounded set of database names that are forgotten after a while.
type nameSet struct {
	n   atomic.Int64 // so that the usual case, an empty set, takes no lock
	mu  sync.RWMutex
	has map[string]time.Time // guarded by mu: until when
}

const (
	nameFor  = 5 * time.Minute
	maxNames = 1000
)

func (n *nameSet) add(name string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.has == nil || len(n.has) >= maxNames {
		n.has = make(map[string]time.Time)
	}
	n.has[routing.Fold(name)] = now.Add(nameFor)
	n.n.Store(int64(len(n.has)))
}

func (n *nameSet) contains(name string, now time.Time) bool {
	if n.n.Load() == 0 {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return now.Before(n.has[routing.Fold(name)])
}
