package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/routing"
	"github.com/boltgate/boltgate/test/loopback"
)

func TestHTTPKeepsConnectionsOpen(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	c := startRelay(t, nil, m).raw()
	for i := range 5 {
		c.send(fmt.Sprintf("GET /db/data/node/%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
		c.want("GET", 200, fmt.Sprintf("GET /db/data/node/%d ", i))
	}
	c.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if resp := c.want("GET", 200, "GET /last "); !resp.Close {
		t.Error("the answer to a request with Connection: close does not say close")
	}
	c.closed()
	if n := m.accepted.Load(); n != 1 {
		t.Errorf("the member saw %d connections; want 1", n)
	}
}

func TestHTTPPipelining(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	c := startRelay(t, nil, m).raw()
	var all, want []string
	for i := range 200 {
		switch i % 3 {
		case 0:
			all = append(all, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
			want = append(want, fmt.Sprintf("GET /%d ", i))
		case 1:
			body := strings.Repeat("x", i*7)
			all = append(all, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body))
			want = append(want, fmt.Sprintf("POST /%d %s", i, body))
		case 2:
			all = append(all, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX-T: v\r\n\r\n", i))
			want = append(want, fmt.Sprintf("POST /%d abc", i))
		}
	}
	go io.WriteString(c, strings.Join(all, "")) //nolint:errcheck // the answers tell
	for _, w := range want {
		if _, got := c.answer("GET"); !strings.HasPrefix(got, w) {
			t.Fatalf("got %q; want %q", got, w)
		}
	}
}

func TestHTTPForwardsBytesAsGiven(t *testing.T) {
	seen := make(chan string, 1)
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		var head []byte
		for !bytes.HasSuffix(head, endOfHead) {
			b, err := br.ReadByte()
			if err != nil {
				return
			}
			head = append(head, b)
		}
		seen <- string(head)
		io.WriteString(conn, "HTTP/1.1 299 Fine  by me\r\nX-Odd:   value \r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi") //nolint:errcheck // the client tells
	})
	c := startRelay(t, nil, m).raw()
	c.send("GET /a?b=c%20d HTTP/1.1\r\nhOST: name:7474\r\nx-cAsE:  two  words\t\r\nConnection: X-Mine\r\nX-Mine: hop\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Request-ID: id-1\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n")
	want := "GET /a?b=c%20d HTTP/1.1\r\nhOST: name:7474\r\nx-cAsE:  two  words\t\r\nX-Request-ID: id-1\r\nX-Forwarded-For: 10.1.1.1\r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: name:7474\r\nX-Forwarded-Proto: http\r\n\r\n"
	if got := <-seen; got != want {
		t.Errorf("the member got\n%q; want\n%q", got, want)
	}
	all := make([]byte, 200)
	n, _ := io.ReadFull(c.br, all[:len("HTTP/1.1 299 Fine  by me\r\nX-Odd:   value \r\nContent-Length: 2\r\n\r\nhi")])
	if got, want := string(all[:n]), "HTTP/1.1 299 Fine  by me\r\nX-Odd:   value \r\nContent-Length: 2\r\n\r\nhi"; got != want {
		t.Errorf("the client got\n%q; want\n%q", got, want)
	}
}

func TestForwardedHostIsOneThatMembersCanRead(t *testing.T) {
	m := startScripted(t, "s1", answering(func(r *http.Request, _ string) string { return ok(r.Host + " " + r.Header.Get("X-Forwarded-Host")) }))
	c := startRelay(t, nil, m).raw()
	for _, e := range []struct{ host, given, want string }{
		{"gate.example:7687", "", "gate.example:7687"},
		{"gate", "", "gate"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1:7687", "", ""},
		{"[::1]:7687", "", ""},
		{"my_gate:80", "", ""},
		{"10.0.0.1:7687", "outside:80", "outside:80"},
		{"gate:7687", "10.0.0.1:80", ""},
	} {
		head := "GET /x HTTP/1.1\r\nHost: " + e.host + "\r\n"
		if e.given != "" {
			head += "X-Forwarded-Host: " + e.given + "\r\n"
		}
		c.send(head, "\r\n")
		c.want("GET", 200, e.host+" "+e.want)
	}
}

func TestHTTPBodylessAnswers(t *testing.T) {
	m := startScripted(t, "s1", answering(func(r *http.Request, _ string) string {
		switch r.URL.Path {
		case "/204":
			return "HTTP/1.1 204 No Content\r\n\r\n"
		case "/304":
			return "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
	}))
	c := startRelay(t, nil, m).raw()
	for range 2 {
		c.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\nGET /304 HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, _ := c.answer("HEAD"); resp.ContentLength != 1000000 {
			t.Errorf("HEAD: got Content-Length %d", resp.ContentLength)
		}
		c.want("GET", 204, "")
		c.want("GET", 304, "")
	}
}

func TestHTTP10(t *testing.T) {
	m := startScripted(t, "s1", answering(func(r *http.Request, body string) string {
		if r.URL.Path == "/chunked" {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
		}
		return ok(r.Host + " " + body)
	}))
	g := startRelay(t, nil, m)
	t.Run("closes", func(t *testing.T) {
		c := g.raw()
		c.send("GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n")
		c.want("GET", 200, g.address+" ")
		c.closed()
	})
	t.Run("stays when asked to", func(t *testing.T) {
		c := g.raw()
		for range 2 {
			c.send("POST /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\nHost: h\r\n\r\nabc")
			if resp := c.want("POST", 200, "h abc"); resp.Header.Get("Connection") != "keep-alive" {
				t.Errorf("got Connection %q; want keep-alive", resp.Header.Get("Connection"))
			}
		}
	})
	t.Run("gets no chunks", func(t *testing.T) {
		c := g.raw()
		c.send("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if resp := c.want("GET", 200, "abcde"); len(resp.TransferEncoding) > 0 {
			t.Error("an HTTP/1.0 client got chunks")
		}
	})
}

func TestHTTPExpectContinue(t *testing.T) {
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			switch {
			case r.URL.Path == "/no":
				io.WriteString(conn, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // the client tells
				return
			case r.Header.Get("Expect") != "":
				io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n") //nolint:errcheck // as above
			}
			body, _ := io.ReadAll(r.Body)
			io.WriteString(conn, ok(r.Header.Get("Expect")+" "+string(body))) //nolint:errcheck // as above
		}
	})
	g := startRelay(t, nil, m)
	wait := func(c *raw) {
		t.Helper()
		line, err := c.br.ReadString('\n')
		if blank, _ := c.br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" || blank != "\r\n" {
			t.Fatalf("got %q, %v; want 100 Continue", line, err)
		}
	}
	t.Run("the member says go on", func(t *testing.T) {
		c := g.raw()
		for range 2 {
			c.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
			wait(c)
			c.send("hello")
			c.want("POST", 200, "100-continue hello")
		}
	})
	t.Run("the gate says go on for what it holds", func(t *testing.T) {
		c := g.raw()
		c.send("POST /db/data/transaction/commit HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		wait(c)
		c.send("hello")
		c.want("POST", 200, " hello")
	})
	t.Run("the member says no", func(t *testing.T) {
		c := g.raw()
		c.send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		c.want("POST", 417, "")
		c.closed()
	})
}

func TestHTTPEarlyAnswerWhileTheBodyStillComes(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop") //nolint:errcheck // the client tells
		}
		br.Peek(1)                       //nolint:errcheck // the body has begun
		conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // as above
		<-over                           // does not read the body: closing now would take the answer back
	})
	c := startRelay(t, nil, m).raw()
	c.send("POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		piece := make([]byte, 64<<10)
		for range 200 {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}()
	if resp := c.want("POST", 413, "stop"); !resp.Close {
		t.Error("the answer does not say close, though the body was not read")
	}
	c.Close()
	<-sent
}

func TestHTTPClientLeavesInMidBody(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err == nil {
			close(begun)
			_, err = io.ReadAll(r.Body)
		}
		ended <- err
	})
	c := startRelay(t, nil, m).raw()
	c.send("POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome of it")
	await(t, "the request reached the member", begun)
	c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the member took a cut body for a whole one")
		}
	case <-time.After(patience):
		t.Error("the member's connection was not closed when the client left")
	}
}

func TestHTTPStaleMemberConnections(t *testing.T) {
	m := startScripted(t, "s1", func(m *scripted, conn net.Conn, br *bufio.Reader) {
		if r, err := http.ReadRequest(br); err == nil {
			io.ReadAll(r.Body)               //nolint:errcheck // the answer tells
			io.WriteString(conn, ok("once")) //nolint:errcheck // the client tells
			conn.(*net.TCPConn).SetLinger(5) //nolint:errcheck // so that Close waits until the gate's side has heard of it
			conn.Close()
			m.requests.Add(1)
		}
	})
	c := startRelay(t, nil, m).raw()
	for i := range int64(20) {
		c.send("POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		c.want("POST", 200, "once")
		waitFor(t, "the member closed", func() bool { return m.requests.Load() == i+1 })
	}
	if n := m.requests.Load(); n != 20 {
		t.Errorf("the member saw %d requests; want 20", n)
	}
}

func TestHTTPLostAnswers(t *testing.T) {
	lose := func(m *scripted, conn net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.ReadAll(r.Body) //nolint:errcheck // the connection ends
		m.requests.Add(1)
		if strings.HasPrefix(r.URL.Path, "/half") {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") //nolint:errcheck // as above
		}
	}
	read, write := `{"statements":[{"statement":"MATCH (n) RETURN n"}]}`, `{"statements":[{"statement":"CREATE (n)"}]}`
	post := func(path, body, more string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s", path, more, len(body), body)
	}
	for _, c := range []struct {
		name, request string
		status        int
		code          string
		sent          int64 // to the member that fails
	}{
		{"an auto-commit write is in doubt", post("/db/data/transaction/commit", write, ""), 502, codeCommitFailed, 1},
		{"a write by method is in doubt", post("/db/data/node", "{}", ""), 502, codeCommitFailed, 1},
		{"a begin did nothing", post("/db/data/transaction", write, ""), 503, codeLeaderSwitch, 1},
		{"a statement in a transaction did nothing", post("/db/data/transaction/s1-7", write, ""), 503, codeLeaderSwitch, 1},
		{"a commit is in doubt", post("/db/data/transaction/s1-7/commit", write, ""), 502, codeCommitFailed, 1},
		{"a write in a read's clothes is in doubt", post("/db/data/transaction/commit", write, "X-Write: 0\r\n"), 502, codeCommitFailed, 1},
		{"a read goes elsewhere", post("/db/data/transaction/commit", read, "X-Write: 0\r\n"), 200, "", 1},
		{"a GET goes elsewhere", "GET /db/data/node/1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := startScripted(t, "s1", lose), startScripted(t, "s2", answering(func(*http.Request, string) string { return ok("{}") }))
			g := startRelay(t, func(_ *Options, f *Frontend) { f.Policy.LeaderAlwaysReads, f.Policy.Balance = true, routing.First }, bad, good)
			conn := g.raw()
			conn.send(c.request)
			resp, body := conn.answer("POST")
			if resp.StatusCode != c.status || !strings.Contains(body, c.code) || c.status != 200 && !strings.Contains(body, "s1") {
				t.Errorf("got %d %s; want %d %s naming s1", resp.StatusCode, body, c.status, c.code)
			}
			if n := bad.requests.Load(); n != c.sent {
				t.Errorf("the member saw %d requests; want %d", n, c.sent)
			}
			if report := <-g.current.Reports(); report.Member != "s1" || report.Why != cluster.Broken {
				t.Errorf("got report %v; want s1 broken", report)
			}
			conn.send("GET /x HTTP/1.1\r\nHost: a\r\nX-Write: 0\r\n\r\n")
			conn.want("GET", 200, "{}")
		})
	}
	t.Run("half an answer breaks the connection", func(t *testing.T) {
		bad := startScripted(t, "s1", lose)
		c := startRelay(t, nil, bad).raw()
		c.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF || string(body) != "half" {
			t.Errorf("got %q, %v; want half and a broken connection", body, err)
		}
	})
}

func TestHTTPMemberThatIsNotThere(t *testing.T) {
	dead := &scripted{Member: &cluster.Member{Name: "s1", HTTP: loopback.Reserve(t)}}
	good := startScripted(t, "s2", answering(echo))
	g := startRelay(t, func(o *Options, f *Frontend) {
		o.Hold = 2 * time.Second // the write finds nobody until then
		f.Policy.LeaderAlwaysReads, f.Policy.Balance = true, routing.First
	}, dead, good)
	c := g.raw()
	c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("GET", 200, "GET /x ")
	c.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\ny")
	resp, body := c.answer("POST")
	if resp.StatusCode != 503 || !strings.Contains(body, codeLeaderSwitch) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a write: got %d %s", resp.StatusCode, body)
	}
}

func TestHTTPMalformedAnswers(t *testing.T) {
	for _, a := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
		"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxHead) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
	} {
		m := startScripted(t, "s1", answering(func(*http.Request, string) string { return a }))
		c := startRelay(t, nil, m).raw()
		c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, body := c.answer("GET"); resp.StatusCode != 502 || !strings.Contains(body, "s1") {
			t.Errorf("%.60q: got %d %s; want 502", a, resp.StatusCode, body)
		}
	}
}

func TestHTTPBytesBehindAnAnswerReachNobody(t *testing.T) {
	m := startScripted(t, "s1", answering(func(r *http.Request, _ string) string {
		return ok(r.URL.Path) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	}))
	g := startRelay(t, nil, m)
	a, b := g.raw(), g.raw()
	for i := range 10 {
		for _, c := range []*raw{a, b} {
			path := fmt.Sprintf("/%d", i)
			c.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			c.want("GET", 200, path)
		}
	}
}

func TestHTTPRequestLimits(t *testing.T) {
	m := startScripted(t, "s1", answering(func(_ *http.Request, body string) string { return ok(fmt.Sprint(len(body))) }))
	g := startRelay(t, func(o *Options, _ *Frontend) { o.RequestLimit = 100 << 10 }, m)
	const commit = "POST /db/data/transaction/commit HTTP/1.1\r\nHost: a\r\n"
	t.Run("a held body up to the limit", func(t *testing.T) {
		c := g.raw()
		for _, n := range []int{0, 1, 10 << 10, 16<<10 - 80, 16 << 10, 50 << 10, 100 << 10} {
			c.send(commit, fmt.Sprintf("Content-Length: %d\r\n\r\n", n), strings.Repeat("x", n))
			c.want("POST", 200, fmt.Sprint(n))
			c.send(commit, fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n+1, strings.Repeat("x", n+1)))
			if n < 100<<10 {
				c.want("POST", 200, fmt.Sprint(n+1))
			}
		}
		if resp, _ := c.answer("POST"); resp.StatusCode != 413 {
			t.Errorf("chunks past the limit: got %d; want 413", resp.StatusCode)
		}
	})
	t.Run("one that is longer is refused", func(t *testing.T) {
		c := g.raw()
		c.send(commit, fmt.Sprintf("Content-Length: %d\r\n\r\n", 100<<10+1), "x")
		if resp, _ := c.answer("POST"); resp.StatusCode != 413 || !resp.Close {
			t.Errorf("got %d; want 413 and close", resp.StatusCode)
		}
	})
	t.Run("other bodies have no limit", func(t *testing.T) {
		c := g.raw()
		c.send("POST /plugin HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("x", 1000000))
		c.want("POST", 200, "1000000")
		c.send("POST /db/data/transaction/s1-4/commit HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("x", 1000000))
		c.want("POST", 200, "1000000")
	})
	t.Run("a head of 64 KiB is too long", func(t *testing.T) {
		c := g.raw()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("a", 60<<10), "\r\n\r\n")
		c.answer("GET")
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("a", 70<<10)+"\r\n\r\n") //nolint:errcheck // refused
		if resp, _ := c.answer("GET"); resp.StatusCode != 431 {
			t.Errorf("got %d; want 431", resp.StatusCode)
		}
	})
	t.Run("a head that does not come", func(t *testing.T) {
		g := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Handshake = 500 * time.Millisecond }, m)
		c := g.raw()
		c.send("GET / HTTP/1.1\r\nHost")
		if resp, _ := c.answer("GET"); resp.StatusCode != 408 {
			t.Errorf("got %d; want 408", resp.StatusCode)
		}
	})
}

func TestHTTPClientThatLeavesFreesItsMember(t *testing.T) {
	for _, c := range []struct{ name, half, behind string }{
		{"before the answer", "", ""},
		{"in the middle of the answer", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", ""},
		{"with requests that were not read yet", "", strings.Repeat("GET /more HTTP/1.1\r\nHost: a\r\n\r\n", 2000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err == nil {
					close(begun)
					io.WriteString(conn, c.half) //nolint:errcheck // as below
					br.ReadByte()                //nolint:errcheck // works until the connection ends
					close(ended)
				}
			})
			g := startRelay(t, nil, m)
			conn := g.raw()
			conn.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", c.behind)
			await(t, "the request reached the member", begun)
			if c.half != "" {
				conn.br.ReadString('f') //nolint:errcheck // the client leaves anyway
			}
			conn.Close()
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the member works on for a client that left")
			}
			waitFor(t, "the slot was free", func() bool { return g.pools.Stats("s1").InFlight == 0 })
		})
	}
}

func TestHTTPClientThatLeavesIsNoticedSoon(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			begun <- struct{}{}
			br.ReadByte() //nolint:errcheck // works until the connection ends
			ended <- struct{}{}
		}
	})
	g := startRelay(t, nil, m)
	var took []time.Duration
	for len(took) < 5 { // this machine may be busy
		conn := g.raw()
		conn.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		<-begun
		start := time.Now()
		conn.Close()
		<-ended
		took = append(took, time.Since(start))
		if took[len(took)-1] < 800*time.Millisecond {
			return
		}
	}
	t.Errorf("that clients left was noticed after %v; want less than 800ms", took)
}

func TestHTTPClientThatLeavesFreesItsPlace(t *testing.T) {
	release := make(chan struct{})
	m := startScripted(t, "s1", answering(func(*http.Request, string) string { <-release; return ok("x") }))
	m.Member.MaxInFlight = 1
	g := startRelay(t, func(o *Options, _ *Frontend) { o.Hold = 20 * time.Second }, m)
	first, second := g.raw(), g.raw()
	first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the first is at work", func() bool { return g.pools.Stats("s1").InFlight == 1 })
	second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the second waits in line", func() bool { return g.pools.Stats("s1").Queued == 1 })
	third := g.raw()
	third.send("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the third waits in line", func() bool { return g.pools.Stats("s1").Queued == 2 })
	third.Close()
	waitFor(t, "the third has left the line", func() bool { return g.pools.Stats("s1").Queued == 1 })
	close(release)
	first.want("GET", 200, "x")
	second.want("GET", 200, "x")
	second.want("GET", 200, "x")
	if n := m.requests.Load(); n != 3 {
		t.Errorf("the member saw %d requests; want 3", n)
	}
}

func TestHTTPFullQueue(t *testing.T) {
	release := make(chan struct{})
	m := startScripted(t, "s1", answering(func(*http.Request, string) string { <-release; return ok("x") }))
	m.Member.MaxInFlight = 1
	g := startRelay(t, func(o *Options, f *Frontend) { o.Hold, f.Timeouts.Queue = 20*time.Second, 500*time.Millisecond }, m)
	first, second := g.raw(), g.raw()
	first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the first is at work", func() bool { return g.pools.Stats("s1").InFlight == 1 })
	second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, body := second.answer("GET")
	if resp.StatusCode != 503 || !strings.Contains(body, codeNoThreads) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s; want 503 with Retry-After", resp.StatusCode, body)
	}
	close(release)
	first.want("GET", 200, "x")
	waitFor(t, "the slot was free", func() bool { return g.pools.Stats("s1").InFlight == 0 })
	second.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	second.want("GET", 200, "x")
}

func TestHTTPServerTimeout(t *testing.T) {
	t.Parallel() // it waits most of the time
	over := make(chan struct{})
	defer close(over)
	m := startScripted(t, "s1", answering(func(r *http.Request, _ string) string {
		if r.URL.Path == "/slow" {
			<-over // longer than any limit
		}
		return ok("x")
	}))
	c := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Server = time.Second }, m).raw()
	for range 2 {
		c.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
		c.want("GET", 200, "x")
		time.Sleep(1200 * time.Millisecond) // the limit is of requests, not of the connection
	}
	c.send("DELETE /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, body := c.answer("GET"); resp.StatusCode != 502 || !strings.Contains(body, "s1") {
		t.Errorf("got %d %s; want 502", resp.StatusCode, body)
	}
	c.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("GET", 200, "x")
}

func TestHTTPEmptyLineBehindAPost(t *testing.T) {
	t.Parallel() // as the one before
	m := startScripted(t, "s1", answering(echo))
	c := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Handshake = time.Second }, m).raw()
	c.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n")
	c.want("POST", 200, "POST /1 x")
	time.Sleep(1500 * time.Millisecond) // an idle connection, not a slow head
	c.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("POST", 200, "POST /2 x")
	c.want("GET", 200, "GET /3 ")
}

func TestHTTPOverTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil) // for its certificate
	defer donor.Close()
	m := startScripted(t, "s1", answering(func(r *http.Request, body string) string {
		return ok(r.Header.Get("X-Forwarded-Proto") + " " + body)
	}))
	g := startRelay(t, func(_ *Options, f *Frontend) {
		f.TLS = &tls.Config{Certificates: donor.TLS.Certificates, NextProtos: []string{"http/1.1"}}
	}, m)
	client := donor.Client()
	for i := range 3 {
		body := strings.Repeat("x", i*40<<10)
		resp, err := client.Post("https://"+g.address+"/x", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != "https "+body {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(body)+6)
		}
	}
	if n := m.accepted.Load(); n != 1 {
		t.Errorf("the member saw %d connections; want 1", n)
	}
}

func TestHTTPShutdownLetsThePresentRequestFinish(t *testing.T) {
	release := make(chan struct{})
	m := startScripted(t, "s1", answering(func(*http.Request, string) string { <-release; return ok("done") }))
	g := startRelay(t, nil, m)
	busy, idle := g.raw(), g.raw()
	idle.send("GET /db/data/transaction/nobody-1 HTTP/1.1\r\nHost: a\r\n\r\n")
	idle.answer("GET")
	busy.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the request is at work", func() bool { return g.pools.Stats("s1").InFlight == 1 })
	ended := make(chan error, 1)
	go func() {
		ctx, stop := contextFor(10 * time.Second)
		defer stop()
		ended <- g.server.Shutdown(ctx)
	}()
	waitFor(t, "the shutdown is under way, and has something to wait for", g.refuses)
	close(release)
	busy.want("GET", 200, "done")
	busy.closed()
	idle.closed()
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
