package health

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file turns the state that Run keeps into a View, publishes it when it says something new, and logs what changed.

// publish publishes the View of the present state, unless the newest says the same already.
func (m *Monitor) publish() {
	v := m.view()
	trouble := m.watch.trouble()
	m.watch.saw(v, m.complete(), m.disputed())
	if m.watch.trouble() && !trouble {
		defer m.alarm()
	}
	old := m.current.View()
	if same(old, v) {
		return
	}
	m.current.Publish(v)
	m.logChanges(old, v)
	m.logVersions(old, v)
}

// view builds a View from the present state.
func (m *Monitor) view() *cluster.View {
	v := &cluster.View{Generation: m.generation, Discovery: m.discovery, Blind: m.blind(), At: time.Now()}
	roles := m.roles()
	var versions [][]bolt.Version
	var lists [][]procedure
	for _, s := range m.members {
		status := &cluster.Status{
			Member: s.member, Condition: s.condition, Asked: s.asked, Up: s.streak.Up, Since: s.since,
			Silent: s.silentSince(m.o), Roles: roles[s.member.Name], Versions: s.id.versions, UTC: s.id.utc, Agent: m.agent(s), LastError: s.lastError,
		}
		status.UTC = status.UTC || s.id.agent == "" && utcByVersion(status.Agent)
		if s.last != nil {
			status.Stopped = s.last.stoppedNames()
			v.Composites = join(v.Composites, s.last.composites)
		}
		if s.last != nil {
			status.Progress = m.progressOf(s)
		}
		if status.Up && s.condition != cluster.Maint {
			versions = append(versions, s.id.versions)
		}
		v.Members = append(v.Members, status)
		if len(s.id.listed) > 0 {
			lists = append(lists, s.id.listed)
		}
	}
	v.Versions = common(versions)
	v.Procedures = m.procedures.of(lists)
	v.Default = m.defaultDatabase(v)
	return v
}

// defaultDatabase is the name that a member told, else "neo4j", the name that it has unless configured otherwise, where
// roles are told by database at all.
func (m *Monitor) defaultDatabase(v *cluster.View) string {
	if m.def != "" {
		return m.def
	}
	for _, s := range v.Members {
		if _, ok := s.Roles["neo4j"]; ok {
			return "neo4j"
		}
	}
	return m.tables.home
}

// roles are the settled roles of all members that are up, by member and database. While the generation is unknown nobody
// has any.
func (m *Monitor) roles() map[string]map[string]cluster.Role {
	switch m.generation {
	case cluster.UnknownGeneration:
		m.heed(nil)
		return nil
	case cluster.Standalone:
		m.heed(nil)
		return m.standaloneRoles()
	}
	ids, addresses := m.idsOfMembers(), m.addressBook()
	var words []word
	for _, s := range m.members {
		if s.last == nil || !s.streak.Up || s.condition == cluster.Maint || !agrees(m.generation, s.last.evidence) {
			continue
		}
		w := word{member: s.member.Name, fresh: s.fresh, at: s.last.started, roles: maps.Clone(s.last.roles),
			names: make(map[string]string), since: s.namings.since(), leads: s.claims, terms: s.last.terms}
		for db, address := range s.last.named {
			if name := addresses.member(address); name != "" {
				w.names[db] = name
			}
		}
		for db, id := range s.last.namedIDs {
			if name := ids[database{db, id}]; name != "" {
				w.names[db] = name
			}
		}
		for db := range s.refuted {
			if key := m.key(db, w.roles); w.roles[key] == cluster.Leader {
				delete(w.roles, key)
				w.hosts = append(w.hosts, key)
			}
		}
		s.conduct.holdBack(w.roles)
		words = append(words, w)
	}
	m.addTables(words, addresses)
	settled, verdicts := settle(words)
	m.heed(verdicts)
	m.addAliases(settled)
	return settled
}

// addAliases gives each member the roles of its databases under their aliases too. Which database an alias means is taken
// from one member, so that no alias has two leaders.
func (m *Monitor) addAliases(settled map[string]map[string]cluster.Role) {
	aliases := make(map[string]string)
	for _, s := range m.members {
		if s.last != nil {
			fill(aliases, s.last.aliases)
		}
	}
	for _, roles := range settled {
		for alias, db := range aliases {
			_, taken := roles[alias]
			if role, ok := roles[db]; ok && !taken {
				roles[alias] = role
			}
		}
	}
}

// stoppedNames are the databases that their operator stopped, by name and alias; nil: none.
func (a *answer) stoppedNames() map[string]bool {
	if len(a.stopped) == 0 {
		return nil
	}
	names := maps.Clone(a.stopped)
	for alias, db := range a.aliases {
		if a.stopped[db] {
			names[alias] = true
		}
	}
	return names
}

// join adds what is in b to a, which may be nil, as may the result.
func join(a, b map[string]bool) map[string]bool {
	if len(b) == 0 {
		return a
	}
	if a == nil {
		return maps.Clone(b)
	}
	maps.Copy(a, b)
	return a
}

// database is a database's name with a server's id in it: ids differ by database from 4.3 on.
type database struct{ name, id string }

func (m *Monitor) idsOfMembers() map[database]string {
	ids := make(map[database]string)
	for _, s := range m.members {
		if s.last != nil {
			for db, id := range s.last.ids {
				ids[database{db, id}] = s.member.Name
			}
		}
	}
	return ids
}

// addressBook is what the options say of members' addresses with what members said of their own.
func (m *Monitor) addressBook() book {
	b := newBook(m.o.Members, m.o.Addresses)
	for _, s := range m.members {
		if s.id.address != "" {
			b[bare(s.id.address)] = s.member.Name
		}
		for _, t := range m.tablesOf(s.member.Name) {
			if t.Address != "" {
				b[bare(t.Address)] = s.member.Name
			}
		}
	}
	return b
}

// standaloneRoles: the first member that is up takes everything; more members are spares. A report that it refused a write
// changes nothing, for there is nobody else: the database is read-only.
func (m *Monitor) standaloneRoles() map[string]map[string]cluster.Role {
	for _, s := range m.members {
		if s.streak.Up && s.condition == cluster.Ready {
			return map[string]map[string]cluster.Role{s.member.Name: {cluster.AnyDatabase: cluster.Leader}}
		}
	}
	return nil
}

// key is the key under which roles holds db: its own, the default's for "", or AnyDatabase's.
func (m *Monitor) key(db string, roles map[string]cluster.Role) string {
	if db == "" {
		db = orElse(m.def, "neo4j")
	}
	if _, ok := roles[db]; ok {
		return db
	}
	return cluster.AnyDatabase
}

// complete tells whether every member that is up has told its roles in its newest answer.
func (m *Monitor) complete() bool {
	return !slices.ContainsFunc(m.members, func(s *memberState) bool {
		return s.condition != cluster.Maint && (!s.fresh || s.last == nil || !s.last.told)
	})
}

// same tells whether two Views say the same, whenever they were made.
func same(a, b *cluster.View) bool {
	return a.Generation == b.Generation && a.Blind == b.Blind && a.Default == b.Default && slices.Equal(a.Versions, b.Versions) && a.Procedures == b.Procedures &&
		maps.Equal(a.Composites, b.Composites) &&
		bytes.Equal(a.Discovery, b.Discovery) && slices.EqualFunc(a.Members, b.Members, sameStatus)
}

func sameStatus(a, b *cluster.Status) bool {
	return a.Member == b.Member && a.Condition == b.Condition && a.Up == b.Up && a.Silent.Equal(b.Silent) && a.UTC == b.UTC && a.Agent == b.Agent &&
		a.LastError == b.LastError && maps.Equal(a.Roles, b.Roles) && maps.Equal(a.Stopped, b.Stopped) && maps.Equal(a.Progress, b.Progress) && slices.Equal(a.Versions, b.Versions)
}

// logChanges logs one line for each member and database whose state changed from old to v.
func (m *Monitor) logChanges(old, v *cluster.View) {
	for _, now := range v.Members {
		was := old.Member(now.Name)
		if was == nil {
			was = &cluster.Status{Member: now.Member, Since: now.Since}
		}
		m.logStatus(was, now, v.At)
	}
}

// logVersions says when the members have no Bolt version in common any more, so that clients are refused at the handshake,
// and when they have one again.
func (m *Monitor) logVersions(old, v *cluster.View) {
	none := func(v *cluster.View) bool { return v.Versions != nil && len(v.Versions) == 0 }
	switch {
	case none(v) && !none(old):
		args := []any{}
		for _, s := range v.Members {
			if s.Up && s.Condition != cluster.Maint && len(s.Versions) > 0 {
				args = append(args, s.Name, s.Versions)
			}
		}
		m.log.Warn("the members have no Bolt version in common: new sessions are refused until one of the releases is taken out (maint)", args...)
	case none(old) && !none(v):
		m.log.Info("the members have Bolt versions in common again", "bolt", v.Versions)
	}
}

func (m *Monitor) logStatus(was, now *cluster.Status, at time.Time) {
	if was.Condition != now.Condition {
		m.log.Info("member set", "member", now.Name, "from", was.Condition, "to", now.Condition)
	}
	tell := m.log.Info
	if s := m.state(now.Name); s != nil && s.conduct.flapping {
		tell = m.log.Debug
	}
	switch {
	case was.Up != now.Up:
		args := []any{"member", now.Name, "from", upWord(was.Up), "to", upWord(now.Up), "after", at.Sub(was.Since).Round(time.Millisecond)}
		if now.LastError != "" {
			args = append(args, "error", now.LastError)
		}
		tell("member changed", args...)
	case !now.Up && was.LastError == "" && now.LastError != "": // at the start: it was never up, so that nothing changes
		tell("member not up", "member", now.Name, "error", now.LastError)
	}
	databases := make(map[string]bool, len(now.Roles))
	for _, roles := range [...]map[string]cluster.Role{was.Roles, now.Roles} {
		for db := range roles {
			databases[db] = true
		}
	}
	for _, db := range slices.Sorted(maps.Keys(databases)) {
		if was.Roles[db] != now.Roles[db] {
			tell("role changed", "member", now.Name, "db", db, "from", was.Roles[db], "to", now.Roles[db])
		}
	}
	switch {
	case was.Agent != "" && now.Agent != "" && was.Agent != now.Agent:
		m.log.Info("a member answers with another version", "member", now.Name, "from", was.Agent, "to", now.Agent, "bolt", now.Versions)
	case !slices.Equal(was.Versions, now.Versions) || was.Agent != now.Agent:
		m.log.Info("member identified", "member", now.Name, "agent", now.Agent, "bolt", now.Versions)
	}
}

func upWord(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
