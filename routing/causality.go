package routing

import "github.com/boltgate/boltgate/cluster"

// This file owns what a read's transactions and a member's lag have to say in the choice (design "Causality").

// fresh tells whether a member that does not lead may serve the read at all: it is not behind by more than max_lag, and it
// has what the leader had when Since was. Where a member is, is not known of every version: then no lag is held against it,
// and it has nothing.
func (r *Router) fresh(v *cluster.View, s *cluster.Status, in Intent) bool {
	if r.Policy.MaxLag == 0 && in.Since.IsZero() {
		return true
	}
	p := s.ProgressOf(v.Resolve(in.DB))
	if r.Policy.MaxLag > 0 && p.Lag > r.Policy.MaxLag {
		return false
	}
	return in.Since.IsZero() || !p.CaughtUp.Before(in.Since)
}

// askEvery is how many reads go to members that are known to have what they need for each one that goes to a member of which it is not
// known: that is how it becomes known, for an answer tells. Else whoever answered first would serve all reads of a user who has stopped
// writing.
const askEvery = 32

// ahead keeps the members that are known to have the read's transactions; where none is, those that have not been late to
// get theirs; else all. It works in place.
func (r *Router) ahead(can []*cluster.Status, in Intent) []*cluster.Status {
	if len(in.Marks) == 0 || r.Has == nil {
		return can
	}
	known := toFront(can, func(s *cluster.Status) bool { return r.Has(s, in.Marks) })
	if known == len(can) || known > 0 && r.asked.Add(1)%askEvery != 0 {
		return can[:known]
	}
	rest := can[known:]
	if r.Late == nil {
		return rest
	}
	switch n := toFront(rest, func(s *cluster.Status) bool { return !r.Late(s.Member, in.Now) }); {
	case n > 0:
		return rest[:n]
	case known > 0:
		return can[:known]
	}
	return rest
}
