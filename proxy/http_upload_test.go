//go:build linux

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/pool"
)

// This file shows what timeouts.server counts while a long body is on its way: frozen_test.go has members that take none of
// it.

const uploadLimit = time.Second // timeouts.server here

// slowly hands out n bytes over the time that is given.
func slowly(w io.Writer, n int, over time.Duration) {
	const pieces = 20
	for range pieces {
		time.Sleep(over / pieces)
		io.WriteString(w, strings.Repeat("x", n/pieces)) //nolint:errcheck // shows in the answer
	}
}

func TestServerTimeoutDoesNotCountTheClientsTime(t *testing.T) {
	t.Parallel() // it waits most of the time
	m := startScripted(t, "s1", answering(func(_ *http.Request, body string) string { return ok(strconv.Itoa(len(body))) }))
	c := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Server = uploadLimit }, m).raw()
	for range 2 { // the second on the member's connection of the first
		c.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
		slowly(c, 200000, 3*uploadLimit)
		c.want("PUT", 200, "200000")
	}
	if n := m.accepted.Load(); n != 1 {
		t.Errorf("the member saw %d connections; want 1", n)
	}
}

var uploadPaths = map[string]string{"streamed": "/x", "held": "/db/neo4j/tx/commit"}

func TestServerTimeoutDoesNotCountAMemberThatReads(t *testing.T) {
	const pieces, piece = 20, 200 << 10
	for name, path := range uploadPaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startScripted(t, "s1", func(_ *scripted, conn net.Conn, br *bufio.Reader) {
				conn.(*net.TCPConn).SetReadBuffer(smallSocket) //nolint:errcheck // shows in the result
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				for range pieces {
					time.Sleep(3 * uploadLimit / pieces)
					io.CopyN(io.Discard, r.Body, piece) //nolint:errcheck // shows in the answer
				}
				_, err = r.Body.Read(make([]byte, 1))
				io.WriteString(conn, ok(fmt.Sprint(err))) //nolint:errcheck // as above
				br.ReadByte()                             //nolint:errcheck // the connection's end
			})
			g := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Server = uploadLimit }, m)
			g.pools.Apply(pool.Options{HTTPIdle: time.Hour, Dial: smallDial}) // what sockets hold counts as taken
			c := g.raw()
			c.send("POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: "+strconv.Itoa(pieces*piece)+"\r\n\r\n", strings.Repeat("x", pieces*piece))
			c.want("POST", 200, "EOF")
		})
	}
}

func TestServerTimeoutCountsFromTheBodysEnd(t *testing.T) {
	for name, path := range uploadPaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			m := startScripted(t, "s1", func(_ *scripted, _ net.Conn, br *bufio.Reader) {
				if r, err := http.ReadRequest(br); err == nil {
					io.Copy(io.Discard, r.Body) //nolint:errcheck // the end shows below
					<-over
				}
			})
			c := startRelay(t, func(_ *Options, f *Frontend) { f.Timeouts.Server = uploadLimit }, m).raw()
			t.Cleanup(func() { close(over) })
			began := time.Now()
			c.send("POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", strings.Repeat("x", 200000))
			if resp, _ := c.answer("POST"); resp.StatusCode != 502 || time.Since(began) < uploadLimit {
				t.Errorf("a member that takes all and says nothing: got %d after %v; want 502 after %v", resp.StatusCode, time.Since(began), uploadLimit)
			}
		})
	}
}
