package proxy

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// openAt is how many HTTP transactions are counted at each member, those with none left out.
func (g *gate) openAt() string {
	var all []string
	for _, m := range g.cluster.Members() {
		if n := g.server.Transactions(m); n > 0 {
			all = append(all, fmt.Sprint(m.Name, "=", n))
		}
	}
	return strings.Join(all, " ")
}

func TestOpenHTTPTransactionsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name, path, body string
		o                standin.Options
	}{
		{"3.5", "/db/data/transaction", stmt("CREATE (n) RETURN n"), standin.Options{Generation: cluster.HA, Members: 3, Seed: 3}},
		{"5.26", "/db/neo4j/tx", stmt("CREATE (n) RETURN n"), lab},
		{"Query API", "/db/neo4j/query/v2/tx", queryBody("CREATE (n) RETURN n"), lab},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startWhole(t, gateOptions{standin: tt.o})
			begin := func() (member, location string) {
				t.Helper()
				a := g.web("POST", tt.path, tt.body)
				if location = a.header.Get("Location"); location == "" {
					tx, _ := a.body["transaction"].(map[string]any)
					location = tt.path + "/" + fmt.Sprint(tx["id"])
				}
				return a.field("member"), location
			}
			want := func(what, counted string) {
				t.Helper()
				waitFor(t, fmt.Sprintf("%s: %q", what, counted), func() bool { return g.openAt() == counted }) // the answer comes first
			}
			member, first := begin()
			want("begun", member+"=1")
			g.web("POST", first, tt.body)
			want("used", member+"=1")
			_, second := begin()
			want("another", member+"=2")
			g.web("DELETE", second, "")
			want("rolled back", member+"=1")
			g.web("POST", first+"/commit", "")
			want("committed", "")
			_, third := begin()
			g.web("POST", third, strings.Replace(tt.body, "CREATE (n)", "CREATE (n /*standin fail=Neo.ClientError.Statement.SyntaxError*/)", 1))
			want("failed", "")
			g.web("POST", first, tt.body)
			want("one that is not there", "")
			g.web("POST", strings.TrimSuffix(tt.path, "/tx")+map[bool]string{true: "/commit"}[tt.name != "Query API"], tt.body)
			want("one request", "")
		})
	}
}

func TestATransactionThatTheGateEndsCountsNoMore(t *testing.T) {
	g := startWhole(t, gateOptions{standin: lab, frontend: func(f *Frontend) { f.Access = AccessReadOnly }})
	a := g.web("POST", "/db/neo4j/tx", stmt("MATCH (n) RETURN n"))
	waitFor(t, "it is counted", func() bool { return g.openAt() == a.field("member")+"=1" })
	if a := g.web("POST", a.header.Get("Location"), stmt("CREATE (n) RETURN n")); a.status != 403 {
		t.Fatalf("a write: got %v", a)
	}
	waitFor(t, "it counts no more", func() bool { return g.openAt() == "" })
}

func TestATransactionCountsUntilItsMemberGivesItUp(t *testing.T) {
	g := startWhole(t, gateOptions{standin: standin.Options{Members: 1, Seed: 1, TxIdle: 5 * time.Second}})
	g.web("POST", "/db/neo4j/tx", stmt("CREATE (n) RETURN n"))
	waitFor(t, "it is counted", func() bool { return g.openAt() == "s1=1" })
	waitFor(t, "its time was over", func() bool { return g.openAt() == "" })
}

func TestShutdownWaitsForAnIdleHTTPTransaction(t *testing.T) {
	g := startGate(t, gateOptions{standin: single})
	c := g.raw()
	login := base64.StdEncoding.EncodeToString([]byte(standin.DefaultUser + ":" + standin.DefaultPassword))
	post := func(path string) *http.Response {
		c.send("POST " + path + " HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic " + login + "\r\nContent-Length: 2\r\n\r\n{}")
		resp, _ := c.answer("POST")
		return resp
	}
	location := post("/db/neo4j/tx").Header.Get("Location")
	done := shutdownIn(g, patience)
	waitFor(t, "connections were not accepted any more", g.refuses)
	select {
	case err := <-done:
		t.Fatalf("over while a transaction was open: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if resp := post(strings.TrimPrefix(location, "http://gate") + "/commit"); resp.StatusCode != 200 {
		t.Errorf("commit on a connection that was open: %s", resp.Status)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestWhatAMemberSaysOfATransactionsTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"Sat, 21 Nov 2026 12:00:30 GMT":   30 * time.Second, // 4.x
		"Sat, 21 Nov 2026 12:00:30 +0000": 30 * time.Second, // 3.x
		"2026-11-21T12:01:30Z":            90 * time.Second, // Query API
		"2026-11-21T12:01:30.25Z":         90*time.Second + 250*time.Millisecond,
		"Sat, 21 Nov 2026 11:00:00 GMT":   idleTx, // its clock is behind
		"Sun, 22 Nov 2026 12:00:00 GMT":   idleTx, // or ahead
		"soon":                            idleTx,
		"":                                idleTx,
	} {
		var u httpUnit
		u.stays([]byte(text), now)
		if got := u.txUntil.Sub(now); got != want || !u.txStays {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// TestALostCommitOverHTTPOfATransactionThatReads: as over Bolt nothing is in doubt where the begin declared a read, and its member holds the
// transaction to that.
func TestALostCommitOverHTTPOfATransactionThatReads(t *testing.T) {
	const tx, query = "/db/neo4j/tx", "/db/neo4j/query/v2/tx"
	read, declared := []string{"Access-Mode", "READ"}, `{"accessMode":"Read"}`
	for _, c := range []struct {
		name, server, path, begin string
		headers                   []string
		doubt                     bool
	}{
		{"declared", "5.26.30", tx, "", read, false},
		{"declared", "5.26.30", query, declared, nil, false},
		{"declared with a statement", "5.26.30", query, `{"accessMode":"Read","statement":"MATCH (n) RETURN n"}`, nil, false},
		{"not declared", "5.26.30", tx, "", nil, true},
		{"not declared", "5.26.30", query, "{}", nil, true},
		{"declared to the gate alone", "5.26.30", tx, "", []string{"X-Write", "0"}, true},
		{"declared by the other endpoint's way", "5.26.30", query, "{}", read, true},
		{"declared twice", "5.26.30", query, `{"accessMode":"Read","accessMode":"Write"}`, nil, true},
		{"a member that knows no mode", "4.3.23", tx, "", read, true},
	} {
		t.Run(fmt.Sprint(c.name, " ", c.server, " ", c.path), func(t *testing.T) {
			o := standin.Options{ServerVersion: c.server, Seed: 1}
			if c.server < "5" {
				o.Generation = cluster.Causal
			}
			inBubble(t, gateOptions{standin: o}, func(t *testing.T, g *gate) {
				g.overMemory()
				for i, fault := range []m{{"close": "commit"}, {"close": "committed"}, {"fail": bolt.CodeDatabaseUnavailable, "fail_at": "commit"}} {
					began := g.web("POST", c.path, c.begin, c.headers...)
					url := began.txPath(c.path)
					g.web("POST", url, webBody(url, "MATCH (n) RETURN n", fault))
					synctest.Wait() // until the gate has noted it
					a := g.web("POST", url+"/commit", "{}")
					doubt := a.code() == codeCommitFailed && a.status != 503
					if told := a.code() == codeLeaderSwitch && a.status == 503; doubt != c.doubt || told == c.doubt {
						t.Errorf("%v: got %d %s; want it in doubt: %v", fault, a.status, a.raw, c.doubt)
					}
					if n := g.server.Counts().InDoubt; int(n) != map[bool]int{true: i + 1}[c.doubt] {
						t.Errorf("%v: %d in doubt", fault, n)
					}
					time.Sleep(5 * time.Second) // whoever was taken for unreachable is there again
				}
			})
		})
	}
}

// TestATransactionsIDMayComeAgain: a member that was down may have given it to another one, of which this gate heard nothing.
func TestATransactionsIDMayComeAgain(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Members: 1, Seed: 1}}, func(t *testing.T, g *gate) {
		g.overMemory()
		read := g.web("POST", "/db/neo4j/tx", "", "Access-Mode", "READ").txPath("/db/neo4j/tx")
		synctest.Wait() // until the gate has noted it
		g.kill("s1")
		g.await(func(v *cluster.View) bool { return !v.Members[0].Up })
		g.restart("s1")
		g.await(func(v *cluster.View) bool { return v.Members[0].Role("neo4j") == cluster.Leader })
		past := &gate{t: t, network: g.network, address: g.cluster.Members()[0].HTTP}
		past.overMemory()
		begun := past.web("POST", "/db/neo4j/tx", webBody("tx", "CREATE (n)", m{"close": "committed"}))
		if id := strings.TrimPrefix(read, "/db/neo4j/tx/s1-"); begun.txPath("") != "/"+id {
			t.Fatalf("the transactions are %s and %v", read, begun)
		}
		if a := g.web("POST", read+"/commit", ""); a.status != 502 || a.code() != codeCommitFailed {
			t.Errorf("got %v", a)
		}
	})
}
