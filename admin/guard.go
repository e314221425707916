package admin

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// This file owns what stands before every request but probes: that it is meant for this address (Host), that no other site
// sent it (Origin), who it comes from, and what they may do.

type contextKey int

const whoKey contextKey = 0

// who is whom a request comes from.
type who struct {
	name   string
	role   Role
	cookie string // of a login on the page; "" for others
}

// whoOf is the caller, as the guard found out.
func whoOf(r *http.Request) who {
	w, _ := r.Context().Value(whoKey).(who)
	return w
}

// protect refuses requests that a page of another site sent, or that name a host which is not this one: what a browser can be
// made to do to an address that asks for no login.
func (s *Server) protect(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if s.state.Load().open() && !ownHost(r.Host) {
			s.fail(w, http.StatusMisdirectedRequest, "this address answers to localhost, 127.0.0.1 and [::1] only, because it asks for no login")
			return
		}
		if origins.Check(r) != nil {
			s.fail(w, http.StatusForbidden, "a page of another site sent this request")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost tells whether a Host header names this machine itself.
func ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// need lets those pass who have a role or a higher one. Who is not logged in is asked to; a browser that wants the page is
// sent to the login.
func (s *Server) need(role Role) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			caller, err := s.identify(r)
			switch {
			case err != nil:
				w.Header().Set("Retry-After", "1")
				s.fail(w, http.StatusTooManyRequests, err.Error())
			case caller.role == Nobody:
				s.askLogin(w, r)
			case caller.role < role:
				s.fail(w, http.StatusForbidden, caller.name+" is a "+caller.role.String()+"; this takes an "+role.String())
			default:
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey, caller)))
			}
		})
	}
}

func (s *Server) askLogin(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("Authorization") == "" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="boltgate", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="boltgate"`)
	s.fail(w, http.StatusUnauthorized, "log in with a user of admin.users (Basic) or a token of admin.tokens (Bearer)")
}
