package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
)

// This file has clients that close their sending side and wait for their answer, and retries that share one hold.

// halfClose ends what the client sends.
func (c *raw) halfClose() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

func TestAClientThatHalfClosesGetsItsAnswer(t *testing.T) {
	const looks = 5 * leftLook // so long that the look-out has seen to it
	for name, tt := range map[string]struct {
		request string
		before  string // of the answer, before the member takes its time
		interim bool   // the client is asked whether it is there
	}{
		"HTTP/1.1":                    {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
		"HTTP/1.0":                    {"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "", false},
		"in the middle of the answer": {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				io.WriteString(conn, tt.before) //nolint:errcheck // shows in the result
				time.Sleep(looks)
				io.WriteString(conn, strings.TrimPrefix(ok("data"), tt.before)) //nolint:errcheck // as above
				br.ReadByte()                                                   //nolint:errcheck // until the gate closes
			})
			g := startRelay(t, nil, m)
			c := g.raw()
			c.send(tt.request)
			c.halfClose()
			all, err := io.ReadAll(c.br)
			if err != nil {
				t.Fatal(err)
			}
			rest, asked := strings.CutPrefix(string(all), string(interim))
			if asked != tt.interim || !strings.HasPrefix(rest, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(rest, "\r\n\r\ndata") {
				t.Errorf("got %q", all)
			}
		})
	}
}

func TestAClientThatHalfClosesMayWaitForALeader(t *testing.T) {
	m := startScripted(t, "s1", answering(func(*http.Request, string) string { return ok("x") }))
	g := startRelay(t, func(o *Options, _ *Frontend) { o.Hold = patience }, m)
	led := g.current.View()
	g.current.Publish(&cluster.View{Generation: cluster.HA, Members: []*cluster.Status{{Member: m.Member, Up: true, Roles: map[string]cluster.Role{"": cluster.Unknown}}}})
	c := g.raw()
	c.send("POST /db/data/transaction/commit HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
	c.halfClose()
	time.Sleep(3 * leftLook)
	g.current.Publish(&cluster.View{Generation: cluster.HA, Members: led.Members})
	all, err := io.ReadAll(c.br)
	if err != nil || !strings.HasSuffix(string(all), "\r\n\r\nx") {
		t.Errorf("got %q, %v", all, err)
	}
}

// leftAt is a member that works until its connection ends, and tells when that was begun and ended.
func leftAt(t *testing.T) (m *scripted, begun, ended chan struct{}) {
	begun, ended = make(chan struct{}), make(chan struct{})
	return startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			close(begun)
			br.ReadByte() //nolint:errcheck // works until the connection ends
			close(ended)
		}
	}), begun, ended
}

// Without a word from the client nobody can tell one that left: it has a while, and no more.
func TestAnHTTP10ClientThatLeavesIsGivenUp(t *testing.T) {
	t.Parallel() // it waits most of the time
	m, begun, ended := leftAt(t)
	g := startRelay(t, nil, m)
	c := g.raw()
	c.send("GET /slow HTTP/1.0\r\nHost: a\r\n\r\n")
	await(t, "the request reached the member", begun)
	c.Close()
	await(t, "the member was told", ended)
}

func TestATLSClientThatClosesHasLeft(t *testing.T) {
	m, begun, ended := leftAt(t)
	g := startRelay(t, func(_ *Options, f *Frontend) { f.TLS = testTLS(t) }, m)
	c := g.raw()
	secure := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if _, err := io.WriteString(secure, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	await(t, "the request reached the member", begun)
	start := time.Now()
	secure.Close()
	await(t, "the member was told", ended)
	if took := time.Since(start); took > halfClosedFor {
		t.Errorf("it was noticed after %v", took)
	}
}

func TestHTTPRetriesShareOneHold(t *testing.T) {
	const hold = 600 * time.Millisecond
	var g *gate
	var led, leaderless *cluster.View
	tries := 0
	m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		if tries++; tries > 2 {
			io.WriteString(conn, ok("too late")) //nolint:errcheck // shows in the result
			return
		}
		g.current.Publish(&cluster.View{Generation: cluster.HA, Members: leaderless.Members})
		time.AfterFunc(2*hold/3, func() { g.current.Publish(&cluster.View{Generation: cluster.HA, Members: led.Members}) })
	})
	g = startRelay(t, func(o *Options, _ *Frontend) { o.Hold = hold }, m)
	led = g.current.View()
	leaderless = &cluster.View{Members: []*cluster.Status{{Member: m.Member, Up: true, Roles: map[string]cluster.Role{"": cluster.Unknown}}}}
	c := g.raw()
	c.send("GET /db/data/labels HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, body := c.answer("GET"); resp.StatusCode != 503 || !strings.Contains(body, "failover.hold") {
		t.Errorf("got %s %s; want 503 at the end of one hold", resp.Status, body)
	}
}
