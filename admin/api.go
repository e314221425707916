package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	_ "embed"
)

// This file owns the routes and how JSON comes and goes.

// openapi describes the API; a test holds it to the routes and to what they answer.
//
//go:embed openapi.yaml
var openapi []byte

const maxBody = 64 << 10 // bytes of a request

func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, http.StatusNotFound, "there is nothing at this path")
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, asked *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if r.Match(chi.NewRouteContext(), method, asked.URL.Path) {
				w.Header().Add("Allow", method)
			}
		}
		s.fail(w, http.StatusMethodNotAllowed, asked.Method+" is not for this path")
	})
	s.addProbes(r)
	r.Group(func(r chi.Router) {
		r.Use(s.protect)
		r.Route("/api/v1", s.apiRoutes)
		r.Get("/metrics", s.getMetrics())
		s.addPage(r)
		r.With(s.need(Viewer)).Get("/stats;csv", s.getStatsCSV)
		r.With(s.need(Viewer)).Get("/stats;json", s.getStatsJSON)
	})
	return r
}

func (s *Server) apiRoutes(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Use(s.need(Viewer))
		r.Get("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			w.Write(openapi) //nolint:errcheck // the caller is gone
		})
		r.Get("/status", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.status()) })
		r.Get("/members", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.members()) })
		r.Get("/members/{name}", s.getMember)
		r.Get("/databases", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.databases()) })
		r.Get("/frontends", func(w http.ResponseWriter, _ *http.Request) { s.sampler.look(); s.reply(w, s.frontends()) })
		r.Get("/sessions", s.getSessions(false))
		r.Get("/clients", s.getClients)
		r.Get("/queries", s.getSessions(true))
		r.Get("/queries/top", s.getTop)
		r.Get("/queries/slow", s.getSlow)
		r.Get("/history", s.getHistory)
		r.Get("/events", s.getEvents)
	})
	r.Group(func(r chi.Router) {
		r.Use(s.need(Operator))
		r.Post("/members/{name}/{condition:drain|maint|ready}", s.postCondition)
		r.Post("/members/{name}/weight", s.postWeight)
		r.Delete("/sessions/{id}", s.deleteSession)
		r.Post("/reload", s.postReload)
		r.Get("/reload", s.getReload)
	})
}

// reply answers with JSON.
func (s *Server) reply(w http.ResponseWriter, v any) { s.replyWith(w, http.StatusOK, v) }

func (s *Server) replyWith(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.world.Log.Error("an answer of the admin API cannot be written as JSON; please report it", "error", err)
		status, b = http.StatusInternalServerError, []byte(`{"error": "internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) //nolint:errcheck // the caller is gone
}

func (s *Server) fail(w http.ResponseWriter, status int, why string) {
	s.replyWith(w, status, Problem{why})
}

// refuse answers with what a Control said.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	_, refused := errors.AsType[*Refusal](err)
	switch {
	case errors.Is(err, ErrNoMember):
		s.fail(w, http.StatusNotFound, err.Error())
	case refused:
		s.fail(w, http.StatusConflict, err.Error())
	default:
		s.fail(w, http.StatusInternalServerError, err.Error())
	}
}

// body reads a request's JSON into v, strictly; an empty body leaves v as it is. It answers what it cannot take.
func (s *Server) body(w http.ResponseWriter, r *http.Request, v any) bool {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request has at most %d bytes", maxBody))
		return false
	}
	if len(text) == 0 {
		return true
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.fail(w, http.StatusUnsupportedMediaType, "a body here is application/json")
		return false
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		s.fail(w, http.StatusBadRequest, "the body: "+strings.TrimPrefix(err.Error(), "json: "))
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		s.fail(w, http.StatusBadRequest, "the body: something follows the JSON")
		return false
	}
	if key := nullIn(text); key != "" { // which the decoder takes for nothing said
		s.fail(w, http.StatusBadRequest, "the body: "+key+" is null")
		return false
	}
	return true
}

// nullIn is what is null in a JSON object, or in its place; "" when nothing is.
func nullIn(text []byte) string {
	var all map[string]any
	json.Unmarshal(text, &all) //nolint:errcheck // it was read before
	if all == nil {
		return "all of it"
	}
	for key, v := range all {
		if v == nil {
			return key
		}
	}
	return ""
}

// audit logs what somebody did, or tried to.
func (s *Server) audit(r *http.Request, what string, err error, args ...any) {
	args = append([]any{"by", whoOf(r).name, "from", r.RemoteAddr}, args...)
	if err != nil {
		s.world.Log.Warn("operator's "+what+" refused", append(args, "error", err)...)
		return
	}
	s.world.Log.Info("operator's "+what, args...)
}
