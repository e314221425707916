package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what becomes of reads over HTTP that have to be at the leader.

// TestAReadAtTheLeaderIsNotInDoubtOverHTTP is TestAReadAtTheLeaderIsNotInDoubt over HTTP, and for reads that stay there because nothing could
// tell another member what they have to see.
func TestAReadAtTheLeaderIsNotInDoubtOverHTTP(t *testing.T) {
	for _, c := range []struct {
		name, server string
		path         string
		cluster      bool // causality; else our bookmark is refused
	}{
		{"our bookmark was refused", "5.26.30", "/db/neo4j/tx/commit", false},
		{"our bookmark was refused", "5.26.30", "/db/neo4j/query/v2", false},
		{"no bookmark can be told", "4.4.48", "/db/neo4j/tx/commit", true},
		{"no bookmark can be told", "3.5.35", "/db/data/transaction/commit", true},
	} {
		for _, delivered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %s%s, part delivered: %v", c.name, c.server, c.path, delivered), func(t *testing.T) {
				var seen ran
				o := gateOptions{standin: standin.Options{Generation: cluster.Autonomous, ServerVersion: c.server, Seed: 1, OnQuery: seen.note}}
				if c.server < "5" {
					o.standin.Generation = cluster.Causal
				}
				if c.cluster {
					o.frontend = func(f *Frontend) { f.Causality = CausalityCluster }
				}
				inBubble(t, o, func(t *testing.T, g *gate) {
					g.overMemory()
					g.web("POST", c.path, webBody(c.path, aWrite, nil))
					leader := g.cluster.Leader("")
					if !c.cluster {
						g.onlyLogin().marks.raise(bolt.Position{DB: [16]byte{1, 2, 3}, Tx: 1}, bolt.BookmarkFabric, time.Now())
						g.server.databases.known.Store(nil) // so that all marks are added
					}
					params := m{"mark": "read", "delay": "2s"}
					if delivered {
						params = m{"mark": "read", "rows": 4, "row_delay": "500ms"}
					}
					answered := make(chan string)
					go func() {
						conn := g.plainConn()
						body := webBody(c.path, oneRow, params)
						fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gate\r\nAuthorization: Basic bmVvNGo6c3RhbmRpbg==\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.path, len(body), body)
						resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
						if err != nil {
							answered <- err.Error()
							return
						}
						text, err := io.ReadAll(resp.Body)
						answered <- fmt.Sprint(resp.StatusCode, " ", string(text), " ", err)
					}()
					time.Sleep(1200 * time.Millisecond)
					if got := seen.of("read"); len(got) == 0 || got[len(got)-1] != leader {
						t.Fatalf("it runs at %v; want the leader, %s", got, leader)
					}
					g.kill(leader)
					got := <-answered
					if delivered != strings.Contains(got, "unexpected EOF") || strings.Contains(got, "Neo.") {
						t.Errorf("got %s", got)
					}
					if by := seen.of("read"); !delivered && by[len(by)-1] == leader {
						t.Errorf("it was run by %v", by)
					}
					if n := g.server.Counts().InDoubt; n != 0 {
						t.Errorf("%d in doubt", n)
					}
				})
			})
		}
	}
}

// TestAReadAtTheLeaderThatIsAWrite: what stays at the leader because we took it for a read, and is none, is done there all the same.
func TestAReadAtTheLeaderThatIsAWrite(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 0)})
	for i, path := range []string{"/db/neo4j/tx/commit", "/db/neo4j/query/v2"} {
		g.mark(path, fmt.Sprint(i))
		g.onlyLogin().marks.raise(bolt.Position{DB: [16]byte{1, 2, 3}, Tx: 1}, bolt.BookmarkFabric, time.Now())
		g.server.databases.known.Store(nil)
		mark := "misjudged" + fmt.Sprint(i)
		if a := g.web("POST", path, webBody(path, misjudged, m{"mark": mark})); strings.Contains(a.raw, "Error.") {
			t.Errorf("%s: %v", path, a)
		}
		if marks := g.marks(); !slices.Contains(marks, any(mark)) {
			t.Errorf("%s: %v is committed", path, marks)
		}
	}
}

// TestALostReadAtTheLeaderIsToldSo: with no member left it is a lost read, not a write in doubt.
func TestALostReadAtTheLeaderIsToldSo(t *testing.T) {
	o := gateOptions{standin: standin.Options{Generation: cluster.Causal, ServerVersion: "4.4.48", Seed: 1},
		frontend: func(f *Frontend) { f.Causality = CausalityCluster }}
	inBubble(t, o, func(t *testing.T, g *gate) {
		g.overMemory()
		go func() {
			time.Sleep(time.Second)
			g.kill("s1", "s2", "s3")
		}()
		a := g.web("POST", "/db/neo4j/tx/commit", webBody("tx", oneRow, m{"delay": "2s"}))
		if a.status != 503 || a.code() != codeLeaderSwitch || g.server.Counts().InDoubt != 0 {
			t.Errorf("got %v; %d in doubt", a, g.server.Counts().InDoubt)
		}
	})
}
