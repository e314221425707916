package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// answer is what a test keeps of an HTTP response.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any // when it is a JSON object
}

// web asks a member, as the default user; headers come in pairs.
func (b *bench) web(method, member, path, body string, headers ...string) answer {
	b.t.Helper()
	transport := &http.Transport{DialContext: b.net.Dial, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+member+":7474"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.SetBasicAuth(DefaultUser, DefaultPassword)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&a.body)
	return a
}

// code is the first code in "errors"; "" when there is none.
func (a answer) code() string {
	list, _ := a.body["errors"].([]any)
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprint(list[0].(map[string]any)["code"])
}

func TestRoleEndpoints(t *testing.T) {
	type row = struct{ path, leader, follower, replica string }
	for _, g := range []struct {
		name string
		o    Options
		rows []row
	}{
		{"HA", Options{Generation: cluster.HA}, []row{
			{"/db/manage/server/ha/master", "200 true", "404 false", ""},
			{"/db/manage/server/ha/slave", "404 false", "200 true", ""},
			{"/db/manage/server/ha/available", "200 master", "200 slave", ""},
			{"/db/manage/server/core/writable", "403 ", "403 ", ""},
			{"/db/manage/server/causalclustering/writable", "403 ", "403 ", ""},
		}},
		{"causal 3.5", Options{Generation: cluster.Causal, ServerVersion: "3.5.35", Replicas: 1}, []row{
			{"/db/manage/server/causalclustering/writable", "200 true", "404 false", "404 false"},
			{"/db/manage/server/causalclustering/read-only", "404 false", "200 true", "200 true"},
			{"/db/manage/server/causalclustering/available", "200 true", "200 true", "200 true"},
			{"/db/manage/server/core/writable", "200 true", "404 false", "403 "},
			{"/db/manage/server/core/read-only", "404 false", "200 true", "403 "},
			{"/db/manage/server/read-replica/available", "403 ", "403 ", "200 true"},
			{"/db/manage/server/ha/master", "403 ", "403 ", "403 "},
		}},
		{"causal 4.4", Options{Generation: cluster.Causal, Replicas: 1}, clusterRows},
		{"autonomous", Options{Replicas: 1}, clusterRows},
		{"standalone", Options{Generation: cluster.Standalone}, []row{{"/db/neo4j/cluster/writable", "404 ", "", ""}, {"/dbms/cluster/status", "404 ", "", ""}}},
	} {
		t.Run(g.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, g.o)
				for _, r := range g.rows {
					for member, want := range map[string]string{"s1": r.leader, "s2": r.follower, "r1": r.replica} {
						if want == "" {
							continue
						}
						a := b.web("GET", member, r.path, "")
						if got := fmt.Sprint(a.status, " ", a.raw); got != want {
							t.Errorf("%s at %s: got %q; want %q", r.path, member, got, want)
						}
						if head := b.web("HEAD", member, r.path, ""); head.status != a.status || head.raw != "" {
							t.Errorf("HEAD %s at %s: got %d %q; want %d", r.path, member, head.status, head.raw, a.status)
						}
						if a := b.web("GET", member, r.path, "", "Authorization", ""); a.status != http.StatusUnauthorized {
							t.Errorf("%s without a login: got %d; want 401", r.path, a.status)
						}
					}
				}
			})
		})
	}
}

var clusterRows = []struct{ path, leader, follower, replica string }{
	{"/db/neo4j/cluster/writable", "200 true", "404 false", "404 false"},
	{"/db/neo4j/cluster/read-only", "404 false", "200 true", "200 true"},
	{"/db/neo4j/cluster/available", "200 true", "200 true", "200 true"},
	{"/db/system/cluster/writable", "404 false", "200 true", "404 false"},
	{"/db/nope/cluster/available", "404 ", "404 ", "404 "},
	{"/db/manage/server/causalclustering/writable", "404 ", "404 ", "404 "},
}

func TestStatusDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Replicas: 1, StatusOpen: true})
		a := b.web("GET", "s2", "/db/neo4j/cluster/status", "", "Authorization", "")
		members, _ := a.body["votingMembers"].([]any)
		if a.status != 200 || len(members) != 3 || a.body["leader"] != members[0] || a.body["core"] != true || a.body["lastAppliedRaftIndex"] == nil {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		var list []struct{ DatabaseName, DatabaseUuid string }
		a = b.web("GET", "r1", "/dbms/cluster/status", "", "Authorization", "")
		if err := json.Unmarshal([]byte(a.raw), &list); err != nil || len(list) != 2 || list[1].DatabaseName != "system" || !strings.HasSuffix(list[1].DatabaseUuid, "0001") {
			t.Errorf("got %v, %s", err, a.raw)
		}
	})
}

func TestDiscoveryNamesTheHostThatTheClientUsed(t *testing.T) {
	for version, want := range map[string]map[string]string{
		"3.5.35":  {"data": "http://gate:80/db/data/", "bolt": "bolt://gate:7687"},
		"4.4.48":  {"bolt_routing": "neo4j://gate:7687", "transaction": "http://gate:80/db/{databaseName}/tx", "neo4j_version": "4.4.48"},
		"5.26.30": {"bolt_direct": "bolt://gate:7687", "query": "http://gate:80/db/{databaseName}/query/v2", "neo4j_edition": "enterprise"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{Generation: cluster.Causal, ServerVersion: version})
			a := b.web("GET", "s1", "/", "", "Host", "gate:80", "Authorization", "")
			for key, value := range want {
				if a.body[key] != value {
					t.Errorf("%s: %s: got %v; want %s", version, key, a.body[key], value)
				}
			}
			if a := b.web("GET", "s1", "/", "", "Accept", "text/html"); a.status != http.StatusSeeOther || !strings.HasSuffix(a.header.Get("Location"), "/browser/") {
				t.Errorf("%s: a browser got %d", version, a.status)
			}
			if a := b.web("GET", "s1", "/", "", "Accept", "image/png"); a.status != http.StatusNotAcceptable {
				t.Errorf("%s: for a picture got %d; want 406", version, a.status)
			}
		})
	}
}

const oneWrite = `{"statements":[{"statement":"CREATE (n) RETURN n","parameters":{"mark":7}}]}`

func TestTransactionsOverHTTP(t *testing.T) {
	for version, path := range map[string]string{"3.5.35": "/db/data/transaction", "4.4.48": "/db/neo4j/tx", "5.26.30": "/db/neo4j/tx"} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{Generation: cluster.Causal, ServerVersion: version})
			a := b.web("POST", "s1", path, oneWrite, "X-Forwarded-Host", "gate:8090", "X-Forwarded-Proto", "https")
			at := a.header.Get("Location")
			if a.status != http.StatusCreated || at != "https://gate:8090"+path+"/1" || a.body["commit"] != at+"/commit" || a.code() != "" {
				t.Fatalf("%s: begin: got %d %q %s", version, a.status, at, a.raw)
			}
			if len(b.Log("")) != 0 {
				t.Errorf("%s: written before the commit", version)
			}
			if a := b.web("POST", "s2", path+"/1/commit", ""); a.status != http.StatusNotFound || a.code() != codeTxNotFound {
				t.Errorf("%s: at another member: got %d %s", version, a.status, a.raw)
			}
			if a := b.web("POST", "s1", path+"/1", `{"statements":[]}`); a.status != http.StatusOK || a.code() != "" {
				t.Errorf("%s: kept alive: got %d %s", version, a.status, a.raw)
			}
			a = b.web("POST", "s1", path+"/1/commit", "")
			if log := b.Log(""); a.status != http.StatusOK || a.code() != "" || len(log) != 1 || log[0].Marks[0] != int64(7) {
				t.Errorf("%s: commit: got %d %s, log %v", version, a.status, a.raw, log)
			}
			if _, ok := a.body["lastBookmarks"]; ok != (version == "5.26.30") {
				t.Errorf("%s: bookmarks: got %s", version, a.raw)
			}
			b.web("POST", "s1", path, oneWrite)
			if a := b.web("DELETE", "s1", path+"/2", ""); a.status != http.StatusOK {
				t.Errorf("%s: rollback: got %d %s", version, a.status, a.raw)
			}
			if a := b.web("POST", "s1", path+"/2/commit", ""); a.status != http.StatusNotFound {
				t.Errorf("%s: after the rollback: got %d", version, a.status)
			}
			b.web("POST", "s1", path, oneWrite)
			time.Sleep(2 * time.Minute)
			if a := b.web("POST", "s1", path+"/3/commit", ""); a.status != http.StatusNotFound {
				t.Errorf("%s: after its idle time: got %d", version, a.status)
			}
			if a := b.web("POST", "s2", path+"/commit", oneWrite); a.status != http.StatusOK || a.code() != "Neo.ClientError.Cluster.NotALeader" {
				t.Errorf("%s: write at a follower: got %d %s", version, a.status, a.raw)
			}
			if n := len(b.Log("")); n != 1 {
				t.Errorf("%s: got %d entries; want 1", version, n)
			}
		})
	}
}

func TestAccessModeOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{})
		a := b.web("POST", "s1", "/db/neo4j/tx/commit", oneWrite, "Access-Mode", "read")
		if a.code() != "Neo.ClientError.Statement.AccessMode" {
			t.Errorf("got %s", a.raw)
		}
		a = b.web("POST", "s1", "/db/neo4j/tx/commit", oneWrite, "Access-Mode", "perhaps")
		if a.status != 200 || a.code() != "Neo.ClientError.Request.InvalidFormat" {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		a = b.web("POST", "s1", "/db/nope/tx/commit", oneWrite)
		if a.status != 404 || a.code() != "Neo.ClientError.Database.DatabaseNotFound" {
			t.Errorf("got %d %s", a.status, a.raw)
		}
	})
}

func TestQueryAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Lag: time.Second})
		const path = "/db/neo4j/query/v2"
		a := b.web("POST", "s1", path, `{"statement":"CREATE (n) RETURN n","parameters":{"mark":"q"}}`)
		marks, _ := a.body["bookmarks"].([]any)
		if a.status != http.StatusAccepted || len(marks) != 1 || !strings.Contains(a.raw, `["s1","leader"`) {
			t.Fatalf("got %d %s", a.status, a.raw)
		}
		ask, _ := json.Marshal(map[string]any{"statement": "MATCH (n) RETURN n", "accessMode": "Read", "bookmarks": marks})
		begin := time.Now()
		if a := b.web("POST", "s2", path, string(ask)); a.status != 202 || time.Since(begin) != time.Second {
			t.Errorf("with the bookmark: got %d after %v; want 202 after 1s", a.status, time.Since(begin))
		}
		a = b.web("POST", "s1", path+"/tx", `{"statement":"CREATE (n)"}`)
		tx, _ := a.body["transaction"].(map[string]any)
		id := fmt.Sprint(tx["id"])
		if a.status != 202 || len(id) != 4 {
			t.Fatalf("begin: got %d %s", a.status, a.raw)
		}
		if a := b.web("POST", "s3", path+"/tx/"+id, "{}"); a.status != 404 || !strings.Contains(a.raw, "neo4j-cluster-affinity") {
			t.Errorf("at another member: got %d %s", a.status, a.raw)
		}
		if a := b.web("POST", "s1", path+"/tx/"+id+"/commit", ""); a.status != 202 || a.body["bookmarks"] == nil {
			t.Errorf("commit: got %d %s", a.status, a.raw)
		}
		if a := b.web("DELETE", "s1", path+"/tx/"+id, ""); a.status != 404 {
			t.Errorf("rollback of a committed one: got %d", a.status)
		}
		if n := len(b.Log("neo4j")); n != 2 {
			t.Errorf("got %d entries; want 2", n)
		}
		if a := b.web("POST", "s1", "/db/nope/query/v2", `{"statement":"RETURN 1"}`); a.status != 404 {
			t.Errorf("unknown database: got %d %s", a.status, a.raw)
		}
		if a := b.web("POST", "s1", path, `{"statement":"oops"}`); a.status != 400 || a.code() != codeSyntaxError {
			t.Errorf("no Cypher: got %d %s", a.status, a.raw)
		}
	})
}

func TestASlavePushesItsWritesToTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{Generation: cluster.HA, Lag: time.Hour})
		a := b.web("POST", "s3", "/db/data/transaction/commit", oneWrite)
		if log := b.Log(""); a.code() != "" || len(log) != 1 || log[0].Leader != "s1" || b.Applied("", "s3") != 2 || b.Applied("", "s2") != 1 {
			t.Errorf("got %s, log %+v", a.raw, log)
		}
		if a := b.web("POST", "s2", "/db/data/node", "{}"); a.status != http.StatusCreated || a.header.Get(MemberHeader) != "s2" {
			t.Errorf("REST write: got %d %s", a.status, a.raw)
		}
		if a := b.web("GET", "s2", "/db/data/", ""); a.body["member"] != "s2" || a.body["role"] != "follower" {
			t.Errorf("REST root: got %s", a.raw)
		}
		if n := len(b.Log("")); n != 2 {
			t.Errorf("got %d entries; want 2", n)
		}
	})
}

func TestALargeResultIsStreamedOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{})
		ask := `{"statements":[{"statement":"MATCH (n) RETURN n","parameters":{"rows":100,"bytes":10000}}]}`
		a := b.web("POST", "s1", "/db/neo4j/tx/commit", ask)
		results, _ := a.body["results"].([]any)
		rows := results[0].(map[string]any)["data"].([]any)
		last := rows[99].(map[string]any)["row"].([]any)
		text, _ := last[7].(string)
		if len(rows) != 100 || len(text) != 10000 {
			t.Fatalf("got %d rows, %d bytes", len(rows), len(text))
		}
		for i := range text {
			if text[i] != Payload(int64(i)) {
				t.Fatalf("byte %d: got %q; want %q", i, text[i], Payload(int64(i)))
			}
		}
	})
}

// TestTheQueryAPIStreamsEvents where it is asked to, from 2025.12 on.
func TestTheQueryAPIStreamsEvents(t *testing.T) {
	const path, jsonl = "/db/neo4j/query/v2", "application/vnd.neo4j.query.v1.1+jsonl"
	for _, version := range []string{"5.26.30", "2026.08.1"} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{ServerVersion: version})
			events := func(path, body string) (status int, list []string) {
				a := b.web("POST", "s1", path, body, "Accept", jsonl)
				if want := map[string]string{"5.26.30": "application/json", "2026.08.1": jsonl}[version]; a.header.Get("Content-Type") != want {
					t.Fatalf("%s: got %s; want %s", version, a.header.Get("Content-Type"), want)
				}
				for line := range strings.Lines(a.raw) {
					name, rest, _ := strings.Cut(strings.TrimPrefix(line, `{"$event":"`), `","_body":`)
					if !strings.HasSuffix(rest, "}\n") {
						name = "not an event: " + line
					}
					list = append(list, name)
				}
				return a.status, list
			}
			for _, c := range []struct{ path, body, want string }{
				{path, `{"statement":"RETURN 1","parameters":{"rows":2}}`, "202 [Header Record Record Summary]"},
				{path, `{"statement":"RETURN 1","parameters":{"fail":"Neo.TransientError.A.B","fail_at":"commit"}}`, "202 [Header Record Error]"},
				{path, `{"statement":"RETURN 1","parameters":{"fail":"Neo.TransientError.A.B"}}`, "400 [Error]"},
				{path + "/tx", `{}`, "202 [Header Summary]"},
			} {
				status, list := events(c.path, c.body)
				if got := fmt.Sprint(status, " ", list); version != "5.26.30" && got != c.want {
					t.Errorf("%s %s: got %s; want %s", c.path, c.body, got, c.want)
				}
			}
		})
	}
}
