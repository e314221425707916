package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/cluster"
)

func TestProbes(t *testing.T) {
	w := newTestWorld(t, Options{})
	probe := func(path string, want int) {
		t.Helper()
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if got := w.do(method, path, "", "Host: gate.example.org"); got.Code != want || got.Body.Len() > 3 {
				t.Errorf("%s %s: got %d %q; want %d", method, path, got.Code, got.Body, want)
			}
		}
	}
	probe("/healthz", 200)
	probe("/readyz", 503)
	probe("/cluster/leader", 503)
	probe("/cluster/reader", 503)
	w.cluster()
	probe("/readyz", 200)
	for _, path := range []string{"", "?database=", "?database=neo4j", "?database=NEO4J", "?database=system"} {
		probe("/cluster/leader"+path, 200)
		probe("/cluster/reader"+path, 200)
	}
	probe("/cluster/leader?database=sales", 503)
	probe("/cluster/reader?database=sales", 200)
	probe("/cluster/leader?database=nothing", 503)
	probe("/cluster/reader?database=nothing", 503)
	w.Ending()
	probe("/healthz", 200)
	probe("/readyz", 503)
	probe("/cluster/leader", 503)
	probe("/cluster/reader", 503)
}

func TestTheLeaderStandsInForReaders(t *testing.T) {
	w := newTestWorld(t, Options{})
	alone := &cluster.Status{Member: &cluster.Member{Name: "a"}, Up: true, Roles: map[string]cluster.Role{"": cluster.Leader}}
	w.current.Publish(&cluster.View{Members: []*cluster.Status{alone}})
	w.want(200, "ok", "GET", "/cluster/reader", "")
}

func TestTheAddressForProbesHasNothingElse(t *testing.T) {
	w := newTestWorld(t, Options{Bind: "127.0.0.1:0", Probes: "127.0.0.1:0"}).cluster()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/cluster/leader": 200, "/api/v1/status": 404, "/": 404} {
		for address, status := range map[string]int{w.ProbesAddress().String(): want, w.Address().String(): 200} {
			if path == "/" && status == 200 {
				continue
			}
			answer, err := http.Get("http://" + address + path)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != status {
				t.Errorf("%s at %s: got %d; want %d", path, address, answer.StatusCode, status)
			}
		}
	}
}

func TestMembersAndDatabases(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	var got []string
	for _, m := range get[[]MemberInfo](w, "/api/v1/members") {
		got = append(got, fmt.Sprintf("%s %v %s leads %v lag %v %d %d %d %d %s", m.Name, m.Up, m.Condition, m.Leads, m.Lag, m.InFlight, m.Queued, m.Connections, m.Idle, m.LastError))
	}
	want := []string{
		"a true ready leads [neo4j] lag map[] 3 1 5 2 ", "b true ready leads [system] lag map[neo4j:10] 0 0 0 0 ",
		"c true drain leads [] lag map[] 0 0 0 0 ", "d false ready leads [] lag map[] 0 0 0 0 connection refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	dbs := fmt.Sprint(get[[]DatabaseInfo](w, "/api/v1/databases"))
	if want := "[{neo4j true a [b] false} {sales false  [a b] false} {system false b [a] false}]"; dbs != want {
		t.Errorf("got %s; want %s", dbs, want)
	}
	s := get[StatusInfo](w, "/api/v1/status")
	if !s.Ready || s.Members != 4 || s.Up != 3 || s.Taking != 2 || s.Databases != 3 || !slices.Equal(s.Leaderless, []string{"sales"}) || s.Generation != "autonomous" {
		t.Errorf("got %+v", s)
	}
}

func TestOrders(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	w.want(200, `"name": "a"`, "POST", "/api/v1/members/a/drain", "")
	w.want(200, `"name": "a"`, "POST", "/api/v1/members/a/maint", `{"force": true}`)
	w.want(200, `"name": "a"`, "POST", "/api/v1/members/a/ready", `{}`)
	w.want(200, `"name": "a"`, "POST", "/api/v1/members/a/weight", `{"weight": 3.0}`)
	w.want(200, `"version": "test"`, "POST", "/api/v1/reload", "")
	w.want(200, `"failover.hold: 20s -\u003e 10s"`, "GET", "/api/v1/reload", "")
	if want := []string{"drain a", "maint a forced", "ready a", "weight a 3", "reload", "preview"}; !slices.Equal(w.control.asked, want) {
		t.Errorf("asked %q; want %q", w.control.asked, want)
	}
	w.control.asked = nil
	for _, weight := range []string{"0", "257", "-1", "1.5", `"3"`} {
		w.want(400, "", "POST", "/api/v1/members/a/weight", `{"weight": `+weight+`}`)
	}
	w.want(400, "unknown field", "POST", "/api/v1/members/a/drain", `{"farce": true}`)
	w.want(400, "something follows", "POST", "/api/v1/members/a/drain", `{} {}`)
	w.want(415, "application/json", "POST", "/api/v1/members/a/drain", `force=true`, "Content-Type: application/x-www-form-urlencoded")
	w.want(413, "at most", "POST", "/api/v1/members/a/drain", strings.Repeat(" ", maxBody+1))
	w.want(405, "not for this path", "GET", "/api/v1/members/a/drain", "")
	w.want(400, "all of it is null", "POST", "/api/v1/members/a/ready", "null")
	w.want(400, "force is null", "POST", "/api/v1/members/a/ready", `{"force": null}`)
	for _, path := range []string{"sessions?limit=", "queries/top?limit=", "history?after=", "events?since=", "events?since=9223372036854775808"} {
		w.want(400, "number", "GET", "/api/v1/"+path, "")
	}
	for path, want := range map[string]string{"/api/v1/members/a/drain": "POST", "/api/v1/status": "GET", "/api/v1/reload": "GET POST", "/api/v1/sessions/x": "DELETE"} {
		if got := strings.Join(w.do("PATCH", path, "").Header().Values("Allow"), " "); got != want {
			t.Errorf("PATCH %s: Allow is %q; want %q", path, got, want)
		}
	}
	w.want(404, "nothing at this path", "POST", "/api/v1/members/a/explode", "")
	if w.control.asked != nil {
		t.Errorf("bad orders were carried out: %q", w.control.asked)
	}
	w.control.err = ErrNoMember
	w.want(404, "no member", "POST", "/api/v1/members/x/drain", "")
	w.control.err = fmt.Errorf("wrapped: %w", &Refusal{"it leads neo4j"})
	w.want(409, "it leads neo4j", "POST", "/api/v1/members/a/drain", "")
	w.control.err = errors.New("file:1:1: no")
	w.want(409, "file:1:1: no", "POST", "/api/v1/reload", "")
	w.want(409, "file:1:1: no", "GET", "/api/v1/reload", "")
}

func TestOrdersLeaveAnAuditLine(t *testing.T) {
	w := newTestWorld(t, Options{}).cluster()
	w.do("POST", "/api/v1/members/a/drain", "")
	w.control.err = &Refusal{"no"}
	w.do("POST", "/api/v1/members/b/maint", "")
	all := w.events.Since(0)
	if len(all) != 2 || all[0].Event != "operator's drain" || all[0].Fields["by"] != "local" || all[0].Fields["member"] != "a" || all[0].Fields["from"] != "127.0.0.1:5000" ||
		all[1].Event != "operator's maint refused" || all[1].Level != "warn" || all[1].Fields["error"] != "no" {
		t.Errorf("got %+v", all)
	}
}
