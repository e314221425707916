package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/pool"
)

// scripted is a member that does on each connection what its script says.
type scripted struct {
	*cluster.Member
	accepted atomic.Int64
	requests atomic.Int64
}

// script serves one connection to a scripted member; it is closed afterwards.
type script func(m *scripted, conn net.Conn, r *bufio.Reader)

func startScripted(t testing.TB, name string, serve script) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &scripted{Member: &cluster.Member{Name: name, HTTP: l.Addr().String()}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.accepted.Add(1)
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(m, conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return m
}

// answering is a script that reads whole requests and writes what answer says, until that is empty.
func answering(answer func(r *http.Request, body string) string) script {
	return func(m *scripted, conn net.Conn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			for k, v := range r.Trailer {
				body = append(body, fmt.Sprintf(" trailer %s=%s", k, v[0])...)
			}
			m.requests.Add(1)
			a := answer(r, string(body))
			if a == "" {
				return
			}
			if _, err := io.WriteString(conn, a); err != nil {
				return
			}
		}
	}
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// startRelay starts a gate before scripted members, the first of which leads.
func startRelay(t testing.TB, set func(*Options, *Frontend), members ...*scripted) *gate {
	t.Helper()
	g := &gate{t: t, current: new(cluster.Current)}
	view := &cluster.View{Generation: cluster.HA}
	for i, m := range members {
		role := cluster.Follower
		if i == 0 {
			role = cluster.Leader
		}
		view.Members = append(view.Members, &cluster.Status{Member: m.Member, Up: true, Roles: map[string]cluster.Role{"": role}, Agent: "Neo4j/5.26.0"})
	}
	g.current.Publish(view)
	log := testLog(t)
	g.pools = pool.NewSet(pool.Options{HTTPIdle: time.Hour}, log)
	o := Options{Hold: 10 * time.Second}
	f := &Frontend{Name: "main", Bind: []string{"127.0.0.1:0"}, Timeouts: Timeouts{Handshake: 10 * time.Second}}
	if set != nil {
		set(&o, f)
	}
	g.server = New(o, g.current, g.pools, log)
	if err := g.server.Apply(o, []*Frontend{f}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cut, stop := contextFor(time.Second)
		defer stop()
		g.server.Shutdown(cut) //nolint:errcheck // tests may leave work behind
		g.pools.Close()        //nolint:errcheck // never fails
	})
	g.address = g.server.Addresses("main")[0].String()
	return g
}

// raw is a client's connection on which a test writes bytes and reads answers.
type raw struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func (g *gate) raw() *raw {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // shows in use
	return &raw{conn, g.t, bufio.NewReader(conn)}
}

func (c *raw) send(parts ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(parts, "")); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer to a request with this method.
func (c *raw) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("reading an answer's body: %v", err)
	}
	return resp, string(body)
}

func (c *raw) want(method string, status int, body string) *http.Response {
	c.t.Helper()
	resp, got := c.answer(method)
	if resp.StatusCode != status || got != body {
		c.t.Fatalf("got %d %q; want %d %q", resp.StatusCode, got, status, body)
	}
	return resp
}

// closed tells that the gate closes the connection without another byte.
func (c *raw) closed() {
	c.t.Helper()
	if b, err := io.ReadAll(c.br); len(b) > 0 || err != nil {
		c.t.Fatalf("got %q, %v; want the connection closed", b, err)
	}
}

// echo answers with method, target and body.
func echo(r *http.Request, body string) string {
	return ok(r.Method + " " + r.RequestURI + " " + body)
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// await waits until done is closed.
func await(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain until %s", what)
	}
}

// refuses tells whether the gate has stopped to accept connections.
func (g *gate) refuses() bool {
	conn, err := net.Dial("tcp", g.address)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
