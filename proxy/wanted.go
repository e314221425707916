package proxy

import (
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
)

// This file owns the wish for news of where members are. A read that is tied to a write by time alone stays at the leader until checks
// have found another member to have what the leader had then; the next ordinary checks may be seconds away.

const (
	wantEvery = 100 * time.Millisecond // between two wishes
	wantFor   = 5 * time.Second        // after the write: a member that is further behind is found by the ordinary checks
)

// keptAtLeader asks for checks now when a read is at the leader, which is picked, for a write that was a moment ago.
func (s *Server) keptAtLeader(v *cluster.View, in routing.Intent, picked *cluster.Status) {
	if in.Since.IsZero() || in.Mode != routing.Read || in.Now.Sub(in.Since) > wantFor {
		return
	}
	db := v.Resolve(routing.Fold(in.DB))
	if picked.Role(db) != cluster.Leader || !picked.ProgressOf(db).Known() { // who does not tell would not tell now either
		return
	}
	now := in.Now.UnixNano()
	if last := s.wanted.Load(); now-last >= int64(wantEvery) && s.wanted.CompareAndSwap(last, now) {
		s.current.Report(picked.Name, in.DB, cluster.Wanted)
	}
}
