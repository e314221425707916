package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/boltgate/boltgate/proxy"
)

// This file owns what the API tells of frontends, clients and their work, and the killing of one.

func (s *Server) frontends() []FrontendInfo {
	stats := s.world.Gate.Frontends()
	all := make([]FrontendInfo, 0, len(stats))
	for _, name := range slices.Sorted(maps.Keys(stats)) {
		f := stats[name]
		units, connections := s.sampler.frontendRate(name)
		all = append(all, FrontendInfo{Name: name, Bind: f.Bind, Open: f.Open, Working: f.Working, Max: f.Max, Accepted: f.Accepted, Refused: f.Refused,
			Units: f.Units(), Rate: units, ConnectionRate: connections, BytesIn: f.In, BytesOut: f.Out, Failures: f.Failures})
	}
	return all
}

const (
	usualSessions = 1000
	maxSessions   = 100_000
)

// getSessions lists clients, those with the oldest work first; with working alone those that have some.
func (s *Server) getSessions(working bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if limit, ok := s.limitOf(w, r, usualSessions, maxSessions); ok {
			s.reply(w, s.sessions(working, limit))
		}
	}
}

func (s *Server) sessions(working bool, limit int) SessionsInfo {
	clients := s.world.Gate.Clients()
	if working {
		clients = slices.DeleteFunc(clients, func(c proxy.Client) bool { return c.State == proxy.ClientIdle || c.ID == "" })
	}
	slices.SortFunc(clients, func(a, b proxy.Client) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Work.Began.Compare(b.Work.Began), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	info := SessionsInfo{Total: len(clients), Sessions: []SessionInfo{}}
	now := time.Now()
	for _, c := range clients[:min(limit, len(clients))] {
		info.Sessions = append(info.Sessions, sessionOf(c, now))
	}
	return info
}

const maxKinds = 50 // of clients that are told apart

// clientKinds are the clients by frontend, protocol and driver, the most first.
func (s *Server) clientKinds() []ClientsInfo {
	kinds := map[ClientsInfo]*ClientsInfo{}
	for _, c := range s.world.Gate.Clients() {
		key := ClientsInfo{Frontend: c.Frontend, Protocol: c.Protocol, Agent: cut(c.Agent, maxEventText)}
		one := kinds[key]
		if one == nil && len(kinds) >= maxKinds {
			key = ClientsInfo{Frontend: c.Frontend, Agent: "(other drivers)"}
			one = kinds[key]
		}
		if one == nil {
			one = new(key)
			kinds[key] = one
		}
		one.Clients++
		if c.State != proxy.ClientIdle {
			one.Working++
		}
	}
	all := []ClientsInfo{}
	for _, one := range kinds {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b ClientsInfo) int {
		return cmp.Or(cmp.Compare(b.Clients, a.Clients), cmp.Compare(a.Frontend, b.Frontend), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Agent, b.Agent))
	})
	return all
}

func (s *Server) getClients(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.clientKinds()) }

// rank puts those first that have work at a member, then those that wait for one.
func rank(c proxy.Client) int {
	switch c.State {
	case proxy.ClientWorking, proxy.ClientTransaction:
		return 0
	case proxy.ClientWaiting:
		return 1
	}
	return 2
}

func sessionOf(c proxy.Client, now time.Time) SessionInfo {
	one := SessionInfo{ID: c.ID, Frontend: c.Frontend, Address: c.Address, Protocol: c.Protocol, User: c.User, Agent: cut(c.Agent, maxEventText),
		State: c.State, Member: c.Member}
	if c.Member != "" {
		one.Database, one.Access, one.Seconds, one.Query = c.Work.DB, "write", c.Since(now).Seconds(), c.Query
		if c.Work.Read {
			one.Access = "read"
		}
	}
	return one
}

// deleteSession kills a client.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if !s.world.Gate.Kill(id) {
		s.audit(r, "kill", errNoSession, "session", id)
		s.fail(w, http.StatusNotFound, errNoSession.Error())
		return
	}
	s.audit(r, "kill", nil, "session", id)
	w.WriteHeader(http.StatusNoContent)
}
