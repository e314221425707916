package admin

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/health"
	"github.com/boltgate/boltgate/routing"
)

// This file owns what the API tells of members and databases, and the changes that an operator makes to members.

func fold(db string) string { return routing.Fold(db) }

func (s *Server) status() StatusInfo {
	v := s.world.Current.View()
	info := StatusInfo{
		Version: s.world.Version, Started: s.started, Ready: s.ready(), Generation: v.Generation.String(),
		Members: len(v.Members), Leaderless: []string{}, Backups: s.backupInfos(),
	}
	for _, m := range v.Members {
		if m.Up {
			info.Up++
		}
	}
	for range v.Up() {
		info.Taking++
	}
	n := s.world.Gate.Counts()
	info.Held, info.HeldBytes, info.InDoubt = n.Held, n.HeldBytes, n.InDoubt
	for _, f := range s.world.Gate.Frontends() {
		info.Clients += f.Open
	}
	for _, db := range databasesOf(v) {
		info.Databases++
		if db.Leader == "" && !db.Stopped {
			info.Leaderless = append(info.Leaderless, db.Name)
		}
	}
	return info
}

func (s *Server) members() []MemberInfo {
	s.sampler.look()
	v := s.world.Current.View()
	all := make([]MemberInfo, 0, len(v.Members))
	for _, m := range v.Members {
		all = append(all, s.member(v, m))
	}
	return all
}

func (s *Server) member(v *cluster.View, m *cluster.Status) MemberInfo {
	p, c := s.world.Pools.Stats(m.Name), s.world.Pools.Counters(m.Name)
	info := MemberInfo{
		Name: m.Name, Bolt: m.Bolt, HTTP: m.HTTP, Condition: m.Condition.String(), Asked: m.Asked, Up: m.Up, Since: m.Since, Agent: m.Agent,
		Weight: max(m.Weight, 1), Tags: append([]string{}, m.Tags...), LastError: m.LastError, Roles: map[string]string{}, Lag: map[string]int64{},
		Leads: []string{}, InFlight: p.InFlight, Queued: p.Queued, Connections: p.Open, Idle: p.Idle,
		Transactions: s.world.Gate.Transactions(m.Member), Slots: s.world.Pools.Slots(m.Member), Units: c.Units(), Broken: c.Broken, BytesIn: c.In, BytesOut: c.Out,
		Check: checkInfo(s.world.Monitor.Checks(m.Name)),
		Rate:  s.sampler.memberRate(m.Name), Latency: s.sampler.latency(m.Name), Failures: map[string]uint64{},
	}
	maps.Copy(info.Failures, c.Failures)
	for db, role := range m.Roles {
		info.Roles[db] = role.String()
		if m.Role(db) == cluster.Leader {
			info.Leads = append(info.Leads, db)
		}
	}
	slices.Sort(info.Leads)
	for db := range m.Progress {
		if behind, known := lagOf(m, db); known {
			info.Lag[db] = behind
		}
	}
	return info
}

// lagOf is how many transactions m is behind the leader of db. Of who is down that is not known: what it told last grows old.
func lagOf(m *cluster.Status, db string) (behind int64, known bool) {
	p := m.Progress[db]
	return p.Lag, p.Known() && m.Up
}

func checkInfo(c health.Checks) CheckInfo {
	return CheckInfo{At: c.At, Result: c.Result.String(), Took: float64(c.Took) / float64(time.Millisecond), Failed: c.Failed, Falls: c.Falls, Down: c.Down.Seconds()}
}

// databasesOf lists the databases of a View by name.
func databasesOf(v *cluster.View) []DatabaseInfo {
	names := map[string]bool{}
	for _, m := range v.Members {
		for db := range m.Roles {
			names[db] = true
		}
		for db := range m.Stopped {
			names[db] = true
		}
	}
	all := make([]DatabaseInfo, 0, len(names))
	for _, db := range slices.Sorted(maps.Keys(names)) {
		info := DatabaseInfo{Name: db, Default: db == v.Default, Readers: []string{}}
		for _, m := range v.Members {
			info.Stopped = info.Stopped || m.Stopped[db]
			switch m.Role(db) {
			case cluster.Leader:
				info.Leader = m.Name
			case cluster.Follower, cluster.Replica:
				info.Readers = append(info.Readers, m.Name)
			}
		}
		all = append(all, info)
	}
	return all
}

func (s *Server) databases() []DatabaseInfo { return databasesOf(s.world.Current.View()) }

func (s *Server) getMember(w http.ResponseWriter, r *http.Request) {
	s.replyMember(w, chi.URLParam(r, "name"))
}

func (s *Server) replyMember(w http.ResponseWriter, name string) {
	v := s.world.Current.View()
	m := v.Member(name)
	if m == nil {
		s.refuse(w, ErrNoMember)
		return
	}
	s.reply(w, s.member(v, m))
}

var conditions = map[string]cluster.Condition{"ready": cluster.Ready, "drain": cluster.Drain, "maint": cluster.Maint}

// postCondition answers when new work goes by the condition; what began before may still be there.
func (s *Server) postCondition(w http.ResponseWriter, r *http.Request) {
	var order ConditionOrder
	if !s.body(w, r, &order) {
		return
	}
	name, to := chi.URLParam(r, "name"), chi.URLParam(r, "condition")
	err := s.world.Control.SetCondition(r.Context(), name, conditions[to], order.Force)
	s.audit(r, to, err, "member", name)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.replyMember(w, name)
}

const (
	maxWeight  = 256
	weightRule = "weight is a whole number from 1 to 256; drain takes all new work away"
)

func isWeight(n int) bool { return n >= 1 && n <= maxWeight }

func (s *Server) postWeight(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Weight float64 `json:"weight"` // JSON knows one kind of number: 1.0 is 1
	}
	if !s.body(w, r, &order) {
		return
	}
	weight := int(order.Weight)
	if float64(weight) != order.Weight || !isWeight(weight) {
		s.fail(w, http.StatusBadRequest, weightRule)
		return
	}
	name := chi.URLParam(r, "name")
	err := s.world.Control.SetWeight(r.Context(), name, weight)
	s.audit(r, "weight", err, "member", name, "weight", weight)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.replyMember(w, name)
}

// postReload answers 409 with all faults when the new configuration is no good; then nothing has changed.
func (s *Server) postReload(w http.ResponseWriter, r *http.Request) {
	err := s.world.Control.Reload(r.Context())
	s.audit(r, "reload", err)
	if err != nil {
		s.fail(w, http.StatusConflict, err.Error())
		return
	}
	s.reply(w, s.status())
}

// getReload says what postReload would change; 409 with all faults as there.
func (s *Server) getReload(w http.ResponseWriter, r *http.Request) {
	changes, err := s.world.Control.PreviewReload(r.Context())
	if err != nil {
		s.fail(w, http.StatusConflict, err.Error())
		return
	}
	s.reply(w, ReloadPreview{append([]string{}, changes...)})
}
