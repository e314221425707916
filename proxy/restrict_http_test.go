package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file shows what a client that may only read is refused over HTTP, and what a member gets of the rest.

var httpGenerations = []struct {
	name    string
	standin standin.Options
	tx      string // where transactions begin
	query   bool   // there is a Query API
	mode    bool   // members enforce the mode
}{
	{"3.5", standin.Options{Generation: cluster.HA}, "/db/data/transaction", false, false},
	{"4.4", standin.Options{Generation: cluster.Causal}, "/db/neo4j/tx", false, false},
	{"5.26", standin.Options{}, "/db/neo4j/tx", true, true},
	{"2026", standin.Options{ServerVersion: "2026.08.1"}, "/db/neo4j/tx", true, true},
}

// refused fails the test unless the answer is the gate's refusal.
func (a webAnswer) refused(t *testing.T, what string) {
	t.Helper()
	if a.status != 403 || a.code() != bolt.CodeForbidden {
		t.Fatalf("%s: got %v", what, a)
	}
}

func TestReadOnlyHTTPRefusesEveryWrite(t *testing.T) {
	for _, c := range httpGenerations {
		t.Run(c.name, func(t *testing.T) {
			g, members := readOnlyGate(t, gateOptions{standin: c.standin})
			for _, text := range refusedTexts {
				if strings.Contains(text, "\xff") {
					continue // JSON has it as another character
				}
				g.web("POST", c.tx+"/commit", stmt(text)).refused(t, text)
				g.web("POST", c.tx, stmt(text)).refused(t, text)
				g.web("POST", c.tx+"/commit", stmt(text), "Access-Mode", "WRITE", "X-Write", "1").refused(t, text)
				g.web("POST", c.tx+"/commit", stmt(text), "X-Write", "0").refused(t, text)
				if c.query {
					g.web("POST", "/db/neo4j/query/v2", queryBody(text)).refused(t, text)
					g.web("POST", "/db/neo4j/query/v2/tx", queryBody(text)).refused(t, text)
				} else {
					body, _ := json.Marshal(m{"query": text})
					g.web("POST", "/db/data/cypher", string(body)).refused(t, text)
				}
			}
			if got := members.texts(); len(got) > 0 {
				t.Fatalf("members got %q", got)
			}
		})
	}
}

func TestReadOnlyHTTPLetsReadsThrough(t *testing.T) {
	for _, c := range httpGenerations {
		t.Run(c.name, func(t *testing.T) {
			g, members := readOnlyGate(t, gateOptions{standin: c.standin})
			for _, text := range allowedTexts {
				if !c.query && strings.HasPrefix(text, "USE") {
					continue
				}
				for _, header := range [][]string{nil, {"Access-Mode", "WRITE"}, {"X-Write", "1"}, {"Access-Mode", "READ"}, {"Content-Type", "application/json; charset=UTF-8"}} {
					if a := g.web("POST", c.tx+"/commit", stmt(text), header...); a.status != 200 || a.code() != "" {
						t.Fatalf("%q with %q: %v", text, header, a)
					}
				}
				if !c.query {
					continue
				}
				for _, mode := range []string{"", `"accessMode":"WRITE",`, `"accessMode" : "Write" ,`, `"accessMode":"READ",`} {
					body := "{" + mode + queryBody(text)[1:]
					if a := g.web("POST", "/db/neo4j/query/v2", body); a.status != 202 || a.code() != "" {
						t.Fatalf("%s: %v", body, a)
					}
				}
			}
			if len(members.texts()) == 0 {
				t.Fatal("members got nothing")
			}
			for _, text := range members.texts() {
				if c.mode && !strings.HasPrefix(text, "r ") {
					t.Errorf("a member got mode %s", text)
				}
			}
		})
	}
}

// A transaction in which something was refused is gone at its member as well.
func TestReadOnlyHTTPInsideTransactions(t *testing.T) {
	for _, c := range httpGenerations {
		begins := map[string]string{c.tx: ""}
		if c.query {
			begins["/db/neo4j/query/v2/tx"] = "query"
		}
		for begin, api := range begins {
			for _, last := range []string{"", "/commit"} {
				t.Run(c.name+" "+begin+" "+last, func(t *testing.T) {
					g, members := readOnlyGate(t, gateOptions{standin: c.standin})
					body := stmt
					if api == "query" {
						body = queryBody
					}
					for _, first := range []string{"", "{}", body("RETURN 7")} {
						if first == "{}" && api != "query" {
							first = `{"statements":[]}`
						}
						a := g.web("POST", begin, first)
						if a.status >= 300 || a.code() != "" {
							t.Fatalf("begin with %q: %v", first, a)
						}
						at := a.txPath(begin)
						if a := g.web("POST", at, body("RETURN 7")); a.status >= 300 || a.code() != "" {
							t.Fatalf("a read: %v", a)
						}
						g.web("POST", at+last, body("CREATE (n)")).refused(t, "a write")
						if a := g.web("POST", at, body("RETURN 7")); a.status != 404 {
							t.Fatalf("the transaction goes on: %v", a)
						}
					}
					a := g.web("POST", begin, "")
					if a := g.web("DELETE", a.txPath(begin), ""); a.status != 200 {
						t.Fatalf("rollback: %v", a)
					}
					a = g.web("POST", begin, body("RETURN 7"))
					empty := ""
					if api != "query" {
						empty = `{"statements":[]}`
					}
					if a := g.web("POST", a.txPath(begin)+"/commit", empty); a.status >= 300 || a.code() != "" {
						t.Fatalf("commit: %v", a)
					}
					for _, text := range members.texts() {
						if !strings.HasSuffix(text, "RETURN 7") || c.mode && !strings.HasPrefix(text, "r ") {
							t.Errorf("a member got %s", text)
						}
					}
				})
			}
		}
	}
}

// txPath is where the transaction that the answer began goes on.
func (a webAnswer) txPath(begin string) string {
	if tx, ok := a.body["transaction"].(map[string]any); ok && tx["id"] != nil {
		return begin + "/" + fmt.Sprint(tx["id"])
	}
	commit, _ := a.body["commit"].(string)
	commit = strings.TrimSuffix(commit, "/commit")
	return begin + commit[strings.LastIndexByte(commit, '/'):]
}

// onlyReads is a member that fails the test when anything but what is known to be harmless reaches it.
type onlyReads struct {
	mu  sync.Mutex
	got []string
}

func (o *onlyReads) answer(r *http.Request, body string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, r.Method+" "+r.URL.Path+" "+body)
	return ok(`{"results":[],"errors":[]}`)
}

func (o *onlyReads) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got
}

const oneRead = `{"statements":[{"statement":"RETURN 7"}]}`

func TestReadOnlyHTTPRefusesWhatItCannotRead(t *testing.T) {
	member := new(onlyReads)
	g := startRelay(t, func(o *Options, f *Frontend) { f.Access, o.RequestLimit = AccessReadOnly, 20_000 }, startScripted(t, "s1", answering(member.answer)))
	wide := func(text string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(text)) {
			out = append(out, byte(u>>8), byte(u))
		}
		return string(out)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(oneRead)) //nolint:errcheck // to memory
	z.Close()                //nolint:errcheck // as above
	const commit, query, cypher = "POST /db/neo4j/tx/commit", "POST /db/neo4j/query/v2", "POST /db/data/cypher"
	for _, c := range []struct{ name, target, body, headers string }{
		{"a repeated list", commit, `{"statements":[{"statement":"RETURN 7"}],"statements":[{"statement":"CREATE (n)"}]}`, ""},
		{"a repeated list, the write first", commit, `{"statements":[{"statement":"CREATE (n)"}],"statements":[]}`, ""},
		{"a repeated statement", commit, `{"statements":[{"statement":"RETURN 7","statement":"CREATE (n)"}]}`, ""},
		{"a repeated key of no meaning", commit, `{"x":1,"x":2,"statements":[]}`, ""},
		{"an escaped key", commit, `{"st\u0061tements":[{"statement":"CREATE (n)"}]}`, ""},
		{"an escaped key inside", commit, `{"statements":[{"st\u0061tement":"CREATE (n)"}]}`, ""},
		{"a key in other case", commit, `{"Statements":[{"statement":"CREATE (n)"}]}`, ""},
		{"a write with escapes", commit, `{"statements":[{"statement":"\u0043REATE (n)"}]}`, ""},
		{"a write behind a read", commit, `{"statements":[{"statement":"RETURN 7"},{"statement":"CREATE (n)"}]}`, ""},
		{"half a surrogate pair", commit, `{"statements":[{"statement":"RETURN '\ud800'"}]}`, ""},
		{"not UTF-8", commit, "{\"statements\":[{\"statement\":\"RETURN '\xff'\"}]}", ""},
		{"a byte order mark", commit, "\xef\xbb\xbf" + oneRead, ""},
		{"UTF-16", commit, wide(oneRead), ""},
		{"UTF-16, said so", commit, wide(oneRead), "Content-Type: application/json; charset=utf-16\r\n"},
		{"another character set", commit, oneRead, "Content-Type: application/json;charset=\"UTF-7\"\r\n"},
		{"two character sets", commit, oneRead, "Content-Type: application/json;charset=utf-8;charset=utf-7\r\n"},
		{"two types", commit, oneRead, "Content-Type: application/json\r\nContent-Type: application/x-yaml\r\n"},
		{"a form", commit, oneRead, "Content-Type: application/x-www-form-urlencoded\r\n"},
		{"gzip", commit, zipped.String(), "Content-Encoding: gzip\r\n"},
		{"gzip that is none", commit, oneRead, "Content-Encoding: gzip\r\n"},
		{"two encodings", commit, oneRead, "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"},
		{"a second text behind the first", commit, oneRead + `{"statements":[{"statement":"CREATE (n)"}]}`, ""},
		{"an array", commit, `[{"statements":[{"statement":"CREATE (n)"}]}]`, ""},
		{"statements that are no list", commit, `{"statements":{"statement":"CREATE (n)"}}`, ""},
		{"a statement that is no text", commit, `{"statements":[{"statement":["CREATE (n)"]}]}`, ""},
		{"no statement", commit, `{"statements":[{}]}`, ""},
		{"a comment", commit, `{/* */"statements":[]}`, ""},
		{"single quotes", commit, `{'statements':[{'statement':'CREATE (n)'}]}`, ""},
		{"unquoted keys", commit, `{statements:[]}`, ""},
		{"cut off", commit, `{"statements":[{"statement":"RETURN 7"}]`, ""},
		{"too deep", commit, `{"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `,"statements":[]}`, ""},
		{"Query API: a repeated mode", query, `{"accessMode":"READ","accessMode":"WRITE","statement":"RETURN 7"}`, ""},
		{"Query API: a repeated statement", query, `{"statement":"RETURN 7","statement":"CREATE (n)"}`, ""},
		{"Query API: a mode that is no text", query, `{"accessMode":["WRITE"],"statement":"RETURN 7"}`, ""},
		{"Query API: a mode with escapes", query, `{"accessMode":"WRIT\u0045","statement":"RETURN 7"}`, ""},
		{"Query API: a mode in other case", query, `{"accessmode":"WRITE","statement":"RETURN 7"}`, ""},
		{"Query API: impersonation", query, `{"impersonatedUser":"boss","statement":"RETURN 7"}`, ""},
		{"Query API: impersonation in other case", query, `{"ImpersonatedUser":"boss","statement":"RETURN 7"}`, ""},
		{"Query API: impersonation inside a transaction", "POST /db/neo4j/query/v2/tx/s1-1", `{"impersonatedUser":"boss","statement":"RETURN 7"}`, ""},
		{"legacy: a write", cypher, `{"query":"CREATE (n)","params":{}}`, ""},
		{"legacy: two", cypher, `{"query":"RETURN 7","query":"CREATE (n)"}`, ""},
		{"legacy batch", "POST /db/data/batch", `[{"method":"POST","to":"/node"}]`, ""},
		{"legacy node", "POST /db/data/node", `{}`, ""},
		{"legacy index", "POST /db/data/schema/index/A", `{"property_keys":["b"]}`, ""},
		{"legacy delete", "DELETE /db/data/node/1", "", ""},
		{"legacy property", "PUT /db/data/node/1/properties/x", "1", ""},
		{"legacy traversal", "POST /db/data/node/1/traverse/node", "{}", ""},
		{"legacy plugin", "POST /db/data/ext/GremlinPlugin/graphdb/execute_script", `{"script":"g.clear()"}`, ""},
		{"an unmanaged extension", "POST /my/extension", oneRead, ""},
		{"its PUT", "PUT /my/extension", oneRead, ""},
		{"PATCH", "PATCH /db/neo4j/tx/commit", oneRead, ""},
		{"PUT to a statement endpoint", "PUT /db/neo4j/tx/commit", oneRead, ""},
		{"DELETE of an endpoint", "DELETE /db/neo4j/tx/commit", "", ""},
		{"a password", "POST /user/neo4j/password", `{"password":"x"}`, ""},
		{"TRACE", "TRACE /db/neo4j/tx/commit", "", ""},
		{"a made-up method", "CREATE /db/neo4j/tx/commit", "", ""},
		{"another method by header", commit, oneRead, "X-HTTP-Method-Override: DELETE\r\n"},
		{"GET that is none", "GET /db/data/node/1", "", "X-HTTP-Method-Override: DELETE\r\n"},
		{"HEAD that is none", "HEAD /db/data/node/1", "", "X-Method-Override: PUT\r\n"},
		{"OPTIONS that is none", "OPTIONS /db/data/node/1", "", "x-http-method: POST\r\n"},
		{"GET with a body", "GET /db/neo4j/tx/commit", `{"statements":[{"statement":"CREATE (n)"}]}`, ""},
		{"dots in the path", "POST /db/neo4j/../data/batch/tx", oneRead, ""},
		{"dots for an id", "POST /db/neo4j/tx/..", oneRead, ""},
		{"escaped dots for an id", "POST /db/neo4j/tx/%2e%2e", oneRead, ""},
		{"matrix parameters", "POST /db/neo4j;x=y/tx/commit", oneRead, ""},
		{"an escaped slash", "POST /db/neo4j%2ftx/tx/commit", oneRead, ""},
		{"a backslash", "POST /db/neo4j\\x/tx/commit", oneRead, ""},
		{"two slashes", "POST /db//neo4j/tx/commit", oneRead, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				if chunked && c.body == "" {
					continue
				}
				before := len(member.all())
				framing := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(c.body), c.body)
				if chunked {
					half := len(c.body) / 2
					framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, c.body[:half], len(c.body)-half, c.body[half:])
				}
				client := g.raw()
				client.send(c.target + " HTTP/1.1\r\nHost: gate\r\n" + c.headers + framing)
				method, _, _ := strings.Cut(c.target, " ")
				resp, text := client.answer(method)
				unknown := resp.StatusCode == 404 && strings.Contains(c.target, "/tx/") // no transaction has such an id
				if resp.StatusCode != 403 && resp.StatusCode != 400 && !unknown || method != "HEAD" && !unknown && resp.StatusCode == 403 && !strings.Contains(text, bolt.CodeForbidden) {
					t.Errorf("chunked %v: got %d %s", chunked, resp.StatusCode, text)
				}
				for _, got := range member.all()[before:] {
					if got != "DELETE /db/neo4j/query/v2/tx/1 " {
						t.Errorf("chunked %v: the member got %s", chunked, got)
					}
				}
			}
		})
	}
	t.Run("longer than limits.request", func(t *testing.T) {
		client := g.raw()
		client.send(fmt.Sprintf(commit+" HTTP/1.1\r\nHost: gate\r\nContent-Length: %d\r\n\r\n", 30_000))
		if resp, text := client.answer("POST"); resp.StatusCode != 413 {
			t.Errorf("got %d %s", resp.StatusCode, text)
		}
	})
	before := len(member.all())
	for _, target := range []string{"GET /db/data/node/1", "HEAD /db/data/", "OPTIONS /db/data/node", "GET /my/extension?x=%20", "GET /browser/"} {
		client := g.raw()
		client.send(target + " HTTP/1.1\r\nHost: gate\r\n\r\n")
		method, _, _ := strings.Cut(target, " ")
		if resp, text := client.answer(method); resp.StatusCode != 200 {
			t.Errorf("%s: got %d %s", target, resp.StatusCode, text)
		}
	}
	if n := len(member.all()) - before; n != 5 {
		t.Errorf("the member got %d of 5 requests that read", n)
	}
}

// What is sent is what was read: header and body say the mode, and nothing of the client's says another.
func TestReadOnlyHTTPSendsTheMode(t *testing.T) {
	member := startScripted(t, "s1", answering(func(r *http.Request, body string) string {
		return ok(strings.Join(r.Header["Access-Mode"], ",") + " " + r.Header.Get("Content-Type") + " " + body)
	}))
	g := startRelay(t, func(_ *Options, f *Frontend) { f.Access = AccessReadOnly }, member)
	long := strings.Repeat(" ", 50_000)
	for _, c := range []struct{ target, headers, body, want string }{
		{"/db/neo4j/tx/commit", "", oneRead, "READ  " + oneRead},
		{"/db/neo4j/tx/commit", "Access-Mode: WRITE\r\naccess-mode: WRITE\r\n", oneRead, "READ  " + oneRead},
		{"/db/neo4j/tx", "", "", "READ  "},
		{"/db/neo4j/tx/s1-4", "Access-Mode: WRITE\r\n", oneRead, "  " + oneRead},
		{"/db/data/transaction/commit", "", long + oneRead, "READ  " + long + oneRead},
		{"/db/neo4j/query/v2", "", `{"statement":"RETURN 7"}`, `  {"accessMode":"Read","statement":"RETURN 7"}`},
		{"/db/neo4j/query/v2", "", ` {"statement":"RETURN 7", "accessMode" : "WRITE" }`, `   {"statement":"RETURN 7", "accessMode" : "Read" }`},
		{"/db/neo4j/query/v2", "Content-Type: application/json\r\n", `{"accessMode":"READ","statement":"` + `RETURN 7"}` + long, ` application/json {"accessMode":"Read","statement":"RETURN 7"}` + long},
		{"/db/neo4j/query/v2/tx", "", "", ` application/json {"accessMode":"Read"}`},
		{"/db/neo4j/query/v2/tx", "", "{ }", `  {"accessMode":"Read" }`},
		{"/db/neo4j/query/v2/tx/s1-4", "", "{}", `  {}`},
		{"/db/neo4j/query/v2/tx/s1-4", "", `{"accessMode":"WRITE"}`, `  {"accessMode":"Read"}`},
	} {
		client := g.raw()
		client.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gate\r\n%sContent-Length: %d\r\n\r\n%s", c.target, c.headers, len(c.body), c.body))
		if resp, text := client.answer("POST"); resp.StatusCode != 200 || text != c.want {
			t.Errorf("%s %.60q: got %d %.80q, want %.80q", c.target, c.body, resp.StatusCode, text, c.want)
		}
	}
}

// A text that the look takes for a read, and a member for a write, is refused all the same.
func TestReadOnlyHTTPIsEnforcedByMembersToo(t *testing.T) {
	for _, code := range []string{bolt.CodeAccessMode, bolt.CodeNotALeader} {
		var asked sync.Map
		member := func(name string) *scripted {
			return startScripted(t, name, answering(func(*http.Request, string) string {
				asked.Store(name, true)
				return ok(`{"results":[],"errors":[{"code":"` + code + `","message":"no"}]}`)
			}))
		}
		g := startRelay(t, func(_ *Options, f *Frontend) { f.Access = AccessReadOnly }, member("s1"), member("s2"))
		a := g.web("POST", "/db/neo4j/tx/commit", oneRead)
		if a.code() != code {
			t.Errorf("got %v", a)
		}
		if _, leader := asked.Load("s1"); leader {
			t.Errorf("%s: the leader was asked", code)
		}
	}
}
