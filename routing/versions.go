package routing

import (
	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file owns what members of mixed versions mean for a session, which keeps its Bolt version and patch for life.

// usable says whether a member speaks what the session speaks.
func usable(s *cluster.Status, in Intent) bool {
	return s.Speaks(in.Version) && (!in.UTC || s.UTC || in.Version >= bolt.V5_0)
}

// unknown says whether it is not known yet which versions the member speaks: it may turn out to be usable.
func unknown(s *cluster.Status, in Intent) bool { return in.Version != 0 && len(s.Versions) == 0 }

// Outdated is a member that sessions of that version and patch need and that does not speak it: a leader of any database
// but system, or the one member that the policy names. Such a session is best ended while nothing of it runs, for its
// driver comes back on a version that all members speak; nil when there is no reason for that. Of a member whose versions
// are not known yet nothing is concluded.
func (r *Router) Outdated(v *cluster.View, version bolt.Version, utc bool) *cluster.Status {
	in := Intent{Version: version, UTC: utc}
	for s := range v.Up() {
		if !usable(s, in) && !unknown(s, in) && r.needs(s) {
			return s
		}
	}
	return nil
}

// needs tells whether there is work that only this member can serve. The system database does not count: few sessions ever
// use it, and one that does finds out then.
func (r *Router) needs(s *cluster.Status) bool {
	if r.Policy.Member != "" {
		return s.Name == r.Policy.Member
	}
	for db, role := range s.Roles {
		if role == cluster.Leader && db != System {
			return true
		}
	}
	return false
}
