package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// editOf is a bodyEdit for a client that came by this host.
func editOf(host string, query bool) *bodyEdit {
	head := "POST /db/neo4j/tx HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	c := &httpConn{in: []byte(head), end: len(head), w: new(httpWork)}
	if err := c.w.req.parseRequest(c.in); err != nil {
		panic(err)
	}
	c.w.path.query = query
	return &bodyEdit{c: c, member: "core-1"}
}

func TestTransactionURLsAreRewrittenAtEveryCut(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		query          bool
	}{
		{"4.x", `{"results":[{"columns":["n"],"data":[{"row":[{"commit":"http://h/db/neo4j/tx/1/commit"}]}]}],"errors":[],"commit":"http://h:7474/db/neo4j/tx/12/commit","transaction":{"expires":"x"}}`,
			`{"results":[{"columns":["n"],"data":[{"row":[{"commit":"http://h/db/neo4j/tx/1/commit"}]}]}],"errors":[],"commit":"http://gate:1/db/neo4j/tx/core-1-12/commit","transaction":{"expires":"x"}}`, false},
		{"3.x", `{"commit":"http://h:7474/db/data/transaction/9/commit","results":[],"transaction":{"id":"5"},"errors":[]}`,
			`{"commit":"http://gate:1/db/data/transaction/core-1-9/commit","results":[],"transaction":{"id":"5"},"errors":[]}`, false},
		{"white space", "{ \"commit\" :\r\n \"/db/neo4j/tx/3/commit\" , \"results\" : [ ] }\n", "{ \"commit\" :\r\n \"/db/neo4j/tx/core-1-3/commit\" , \"results\" : [ ] }\n", false},
		{"jolt", "{\"header\":{\"fields\":[\"commit\"]}}\n{\"data\":[\"http://h/db/n/tx/1/commit\"]}\n{\"info\":{\"commit\":\"http://h/db/n/tx/1/commit\"}}\n",
			"{\"header\":{\"fields\":[\"commit\"]}}\n{\"data\":[\"http://h/db/n/tx/1/commit\"]}\n{\"info\":{\"commit\":\"http://gate:1/db/n/tx/core-1-1/commit\"}}\n", false},
		{"json-seq", "\x1e{\"header\":{}}\n\x1e{\"info\":{\"commit\":\"http://h/db/n/tx/1/commit\"}}\n", "\x1e{\"header\":{}}\n\x1e{\"info\":{\"commit\":\"http://gate:1/db/n/tx/core-1-1/commit\"}}\n", false},
		{"Query API", `{"data":{"fields":["id"],"values":[[{"id":"x","transaction":{"id":"y"}}]]},"transaction":{"id":"af01","expires":"z"},"bookmarks":[]}`,
			`{"data":{"fields":["id"],"values":[[{"id":"x","transaction":{"id":"y"}}]]},"transaction":{"id":"core-1-af01","expires":"z"},"bookmarks":[]}`, true},
		{"events", `{"$event":"Record","_body":[{"transaction":{"id":"y"}}]}` + "\n" + `{"$event":"Summary","_body":{"transaction":{"id":"af01","expires":"z"}}}` + "\n",
			`{"$event":"Record","_body":[{"transaction":{"id":"y"}}]}` + "\n" + `{"$event":"Summary","_body":{"transaction":{"id":"core-1-af01","expires":"z"}}}` + "\n", true},
		{"strings that look like ends", `{"a":"\"}","b\\":["]",{"commit":1}],"c":"\\","commit":"/db/n/tx/1/commit"}`, `{"a":"\"}","b\\":["]",{"commit":1}],"c":"\\","commit":"/db/n/tx/core-1-1/commit"}`, false},
		{"a commit that is no URL", `{"commit":"yes","x":"\u00e9"}`, `{"commit":"yes","x":"\u00e9"}`, false},
		{"no JSON", `<html>"commit":"/db/n/tx/1/commit"</html>`, `<html>"commit":"/db/n/tx/1/commit"</html>`, false},
		{"too long to be one", `{"commit":"/db/n/tx/` + strings.Repeat("1", maxEditedString) + `/commit"}`, `{"commit":"/db/n/tx/` + strings.Repeat("1", maxEditedString) + `/commit"}`, false},
		{"cut off", `{"commit":"/db/n/tx/1/com`, `{"commit":"/db/n/tx/1/com`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := 1 + len(c.in)/500
			for i := 0; i <= len(c.in); i += step {
				e := editOf("gate:1", c.query)
				got := e.append(nil, []byte(c.in[:i]))
				got = e.flush(e.append(got, []byte(c.in[i:])))
				if string(got) != c.want {
					t.Fatalf("cut at %d: got\n%s; want\n%s", i, got, c.want)
				}
			}
			e := editOf("gate:1", c.query)
			var got []byte
			for i := range len(c.in) {
				got = e.append(got, []byte(c.in[i:i+1]))
			}
			if got = e.flush(got); string(got) != c.want {
				t.Fatalf("byte by byte: got\n%s; want\n%s", got, c.want)
			}
		})
	}
}

func TestTransactionAnswersOfAnyFraming(t *testing.T) {
	const rows = `{"results":[{"columns":["n"],"data":[{"row":[1]}]}],"errors":[],` // until the first row an answer may be held: it could be a refusal
	const in, want = rows + `"commit":"http://x/db/neo4j/tx/12/commit"}`, rows + `"commit":"http://gate/db/neo4j/tx/s1-12/commit"}`
	const head = "HTTP/1.1 201 Created\r\nLocation: http://x/db/neo4j/tx/12\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name    string
		pieces  []string
		version string
		length  bool // the answer has one
	}{
		{"a length", []string{head, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(in)), in}, "1.1", true},
		{"a length, slowly", []string{head, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(in)), in[:50], in[50:]}, "1.1", true},
		{"chunks at once", []string{head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(in), in)}, "1.1", true},
		{"chunks, slowly", []string{head + "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("32\r\n%s\r\n", in[:50]), fmt.Sprintf("%x\r\n%s", len(in)-50, in[50:]), "\r\n0\r\n", "\r\n"}, "1.1", false},
		{"until the end", []string{head + "\r\n", in[:50], in[50:]}, "1.1", false},
		{"chunks, slowly, for HTTP/1.0", []string{head + "Transfer-Encoding: chunked\r\n\r\n", fmt.Sprintf("32\r\n%s\r\n", in[:50]), fmt.Sprintf("%x\r\n%s", len(in)-50, in[50:]), "\r\n0\r\n", "\r\n"}, "1.0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var pause atomic.Int64 // so that pieces come one by one
			m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				io.ReadAll(r.Body) //nolint:errcheck // the answer tells
				for _, p := range c.pieces {
					io.WriteString(conn, p) //nolint:errcheck // the client tells
					time.Sleep(time.Duration(pause.Load()))
				}
			})
			g := startRelay(t, nil, m)
			var resp *http.Response
			for _, d := range []time.Duration{3 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
				pause.Store(int64(d))
				conn := g.raw()
				conn.send("POST /db/neo4j/tx HTTP/" + c.version + "\r\nHost: gate\r\nContent-Length: 2\r\n\r\n{}")
				if resp = conn.want("POST", 201, want); c.length == (resp.ContentLength >= 0) {
					break // else, perhaps, the gate was not quick enough to see the pieces apart
				}
			}
			if got := resp.Header.Get("Location"); got != "http://gate/db/neo4j/tx/s1-12" {
				t.Errorf("Location: got %q", got)
			}
			if resp.Header.Get("neo4j-cluster-affinity") != "s1" || c.length != (resp.ContentLength >= 0) {
				t.Errorf("got %v, length %d", resp.Header, resp.ContentLength)
			}
		})
	}
}

func TestTransactionWhoseMemberIsGone(t *testing.T) {
	a, b := startScripted(t, "s1", answering(echo)), startScripted(t, "s2", answering(echo))
	g := startRelay(t, nil, a, b)
	view := *g.current.View()
	down := *view.Members[1]
	down.Up = false
	view.Members = []*cluster.Status{view.Members[0], &down}
	g.current.Publish(&view)
	c := g.raw()
	c.send("POST /db/neo4j/tx/s2-1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	if resp, body := c.answer("POST"); resp.StatusCode != 503 || !strings.Contains(body, codeLeaderSwitch) {
		t.Errorf("got %d %s; want 503", resp.StatusCode, body)
	}
	c.send("POST /db/neo4j/tx/s1-1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	c.want("POST", 200, "POST /db/neo4j/tx/1 ")
}

func TestHTTPRefusedWork(t *testing.T) {
	refusal := func(code string) string {
		return ok(`{"results":[],"errors":[{"code":"` + code + `","message":"no"}]}`)
	}
	late := ok(`{"results":[{"columns":["n"],"data":[{"row":[1]}]}],"errors":[{"code":"` + bolt.CodeNotALeader + `","message":"no"}]}`)
	post := func(text, more string) string {
		return fmt.Sprintf("POST /db/neo4j/tx/commit HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s", more, len(stmt(text)), stmt(text))
	}
	event := `{"$event":"Error","_body":[{"code":"` + bolt.CodeNotALeader + `","message":"no"}]}` + "\n"
	header, record := `{"$event":"Header","_body":{"fields":["n"]}}`+"\n", `{"$event":"Record","_body":[1]}`+"\n"
	chunks := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n7\r\nresults\r\n1b\r\n\":[],\"errors\":[{\"code\":\"Neo\r\n25\r\n.ClientError.Statement.AccessMode\"}]}\r\n0\r\n\r\n"
	for _, c := range []struct {
		name, request, answer string
		first                 int  // which member answers with a refusal: 0 the leader, 1 the follower
		again                 bool // the other member is asked
	}{
		{"a judged read that was none", post("MATCH (n) RETURN n", ""), refusal(bolt.CodeAccessMode), 1, true},
		{"a judged read that was none, in chunks", post("MATCH (n) RETURN n", ""), chunks, 1, true},
		{"a judged read refused as the member is no leader", post("MATCH (n) RETURN n", ""), refusal(bolt.CodeReadOnlyDatabase), 1, true},
		{"a judged read with a row", post("MATCH (n) RETURN n", ""), late, 1, false},
		{"a judged read with another error", post("MATCH (n) RETURN n", ""), refusal("Neo.ClientError.Statement.SyntaxError"), 1, false},
		{"a declared read", post("MATCH (n) RETURN n", "Access-Mode: READ\r\n"), refusal(bolt.CodeAccessMode), 1, false},
		{"a write at a member that leads no more", post("CREATE (n)", ""), refusal(bolt.CodeNotALeader), 0, true},
		{"a write that commits by itself", post("CALL { CREATE (n) } IN TRANSACTIONS", ""), refusal(bolt.CodeNotALeader), 0, false},
		{"a write that a row came of", post("CREATE (n) RETURN 1", ""), late, 0, false},
		{"a write at a member that leads no more, in an event", post("CREATE (n)", ""), ok(event), 0, true},
		{"the same behind the header", post("CREATE (n)", ""), ok(header + event), 0, true},
		{"the same behind a record", post("CREATE (n)", ""), ok(header + record + event), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			refuse := answering(func(*http.Request, string) string { return c.answer })
			serve := answering(func(r *http.Request, _ string) string { return ok("served " + r.Header.Get("Access-Mode")) })
			scripts := []script{serve, serve}
			scripts[c.first] = refuse
			a, b := startScripted(t, "s1", scripts[0]), startScripted(t, "s2", scripts[1])
			g := startRelay(t, func(o *Options, _ *Frontend) { o.Hold = 5 * time.Second }, a, b)
			if c.first == 0 && c.again { // the leader steps down as soon as it is reported
				go func() {
					<-g.current.Reports()
					view := *g.current.View()
					one, two := *view.Members[0], *view.Members[1]
					one.Roles, two.Roles = two.Roles, one.Roles
					view.Members = []*cluster.Status{&one, &two}
					g.current.Publish(&view)
				}()
			}
			conn := g.raw()
			conn.send(c.request)
			if _, body := conn.answer("POST"); (body == "served ") != c.again {
				t.Errorf("got %s; want it served by the other member: %v", body, c.again)
			}
		})
	}
	t.Run("is remembered as a write", func(t *testing.T) {
		a := startScripted(t, "s1", answering(func(*http.Request, string) string { return ok("leader") }))
		b := startScripted(t, "s2", answering(func(r *http.Request, _ string) string { return refusal(bolt.CodeAccessMode) }))
		c := startRelay(t, nil, a, b).raw()
		for range 3 {
			c.send(post("MATCH (n) RETURN n", ""))
			c.want("POST", 200, "leader")
		}
		if n := b.requests.Load(); n != 1 {
			t.Errorf("the follower was asked %d times; want once", n)
		}
	})
}

// flood is a script that answers with n bytes of body, framed as head says.
func flood(n int64, chunked bool) script {
	return func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		piece := []byte(strings.Repeat(`{"row":["0123456789abcdef"]},`, 2048))
		if chunked {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") //nolint:errcheck // the client tells
			piece = appendChunk(nil, piece)
		} else {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
		}
		for sent := int64(0); sent < n; sent += int64(len(piece)) {
			if !chunked && n-sent < int64(len(piece)) {
				piece = piece[:n-sent]
			}
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
		if chunked {
			io.WriteString(conn, lastChunk) //nolint:errcheck // as above
		}
	}
}

// peak is the most memory in use over what was in use before, garbage left out, looked at until stop is closed.
func peak(stop chan struct{}) chan uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	result := make(chan uint64)
	go func() {
		top := before
		for {
			select {
			case <-stop:
				result <- top - before
				return
			case <-time.After(20 * time.Millisecond):
				runtime.GC()
				runtime.ReadMemStats(&m)
				top = max(top, m.HeapAlloc)
			}
		}
	}()
	return result
}

func TestHTTPBodiesOfAnySizeInLittleMemory(t *testing.T) {
	const size = 1 << 30
	for _, c := range []struct {
		name, request string
		member        script
		upload        int64
	}{
		{"an answer with a length", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", flood(size, false), 0},
		{"an answer in chunks", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", flood(size, true), 0},
		{"an answer inside a transaction", "POST /db/neo4j/tx/s1-1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", flood(size/4, true), 0},
		{"a streamed commit", fmt.Sprintf("POST /db/neo4j/tx/s1-1/commit HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size), answering(func(*http.Request, string) string { return "" }), size},
	} {
		t.Run(c.name, func(t *testing.T) {
			member := c.member
			if c.upload > 0 {
				member = func(_ *scripted, conn net.Conn, br *bufio.Reader) {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					n, _ := io.Copy(io.Discard, r.Body)
					io.WriteString(conn, ok(fmt.Sprint(n))) //nolint:errcheck // the client tells
				}
			}
			conn := startRelay(t, nil, startScripted(t, "s1", member)).raw()
			conn.SetDeadline(time.Now().Add(2 * time.Minute)) //nolint:errcheck // shows in use
			stop := make(chan struct{})
			top := peak(stop)
			conn.send(c.request)
			piece := make([]byte, 64<<10)
			for sent := int64(0); sent < c.upload; sent += int64(len(piece)) {
				if _, err := conn.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := http.ReadResponse(conn.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // a slow reader: everything in between fills up
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n < c.upload/size || c.upload == 0 && n < size/4 {
				t.Errorf("got %d bytes, %v", n, err)
			}
			close(stop)
			if used := <-top; used > 4<<20 {
				t.Errorf("%d KiB more memory at the peak; want at most 4096", used>>10)
			}
		})
	}
}
