package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// webAnswer is what a test keeps of an HTTP answer through the gate.
type webAnswer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a webAnswer) String() string { return fmt.Sprint(a.status, " ", a.raw) }

// web asks the gate as the stand-in's user; headers come in pairs, an empty value takes one away.
func (g *gate) web(method, path, body string, headers ...string) webAnswer {
	g.t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + g.address + path
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	resp, err := g.httpClient().Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: reading the body: %v", method, path, err)
	}
	a := webAnswer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if strings.HasSuffix(resp.Header.Get("Content-Type"), "jsonl") {
		a.body = bodyOfEvents(raw)
	} else {
		_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&a.body)
	}
	return a
}

// bodyOfEvents is what a stream of events would be in one piece.
func bodyOfEvents(raw []byte) map[string]any {
	body, values := map[string]any{}, []any{}
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var e struct {
			Name string `json:"$event"`
			Body any    `json:"_body"`
		}
		if d.Decode(&e) != nil {
			return body
		}
		switch e.Name {
		case "Header":
			body["data"] = e.Body
		case "Record":
			values = append(values, e.Body)
			body["data"].(map[string]any)["values"] = values
		case "Summary":
			maps.Copy(body, e.Body.(map[string]any))
		case "Error":
			body["errors"] = e.Body
		}
	}
}

func (g *gate) httpClient() *http.Client {
	if g.kept != nil {
		return g.kept
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// keeping is the same gate for another client, which keeps its connection.
func (g *gate) keeping() *gate {
	transport := &http.Transport{MaxConnsPerHost: 1}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &gate{t: g.t, cluster: g.cluster, current: g.current, server: g.server, address: g.address, kept: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// field is a column of the first row of the first result, in the tx endpoint's answer or the Query API's.
func (a webAnswer) field(name string) string {
	var columns, row []any
	if data, ok := a.body["data"].(map[string]any); ok {
		columns, _ = data["fields"].([]any)
		if values, _ := data["values"].([]any); len(values) > 0 {
			row, _ = values[0].([]any)
		}
	} else if results, _ := a.body["results"].([]any); len(results) > 0 {
		first := results[0].(map[string]any)
		columns, _ = first["columns"].([]any)
		if data, _ := first["data"].([]any); len(data) > 0 {
			row, _ = data[0].(map[string]any)["row"].([]any)
		}
	}
	for i, c := range columns {
		if c == name && i < len(row) {
			return fmt.Sprint(row[i])
		}
	}
	return ""
}

// code is the first code in "errors".
func (a webAnswer) code() string {
	if list, _ := a.body["errors"].([]any); len(list) > 0 {
		return fmt.Sprint(list[0].(map[string]any)["code"])
	}
	return ""
}

// startWhole is startGate, and waits until all members serve reads.
func startWhole(t *testing.T, o gateOptions) *gate {
	t.Helper()
	g := startGate(t, o)
	g.await(func(v *cluster.View) bool {
		n := 0
		for range v.Readers("") {
			n++
		}
		return n == len(v.Members)-1
	})
	return g
}

func stmt(text string) string {
	b, _ := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": text}}})
	return string(b)
}

func queryBody(text string) string {
	b, _ := json.Marshal(map[string]any{"statement": text})
	return string(b)
}

func TestHTTPWorkGoesWhereItBelongs(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab, frontend: func(f *Frontend) { f.Causality = CausalityNone }})
	leader := g.cluster.Leader("neo4j")
	const read, write = "MATCH (n) RETURN n", "CREATE (n) RETURN n"
	for _, c := range []struct {
		name, path, body string
		headers          []string
		atLeader         bool
		mode             string
	}{
		{"a judged read", "/db/neo4j/tx/commit", stmt(read), nil, false, "r"},
		{"a judged read with escapes", "/db/neo4j/tx/commit", `{"statements":[{"statement":"\u004dATCH (n)\n RETURN n"}]}`, nil, false, "r"},
		{"a judged write", "/db/neo4j/tx/commit", stmt(write), nil, true, "w"},
		{"a read declared as a write", "/db/neo4j/tx/commit", stmt(read), []string{"X-Write", "1"}, true, "w"},
		{"a declared read", "/db/neo4j/tx/commit", stmt(read), []string{"X-Write", "0"}, false, "w"},
		{"access-mode READ", "/db/neo4j/tx/commit", stmt(read), []string{"Access-Mode", "READ"}, false, "r"},
		{"declarations that disagree", "/db/neo4j/tx/commit", stmt(read), []string{"Access-Mode", "READ", "X-Write", "1"}, true, "r"},
		{"a key that comes twice", "/db/neo4j/tx/commit", `{"statements":[{"statement":"MATCH (n) RETURN n","statement":"MATCH (n) RETURN n"}]}`, nil, true, "w"},
		{"Query API, judged read", "/db/neo4j/query/v2", queryBody(read), nil, false, "r"},
		{"Query API, judged write", "/db/neo4j/query/v2", queryBody(write), nil, true, "w"},
		{"Query API, declared", "/db/neo4j/query/v2", `{"accessMode":"Read","statement":"MATCH (n) RETURN n"}`, nil, false, "r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 4 {
				a := g.web("POST", c.path, c.body, c.headers...)
				if a.status >= 300 || (a.field("member") == leader) != c.atLeader || a.field("mode") != c.mode {
					t.Fatalf("got %v; want leader (%s) %v, mode %s", a, leader, c.atLeader, c.mode)
				}
			}
		})
	}
}

func TestHTTPReadAfterAWriteOfTheSameUserSeesIt(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab})
	leader := g.cluster.Leader("neo4j")
	path, read := "/db/neo4j/tx/commit", stmt("MATCH (n) RETURN n")
	if a := g.web("POST", path, read); a.field("member") == leader {
		t.Fatalf("before a write: got %v; want another than the leader", a)
	}
	if a := g.web("POST", path, stmt("CREATE (n) RETURN n")); a.field("member") != leader {
		t.Fatalf("the write: got %v; want %s", a, leader)
	}
	for range 3 {
		if a := g.web("POST", path, read); a.field("member") == leader || a.field("applied") != "2" {
			t.Fatalf("after the write: got %v; want another than the leader %s, which has transaction 2", a, leader)
		}
	}
	if a := g.web("POST", path, read, "Access-Mode", "READ"); a.field("member") == leader {
		t.Fatalf("a declared read after the write: got %v; want another than the leader", a)
	}
}

func TestHTTPWriteRule(t *testing.T) {
	g := startWhole(t, gateOptions{standin: standin.Options{Generation: cluster.HA, Members: 3, Seed: 2}, frontend: func(f *Frontend) {
		f.Undeclared = UndeclaredRead
		f.Policy.LeaderAlwaysReads = true
	}})
	leader := g.cluster.Leader("")
	count := map[string]int{}
	for range 30 {
		a := g.web("POST", "/db/data/transaction/commit", stmt("MATCH (n) RETURN n"))
		count[a.field("member")]++
		if a := g.web("POST", "/db/data/transaction/commit", stmt("CREATE (n) RETURN n"), "X-Write", "1"); a.field("member") != leader {
			t.Fatalf("a write: got %v; want %s", a, leader)
		}
	}
	if count["s1"] != 10 || count["s2"] != 10 || count["s3"] != 10 {
		t.Errorf("30 reads went to %v; want 10 each", count)
	}
}

func TestHTTPTransactionStaysOnItsMember(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		o                standin.Options
	}{
		{"3.5", "/db/data/transaction", stmt("CREATE (n) RETURN n"), standin.Options{Generation: cluster.HA, Members: 3, Seed: 3}},
		{"5.26", "/db/neo4j/tx", stmt("CREATE (n) RETURN n"), lab},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startWhole(t, gateOptions{standin: c.o})
			a := g.web("POST", c.path, c.body)
			member := a.field("member")
			location, commit := a.header.Get("Location"), fmt.Sprint(a.body["commit"])
			want := "http://" + g.address + c.path + "/" + member + "-"
			if a.status != 201 || !strings.HasPrefix(location, want) || !strings.HasPrefix(commit, want) || !strings.HasSuffix(commit, "/commit") {
				t.Fatalf("begin: got %v, Location %q; want %s…", a, location, want)
			}
			if got := a.header.Get("neo4j-cluster-affinity"); got != member {
				t.Errorf("affinity: got %q; want %q", got, member)
			}
			for range 3 {
				if a := g.web("POST", location, c.body); a.status != 200 || a.field("member") != member || a.body["commit"] != commit {
					t.Fatalf("inside: got %v; want member %s and commit %s", a, member, commit)
				}
			}
			if a := g.web("POST", commit, stmt("MATCH (n) RETURN n")); a.status != 200 || a.field("member") != member || a.code() != "" {
				t.Fatalf("commit: got %v", a)
			}
			if a := g.web("POST", commit, ""); a.status != 404 || a.code() != codeTxNotFound {
				t.Errorf("a second commit: got %v; want the member's 404", a)
			}
			gone := strings.Replace(location, member+"-", "nobody-", 1)
			if a := g.web("POST", gone, c.body); a.status != 404 || a.code() != codeTxNotFound {
				t.Errorf("a member that does not exist: got %v", a)
			}
			a = g.web("POST", c.path, c.body)
			if a := g.web("DELETE", a.header.Get("Location"), ""); a.status != 200 {
				t.Errorf("rollback: got %v", a)
			}
		})
	}
}

func TestQueryAPITransaction(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab})
	a := g.web("POST", "/db/neo4j/query/v2/tx", queryBody("CREATE (n) RETURN n"))
	tx, _ := a.body["transaction"].(map[string]any)
	member, id := a.field("member"), fmt.Sprint(tx["id"])
	if a.status != 202 || !strings.HasPrefix(id, member+"-") || a.header.Get("neo4j-cluster-affinity") != member {
		t.Fatalf("begin: got %v, header %v", a, a.header)
	}
	if a := g.web("POST", "/db/neo4j/query/v2/tx/"+id, queryBody("MATCH (n) RETURN n")); a.status != 202 || a.field("member") != member {
		t.Fatalf("inside: got %v", a)
	}
	raw := strings.TrimPrefix(id, member+"-")
	if a := g.web("POST", "/db/neo4j/query/v2/tx/"+raw, queryBody("MATCH (n) RETURN n"), "neo4j-cluster-affinity", member); a.status != 202 || a.field("member") != member {
		t.Fatalf("inside, by affinity: got %v", a)
	}
	if a := g.web("POST", "/db/neo4j/query/v2/tx/"+raw, queryBody("MATCH (n) RETURN n")); a.status != 404 || a.code() != codeInvalid {
		t.Errorf("without the member: got %v", a)
	}
	if a := g.web("POST", "/db/neo4j/query/v2/tx/"+id+"/commit", ""); a.status != 202 {
		t.Errorf("commit: got %v", a)
	}
}

func TestDiscoveryHasTheClientsAddress(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab})
	g.await(func(v *cluster.View) bool { return v.Discovery != nil })
	for _, c := range []struct{ name, host, forwarded, want string }{
		{"the accepted address", "", "", g.address},
		{"a name", "gate.example:7687", "", "gate.example:7687"},
		{"without a port", "gate.example", "", "gate.example:80"},
		{"behind a balancer with TLS", "inside:7687", "https", "inside:7687"},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := []string{"X-Forwarded-Proto", c.forwarded}
			if c.host != "" {
				headers = append(headers, "Host", c.host)
			}
			a := g.web("GET", "/", "", headers...)
			secure := ""
			if c.forwarded != "" {
				secure = "+s"
			}
			if a.status != 200 || a.body["bolt_routing"] != "neo4j"+secure+"://"+c.want || a.body["bolt_direct"] != "bolt"+secure+"://"+c.want {
				t.Errorf("got %v; want %s", a, c.want)
			}
			if tx := fmt.Sprint(a.body["transaction"]); !strings.HasSuffix(tx, "://"+c.want+"/db/{databaseName}/tx") {
				t.Errorf("transaction: got %s", tx)
			}
		})
	}
	if a := g.web("GET", "/", "", "Accept", "text/html,*/*"); a.status != 303 && a.status != 406 {
		t.Errorf("a browser: got %v; want a member's answer", a)
	}
}

func TestRolesOfTheClusterAsOneServer(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab})
	for path, want := range map[string]string{
		"/db/neo4j/cluster/writable": "200 true", "/db/neo4j/cluster/read-only": "200 true", "/db/neo4j/cluster/available": "200 true",
		"/db/nope/cluster/writable": "404 false",
	} {
		if a := g.web("GET", path, ""); a.String() != want {
			t.Errorf("%s: got %v; want %s", path, a, want)
		}
	}
	if a := g.web("GET", "/db/neo4j/cluster/status", ""); a.status != 200 || a.body["votingMembers"] == nil {
		t.Errorf("status: got %v; want the leader's", a)
	}
}

func TestHTTPWriteWaitsForALeader(t *testing.T) {
	o := lab
	o.ElectionTime = 3 * time.Second // longer than the checks take to notice
	g := startWhole(t, gateOptions{standin: o})
	old := g.cluster.Leader("neo4j")
	if a := g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n) RETURN n")); a.field("member") != old {
		t.Fatalf("got %v; want %s", a, old)
	}
	g.cluster.Kill(old)
	g.await(func(v *cluster.View) bool { l := v.Leader("neo4j"); return l == nil || l.Name != old }) // a write that meets the dying connection is in doubt
	began := time.Now()
	a := g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n) RETURN n"))
	if a.status != 200 || a.field("member") == old || a.field("member") != g.cluster.Leader("neo4j") {
		t.Fatalf("got %v; want the new leader %s", a, g.cluster.Leader("neo4j"))
	}
	if waited := time.Since(began); waited > 10*time.Second {
		t.Errorf("the write was held for %v", waited)
	}
}

func TestHTTPWithoutALeader(t *testing.T) {
	o := lab
	o.ElectionTime = time.Hour
	g := startWhole(t, gateOptions{standin: o, server: Options{Hold: 200 * time.Millisecond}})
	old := g.cluster.Leader("neo4j")
	g.cluster.Kill(old)
	g.await(func(v *cluster.View) bool { return v.Leader("neo4j") == nil })
	a := g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n) RETURN n"))
	if a.status != 503 || a.code() != codeLeaderSwitch || a.header.Get("Retry-After") == "" {
		t.Errorf("a write: got %v %v; want 503 LeaderSwitch with Retry-After", a, a.header)
	}
	if a := g.web("POST", "/db/neo4j/tx/commit", stmt("MATCH (n) RETURN n")); a.status != 200 || a.field("member") == old {
		t.Errorf("a read: got %v", a)
	}
}
