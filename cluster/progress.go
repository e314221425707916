package cluster

import "time"

// Progress is how far a member has applied the transactions of one database, as its newest check told. Each number is 0 while
// unknown.
type Progress struct {
	Tx       int64     // the last committed transaction, as bookmarks count
	Index    int64     // the last applied entry of the Raft log, which counts more than transactions
	Lag      int64     // transactions, or log entries, that it is behind the leader, at the least
	CaughtUp time.Time // it has all that the leader had committed by then; zero while unknown
}

// Known tells whether the member told where it is.
func (p Progress) Known() bool { return p.Tx > 0 || p.Index > 0 }

// ProgressOf is the member's progress in db, by name; the default database's name has to be resolved before.
func (s *Status) ProgressOf(db string) Progress {
	if p, ok := s.Progress[db]; ok {
		return p
	}
	return s.Progress[AnyDatabase]
}
