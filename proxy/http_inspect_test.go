package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestAnAnswerThatBreaksOffIsAnsweredOnce: an answer that is held until it is clear what it says, and breaks off or becomes garbage before that,
// leaves its client with one answer and a connection that serves the next request. A read goes to another member.
func TestAnAnswerThatBreaksOffIsAnsweredOnce(t *testing.T) {
	const write, read = `{"statements":[{"statement":"CREATE (n)"}]}`, `{"statements":[{"statement":"MATCH (n) RETURN n"}]}`
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, path, body string
		status           int
		code             string // "": the other member's answer
	}{
		{"a write", "/db/neo4j/tx/commit", write, 502, codeCommitFailed},
		{"a read", "/db/neo4j/tx/commit", read, 200, ""},
		{"a begin", "/db/neo4j/tx", write, 503, codeLeaderSwitch},
		{"a request in a transaction", "/db/neo4j/tx/s1-7", write, 503, codeLeaderSwitch},
		{"a commit", "/db/neo4j/tx/s1-7/commit", write, 502, codeCommitFailed},
	} {
		for name, rest := range map[string]string{"breaks off": "c\r\n{\"results\":[\r\n", "garbage": "c\r\n{\"results\":[\r\nnonsense\r\n\r\n"} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				bad := func(_ *scripted, conn net.Conn, br *bufio.Reader) {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body) //nolint:errcheck // the answer tells
					answer := head + rest
					if r.Method == "GET" {
						answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
					}
					io.WriteString(conn, answer) //nolint:errcheck // the client tells
				}
				leader, reader := startScripted(t, "s1", bad), startScripted(t, "s2", answering(echo))
				if c.body == read {
					leader, reader = startScripted(t, "s1", answering(echo)), startScripted(t, "s2", bad)
				}
				conn := startRelay(t, nil, leader, reader).raw()
				conn.send("POST " + c.path + " HTTP/1.1\r\nHost: gate\r\nContent-Length: " + lengthOf(c.body) + "\r\n\r\n" + c.body)
				if resp, body := conn.answer("POST"); resp.StatusCode != c.status || !strings.Contains(body, c.code) {
					t.Fatalf("got %d %s; want %d %s", resp.StatusCode, body, c.status, c.code)
				}
				conn.send("GET /browser/x HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
				if resp, body := conn.answer("GET"); resp.StatusCode == c.status && strings.Contains(body, "results") {
					t.Errorf("the next request was answered with %d %s", resp.StatusCode, body)
				}
				conn.closed()
			})
		}
	}
}
