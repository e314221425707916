package health

import (
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// alarmLasts bounds how long checks stay fast after the last sign of loss: a cluster that is gone for hours is then asked
// at the ordinary pace.
const alarmLasts = time.Minute

// lookout decides how long checks stay fast: while a database that had a leader has none, or members disagree about it, and while a member that
// something was reported about, or whose check failed, has not answered since. Owned by Run.
type lookout struct {
	led      map[string]bool      // databases that had a leader
	missing  bool                 // one of them has none
	disputed bool                 // members disagree about who leads one
	suspects map[string]time.Time // by member: when the report came
	until    time.Time            // fast checks end by then
	news     time.Time            // databases came or went lately: checks are fast until then
}

func newLookout() lookout {
	return lookout{led: make(map[string]bool), suspects: make(map[string]time.Time)}
}

// saw looks at a View that is about to be published. complete says that every member has just told its roles, so that a
// database that nobody mentions is gone.
func (l *lookout) saw(v *cluster.View, complete, disputed bool) {
	l.disputed = disputed
	hosted, leads := make(map[string]bool), make(map[string]bool)
	for _, s := range v.Members {
		for db, role := range s.Roles { // a leader that the operator drains is no lost one
			hosted[db] = true
			if role == cluster.Leader {
				l.led[db], leads[db] = true, true
			}
		}
	}
	l.missing = false
	for db := range l.led {
		switch {
		case complete && !hosted[db]:
			delete(l.led, db)
		case !leads[db]:
			l.missing = true
		}
	}
}

// trouble tells whether somebody's next answer is waited for.
func (l *lookout) trouble() bool { return l.missing || l.disputed }

// answered clears a member of suspicion: it has answered since, or is known to be down.
func (l *lookout) answered(a *answer, up bool) {
	if at, ok := l.suspects[a.member]; ok && (!up || a.err == nil && a.started.After(at)) {
		delete(l.suspects, a.member)
	}
}

// fast tells whether checks should be fast now.
func (l *lookout) fast(now time.Time) bool {
	if now.Before(l.news) {
		return true
	}
	if now.After(l.until) {
		clear(l.suspects)
		return false
	}
	return l.trouble() || len(l.suspects) > 0
}

// newsLasts is how long checks stay fast after databases came or went: a new one is online a moment later.
const newsLasts = 2 * time.Second

// report acts on what the data path met at a member.
func (m *Monitor) report(r cluster.Report) {
	if r.Why == cluster.Changed {
		m.watch.news = time.Now().Add(newsLasts)
		m.fast.Store(true)
		m.wakeAll()
		return
	}
	if r.Why == cluster.Wanted { // once, at the ordinary pace otherwise: nothing is lost
		m.wakeAll()
		return
	}
	s := m.state(r.Member)
	if s == nil {
		return
	}
	if r.Why == cluster.Told {
		m.told(r.Table)
		return
	}
	m.log.Debug("reported", "member", r.Member, "db", r.DB, "why", r.Why)
	if r.Why == cluster.NotALeader {
		s.refuted[r.DB] = m.refuses(s, r.DB, time.Now())
		m.refute(r.Member, r.DB)
		m.publish()
	}
	m.suspect(r.Member)
}

// suspect keeps checks fast until the member has answered, or is known to be down.
func (m *Monitor) suspect(member string) {
	if s := m.state(member); s.streak.Up {
		m.watch.suspects[member] = time.Now()
	}
	m.alarm()
}

// alarm is the first sign of loss: every member is asked at once, then fast for a while.
func (m *Monitor) alarm() {
	m.watch.until = time.Now().Add(alarmLasts)
	m.fast.Store(true)
	m.wakeAll()
}

// pace sets how fast checkers check, and calm to when that may end.
func (m *Monitor) pace(calm *time.Timer) {
	now := time.Now()
	fast := m.watch.fast(now)
	if fast {
		calm.Reset(max(m.watch.until.Sub(now), m.watch.news.Sub(now)) + time.Millisecond)
	}
	m.fast.Store(fast)
}
