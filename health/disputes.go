package health

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns what Run does about databases on whose leader members disagree: it remembers since when each member names
// whom, has members asked again at once and for more, and says so.

// naming is whom a member names as the leader of one database.
type naming struct {
	who   string // as the member says it
	since time.Time
}

// namings are a member's, by database. They never change once made.
type namings map[string]naming

// after returns the namings with a member's newest good answer.
func (n namings) after(a *answer) namings {
	next := make(namings, len(a.named)+len(a.namedIDs))
	for _, told := range [...]map[string]string{a.named, a.namedIDs} {
		for db := range told {
			now := naming{a.named[db] + " " + a.namedIDs[db], a.started}
			if was, ok := n[db]; ok && was.who == now.who {
				now = was
			}
			next[db] = now
		}
	}
	return next
}

func (n namings) since() map[string]time.Time {
	all := make(map[string]time.Time, len(n))
	for db, now := range n {
		all[db] = now.since
	}
	return all
}

// claimsAfter is since when a member says that it leads, with its newest good answer.
func claimsAfter(was map[string]time.Time, a *answer) map[string]time.Time {
	now := make(map[string]time.Time)
	for db, role := range a.roles {
		if role == cluster.Leader {
			now[db] = a.started
			if since, ok := was[db]; ok {
				now[db] = since
			}
		}
	}
	return now
}

// contested are the databases with several claimants, about which members are asked what they are not asked otherwise.
// Written by Run, read by checkers; nil has none.
type contested struct{ atomic.Pointer[[]string] }

func (c *contested) list() []string {
	if c == nil || c.Load() == nil {
		return nil
	}
	return *c.Load()
}

// heed takes over the newest verdicts: it says what is new about disputes, and lets checkers ask more.
func (m *Monitor) heed(verdicts map[string]verdict) {
	var contested []string
	for _, db := range slices.Sorted(maps.Keys(verdicts)) {
		v := verdicts[db]
		if len(v.claimants) > 1 {
			contested = append(contested, db)
		}
		if v.disputed() && !v.equal(m.verdicts[db]) {
			m.sayDispute(db, v)
		}
	}
	m.verdicts = verdicts
	m.contested.Store(&contested)
}

func (m *Monitor) sayDispute(db string, v verdict) {
	args := []any{"db", db, "claimants", v.claimants}
	if v.rival != "" {
		args = append(args, "named", v.rival)
	}
	if v.leader == "" {
		m.log.Warn("members disagree about who leads; nobody gets writes until they agree", args...)
		return
	}
	m.log.Info("members disagree about who leads", append(args, "writes go to", v.leader)...)
}

// disputed tells whether members disagree about any database.
func (m *Monitor) disputed() bool {
	for _, v := range m.verdicts {
		if v.disputed() {
			return true
		}
	}
	return false
}

// statusCheck asks for the leader that each voter recognises and its term (5.24 and newer). It makes them replicate an empty
// entry, so it is asked only where several members claim to lead.
const statusCheck = "CALL dbms.cluster.statusCheck($databases, $timeout)"

// termTime is how long the member may wait for the others, in milliseconds.
const termTime = 200

// askTerms asks in which term the member knows a leader of each contested database. A member that cannot tell is
// none the worse for it.
func (b *boltRoles) askTerms(ctx context.Context, a *answer) error {
	databases := b.contested.list()
	major, minor, _ := parseVersion(b.client.Server)
	if len(databases) == 0 || major < 5 || major == 5 && minor < 24 {
		return nil
	}
	res, err := b.query(ctx, statusCheck, map[string]any{"databases": databases, "timeout": termTime})
	if err != nil {
		if isRefusal(err) {
			return nil
		}
		return err
	}
	get := column(res)
	a.terms = make(map[string]int64)
	for _, row := range res.Rows {
		db, _ := get(row, "database").(string)
		own, _ := get(row, "requester").(bool)
		if term, ok := get(row, "recognisedLeaderTerm").(int64); ok && own {
			a.terms[db] = term
		}
	}
	return nil
}
