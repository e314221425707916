package health

import (
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what is held against members that pass their checks and yet are not in order: one that says that it leads and refuses writes, one
// that comes and goes, one that came back without data that it had, one whose databases are others than everybody else's. Each is named once, in
// one line, when it begins and when it is over; its word, or its role as a reader, does not count where that would break a rule; the other members
// are judged as ever.

const (
	liesBelieved = 3                // claims of one leadership that clients are told to be wrong, before the member's word is held back
	liesLast     = 10 * time.Second // that it is: should it be true by then, work goes on
	flapsWithin  = time.Minute
	flapsMany    = 6 // changes of up and down within that time, after which they are not told one by one any more
)

// conduct is what is held against one member. The zero value is nothing. Owned by Run.
type conduct struct {
	lies     map[string]lie // by database
	changes  []time.Time    // of up, the newest last, within flapsWithin
	flapping bool
	had      map[string]int64 // by database: the highest transaction that it told
	lost     map[string]int64 // by database: what it had and, come back, has not; a reader without it does not count
	foreign  map[string]bool  // by database: its own is another one
	agreed   bool             // since it came up, its databases have been everybody's
}

// lie is a leadership that a member claims, and clients that tried it are told is none.
type lie struct {
	since time.Time // of the claim
	times int
}

// observe looks at what a member's newest answer says of its conduct; was is whether it was up before.
func (m *Monitor) observe(s *memberState, a *answer, was bool) {
	now := time.Now()
	if s.streak.Up != was {
		m.cameOrWent(s, now)
	}
	m.steady(s, now)
	if s.last == a {
		m.admits(s)
		m.compare(s)
		m.identities()
	}
}

// refuses notes that a member which claims to lead db refused a write at a time, and returns from when on answers count again: from now on, or later
// once it has done so too often. A member that was a leader and steps down ends its claim soon, so it is never held back.
func (m *Monitor) refuses(s *memberState, db string, now time.Time) time.Time {
	if s.last == nil {
		return now
	}
	_, refuted := s.refuted[db] // and has not answered since
	db = m.key(db, s.last.roles)
	claim, claims := s.claims[db]
	if !claims {
		return now
	}
	if s.conduct.lies == nil {
		s.conduct.lies = make(map[string]lie)
	}
	l := s.conduct.lies[db]
	if !l.since.Equal(claim) {
		l, refuted = lie{since: claim}, false
	}
	if !refuted {
		l.times++
	}
	s.conduct.lies[db] = l
	if l.times < liesBelieved {
		return now
	}
	if l.times == liesBelieved && !refuted {
		m.log.Warn("a member says that it leads, and refuses writes: its word does not count for a while", "member", s.member.Name, "db", db, "for", liesLast)
	}
	return now.Add(liesLast)
}

// admits tells what is over with a member's newest answer: a false claim.
func (m *Monitor) admits(s *memberState) {
	for db, l := range s.conduct.lies {
		if since, claims := s.claims[db]; !claims || !since.Equal(l.since) {
			if l.times >= liesBelieved {
				m.log.Info("a member does not claim any more what it refused", "member", s.member.Name, "db", db)
			}
			delete(s.conduct.lies, db)
		}
	}
}

// cameOrWent notes that the member went up or down.
func (m *Monitor) cameOrWent(s *memberState, now time.Time) {
	c := &s.conduct
	c.agreed = false
	c.changes = append(slices.DeleteFunc(c.changes, func(at time.Time) bool { return now.Sub(at) > flapsWithin }), now)
	if len(c.changes) >= flapsMany && !c.flapping {
		c.flapping = true
		m.log.Warn("a member comes and goes; its changes are not told one by one until it is steady", "member", s.member.Name, "changes", len(c.changes),
			"within", flapsWithin, "error", s.lastError)
	}
}

// steady ends what cameOrWent began, once nothing has changed for long.
func (m *Monitor) steady(s *memberState, now time.Time) {
	c := &s.conduct
	if c.flapping && now.Sub(c.changes[len(c.changes)-1]) > flapsWithin {
		c.flapping, c.changes = false, nil
		m.log.Info("a member is steady again", "member", s.member.Name, "is", upWord(s.streak.Up))
	}
}

// compare holds a member's newest answer to what it had before, and to what the others have.
func (m *Monitor) compare(s *memberState) {
	c := &s.conduct
	for db, p := range s.last.progress {
		if p.Tx == 0 {
			continue
		}
		switch had := c.had[db]; {
		case c.lost[db] > 0 && !m.others(s, db, c.lost[db]):
			delete(c.lost, db) // nobody has it any more
		case c.lost[db] > 0 && p.Tx >= c.lost[db]:
			m.log.Info("a member has caught up with what it had lost", "member", s.member.Name, "db", db, "tx", p.Tx)
			delete(c.lost, db)
		case p.Tx < had && m.others(s, db, had):
			c.lost = put(c.lost, db, had)
			m.log.Warn("a member came back without data that it had: "+lostMeans(s.last.roles[m.key(db, s.last.roles)]), "member", s.member.Name, "db", db, "had", had, "has", p.Tx)
		case p.Tx < had:
			m.log.Warn("a database went back, at all members: it was restored, or its data are lost", "member", s.member.Name, "db", db, "had", had, "has", p.Tx)
		}
		c.had = put(c.had, db, p.Tx)
	}
}

// lostMeans is what becomes of a member that lost data. A leader is left alone: the others take over what it has, and without it nobody could write.
func lostMeans(r cluster.Role) string {
	if r == cluster.Leader {
		return "it leads, so the others lose them as well; stop it if another one shall lead"
	}
	return "it serves no reads before it has caught up"
}

// others tells whether another member that answers has the transaction.
func (m *Monitor) others(s *memberState, db string, tx int64) bool {
	return slices.ContainsFunc(m.members, func(o *memberState) bool {
		return o != s && o.last != nil && o.last.progress[db].Tx >= tx
	})
}

func put[V any](in map[string]V, key string, v V) map[string]V {
	if in == nil {
		in = make(map[string]V)
	}
	in[key] = v
	return in
}

// identities finds the members whose database of a name is another one than most others', by the ids that each tells: they came back empty, or
// belong to another cluster. Of two kinds that are equally many, the one that was there first counts.
func (m *Monitor) identities() {
	if !m.everybodySpoke() { // else the first to answer would say which database is the right one
		return
	}
	for db := range m.databaseIDs() {
		m.databases = put(m.databases, db, m.rightID(db))
	}
	for _, s := range m.members {
		if s.last == nil || s.conduct.agreed { // while it is up, an id that differs is that of a database which was made anew
			continue
		}
		agreed := len(s.last.databaseIDs) > 0
		for _, db := range slices.Sorted(maps.Keys(s.last.databaseIDs)) {
			agreed = m.identity(s, db) && agreed
		}
		s.conduct.agreed = agreed
	}
}

// everybodySpoke tells whether each member that is checked has answered, or failed to.
func (m *Monitor) everybodySpoke() bool {
	return !slices.ContainsFunc(m.members, func(s *memberState) bool { return s.last == nil && s.lastError == "" && s.stop != nil })
}

// identity tells whether a member's database is the cluster's, and says so when that is news.
func (m *Monitor) identity(s *memberState, db string) bool {
	own, right, was := s.last.databaseIDs[db], m.databases[db], s.conduct.foreign[db]
	switch {
	case own != right && !was:
		m.log.Warn("a member's database is another one than the cluster's: it came back empty, or belongs elsewhere; it is not used", "member", s.member.Name, "db", db,
			"id", own, "cluster's", right)
	case own == right && was:
		m.log.Info("a member's database is the cluster's again", "member", s.member.Name, "db", db)
	}
	s.conduct.foreign = put(s.conduct.foreign, db, own != right)
	return own == right
}

// databaseIDs are the databases of which a member told an id.
func (m *Monitor) databaseIDs() map[string]bool {
	all := make(map[string]bool)
	for _, s := range m.members {
		if s.last != nil {
			for db := range s.last.databaseIDs {
				all[db] = true
			}
		}
	}
	return all
}

// rightID is the id of db that most members tell.
func (m *Monitor) rightID(db string) string {
	votes := make(map[string]int)
	for _, s := range m.members {
		if s.last != nil && s.streak.Up && s.last.databaseIDs[db] != "" {
			votes[s.last.databaseIDs[db]]++
		}
	}
	best := m.databases[db]
	for _, id := range slices.Sorted(maps.Keys(votes)) {
		if best == "" || votes[id] > votes[best] {
			best = id
		}
	}
	return best
}

// holdBack takes out of a member's roles those that would break a rule.
func (c *conduct) holdBack(roles map[string]cluster.Role) {
	for db := range c.lost {
		if r := roles[db]; r == cluster.Follower || r == cluster.Replica {
			roles[db] = cluster.Unknown
		}
	}
	for db, is := range c.foreign {
		if is {
			delete(roles, db)
		}
	}
}
