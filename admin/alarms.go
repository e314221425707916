package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file owns the alarms: events, and so webhooks, for what has gone wrong and lasts. They are those of examples/monitoring/rules.yml, by the
// same thresholds, for who has no Prometheus. Commits in doubt and overdue backups are told by those who meet them.

const (
	alarmEvery = 5 * time.Second
	grownOver  = 60                  // looks, so five minutes: a queue grows that is longer at their end than at their beginning, by and large
	lagsBy     = 1000                // transactions behind the leader: more than so many are a lag
	endsSoon   = 14 * 24 * time.Hour // before a certificate's end
)

// alarm is a kind of trouble. When it has lasted it is told once, as a warning, and its end once, as info under the name with overSuffix.
type alarm struct {
	event string
	lasts time.Duration // in all looks of so long it was there
}

const overSuffix = ": over"

var (
	noLeader        = alarm{"no leader", 30 * time.Second}
	memberDown      = alarm{"member down", time.Minute}
	queueGrows      = alarm{"queue grows", 5 * time.Minute}
	memberLags      = alarm{"member lags", 5 * time.Minute}
	certificateEnds = alarm{"certificate ends soon", 0}
)

// trouble is an alarm and what it is about; what does not belong to its kind is "".
type trouble struct {
	alarm
	member, db, of string
}

// alarms looks at what /metrics tells, all the time, and keeps what it found between one look and the next.
type alarms struct {
	world World
	stop  context.CancelFunc
	done  chan struct{} // closed when run has returned

	// owned by run
	there  map[trouble]*record
	queues map[string][]int    // by member, at the last grownOver looks
	hosts  map[string][]string // who had each database when its roles were last known
}

// record is of a trouble that is there.
type record struct {
	since time.Time // the look that found it
	told  bool
}

// watchAlarms looks from now on, until close.
func watchAlarms(w World) *alarms {
	ctx, stop := context.WithCancel(context.Background())
	a := &alarms{world: w, stop: stop, done: make(chan struct{}), there: map[trouble]*record{}, hosts: map[string][]string{}}
	go a.run(ctx)
	return a
}

func (a *alarms) run(ctx context.Context) {
	defer close(a.done)
	looks := time.NewTicker(alarmEvery)
	defer looks.Stop()
	for {
		select {
		case now := <-looks.C:
			a.look(now)
		case <-ctx.Done():
			return
		}
	}
}

func (a *alarms) close() {
	a.stop()
	<-a.done
}

// look tells what has lasted by now, and what is over.
func (a *alarms) look(now time.Time) {
	v := a.world.Current.View()
	found := a.troubles(v, now)
	for t, facts := range found {
		r := a.there[t]
		if r == nil {
			r = &record{since: now}
			a.there[t] = r
		}
		if !r.told && now.Sub(r.since) >= t.lasts {
			r.told = true
			a.world.Log.Warn(t.event, append(t.about(), facts...)...)
		}
	}
	for t, r := range a.there {
		if _, still := found[t]; still {
			continue
		}
		delete(a.there, t)
		if r.told {
			a.world.Log.Info(t.event+overSuffix, append(t.about(), append(t.outcome(v), "after", now.Sub(r.since).Round(time.Second))...)...)
		}
	}
}

// about are the fields that name a trouble: its end has the same.
func (t trouble) about() []any {
	switch t.alarm {
	case noLeader:
		return []any{"db", t.db}
	case memberLags:
		return []any{"member", t.member, "db", t.db}
	case certificateEnds:
		return []any{"of", t.of}
	}
	return []any{"member", t.member}
}

// outcome is what has become of what a trouble was about, for its end may be that it is there no more.
func (t trouble) outcome(v *cluster.View) []any {
	switch t.alarm {
	case noLeader:
		if leader := v.Leader(t.db); leader != nil {
			return []any{"leader", leader.Name}
		}
		return []any{"is", "stopped or dropped"}
	case certificateEnds:
		return nil
	}
	if m := v.Member(t.member); m != nil {
		return []any{"is", strings.ToLower(serverStatus(m))}
	}
	return []any{"is", "gone"}
}

// troubles are those that are there at one moment, each with what else there is to say of it.
type troubles map[trouble][]any

func (a *alarms) troubles(v *cluster.View, now time.Time) troubles {
	all := troubles{}
	dbs := databasesOf(v)
	dbs = dbs[:min(len(dbs), maxLabelled)]
	for _, db := range a.leaderless(v, dbs) {
		all[trouble{alarm: noLeader, db: db}] = nil
	}
	a.addMembers(all, v, dbs)
	a.addCertificates(all, now)
	return all
}

// addMembers adds the troubles of members. One in maint has none: its operator works on it.
func (a *alarms) addMembers(all troubles, v *cluster.View, dbs []DatabaseInfo) {
	queues := map[string][]int{} // anew, so that those of members that are gone go too
	for _, m := range v.Members {
		if m.Condition == cluster.Maint {
			continue
		}
		if !m.Up {
			all[trouble{alarm: memberDown, member: m.Name}] = []any{"error", m.LastError}
		}
		queued := a.world.Pools.Stats(m.Name).Queued
		queue := append(a.queues[m.Name], queued)
		queue = queue[max(0, len(queue)-grownOver):]
		if queues[m.Name] = queue; queued > 0 && grows(queue) {
			all[trouble{alarm: queueGrows, member: m.Name}] = []any{"queued", queued}
		}
		for _, db := range dbs {
			if behind, known := lagOf(m, db.Name); known && behind > lagsBy {
				all[trouble{alarm: memberLags, member: m.Name, db: db.Name}] = []any{"behind", behind}
			}
		}
	}
	a.queues = queues
}

func (a *alarms) addCertificates(all troubles, now time.Time) {
	for of, ends := range a.world.Certificates() {
		t := trouble{alarm: certificateEnds, of: of}
		unread, already := ends.IsZero(), a.there[t] != nil // what cannot be read now is no better than it was
		if unread && already || !unread && ends.Sub(now) < endsSoon {
			all[t] = []any{"ends", ends.Format(time.RFC3339)}
		}
	}
}

// grows tells whether a line through the values, of moments equally far apart, rises: what deriv() > 0 says in the rules.
func grows(values []int) bool {
	sum := 0
	for i, n := range values {
		sum += (2*i - (len(values) - 1)) * n
	}
	return sum > 0
}

// leaderless are the databases that nobody leads. Roles are known only of members that are up, so a database whose members are all down is not
// among dbs any more. It is gone only when they tell of others. Before any is known it is all of them, AnyDatabase.
func (a *alarms) leaderless(v *cluster.View, dbs []DatabaseInfo) (names []string) {
	seen := map[string]bool{}
	for _, db := range dbs {
		seen[db.Name] = true
		if db.Stopped {
			delete(a.hosts, db.Name)
			continue
		}
		a.hosts[db.Name] = hostsOf(v, db.Name)
		if db.Leader == "" {
			names = append(names, db.Name)
		}
	}
	for db, hosts := range a.hosts {
		already := a.there[trouble{alarm: noLeader, db: db}] != nil
		switch {
		case seen[db]:
		case v.Blind: // what clients' routing tables told is forgotten while they are idle, and means nothing
			if already {
				names = append(names, db)
			}
		case len(seen) == 0 || mayHave(v, hosts):
			names = append(names, db)
		default:
			delete(a.hosts, db)
		}
	}
	if len(seen) == 0 && len(names) == 0 && !v.Blind {
		return []string{cluster.AnyDatabase}
	}
	return names
}

// hostsOf are the members that have a role for db.
func hostsOf(v *cluster.View, db string) (names []string) {
	for _, m := range v.Members {
		if _, ok := m.Roles[db]; ok {
			names = append(names, m.Name)
		}
	}
	return names
}

// mayHave tells whether one of those that had a database is there and tells of none: it may have that one still.
func mayHave(v *cluster.View, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(name string) bool {
		m := v.Member(name)
		return m != nil && len(m.Roles) == 0
	})
}
