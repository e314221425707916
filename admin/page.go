package admin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	g "maragu.dev/gomponents"

	"github.com/boltgate/boltgate/querystats"
)

// This file owns the stats page: rendered here, readable without JavaScript, and with it replaced every two seconds by what
// comes over /live. What it looks like is in views.go.

//go:embed page
var pageFiles embed.FS

const (
	shownEvents = 30
	shownWork   = 20
	shownTop    = 15
	shownSlow   = 10
)

// pageData is what the page shows to one caller.
type pageData struct {
	Who       struct{ Name, Role string }
	Acts      bool // an operator looks
	CSRF      string
	Status    StatusInfo
	Uptime    string
	Members   []MemberInfo
	Databases []DatabaseInfo
	Frontends []FrontendInfo
	Working   SessionsInfo
	Top       TopInfo
	Slow      []SlowInfo
	Clients   []ClientsInfo
	Events    []Event // the newest first
	Refused   string  // why an action was not carried out
	Force     *forced // how it would be
}

type forced struct{ Action, Member, Was string }

func (s *Server) pageData(caller who) *pageData {
	d := &pageData{Acts: caller.role == Operator, CSRF: s.guard.csrf(caller), Status: s.status(), Uptime: shortTime(time.Since(s.started)),
		Members: s.members(), Databases: s.databases(), Frontends: s.frontends(), Working: s.sessions(true, shownWork), Top: s.top(querystats.ByTime, shownTop), Slow: s.slow(), Clients: s.clientKinds()}
	d.Who.Name, d.Who.Role = caller.name, caller.role.String()
	d.Events = s.world.Events.Since(0)
	slices.Reverse(d.Events)
	d.Events = d.Events[:min(len(d.Events), shownEvents)]
	return d
}

func (s *Server) addPage(r chi.Router) {
	files := http.FileServerFS(pageFiles)
	for _, file := range []string{"page.css", "page.js", "plots.js", "vendor/uplot.css", "vendor/uplot.js"} {
		r.Get("/page/"+file, files.ServeHTTP)
	}
	r.Get("/login", func(w http.ResponseWriter, _ *http.Request) { s.render(w, http.StatusOK, loginView("")) })
	r.Post("/login", s.postLogin)
	r.With(s.need(Viewer)).Get("/", func(w http.ResponseWriter, r *http.Request) {
		s.render(w, http.StatusOK, pageView(s.pageData(whoOf(r))))
	})
	r.With(s.need(Viewer)).Get("/live", s.streamPage)
	r.With(s.need(Viewer)).Post("/logout", s.postLogout)
	r.With(s.need(Operator)).Post("/act", s.postAct)
}

// render answers with a page. Nothing of it may come from elsewhere.
func (s *Server) render(w http.ResponseWriter, status int, page g.Node) {
	var b bytes.Buffer
	page.Render(&b) //nolint:errcheck // a buffer takes everything
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	w.Write(b.Bytes()) //nolint:errcheck // the reader is gone
}

// streamPage sends the live part of the page again and again.
func (s *Server) streamPage(w http.ResponseWriter, r *http.Request) {
	t, caller := newStream(w), whoOf(r)
	for t.flush() == nil {
		select {
		case <-s.sampler.next():
		case <-r.Context().Done():
			return
		}
		if now, err := s.identify(r); err != nil || now.role < Viewer { // logged out, or no user any more
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", s.livePiece(caller))
	}
}

// livePiece is what the live part of the page is now, as a JSON string.
func (s *Server) livePiece(caller who) []byte {
	d := s.pageData(caller)
	var b bytes.Buffer
	g.Group{tilesView(d), liveView(d)}.Render(&b) //nolint:errcheck // a buffer takes everything
	text, _ := json.Marshal(b.String())           // a string: it can
	return text
}

func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	name := r.PostFormValue("user")
	caller, err := s.guard.slowed(r, func(from string) (who, error) {
		return s.guard.password(s.state.Load(), name, r.PostFormValue("password"), from)
	})
	switch {
	case err != nil:
		s.render(w, http.StatusTooManyRequests, loginView("Too many wrong logins from this address: wait a moment."))
	case caller.role == Nobody:
		s.world.Log.Warn("operator's login refused", "user", cut(name, maxEventText), "from", r.RemoteAddr)
		s.render(w, http.StatusUnauthorized, loginView("This user or password is wrong."))
	default:
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: s.guard.login(caller.name), Path: "/", HttpOnly: true, Secure: r.TLS != nil,
			SameSite: http.SameSiteStrictMode, MaxAge: int(cookieFor.Seconds())})
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) {
	if caller := whoOf(r); s.formIsOurs(w, r) {
		s.guard.logout(caller.cookie)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}
}

// formIsOurs tells whether a form came from a page that was made for this caller; it answers when not.
func (s *Server) formIsOurs(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	ours := hmac.Equal([]byte(r.PostFormValue("csrf")), []byte(s.guard.csrf(whoOf(r))))
	if !ours {
		s.refusePage(w, r, http.StatusForbidden, "This page is too old: nothing was done. Look, and try again.", nil)
	}
	return ours
}

func (s *Server) refusePage(w http.ResponseWriter, r *http.Request, status int, why string, force *forced) {
	d := s.pageData(whoOf(r))
	d.Refused, d.Force = why, force
	s.render(w, status, pageView(d))
}

// postAct carries out what a button of the page asks.
func (s *Server) postAct(w http.ResponseWriter, r *http.Request) {
	if !s.formIsOurs(w, r) {
		return
	}
	action, name := r.PostFormValue("action"), r.PostFormValue("member")
	switch action {
	case "kill":
		s.killFromPage(w, r)
		return
	case "weight":
		s.weighFromPage(w, r, name)
		return
	}
	to, known := conditions[action]
	m := s.world.Current.View().Member(name)
	switch {
	case !known || m == nil:
		s.refusePage(w, r, http.StatusNotFound, "There is no such action or member any more: nothing was done.", nil)
		return
	case m.Condition.String() != r.PostFormValue("was"):
		s.refusePage(w, r, http.StatusConflict, name+" is "+m.Condition.String()+" by now, which that page did not show: nothing was done.", nil)
		return
	}
	force := r.PostFormValue("force") == "yes"
	err := s.world.Control.SetCondition(r.Context(), name, to, force)
	s.audit(r, action, err, "member", name)
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	var offer *forced
	if _, refused := errors.AsType[*Refusal](err); refused {
		offer = &forced{action, name, m.Condition.String()}
	}
	s.refusePage(w, r, http.StatusConflict, action+" "+name+": "+err.Error(), offer)
}

func (s *Server) weighFromPage(w http.ResponseWriter, r *http.Request, name string) {
	m := s.world.Current.View().Member(name)
	weight, err := strconv.Atoi(r.PostFormValue("weight"))
	switch {
	case m == nil:
		s.refusePage(w, r, http.StatusNotFound, "There is no such member any more: nothing was done.", nil)
		return
	case err != nil || !isWeight(weight):
		s.refusePage(w, r, http.StatusBadRequest, weightRule, nil)
		return
	case strconv.Itoa(max(m.Weight, 1)) != r.PostFormValue("was"):
		s.refusePage(w, r, http.StatusConflict, fmt.Sprintf("%s has weight %d by now, which that page did not show: nothing was done.", name, max(m.Weight, 1)), nil)
		return
	}
	err = s.world.Control.SetWeight(r.Context(), name, weight)
	s.audit(r, "weight", err, "member", name, "weight", weight)
	if err != nil {
		s.refusePage(w, r, http.StatusConflict, "weight of "+name+": "+err.Error(), nil)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) killFromPage(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("session")
	if !s.world.Gate.Kill(id) {
		s.audit(r, "kill", errNoSession, "session", cut(id, maxEventText))
		s.refusePage(w, r, http.StatusNotFound, "That client is gone already.", nil)
		return
	}
	s.audit(r, "kill", nil, "session", id)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (g *guard) logout(value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.cookies, value)
}

// csrf is what a form of this caller has to carry: a page of another site does not know it.
func (g *guard) csrf(w who) string {
	if c, ok := g.cookie(w.cookie); ok {
		return c.csrf
	}
	h := hmac.New(sha256.New, g.key[:])
	h.Write([]byte("form of " + w.name))
	return hex.EncodeToString(h.Sum(nil))
}
