package admin

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// This file owns the last hour, which the page plots: a point every five seconds, for as long as the gate runs, whether or not somebody looks.
// It is bounded: some 14 KB a member and 720 bytes for each of its databases, for the first members and databases by name.

const (
	historyEvery     = 5 * time.Second
	historyPoints    = 720 // an hour
	historyMembers   = 32
	historyDatabases = 8
	keptElections    = 200
)

// unknown stands where there is nothing to plot.
const unknown = -1

// HistoryInfo is the last hour.
type HistoryInfo struct {
	Every     float64         `json:"every_s"`
	Times     []int64         `json:"times"`  // of the points, in seconds of Unix time, the oldest first
	P50       []float32       `json:"p50_ms"` // of all members' units of work since the point before; -1: there were none
	P95       []float32       `json:"p95_ms"`
	P99       []float32       `json:"p99_ms"`
	Held      []float32       `json:"held"`
	Members   []MemberHistory `json:"members"`
	Databases []RoleHistory   `json:"databases"`
	Elections []Election      `json:"elections"` // since the first point; the oldest first
}

// MemberHistory is what one member did, with a value a point; -1 where the member was not there.
type MemberHistory struct {
	Name     string    `json:"name"`
	Rate     []float32 `json:"rate"` // units of work a second
	InFlight []float32 `json:"in_flight"`
}

// RoleHistory is who had which role for one database.
type RoleHistory struct {
	Name  string            `json:"name"`  // "" is every database
	Roles map[string]string `json:"roles"` // by member, a letter a point: L leader, F follower, R replica, U unknown, D down, M maint, - none
}

// Election is that a database has another leader.
type Election struct {
	Time     time.Time `json:"time"`
	Database string    `json:"database"`
	Member   string    `json:"member"`
}

// history keeps the points. Its zero value is ready, but for the server.
type history struct {
	mu      sync.Mutex
	info    HistoryInfo                  // guarded by mu
	counted map[string]pool.Counters     // guarded by mu: at the last point
	led     map[string]string            // guarded by mu: the last leader of each database
	timer   *time.Timer                  // guarded by mu
	closed  bool                         // guarded by mu
	roles   map[string]map[string][]byte // guarded by mu: of info.Databases
}

// keepHistory takes points from now on, until stop.
func (s *Server) keepHistory() {
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer == nil && !h.closed {
		h.timer = time.AfterFunc(historyEvery, func() {
			s.takePoint(time.Now())
			h.mu.Lock()
			defer h.mu.Unlock()
			if !h.closed {
				h.timer.Reset(historyEvery)
			}
		})
	}
}

func (h *history) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// takePoint takes a point.
func (s *Server) takePoint(now time.Time) {
	v := s.world.Current.View()
	held := s.world.Gate.Counts().Held
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	i := &h.info
	over := historyEvery.Seconds()
	if n := len(i.Times); n > 0 {
		over = max(1, float64(now.Unix()-i.Times[n-1]))
	}
	counted := map[string]pool.Counters{}
	var all pool.Histogram
	for _, m := range v.Members[:min(len(v.Members), historyMembers)] {
		c := s.world.Pools.Counters(m.Name)
		counted[m.Name] = c
		rate := float32(unknown)
		if was, known := h.counted[m.Name]; known && c.Units() >= was.Units() {
			rate = float32(float64(c.Units()-was.Units()) / over)
			addSince(&all, &was, &c)
		}
		one := h.member(m.Name)
		one.Rate = push(one.Rate, rate)
		one.InFlight = push(one.InFlight, float32(s.world.Pools.Stats(m.Name).InFlight))
	}
	h.counted = counted
	i.Times = push(i.Times, now.Unix())
	i.P50, i.P95, i.P99 = push(i.P50, msOf(&all, 0.5)), push(i.P95, msOf(&all, 0.95)), push(i.P99, msOf(&all, 0.99))
	i.Held = push(i.Held, float32(held))
	h.fill()
	h.takeRoles(v)
	h.takeElections(v, now)
}

// addSince adds to all what was counted between two states of a member's counters.
func addSince(all *pool.Histogram, was, now *pool.Counters) {
	for i := range now.Writes {
		all.Add(&now.Writes[i])
		all.Add(&now.Reads[i])
		all.Sub(&was.Writes[i])
		all.Sub(&was.Reads[i])
	}
}

func msOf(h *pool.Histogram, q float64) float32 {
	if h.Count() == 0 {
		return unknown
	}
	return float32(h.Quantile(q).Microseconds()) / 1000
}

// push adds a value to those of the last hour.
func push[T any](values []T, v T) []T {
	if len(values) < historyPoints {
		return append(values, v)
	}
	copy(values, values[1:])
	values[len(values)-1] = v
	return values
}

// member finds or makes the values of a member. The caller holds mu.
func (h *history) member(name string) *MemberHistory {
	i := &h.info
	for k := range i.Members {
		if i.Members[k].Name == name {
			return &i.Members[k]
		}
	}
	one := MemberHistory{Name: name}
	for range i.Times {
		one.Rate, one.InFlight = append(one.Rate, unknown), append(one.InFlight, unknown)
	}
	i.Members = append(i.Members, one)
	return &i.Members[len(i.Members)-1]
}

// fill gives members that are gone their value, and forgets those that were gone for all of the hour. The caller holds mu.
func (h *history) fill() {
	i := &h.info
	for k := range i.Members {
		if one := &i.Members[k]; !has(h.counted, one.Name) {
			one.Rate, one.InFlight = push(one.Rate, unknown), push(one.InFlight, unknown)
		}
	}
	i.Members = slices.DeleteFunc(i.Members, func(m MemberHistory) bool {
		return !slices.ContainsFunc(m.InFlight, func(v float32) bool { return v != unknown })
	})
}

func has[V any](all map[string]V, key string) bool {
	_, ok := all[key]
	return ok
}

// takeRoles notes every member's roles. The caller holds mu.
func (h *history) takeRoles(v *cluster.View) {
	if h.roles == nil {
		h.roles = map[string]map[string][]byte{}
	}
	for _, db := range roleDatabases(v) {
		if h.roles[db] == nil && len(h.roles) < historyDatabases {
			h.roles[db] = map[string][]byte{}
		}
	}
	points := len(h.info.Times)
	for db, by := range h.roles {
		for _, m := range v.Members[:min(len(v.Members), historyMembers)] {
			line := by[m.Name]
			for len(line) < points-1 {
				line = append(line, '-')
			}
			by[m.Name] = push(line, roleLetter(m, db))
		}
		for name, line := range by {
			if has(h.counted, name) {
				continue
			}
			if by[name] = push(line, '-'); onlyNone(by[name]) {
				delete(by, name)
			}
		}
		gone := true
		for _, line := range by {
			gone = gone && onlyNone(line)
		}
		if gone { // another database may have its place
			delete(h.roles, db)
		}
	}
}

// onlyNone tells whether a member had no role all the time.
func onlyNone(line []byte) bool { return len(bytes.Trim(line, "-")) == 0 }

// roleDatabases are the names of the databases that somebody has a role for.
func roleDatabases(v *cluster.View) []string {
	var names []string
	for _, m := range v.Members {
		for db := range m.Roles {
			if !slices.Contains(names, db) {
				names = append(names, db)
			}
		}
	}
	slices.Sort(names)
	return names
}

func roleLetter(m *cluster.Status, db string) byte {
	switch {
	case m.Condition == cluster.Maint:
		return 'M'
	case !m.Up:
		return 'D'
	}
	role, has := m.Roles[db]
	if !has {
		return '-'
	}
	switch role {
	case cluster.Leader:
		return 'L'
	case cluster.Follower:
		return 'F'
	case cluster.Replica:
		return 'R'
	}
	return 'U'
}

// takeElections notes which databases have another leader than before. The caller holds mu.
func (h *history) takeElections(v *cluster.View, now time.Time) {
	if h.led == nil {
		h.led = map[string]string{}
	}
	for _, m := range v.Members {
		for db, role := range m.Roles {
			if role != cluster.Leader || !m.Up {
				continue
			}
			if was := h.led[db]; was != "" && was != m.Name {
				h.info.Elections = append(h.info.Elections, Election{now, db, m.Name})
			}
			h.led[db] = m.Name
		}
	}
	e := h.info.Elections
	for len(e) > keptElections || len(e) > 0 && now.Sub(e[0].Time) > historyPoints*historyEvery {
		e = e[1:]
	}
	h.info.Elections = slices.Clone(e)
}

// since is a copy of the points after a moment.
func (h *history) since(after int64) HistoryInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := &h.info
	from, _ := slices.BinarySearch(i.Times, after+1)
	out := HistoryInfo{Every: historyEvery.Seconds(), Times: tail(i.Times, from), P50: tail(i.P50, from), P95: tail(i.P95, from), P99: tail(i.P99, from),
		Held: tail(i.Held, from), Members: []MemberHistory{}, Databases: []RoleHistory{}, Elections: []Election{}}
	for _, m := range i.Members {
		out.Members = append(out.Members, MemberHistory{m.Name, tail(m.Rate, from), tail(m.InFlight, from)})
	}
	slices.SortFunc(out.Members, func(a, b MemberHistory) int { return compareNames(a.Name, b.Name) })
	for db, by := range h.roles {
		one := RoleHistory{db, map[string]string{}}
		for name, line := range by {
			one.Roles[name] = string(line[min(from, len(line)):])
		}
		out.Databases = append(out.Databases, one)
	}
	slices.SortFunc(out.Databases, func(a, b RoleHistory) int { return compareNames(a.Name, b.Name) })
	for _, e := range i.Elections {
		if e.Time.Unix() > after {
			out.Elections = append(out.Elections, e)
		}
	}
	return out
}

// compareNames puts s2 before s10.
func compareNames(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func tail[T any](values []T, from int) []T {
	return append([]T{}, values[min(from, len(values)):]...)
}

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) {
	after := int64(0)
	if r.URL.Query().Has("after") {
		n, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		if err != nil || n < 0 {
			s.fail(w, http.StatusBadRequest, "after is a number of seconds")
			return
		}
		after = n
	}
	s.reply(w, s.history.since(after))
}
