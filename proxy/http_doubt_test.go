package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what HTTP makes of commits of which a member does not know whether they took place.

// webBody is a body of one statement for path.
func webBody(path, text string, params m) string {
	body := any(m{"statements": []m{{"statement": text, "parameters": params}}})
	switch {
	case strings.Contains(path, "query"):
		body = m{"statement": text, "parameters": params}
	case strings.Contains(path, "cypher"):
		body = m{"query": text, "params": params}
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Forms of the Query API's answers.
const inOnePiece, asEvents = "application/json", "application/vnd.neo4j.query.v1.1+jsonl"

// message is what the first of "errors" says.
func (a webAnswer) message() string {
	if list, _ := a.body["errors"].([]any); len(list) > 0 {
		return fmt.Sprint(list[0].(map[string]any)["message"])
	}
	return ""
}

// TestADoubtOfTheMembersOwnIsNotRetryableOverHTTP is TestADoubtOfTheMembersOwnIsNotRetryable for each endpoint that commits, with answers that
// are here at once and those that are too long to be held.
func TestADoubtOfTheMembersOwnIsNotRetryableOverHTTP(t *testing.T) {
	const deadlock, unheard = "Neo.TransientError.Transaction.DeadlockDetected", "Neo.DatabaseError.Unheard.Of"
	told := map[string]string{
		codeReplication: bolt.CodeCommitFailed, bolt.CodeDatabaseUnavailable: bolt.CodeCommitFailed, bolt.CodeLeaderSwitch: bolt.CodeCommitFailed,
		"Neo.TransientError.General.Unheard": bolt.CodeCommitFailed, deadlock: deadlock, unheard: unheard,
	}
	for _, r := range []struct {
		kind           cluster.Generation
		server, accept string
		auto, begin    []string
	}{
		{cluster.Causal, "3.5.35", inOnePiece, []string{"/db/data/transaction/commit", "/db/data/cypher"}, []string{"/db/data/transaction"}},
		{cluster.Causal, "4.4.48", inOnePiece, []string{"/db/neo4j/tx/commit"}, []string{"/db/neo4j/tx"}},
		{cluster.Autonomous, "5.26.30", inOnePiece, []string{"/db/neo4j/tx/commit", "/db/neo4j/query/v2"}, []string{"/db/neo4j/tx", "/db/neo4j/query/v2/tx"}},
		{cluster.Autonomous, "2026.08.1", asEvents, []string{"/db/neo4j/query/v2"}, []string{"/db/neo4j/query/v2/tx"}},
	} {
		t.Run(r.server+" "+r.accept, func(t *testing.T) {
			var log bytes.Buffer
			o := gateOptions{standin: standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1}, log: slog.New(slog.NewTextHandler(&log, nil))}
			inBubble(t, o, func(t *testing.T, g *gate) {
				g.overMemory()
				post := func(path, body string) webAnswer { return g.web("POST", path, body, "Accept", r.accept) }
				leader := g.cluster.Leader("")
				doubts, events := int64(0), []Doubt(nil)
				g.server.OnDoubt = func(d Doubt) { events = append(events, d) }
				check := func(what, code string, explicit bool, a webAnswer) {
					t.Helper()
					got, message := a.code(), a.message()
					if got != told[code] || a.status == 503 {
						t.Errorf("%s answered with %s: %d %.300s", what, code, a.status, a.raw)
					}
					if told[code] != code && (!strings.Contains(message, "Look before you try again") || !strings.Contains(message, leader) || !strings.Contains(message, code)) {
						t.Errorf("%s answered with %s: the message is %q", what, code, message)
					}
					if code != deadlock {
						doubts++
						if n := len(events); n == 0 || events[n-1].Code != code || events[n-1].Member != leader || events[n-1].Explicit != explicit || events[n-1].Protocol != "http" {
							t.Errorf("%s answered with %s: told of %+v", what, code, events)
						}
					}
					if n := g.server.Counts().InDoubt; n != doubts || len(events) != int(doubts) {
						t.Fatalf("%s answered with %s: counted %d, told of %d; want %d", what, code, n, len(events), doubts)
					}
				}
				for code := range told {
					for size, params := range map[string]m{"no row": {}, "a row": {}, "a long answer": {"rows": 40, "bytes": 1000}, "one that comes slowly": {"rows": 3, "row_delay": "50ms"}} {
						params["fail"], params["fail_at"] = code, "commit"
						text := aWrite
						if size == "no row" {
							text = "CREATE (n)"
						}
						for _, path := range r.auto {
							check(path+", "+size, code, false, post(path, webBody(path, text, params)))
						}
						for _, path := range r.begin {
							began := post(path, webBody(path, "CREATE (n)", m{"fail": code, "fail_at": "commit"}))
							body := webBody(path, text, params)
							if size == "no row" {
								body = "{}"
							}
							check(path+", COMMIT, "+size, code, true, post(began.txPath(path)+"/commit", body))
						}
						if a := post(r.auto[0], webBody(r.auto[0], oneRow, nil)); a.field("member") == "" {
							t.Errorf("the next request: %v", a)
						}
					}
				}
				if n := strings.Count(log.String(), "outcome in doubt"); n != int(doubts) {
					t.Errorf("logged %d times; want %d", n, doubts)
				}
				if n := len(g.marks()); n != 0 {
					t.Errorf("%d commits took place: something was sent again", n)
				}
			})
		})
	}
}

// overMemory lets the gate's web clients go over the network of the bubble.
func (g *gate) overMemory() {
	g.kept = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return g.network.Dial(ctx, network, g.address)
	}}}
}

// TestACommitRefusedBeforeItBeganGoesElsewhere: the same code, where no result had begun, proves that nothing was done.
func TestACommitRefusedBeforeItBeganGoesElsewhere(t *testing.T) {
	for _, begun := range []bool{false, true} {
		answers := 0
		refuses := answering(func(r *http.Request, body string) string {
			if !strings.Contains(body, "CREATE") {
				return ok("{}")
			}
			if answers++; answers > 1 {
				return ok(`{"results":[],"errors":[]}`)
			}
			results := ""
			if begun {
				results = `{"columns":[],"data":[]}`
			}
			return ok(`{"results":[` + results + `],"errors":[{"code":"` + bolt.CodeDatabaseUnavailable + `","message":"no"}]}`)
		})
		g := startRelay(t, nil, startScripted(t, "s1", refuses))
		conn := g.raw()
		body := webBody("/tx", "CREATE (n)", nil)
		conn.send("POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: gate\r\nContent-Length: " + lengthOf(body) + "\r\n\r\n" + body)
		if !begun {
			waitFor(t, "the refusal was reported", func() bool { return len(g.current.Reports()) > 0 })
			v := *g.current.View()
			g.current.Publish(&v) // by which the member may be asked again
		}
		_, got := conn.answer("POST")
		if doubt := strings.Contains(got, codeCommitFailed); doubt != begun || answers != map[bool]int{false: 2, true: 1}[begun] {
			t.Errorf("a result had begun: %v; got %s after %d answers", begun, got, answers)
		}
		if n := g.server.Counts().InDoubt; (n == 1) != begun {
			t.Errorf("a result had begun: %v; %d in doubt", begun, n)
		}
	}
}

// TestACommitAnsweredWithoutACode: a status of 500 and above that says nothing more leaves open what became of a commit, and 503 would be taken for
// a reason to try again. What is too long to be held is passed on.
func TestACommitAnsweredWithoutACode(t *testing.T) {
	const write, read = `{"statements":[{"statement":"CREATE (n)"}]}`, `{"statements":[{"statement":"MATCH (n) RETURN n"}]}`
	long := "503 Oops\r\nContent-Length: " + strconv.Itoa(8*bufferSize) + "\r\n\r\n" + strings.Repeat("long", 2*bufferSize)
	for _, c := range []struct {
		path, body, answer string
		doubts             int64
	}{
		{"/db/neo4j/tx/commit", write, "500 Oops\r\nContent-Length: 4\r\n\r\nOops", 1},
		{"/db/neo4j/tx/commit", write, "500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOo\r\n2\r\nps\r\n0\r\n\r\n", 1},
		{"/db/neo4j/tx/s1-7/commit", "{}", "503 Oops\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", 1},
		{"/db/neo4j/tx/s1-7/commit", "{}", "503 Oops\r\nRetry-After: 1\r\nContent-Encoding: x\r\nContent-Length: 1\r\n\r\nx", 1},
		{"/db/neo4j/tx/s1-7/commit", "{}", "503 Oops\r\nRetry-After: 1\r\nContent-Length: 62\r\n\r\n" + `{"errors":[{"code":"Neo.TransientError.General.OutOfMemory" }]}`[:62], 1},
		{"/db/neo4j/tx/commit", write, long, 1},
		{"/db/neo4j/tx/s1-7", write, "503 Oops\r\nContent-Length: 0\r\n\r\n", 0},
		{"/db/neo4j/tx/commit", read, "500 Oops\r\nContent-Length: 4\r\n\r\nOops", 0},
		{"/db/neo4j/tx/commit", write, "404 Oops\r\nContent-Length: 4\r\n\r\nOops", 0},
		{"/db/neo4j/tx/commit", write, "500 Oops\r\nContent-Length: 61\r\n\r\n" + `{"errors":[{"code":"Neo.ClientError.Statement.SyntaxError" }]}`[:61], 0},
	} {
		g := startRelay(t, nil, startScripted(t, "s1", answering(func(*http.Request, string) string { return "HTTP/1.1 " + c.answer })))
		conn := g.raw()
		conn.send("POST " + c.path + " HTTP/1.1\r\nHost: gate\r\nContent-Length: " + lengthOf(c.body) + "\r\n\r\n" + c.body)
		resp, body := conn.answer("POST")
		told := resp.StatusCode == 502 && strings.Contains(body, codeCommitFailed) && strings.Contains(body, "s1 said") && resp.Header.Get("Retry-After") == ""
		passed := strings.HasPrefix(c.answer, resp.Status) && !strings.Contains(body, codeCommitFailed)
		if want := c.doubts == 1 && c.answer != long; told != want || passed == want {
			t.Errorf("%s %s: got %s %.500s; the member said %.500s", c.path, c.body, resp.Status, body, c.answer)
		}
		if n := g.server.Counts().InDoubt; n != c.doubts {
			t.Errorf("%s %s answered with %.500q: %d in doubt; want %d", c.path, c.body, c.answer, n, c.doubts)
		}
		conn.send("POST " + c.path + " HTTP/1.1\r\nHost: gate\r\nContent-Length: 2\r\n\r\n{}")
		conn.answer("POST") // the connections are in order
	}
}

// TestAnAnswerToACommitThatBreaksOffIsInDoubt: a part of it was delivered, so that its client can only be told by the end of its connection.
func TestAnAnswerToACommitThatBreaksOffIsInDoubt(t *testing.T) {
	for name, rest := range map[string]string{"lost": "", "garbage": "nonsense\r\n\r\n", "behind a doubt": "54\r\n" + `]}]}],"errors":[{"code":"Neo.TransientError.Cluster.ReplicationFailure","message":""` + "\r\n"} {
		t.Run(name, func(t *testing.T) {
			delivered := make(chan struct{})
			g := startRelay(t, nil, startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)                                                         //nolint:errcheck // the answer tells
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n"+ //nolint:errcheck // the client tells
					`{"results":[{"columns":["n"],"data":[`+"\r\n9\r\n"+`{"row":[1`+"\r\n")
				<-delivered
				io.WriteString(conn, rest) //nolint:errcheck // as above
			}))
			conn := g.raw()
			body := webBody("tx", aWrite, nil)
			conn.send("POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: gate\r\nContent-Length: " + lengthOf(body) + "\r\n\r\n" + body)
			resp, err := http.ReadResponse(conn.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 0x25+9)); err != nil {
				t.Fatal(err)
			}
			close(delivered)
			text, err := io.ReadAll(resp.Body)
			if err != io.ErrUnexpectedEOF || strings.Contains(string(text), `"code":"`+codeReplication) {
				t.Errorf("got %q, %v; want the connection broken", text, err)
			}
			if n := g.server.Counts().InDoubt; n != 1 {
				t.Errorf("counted %d; want 1", n)
			}
		})
	}
}

// TestADoubtIsFoundAtEveryCut: however an answer comes, its code and message become ours, and nothing else changes.
func TestADoubtIsFoundAtEveryCut(t *testing.T) {
	const message = `"message":"It said \"no\"."`
	for _, c := range []struct {
		name, target, answer string
		doubt                bool
	}{
		{"tx", "/db/neo4j/tx/commit", `{"results":[{"columns":["a"],"data":[{"row":["Neo.TransientError.A.B"],"meta":[null]}]}],"errors":[{"code":"CODE",` + message + `}]}`, true},
		{"tx, no result", "/db/neo4j/tx/commit", `{"results":[],"errors":[{"code":"CODE",` + message + `}]}`, true},
		{"COMMIT", "/db/neo4j/tx/s1-7/commit", `{"results":[],"errors":[{"code":"CODE",` + message + `}]}`, true},
		{"Query API", "/db/neo4j/query/v2", `{"data":{"fields":["n"],"values":[[{"errors":[{"code":"CODE"}]}]]},"errors":[{"code":"CODE",` + message + `}]}`, true},
		{"cypher", "/db/data/cypher", `{` + message + `,"exception":"X","errors":[{` + message + `,"code":"CODE"}]}`, true},
		{"in pieces of their own", "/db/neo4j/tx/commit", `{"header":{"fields":["n"]}}` + "\n" + `{"data":["CODE"]}` + "\n" + `{"error":{"errors":[{"code":"CODE",` + message + `}]}}`, true},
		{"events", "/db/neo4j/query/v2", `{"$event":"Header","_body":{"fields":["n"]}}` + "\n" + `{"$event":"Record","_body":[{"code":"CODE"},{"errors":[{"code":"CODE"}]}]}` + "\n" +
			`{"$event":"Error","_body":[{"code":"CODE",` + message + `}]}`, true},
		{"events that look so", "/db/neo4j/query/v2", `{"$event":"Header","_body":{"fields":["$event"]}}` + "\n" + `{"$event":"Record","_body":[{"$event":"Error","_body":[{"code":"CODE"}]}]}` + "\n" +
			`{"$event":"Errors","_body":[{"code":"CODE"}]}` + "\n" + `{"_body":[{"code":"CODE"}],"$event":"Summary"}` + "\n", false},
		{"a row that looks so", "/db/neo4j/tx/commit", `{"results":[{"columns":["a"],"data":[{"row":[{"errors":[{"code":"CODE"}]}]}]}],"errors":[]}`, false},
		{"a notification", "/db/neo4j/tx/commit", `{"results":[{"data":[]}],"notifications":[{"code":"CODE"}],"errors":[]}`, false},
		{"behind what proves that nothing was committed", "/db/neo4j/tx/commit", `{"results":[{"data":[]}],"errors":[{"code":"Neo.ClientError.Schema.ConstraintValidationFailed"},{"code":"CODE"}]}`, false},
	} {
		answer := strings.ReplaceAll(c.answer, "CODE", codeReplication)
		for cut := range len(answer) {
			e := editOf("gate", false)
			e.c.srv, e.doubtEdit = &Server{log: slog.New(slog.DiscardHandler)}, doubtEdit{watch: true, name: "s1"}
			e.c.w.path, e.c.w.unit.post, e.c.w.unit.texts = parseRoute([]byte(c.target)), true, statements{known: true, clean: true}
			got := e.append(nil, []byte(answer[:cut]))
			got = e.flush(e.append(got, []byte(answer[cut:])))
			want := answer
			if c.doubt {
				at := strings.LastIndex(want, codeReplication)
				want = want[:at] + strings.Replace(want[at:], codeReplication, codeCommitFailed, 1)
				if says := strings.LastIndex(want, message); says > at {
					want = want[:says] + `"message":"boltgate: ` + doubtMessage("s1", codeReplication) + `"` + want[says+len(message):]
				}
			}
			if string(got) != want || (e.c.srv.counts.doubt.Load() == 1) != c.doubt {
				t.Fatalf("%s, cut at %d: got\n%s\nwant\n%s\n(%d in doubt)", c.name, cut, got, want, e.c.srv.counts.doubt.Load())
			}
		}
	}
}

// TestAMessageOfAnyLengthIsReplaced, and is not held for it.
func TestAMessageOfAnyLengthIsReplaced(t *testing.T) {
	e := editOf("gate", false)
	e.c.srv, e.doubtEdit = &Server{log: slog.New(slog.DiscardHandler)}, doubtEdit{watch: true, name: "s1"}
	e.c.w.path, e.c.w.unit.post = parseRoute([]byte("/db/neo4j/tx/s1-7/commit")), true
	var got []byte
	for piece := range slices.Chunk([]byte(`{"errors":[{"code":"`+codeReplication+`","message":"`+strings.Repeat(`\"no\" `, maxEditedString)+`"}]}`), 100) {
		got = e.append(got, piece)
		if len(e.held) > 200 {
			t.Fatalf("%d bytes are held", len(e.held))
		}
	}
	want := `{"errors":[{"code":"` + codeCommitFailed + `","message":"boltgate: ` + doubtMessage("s1", codeReplication) + `"}]}`
	if got, _ = e.last(got); string(got) != want {
		t.Errorf("got %.1000s", got)
	}
}

// TestADoubtAboutATextThatCommitsByItself: it may have committed a part of its work before a result begins, whatever becomes of the rest.
func TestADoubtAboutATextThatCommitsByItself(t *testing.T) {
	const once, batches = "CREATE (n)", "LOAD CSV FROM 'x' AS row CALL (row) { CREATE (n) } IN TRANSACTIONS"
	const ended, shutsDown = "Neo.TransientError.Transaction.Terminated", bolt.CodeDatabaseUnavailable
	for _, c := range []struct {
		text, code string
		begun      bool
		want       string
	}{
		{batches, ended, false, codeCommitFailed},
		{batches, ended, true, codeCommitFailed},
		{batches, shutsDown, false, codeCommitFailed},
		{batches, "Neo.ClientError.Statement.SyntaxError", false, "Neo.ClientError.Statement.SyntaxError"},
		{batches, bolt.CodeNotALeader, false, bolt.CodeNotALeader},
		{once, ended, false, ended},
		{once, ended, true, ended},
	} {
		results := ""
		if c.begun {
			results = `{"columns":[],"data":[]}`
		}
		answer := ok(`{"results":[` + results + `],"errors":[{"code":"` + c.code + `","message":"no"}]}`)
		g := startRelay(t, nil, startScripted(t, "s1", answering(func(*http.Request, string) string { return answer })))
		conn := g.raw()
		send := func(more string) string {
			body := webBody("/tx", c.text, nil)
			conn.send("POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: gate\r\n" + more + "Content-Length: " + lengthOf(body) + "\r\n\r\n" + body)
			_, got := conn.answer("POST")
			return got
		}
		if got := send(""); !strings.Contains(got, `"code":"`+c.want+`"`) {
			t.Errorf("%s answered with %s, a result had begun: %v: got %s", c.text, c.code, c.begun, got)
		}
		if n := g.server.Counts().InDoubt; (n == 1) != (c.want == codeCommitFailed) {
			t.Errorf("%s answered with %s, a result had begun: %v: %d in doubt", c.text, c.code, c.begun, n)
		}
		doubts := g.server.Counts().InDoubt
		if got := send("Access-Mode: READ\r\n"); !strings.Contains(got, c.code) || g.server.Counts().InDoubt != doubts {
			t.Errorf("%s, which its member holds to reading, answered with %s: got %s", c.text, c.code, got)
		}
	}
}
