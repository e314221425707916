package standin

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// MemberHeader names the member in every HTTP answer; RoleHeader is its role for the first database. What a request has in EchoHeader its answer
// has too, so that a client knows the answer for its own.
const (
	MemberHeader = "X-Standin-Member"
	RoleHeader   = "X-Standin-Role"
	EchoHeader   = "X-Standin-Echo"
)

func (m *member) serveHTTP(life context.Context, l net.Listener) {
	server := &http.Server{
		Handler:     m.handler(life),
		BaseContext: func(net.Listener) context.Context { return life },
		ConnState: func(conn net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				m.c.wg.Add(1)
				if !m.track(life, conn) {
					abort(conn)
				}
			case http.StateClosed, http.StateHijacked:
				m.untrack(conn)
				m.c.wg.Done()
			}
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	_ = server.Serve(l) // ends with the listener
	_ = server.Close()
}

// request is one HTTP request and what is known of it.
type httpRequest struct {
	m    *member
	w    http.ResponseWriter
	r    *http.Request
	user string
}

// handler is the member's whole HTTP surface.
func (m *member) handler(life context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.awaken(life.Done()) {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(MemberHeader, m.name)
		w.Header().Set(RoleHeader, m.c.Role("", m.name).String())
		if echo := r.Header.Get(EchoHeader); echo != "" {
			w.Header().Set(EchoHeader, echo)
		}
		h := &httpRequest{m: m, w: w, r: r}
		if !h.authorized() || h.passwordDue() {
			return
		}
		h.serve()
	})
}

// serve finds what a path is for: first those without a login, then each surface of the generation.
func (h *httpRequest) serve() {
	path := h.r.URL.Path
	segments := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/":
		h.discovery()
	case strings.HasPrefix(path, "/browser"):
		h.text(http.StatusOK, "text/html", "<!doctype html><title>stand-in</title>no Browser here")
	case h.roles(segments):
	case h.m.release().multi():
		h.modern(segments)
	default:
		h.legacy(segments)
	}
}

// modern serves /db/{db}/tx and /db/{db}/query/v2 of 4.0 and later.
func (h *httpRequest) modern(s []string) {
	switch {
	case len(s) >= 3 && s[0] == "db" && s[2] == "tx":
		h.transactional(s[1], s[3:])
	case len(s) >= 4 && s[0] == "db" && s[2] == "query" && s[3] == "v2" && h.m.release().atLeast(5, 19):
		h.queryAPI(s[1], s[4:])
	default:
		h.notFound()
	}
}

// legacy serves /db/data of 3.x and before: transactions, the Cypher endpoint, and REST, of which each answer describes
// the member and each method but GET and HEAD is a write.
func (h *httpRequest) legacy(s []string) {
	switch {
	case h.r.Method == http.MethodPost && h.r.URL.Path == h.passwordPath():
		h.changePassword()
	case len(s) < 2 || s[0] != "db" || s[1] != "data":
		h.notFound()
	case len(s) >= 3 && s[2] == "transaction":
		h.transactional("", s[3:])
	case len(s) == 3 && s[2] == "cypher":
		h.cypherEndpoint()
	case len(s) == 2:
		h.restRoot()
	default:
		h.rest()
	}
}

func (h *httpRequest) notFound() { h.text(http.StatusNotFound, "text/plain", "") }

func (h *httpRequest) text(status int, kind, body string) {
	h.w.Header().Set("Content-Type", kind)
	h.w.WriteHeader(status)
	_, _ = io.WriteString(h.w, body)
}

func (h *httpRequest) json(status int, v any) {
	h.w.Header().Set("Content-Type", "application/json")
	h.w.WriteHeader(status)
	_ = json.NewEncoder(h.w).Encode(v)
}

func (h *httpRequest) failure(status int, f *bolt.Failure) {
	h.json(status, map[string]any{"errors": errorList(f)})
}

func errorList(f *bolt.Failure) []any {
	if f == nil {
		return []any{}
	}
	return []any{map[string]any{"code": f.Code, "message": f.Message}}
}

// authorized checks the login, which neither the discovery document nor, if so configured, the role endpoints need.
func (h *httpRequest) authorized() bool {
	path := h.r.URL.Path
	open := path == "/" || strings.HasPrefix(path, "/browser") || h.r.Method == http.MethodOptions || h.m.c.opt.StatusOpen && isRolePath(path)
	if h.m.c.opt.NoAuth || open {
		return true
	}
	header := h.r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	login := map[string]any{"scheme": "basic"}
	switch user, password, ok := h.r.BasicAuth(); {
	case header == "":
		return h.unauthorized("No authentication header supplied.")
	case ok:
		login["principal"], login["credentials"] = user, password
	case strings.EqualFold(scheme, "bearer") && h.m.release().atLeast(5, 0):
		login["scheme"], login["credentials"] = "bearer", token
	default:
		h.failure(http.StatusBadRequest, failure(bolt.CodeInvalidFormat, "Invalid authentication header."))
		return false
	}
	user, f := h.m.c.authenticate(login)
	if f != nil {
		return h.unauthorized("Invalid username or password.")
	}
	h.user = user
	return true
}

func (h *httpRequest) unauthorized(why string) bool {
	if h.r.Header.Get("X-Ajax-Browser-Auth") != "true" {
		h.w.Header().Add("WWW-Authenticate", `Basic realm="Neo4j"`)
		if h.m.release().atLeast(5, 0) {
			h.w.Header().Add("WWW-Authenticate", `Bearer realm="Neo4j"`)
		}
	}
	h.failure(http.StatusUnauthorized, failure(bolt.CodeUnauthorized, "%s", why))
	return false
}

// base is the URL of this server as the client knows it; X-Forwarded-Host and -Proto go before Host.
func (h *httpRequest) base() string {
	host, _, _ := strings.Cut(orElse(h.r.Header.Get("X-Forwarded-Host"), h.r.Host), ",")
	return orElse(h.r.Header.Get("X-Forwarded-Proto"), "http") + "://" + strings.TrimSpace(host)
}

// discovery answers GET / (facts of Neo4j, "Discovery document").
func (h *httpRequest) discovery() {
	accept := h.r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html") && !strings.Contains(accept, "json"):
		h.w.Header().Set("Location", h.base()+"/browser/")
		h.w.WriteHeader(http.StatusSeeOther)
		return
	case accept != "" && !strings.Contains(accept, "json") && !strings.Contains(accept, "*/*"):
		h.w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	base, rel := h.base(), h.m.release()
	bolt := h.boltHost()
	doc := make(map[string]any)
	if !rel.multi() {
		doc["data"], doc["management"] = base+"/db/data/", base+"/db/manage/"
		if rel.atLeast(3, 0) {
			doc["bolt"] = "bolt://" + bolt
		}
		h.json(http.StatusOK, doc)
		return
	}
	doc["bolt_direct"], doc["bolt_routing"] = "bolt://"+bolt, "neo4j://"+bolt
	doc["transaction"] = base + "/db/{databaseName}/tx"
	doc["neo4j_version"], doc["neo4j_edition"] = rel.text, h.m.edition()
	if rel.atLeast(5, 0) {
		doc["auth_config"] = map[string]any{"oidc_providers": []any{}}
	}
	if rel.atLeast(5, 19) {
		doc["query"] = base + "/db/{databaseName}/query/v2"
	}
	if h.m.c.opt.Generation != cluster.Standalone {
		doc["dbms/cluster"], doc["db/cluster"] = base+"/dbms/cluster", base+"/db/{databaseName}/cluster"
	}
	h.json(http.StatusOK, doc)
}

// boltHost is the host that the client used, with the Bolt port.
func (h *httpRequest) boltHost() string {
	host := strings.TrimPrefix(strings.TrimPrefix(h.base(), "http://"), "https://")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, port, err := net.SplitHostPort(h.m.bolt())
	if err != nil {
		return h.m.bolt()
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
