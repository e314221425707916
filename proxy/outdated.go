package proxy

import (
	"fmt"
	"sync/atomic"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what becomes of Bolt sessions when members are upgraded or rolled back under them. A session keeps its
// version and patch for life, so one that a leader does not speak is of no use for writes. It ends while nothing of it
// runs, rather than with the next write: most drivers notice that before they use the connection again, and come back on a
// version that all members speak (design "Sessions, pools", Versions).
//
// Nobody asks on the way of a query. The watch below looks at each View, and only when it makes another kind of session
// outdated does it count up epoch; sessions compare that with their own when they begin to wait.

// errOutdated ends a session in good order.
var errOutdated = fmt.Errorf("%w: a leader does not speak its Bolt version", errClosed)

// outdating is what the watch shares with the sessions.
type outdating struct {
	epoch atomic.Uint32 // how often sessions of some kind became outdated
}

// dialect is what a session speaks for life, in a word that others may read: the version, and above it the patch. 0 is
// not known yet.
type dialect uint32

const withUTC dialect = 1 << 16

func dialectOf(v bolt.Version, utc bool) dialect {
	if utc {
		return dialect(v) | withUTC
	}
	return dialect(v)
}

func (d dialect) version() bolt.Version { return bolt.Version(d &^ withUTC) }

func (d dialect) String() string {
	if d&withUTC != 0 {
		return d.version().String() + " with utc"
	}
	return d.version().String()
}

// dialects are all that a session can speak.
var dialects = func() (all []dialect) {
	for _, v := range bolt.Versions {
		all = append(all, dialectOf(v, false))
		if v == bolt.V4_3 || v == bolt.V4_4 {
			all = append(all, dialectOf(v, true))
		}
	}
	return all
}()

// watchVersions ends the sessions that a new View makes outdated, until the server ends.
func (s *Server) watchVersions() {
	known := map[kind]bool{}
	for {
		v := s.current.View()
		known = s.endOutdated(v, known)
		select {
		case <-v.Replaced():
		case <-s.work.Done():
			return
		}
	}
}

// kind is what decides whether a session is outdated: its dialect, and the one member that its frontend may use.
type kind struct {
	member string
	dialect
}

// endOutdated wakes the idle sessions that v, unlike the View before, makes outdated, whose kinds are known. It returns
// the kinds outdated now.
func (s *Server) endOutdated(v *cluster.View, known map[kind]bool) map[kind]bool {
	now := map[kind]bool{}
	fresh := map[kind]*cluster.Status{}
	for _, r := range s.routers() {
		for _, d := range dialects {
			if by := outdatedBy(r, v, d); by != nil {
				k := kind{r.Policy.Member, d}
				now[k] = true
				if !known[k] {
					fresh[k] = by
				}
			}
		}
	}
	if len(fresh) > 0 {
		s.outdated.epoch.Add(1) // before the look at the sessions: one that falls asleep meanwhile sees it itself
		s.rouseOutdated(fresh)
	}
	return now
}

func outdatedBy(r *routing.Router, v *cluster.View, d dialect) *cluster.Status {
	return r.Outdated(v, d.version(), d&withUTC != 0)
}

// routers are those of the frontends, one for each member that a frontend is bound to.
func (s *Server) routers() map[string]*routing.Router {
	s.mu.Lock()
	defer s.mu.Unlock()
	byMember := map[string]*routing.Router{}
	for _, f := range s.fronts {
		r := f.router()
		byMember[r.Policy.Member] = r
	}
	return byMember
}

// rouseOutdated wakes the sessions of these kinds, and says how many there are.
func (s *Server) rouseOutdated(fresh map[kind]*cluster.Status) {
	found := map[kind]int{}
	s.mu.Lock()
	for c := range s.clients {
		b, ok := c.session.(*boltSession)
		if !ok {
			continue
		}
		k := kind{b.front.router().Policy.Member, dialect(b.dialect.Load())}
		if fresh[k] != nil {
			found[k]++
			b.rouse()
		}
	}
	s.mu.Unlock()
	for k, n := range found {
		s.log.Warn("sessions end between units of work: a leader does not speak their Bolt version",
			"bolt", k.dialect, "sessions", n, "leader", fresh[k].Name, "agent", fresh[k].Agent, "speaks", fresh[k].Versions)
	}
}

// outdated tells whether the session is to end now, which does not change before the server's epoch does. It is asked
// before and after a wait for the client, by the session's own goroutine.
func (s *boltSession) outdated() bool {
	epoch := s.srv.outdated.epoch.Load()
	if s.epoch == epoch || s.version == 0 || s.state == stateOwn || s.in.buf != nil {
		return false // in the middle of something: asked again
	}
	s.epoch = epoch
	return s.front.router().Outdated(s.srv.current.View(), s.version, s.utc) != nil
}

// outdated is false: HTTP has no version that members do not share.
func (c *httpConn) outdated() bool {
	c.epoch = c.srv.outdated.epoch.Load()
	return false
}
