package health

import (
	"context"
	"errors"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file owns how far members are: which transaction, or entry of the Raft log, each has applied last, and what follows
// from where the leader was when.

// addProgress adds what one source told of db to what others told.
func (a *answer) addProgress(db string, p cluster.Progress) {
	have := a.progress[db]
	have.Tx, have.Index, have.Lag = max(have.Tx, p.Tx), max(have.Index, p.Index), max(have.Lag, p.Lag)
	if have.Known() {
		a.progress[db] = have
	}
}

// showProgress is SHOW DATABASES with what hostings reads and where each database is (5.0 and newer).
const showProgress = "SHOW DATABASES YIELD name, type, aliases, address, role, writer, requestedStatus, currentStatus, default, constituents, lastCommittedTxn, replicationLag, databaseID"

// showDatabases asks for the databases, and for where they are if the server can tell.
func (b *boltRoles) showDatabases(ctx context.Context, major int) (*bolt.Result, error) {
	if major < 5 || b.brief {
		return b.query(ctx, "SHOW DATABASES", nil)
	}
	res, err := b.query(ctx, showProgress, nil)
	if _, refused := errors.AsType[*bolt.Failure](err); refused && !isDenied(err) {
		b.brief = true
		return b.query(ctx, "SHOW DATABASES", nil)
	}
	return res, err
}

// leaderLog is where one leader of a database was at its newest checks, oldest first.
type leaderLog struct {
	member  string
	samples []place
}

// place is where a member was at the start of a check, at the least.
type place struct {
	at        time.Time
	tx, index int64
}

// maxPlaces bounds a log: some two minutes of checks at their usual pace.
const maxPlaces = 64

// logLeader keeps where a member is for each database that it leads. What a new leader says first does not count: it may not have
// applied yet what the one before committed.
func (m *Monitor) logLeader(a *answer, roles map[string]cluster.Role) {
	for db, p := range a.progress {
		role, ok := roles[db]
		if !ok {
			role = roles[cluster.AnyDatabase]
		}
		if role != cluster.Leader {
			continue
		}
		log := m.leaders[db]
		if log == nil {
			log = &leaderLog{member: a.member}
			m.leaders[db] = log
		}
		if log.member != a.member {
			m.leaders[db] = &leaderLog{member: a.member}
			continue
		}
		log.add(place{a.started, p.Tx, p.Index})
	}
	for db := range m.leaders {
		if m.known(db) == 0 {
			delete(m.leaders, db)
		}
	}
}

// known counts the members that tell where they are in db.
func (m *Monitor) known(db string) (n int) {
	for _, s := range m.members {
		if s.last != nil && s.last.progress[db].Known() {
			n++
		}
	}
	return n
}

// add adds a place; a leader does not go back.
func (l *leaderLog) add(p place) {
	if n := len(l.samples); n > 0 {
		last := l.samples[n-1]
		p.tx, p.index = max(p.tx, last.tx), max(p.index, last.index)
		if n == maxPlaces {
			l.samples = append(l.samples[:0], l.samples[1:]...)
		}
	}
	l.samples = append(l.samples, p)
}

// behind is how far p is behind the place, in transactions where both tell them, else in log entries; known is false when they
// tell different things.
func (p place) behind(at cluster.Progress) (n int64, known bool) {
	switch {
	case p.tx > 0 && at.Tx > 0:
		return max(p.tx-at.Tx, 0), true
	case p.index > 0 && at.Index > 0:
		return max(p.index-at.Index, 0), true
	}
	return 0, false
}

// progressOf is how far a member is, with what follows from where the leaders were: it has what the leader had at the newest check
// that it has come up to, and it lags by what it lacks of what the leader had before it was asked itself.
func (m *Monitor) progressOf(s *memberState) map[string]cluster.Progress {
	if len(s.last.progress) == 0 {
		return nil
	}
	all := make(map[string]cluster.Progress, len(s.last.progress))
	for db, p := range s.last.progress {
		all[db] = m.leaders[db].compare(p, s.last.started)
	}
	for alias, db := range s.last.aliases {
		if p, ok := all[db]; ok {
			all[alias] = p
		}
	}
	return all
}

// compare is p, of a member that was asked at a time, beside its leader's places.
func (l *leaderLog) compare(p cluster.Progress, asked time.Time) cluster.Progress {
	if l == nil {
		return p
	}
	measured := p.Lag > 0
	for i := len(l.samples) - 1; i >= 0; i-- {
		sample := l.samples[i]
		n, known := sample.behind(p)
		if !known {
			break
		}
		if !measured && !sample.at.After(asked) {
			p.Lag, measured = n, true
		}
		if n == 0 {
			p.CaughtUp = sample.at
			break
		}
	}
	return p
}
