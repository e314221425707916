package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
	"github.com/boltgate/boltgate/standin"
)

// This file holds the access log to what happened, and to what it must not hold.

// accessLog keeps the lines of the access log.
type accessLog struct {
	mu  sync.Mutex
	raw bytes.Buffer
}

func (l *accessLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.Write(p)
}

func (l *accessLog) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// take returns the access lines since the last call, and whether anything secret was logged at all.
func (l *accessLog) take(t *testing.T) (lines []m) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(l.raw.Bytes(), []byte(secret)) {
		t.Errorf("a query's text or parameter was logged: %s", l.raw.Bytes())
	}
	for d := json.NewDecoder(&l.raw); ; {
		var line m
		if err := d.Decode(&line); err == io.EOF {
			l.raw.Reset()
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		if line["msg"] == "access" {
			lines = append(lines, line)
		}
	}
}

// await takes lines until there are n.
func (l *accessLog) await(t *testing.T, n int) (lines []m) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(lines) < n; time.Sleep(time.Millisecond) {
		if lines = append(lines, l.take(t)...); time.Now().After(deadline) {
			t.Fatalf("got %d access lines, want %d: %v", len(lines), n, lines)
		}
	}
	return lines
}

// secret is in each text and parameter, and in no line.
const secret = "topsecret"

// said is a line in short: the attributes that do not change from run to run.
func said(line m) string {
	var words []string
	for _, key := range []string{"unit", "status", "access", "why", "reason", "at", "db", "sent", "end"} {
		if v, ok := line[key]; ok {
			words = append(words, fmt.Sprintf("%s=%v", key, v))
		}
	}
	return strings.Join(words, " ")
}

const readsOnly = "reason=only clauses that read"

func TestAccessLinesOfBolt(t *testing.T) {
	hidden := m{"p": secret}
	one := func(text string, extra m) func(w *wire) {
		return func(w *wire) { w.ask(run(w.v, text, hidden, extra), pull(w.v)) }
	}
	tests := []struct {
		name string
		do   func(w *wire)
		want string
	}{
		{"a declared read", one("MATCH (n) RETURN 'topsecret'", m{"mode": "r"}), "unit=auto-commit access=read why=declared db=neo4j sent=1 end=ok"},
		{"an undeclared one", one("MATCH (n) RETURN 'topsecret'", nil), "unit=auto-commit access=read why=text " + readsOnly + " db=neo4j sent=1 end=ok"},
		{"in pieces", func(w *wire) {
			two := stream(w.v, bolt.TagPull, m{"n": 2})
			w.ask(run(w.v, someRows, hidden, nil), two)
			w.ask(two)
			w.ask(two)
		}, "unit=auto-commit access=read why=text " + readsOnly + " db=neo4j sent=1 end=ok"},
		{"a failure", one("MATCH (n) RETURN 'topsecret' /*standin fail=Neo.ClientError.Statement.TypeError*/", m{"mode": "r"}),
			"unit=auto-commit access=read why=declared db=neo4j sent=1 end=Neo.ClientError.Statement.TypeError"},
		{"RESET in mid-stream", func(w *wire) {
			w.ask(run(w.v, someRows, hidden, m{"mode": "r"}), stream(w.v, bolt.TagPull, m{"n": 1}))
			w.ask(bolt.Reset)
		}, "unit=auto-commit access=read why=declared db=neo4j sent=1 end=reset"},
		{"one that the member took for a write", one(misjudged+" /*topsecret*/", nil), "unit=auto-commit access=write why=refused " + readsOnly + " db=neo4j sent=2 end=ok"},
		{"a write", one("MATCH (n)\n  SET n.p = 'topsecret'", nil), "unit=auto-commit access=write why=text reason=clause SET at=2:3 db=neo4j sent=1 end=ok"},
		{"a read behind what no member can read", one("MATCH (n) RETURN 'topsecret'", m{"bookmarks": []any{"nonsense"}}), ""},
		{"a text that was refused before", one(misjudged+" /*topsecret*/", nil), "unit=auto-commit access=write why=refused before " + readsOnly + " db=neo4j sent=1 end=ok"},
		{"a transaction", func(w *wire) {
			w.ask(beginTx(w.v, nil)...)
			w.ask(run(w.v, "CREATE (n {p: 'topsecret'})", hidden, nil), pull(w.v))
			w.ask(commitTx(w.v)...)
		}, "unit=transaction access=write why=transaction db=neo4j sent=1 end=ok"},
		{"one that is taken back", func(w *wire) {
			w.ask(beginTx(w.v, m{"mode": "r"})...)
			w.ask(rollbackTx(w.v)...)
		}, "unit=transaction access=read why=declared db=neo4j sent=1 end=rollback"},
		{"one that fails", func(w *wire) {
			w.ask(beginTx(w.v, nil)...)
			w.ask(run(w.v, failRun, hidden, nil), pull(w.v))
		}, "unit=transaction access=write why=transaction db=neo4j sent=1 end=Neo.ClientError.Statement.TypeError"},
		{"a command of one member", one("CALL dbms.listConfig() YIELD value /*topsecret*/", nil), ""},
		{"a command for system", one("SHOW USERS /*topsecret*/", nil), ""},
		{"an unknown database", one("MATCH (n) RETURN 'topsecret'", m{"mode": "r", "db": "nowhere"}),
			"unit=auto-commit access=read why=declared db=nowhere sent=1 end=Neo.ClientError.Database.DatabaseNotFound"},
		{"a client that leaves", func(w *wire) {
			w.ask(run(w.v, someRows, hidden, m{"mode": "r"}), stream(w.v, bolt.TagPull, m{"n": 1}))
			w.conn.Close()
		}, "unit=auto-commit access=read why=declared db=neo4j sent=1 end=client left"},
	}
	whys := map[string]string{"a read behind what no member can read": "access=read why=causality " + readsOnly + " db=neo4j sent=2 end=Neo.ClientError.Transaction.InvalidBookmark",
		"a command of one member": "why=one member", "a command for system": "why=system"}
	log := new(accessLog)
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, log: log.logger()}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		for _, test := range tests {
			log.take(t)
			test.do(w)
			synctest.Wait()
			lines := log.take(t)
			if len(lines) != 1 {
				t.Errorf("%s: got %d lines: %v", test.name, len(lines), lines)
				continue
			}
			line := lines[0]
			if got := said(line); test.want != "" && got != test.want || !strings.Contains(got, whys[test.name]) {
				t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want+whys[test.name])
			}
			if line["protocol"] != "bolt 5.8" || line["frontend"] != "main" || line["member"] == "" || line["session"] == "" || line["client"] == "" {
				t.Errorf("%s: %v", test.name, line)
			}
			if (line["member"] == g.cluster.Leader("neo4j")) != (line["access"] == "write" || line["why"] == "causality") && line["db"] == "neo4j" {
				t.Errorf("%s: access %v at %v; the leader is %s", test.name, line["access"], line["member"], g.cluster.Leader("neo4j"))
			}
			if test.name != "a client that leaves" {
				w.ask(bolt.Reset)
			}
		}
	})
}

// TestAccessLinesSayWhatNobodyServed, and how long it waited.
func TestAccessLinesSayWhatNobodyServed(t *testing.T) {
	log := new(accessLog)
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, log: log.logger()}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row(oneRow, nil, m{"mode": "r"})
		g.kill("s1", "s2", "s3")
		synctest.Wait()
		log.take(t)
		w.ask(auto(w.v, aWrite)...)
		synctest.Wait()
		line := log.take(t)[0]
		took, _ := line["took"].(float64)
		if got := said(line); got != "unit=auto-commit access=write why=text reason=clause CREATE at=1:1 db=neo4j sent=0 end="+bolt.CodeLeaderSwitch || took < 19e9 {
			t.Errorf("got %s took=%v", got, time.Duration(took))
		}
	})
}

func TestAccessLinesOfHTTP(t *testing.T) {
	statement := func(text string) string {
		b, _ := json.Marshal(m{"statements": []any{m{"statement": text, "parameters": m{"p": secret}}}})
		return string(b)
	}
	tests := []struct {
		name, method, path, body string
		headers                  []string
		want                     string
	}{
		{"a read", "POST", "/db/neo4j/tx/commit", statement("MATCH (n)\nRETURN 'topsecret'"), nil, "unit=request status=200 access=read why=text " + readsOnly + " db=neo4j sent=1 end=ok"},
		{"a declared read", "POST", "/db/neo4j/tx/commit", statement("MATCH (n) RETURN 'topsecret'"), []string{"X-Write", "0"},
			"unit=request status=200 access=read why=declared db=neo4j sent=1 end=ok"},
		{"the Query API", "POST", "/db/neo4j/query/v2", `{"statement": "MATCH (n) RETURN 'topsecret'", "accessMode": "READ"}`, nil,
			"unit=request status=202 access=read why=declared db=neo4j sent=1 end=ok"},
		{"a write", "POST", "/db/neo4j/tx/commit", statement("MATCH (n) // topsecret\n \tDELETE n"), nil,
			"unit=request status=200 access=write why=text reason=clause DELETE at=2:3 db=neo4j sent=1 end=ok"},
		{"a body that cannot be read", "POST", "/db/neo4j/tx/commit", `{"statements": "topsecret"}`, nil, ""},
		{"a transaction", "POST", "/db/neo4j/tx", statement("RETURN 'topsecret'"), nil, "unit=begin status=201 access=write why=transaction db=neo4j sent=1 end=ok"},
		{"no such transaction", "POST", "/db/neo4j/tx/s1-99/commit", statement("RETURN 'topsecret'"), nil, ""},
	}
	log := new(accessLog)
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, log: log.logger()})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log.take(t)
			a := g.web(test.method, test.path, test.body, test.headers...)
			line := log.await(t, 1)[0]
			if got := said(line); got != test.want && test.want != "" {
				t.Errorf("got  %s\nwant %s\n(%v)", got, test.want, a)
			}
			if line["protocol"] != "http" || line["status"] != float64(a.status) || line["member"] == "" {
				t.Errorf("%v: %v", a, line)
			}
		})
	}
	log.take(t)
	g.web("GET", "/", "")
	g.web("GET", "/db/neo4j/cluster/available", "")
	if lines := log.take(t); len(lines) != 0 {
		t.Errorf("what the gate answers itself is no unit of work: %v", lines)
	}
}

// TestAccessLinesOfRefusals: what a client that may only read was refused.
func TestAccessLinesOfRefusals(t *testing.T) {
	log := new(accessLog)
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{AccessLog: true}, log: log.logger(),
		frontend: func(f *Frontend) { f.Access = AccessReadOnly }})
	w := g.logged(bolt.V5_8)
	log.take(t)
	w.ask(run(w.v, "CREATE (n {p: 'topsecret'})", m{"p": secret}, nil), pull(w.v))
	line := log.await(t, 1)[0]
	if got := said(line); got != "unit=auto-commit access=write why=read-only reason=clause CREATE db= sent=0 end="+bolt.CodeForbidden {
		t.Errorf("got %s", got)
	}
	w.ask(bolt.Reset)
	w.ask(beginTx(w.v, nil)...)
	w.ask(run(w.v, "CREATE (n {p: 'topsecret'})", m{"p": secret}, nil), pull(w.v))
	line = log.await(t, 1)[0]
	if got := said(line); !strings.HasPrefix(got, "unit=transaction access=") || !strings.HasSuffix(got, "end="+bolt.CodeForbidden) {
		t.Errorf("got %s", got)
	}
	g.web("POST", "/db/neo4j/tx/commit", `{"statements": [{"statement": "CREATE (n {p: 'topsecret'})"}]}`)
	line = log.await(t, 1)[0]
	if got := said(line); !strings.Contains(got, "status=403") || !strings.HasSuffix(got, "end="+bolt.CodeForbidden) {
		t.Errorf("got %s", got)
	}
}

// TestTheAccessLogIsOffUnlessAskedFor, and a reload turns it on for the next unit.
func TestTheAccessLogIsOffUnlessAskedFor(t *testing.T) {
	log := new(accessLog)
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, log: log.logger()})
	w := g.logged(bolt.V5_8)
	w.row(oneRow, nil, nil)
	w.row(oneRow, nil, nil) // a line of the first would be written by then
	if lines := log.take(t); len(lines) > 0 {
		t.Errorf("nobody asked for %v", lines)
	}
	o := *g.server.options.Load()
	o.AccessLog = true
	if err := g.server.Apply(o, []*Frontend{g.server.fronts["main"].settings.Load()}); err != nil {
		t.Fatal(err)
	}
	w.row(oneRow, nil, nil)
	log.await(t, 1)
}

// text returns all that was logged since it was last looked at.
func (l *accessLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.raw.Reset()
	return l.raw.String()
}

// TestAccessLinesSayWhenTheLastMemberAnswered: what a member answered before the unit went elsewhere no client has seen.
func TestAccessLinesSayWhenTheLastMemberAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l accessLine
		for _, takes := range []time.Duration{time.Second, 3 * time.Second} {
			if l.again(); l.first != 0 {
				t.Errorf("before an answer of the next member: %v", l.first)
			}
			l.went(&pool.Lease{Member: &cluster.Member{Name: "s1"}})
			time.Sleep(takes)
			if l.answered(); l.first != takes {
				t.Errorf("got %v; want %v", l.first, takes)
			}
		}
		if l.goesOn(); l.first != 3*time.Second {
			t.Errorf("of a transaction that goes on elsewhere: %v", l.first)
		}
	})
}
