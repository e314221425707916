package health

import (
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what is known of roles from routing tables that members gave to clients' logins: all there is where members
// tell a check nothing, for it has no login. A member that tells checks its own role is believed before any table.

// tables are the newest tables, and what members said against them. Owned by Run.
type tables struct {
	by      map[string]map[string]*cluster.Table // by the member that was asked and the database
	refuted map[string]map[string]time.Time      // by database and member: when it refused a write
	home    string                               // the home database of the first who was asked for; "" before 4.4
}

func newTables() tables {
	return tables{by: map[string]map[string]*cluster.Table{}, refuted: map[string]map[string]time.Time{}}
}

// tableLasts is how long a table counts: when no client is there to ask by, roles are learned anew with the next one.
func (o *Options) tableLasts() time.Duration { return max(30*time.Second, 10*o.Interval) }

// tablesOf returns the tables of one member that still count.
func (m *Monitor) tablesOf(member string) []*cluster.Table {
	var all []*cluster.Table
	for _, t := range m.tables.by[member] {
		if time.Since(t.Asked) < m.o.tableLasts() {
			all = append(all, t)
		}
	}
	return all
}

// told takes a table that a client's login was given.
func (m *Monitor) told(t *cluster.Table) {
	s := m.state(t.Member)
	if s == nil || s.condition == cluster.Maint {
		return
	}
	of := m.tables.by[t.Member]
	if of == nil {
		of = make(map[string]*cluster.Table)
		m.tables.by[t.Member] = of
	}
	if t.Home && t.DB != "" {
		m.tables.home = orElse(m.tables.home, t.DB)
	}
	db := m.tableKey(t)
	before := of[db]
	of[db] = t
	if m.saysNothingNew(t, before) {
		return
	}
	m.log.Debug("routing table", "member", t.Member, "db", t.DB, "writers", t.Writers, "readers", t.Readers, "routers", t.Routers)
	m.conclude(t.Member)
	m.complainOfTable(t)
	m.publish()
}

// saysNothingNew tells whether a table only repeats the one before it: then the work of a new View is spared.
func (m *Monitor) saysNothingNew(t, before *cluster.Table) bool {
	if before == nil || !before.Same(t) || time.Since(before.Asked) > m.o.tableLasts() {
		return false
	}
	for _, at := range m.tables.refuted[m.tableKey(t)] {
		if at.After(before.Asked) {
			return false
		}
	}
	return true
}

// tableKey is the database that a table is about, as roles have it.
func (m *Monitor) tableKey(t *cluster.Table) string {
	if major, _, _ := parseVersion(t.Server); major >= 4 && t.DB == "" {
		return orElse(m.def, "neo4j")
	}
	return lower(t.DB)
}

// refute notes that a member refused a write: tables asked before then are wrong about it.
func (m *Monitor) refute(member, db string) {
	if db == "" && !m.tables.oneRole() {
		db = orElse(m.def, orElse(m.tables.home, "neo4j"))
	}
	db = lower(db)
	of := m.tables.refuted[db]
	if of == nil {
		of = make(map[string]time.Time)
		m.tables.refuted[db] = of
	}
	of[member] = time.Now()
}

// forgetStrangers drops what is known by members that left.
func (m *Monitor) forgetStrangers() {
	left := func(member string) bool { return m.state(member) == nil }
	maps.DeleteFunc(m.tables.by, func(member string, _ map[string]*cluster.Table) bool { return left(member) })
	for _, of := range m.tables.refuted {
		maps.DeleteFunc(of, func(member string, _ time.Time) bool { return left(member) })
	}
}

// oneRole tells whether tables are the same for all databases, as before 4.0.
func (t *tables) oneRole() bool {
	for _, of := range t.by {
		if of[cluster.AnyDatabase] != nil {
			return true
		}
	}
	return false
}

// tableEvidence is the kind of cluster that a member's tables show.
func (m *Monitor) tableEvidence(member string) cluster.Generation {
	for _, t := range m.tablesOf(member) {
		major, _, _ := parseVersion(t.Server)
		switch {
		case major == 0 || !t.Evidence():
		case major < 5:
			return cluster.Causal
		default:
			return cluster.Autonomous
		}
	}
	return cluster.UnknownGeneration
}

// agent is what a member that tells checks no name called itself to a client's login.
func (m *Monitor) agent(s *memberState) string {
	if s.id.agent != "" {
		return s.id.agent
	}
	for _, t := range m.tablesOf(s.member.Name) {
		return t.Server
	}
	return ""
}

// blind tells whether checks learn nothing of roles from some member that is up, for want of a login, where tables could help.
func (m *Monitor) blind() bool {
	if m.generation == cluster.HA || m.generation == cluster.Standalone {
		return false
	}
	return slices.ContainsFunc(m.members, func(s *memberState) bool {
		return s.streak.Up && s.last != nil && !s.last.told && s.last.denied != ""
	})
}

// saying is a table with members in place of addresses.
type saying struct {
	asked                     string
	at                        time.Time
	db, leader                string // leader is "" when the table names none of ours, or one that refused a write since
	writers, readers, routers []string
}

// sayings are the tables of members that are up.
func (m *Monitor) sayings(words []word, known book) []saying {
	var all []saying
	for _, w := range words {
		for _, t := range m.tablesOf(w.member) {
			if t.Evidence() {
				all = append(all, m.saying(t, known))
			}
		}
	}
	return all
}

func (m *Monitor) saying(t *cluster.Table, known book) saying {
	names := func(addresses []string) (list []string) {
		for _, address := range addresses {
			if name := known.member(address); name != "" {
				list = append(list, name)
			}
		}
		return list
	}
	s := saying{asked: t.Member, at: t.Asked, db: m.tableKey(t), writers: names(t.Writers), readers: names(t.Readers), routers: names(t.Routers)}
	for _, name := range s.writers {
		if !m.tables.refuted[s.db][name].After(t.Asked) {
			s.leader = name
			break
		}
	}
	return s
}

// addTables adds to words what tables say: whom each member names as leader, and the roles of members that tell none themselves.
func (m *Monitor) addTables(words []word, known book) {
	said := m.sayings(words, known)
	for i := range words {
		w := &words[i]
		for _, s := range said {
			if s.asked == w.member && w.names[s.db] == "" && s.leader != "" {
				w.names[s.db] = s.leader
			}
		}
		if !m.state(w.member).last.told {
			addSaid(w, said)
		}
	}
}

// addSaid gives w's member the roles that tables have for it: leader where any says so, as if it claimed that itself, else what
// the newest says.
func addSaid(w *word, said []saying) {
	newest := make(map[string]time.Time)
	for _, s := range said {
		switch role := s.role(w.member); {
		case role == cluster.Leader, role != cluster.Unknown && w.roles[s.db] != cluster.Leader && s.at.After(newest[s.db]):
			w.roles[s.db], newest[s.db] = role, s.at
		}
	}
}

// role is what a member is by one table. Cores and primaries give out tables themselves, read replicas of 3.x and 4.x do not.
// A writer that refused a write since then serves reads at least.
func (s saying) role(member string) cluster.Role {
	reads, routes := slices.Contains(s.readers, member), slices.Contains(s.routers, member)
	switch {
	case s.leader == member:
		return cluster.Leader
	case slices.Contains(s.writers, member), reads && routes:
		return cluster.Follower
	case reads:
		return cluster.Replica
	}
	return cluster.Unknown
}

// complainOfTable warns of addresses that belong to no member.
func (m *Monitor) complainOfTable(t *cluster.Table) {
	if t.Evidence() {
		m.complainOfStrangers(t.Member, t.Addresses())
	}
}
