package admin

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// This file owns the probes: what load balancers and orchestrators ask. They need no login and tell nothing but a status.

func (s *Server) probeRoutes() http.Handler {
	r := chi.NewRouter()
	s.addProbes(r)
	return r
}

func (s *Server) addProbes(r chi.Router) {
	probe := func(path string, good func(*http.Request) bool) {
		h := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			text := "ok\n"
			if !good(r) {
				w.WriteHeader(http.StatusServiceUnavailable)
				text = "no\n"
			}
			w.Write([]byte(text)) //nolint:errcheck // the probe is gone
		}
		r.Get(path, h)
		r.Head(path, h)
	}
	probe("/healthz", func(*http.Request) bool { return true })
	probe("/readyz", func(*http.Request) bool { return s.ready() })
	probe("/cluster/leader", func(r *http.Request) bool { return s.leads(r.URL.Query().Get("database")) })
	probe("/cluster/reader", func(r *http.Request) bool { return s.reads(r.URL.Query().Get("database")) })
}

// ready tells whether new clients should come here: some member takes work, and the gate is not ending.
func (s *Server) ready() bool {
	if s.ending.Load() {
		return false
	}
	for range s.world.Current.View().Up() {
		return true
	}
	return false
}

// leads tells whether a write to the database would find its leader; "" is the default database.
func (s *Server) leads(db string) bool {
	return !s.ending.Load() && s.world.Current.View().Leader(fold(db)) != nil
}

// reads tells whether a read of the database would find somebody: a reader, or the leader in its place.
func (s *Server) reads(db string) bool {
	if s.ending.Load() {
		return false
	}
	v := s.world.Current.View()
	for range v.Readers(fold(db)) {
		return true
	}
	return v.Leader(fold(db)) != nil
}
