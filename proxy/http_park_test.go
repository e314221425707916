package proxy

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file shows that idle HTTP connections park as Bolt sessions do.

func parkSoon(o *Options, _ *Frontend) { o.ParkEvery = 5 * time.Millisecond }

func TestIdleHTTPConnectionsParkAndServeOn(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	g := startRelay(t, parkSoon, m)
	idle, midway, others := g.raw(), g.raw(), g.raw()
	midway.send("POST /midway HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
	for _, path := range []string{"/1", "/2", "/3"} {
		idle.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		idle.want("GET", 200, "GET "+path+" ")
		g.awaitParked(1) // not the one in the middle of a request, nor the one that has not said what it is
	}
	midway.send("xy\r\n") // an empty line behind a body is no request
	midway.want("POST", 200, "POST /midway xy")
	g.awaitParked(2)
	g.server.parkRound.Add(1) // as after memory was given back: they park once more
	g.awaitParked(2)
	if n := g.lookedAfter(); n != 0 {
		t.Errorf("the look-out has %d connections; want none of those that are parked", n)
	}
	idle.send("GET /4 HTTP/1.1\r\nHost: a\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
	idle.want("GET", 200, "GET /4 ")
	idle.want("GET", 200, "GET /5 ")
	g.awaitParked(2)
	idle.send("GARBAGE\r\n\r\n")
	if resp, _ := idle.answer("GET"); resp.StatusCode != 400 {
		t.Errorf("a malformed request to a parked connection was answered %d; want 400", resp.StatusCode)
	}
	idle.closed()
	g.awaitParked(1)
	midway.Close()
	g.awaitParked(0)
	others.send("GET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	others.want("GET", 200, "GET /6 ")
	others.closed()
	waitFor(t, "no connection is left", func() bool { return g.server.Sessions() == 0 })
}

// lookedAfter is how many connections the look-out for clients that left has.
func (g *gate) lookedAfter() int {
	g.server.http.mu.Lock()
	defer g.server.http.mu.Unlock()
	return len(g.server.http.conns)
}

func TestAParkedHTTPConnectionStillHasItsTimeLimit(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	g := startRelay(t, func(o *Options, f *Frontend) { parkSoon(o, f); f.Timeouts.ClientIdle = 300 * time.Millisecond }, m)
	c := g.raw()
	c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("GET", 200, "GET /x ")
	g.awaitParked(1)
	c.closed()
}

// TestParkingOnceMoreDoesNotMoveTheTimeLimit: rounds may follow one another for as long as other clients come and go.
func TestParkingOnceMoreDoesNotMoveTheTimeLimit(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	g := startRelay(t, func(o *Options, f *Frontend) { parkSoon(o, f); f.Timeouts.ClientIdle = 300 * time.Millisecond }, m)
	c := g.raw()
	c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("GET", 200, "GET /x ")
	g.awaitParked(1)
	over := make(chan struct{})
	var rounds sync.WaitGroup
	rounds.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				g.server.parkRound.Add(1)
			case <-over:
				tick.Stop()
				return
			}
		}
	})
	c.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // shows in the read
	c.closed()
	close(over)
	rounds.Wait()
}

func TestAShutdownClosesParkedHTTPConnections(t *testing.T) {
	m := startScripted(t, "s1", answering(echo))
	g := startRelay(t, parkSoon, m)
	c := g.raw()
	c.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want("GET", 200, "GET /x ")
	g.awaitParked(1)
	ctx, stop := contextFor(10 * time.Second)
	defer stop()
	if err := g.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	c.closed()
}

func TestAShutdownCutsAnHTTPRequestWhoseMemberIsSilent(t *testing.T) {
	for name, body := range map[string]string{"short": "x", "long": strings.Repeat("x", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			reached, ended := make(chan struct{}), make(chan struct{})
			m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				http.ReadRequest(br) //nolint:errcheck // the end shows below
				close(reached)
				<-ended
			})
			g := startRelay(t, nil, m)
			c := g.raw()
			go func() {
				c.Write([]byte("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + lengthOf(body) + "\r\n\r\n" + body)) //nolint:errcheck // is cut
			}()
			<-reached
			ctx, stop := contextFor(100 * time.Millisecond)
			defer stop()
			done := make(chan error, 1)
			go func() { done <- g.server.Shutdown(ctx) }()
			select {
			case err := <-done:
				if err == nil {
					t.Error("the shutdown did not say that work was cut")
				}
			case <-time.After(10 * time.Second):
				t.Error("the shutdown waits for a member that does not answer")
			}
			close(ended)
		})
	}
}
