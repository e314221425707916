package proxy

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/netio"
	"github.com/boltgate/boltgate/pool"
)

// This file holds what the scopes cluster and session mean over HTTP.

// mark writes one node over HTTP.
func (g *gate) mark(path, mark string) {
	g.t.Helper()
	body := fmt.Sprintf(`{"statements":[{"statement":%q,"parameters":{"mark":%q}}]}`, aMark, mark)
	if strings.Contains(path, "query") {
		body = fmt.Sprintf(`{"statement":%q,"parameters":{"mark":%q}}`, aMark, mark)
	}
	if a := g.web("POST", path, body); a.status >= 300 || strings.Contains(a.raw, "Error.") {
		g.t.Fatalf("%s: %v", path, a)
	}
}

func TestReadsOverHTTPSeeWhatWasWrittenThroughAnotherGate(t *testing.T) {
	for _, c := range []struct {
		server, write, read string
		away                bool
	}{
		{"5.26.30", "/db/neo4j/query/v2", "/db/neo4j/query/v2", true},
		{"5.26.30", "/db/neo4j/tx/commit", "/db/neo4j/tx/commit", true},
		{"5.26.30", "/db/neo4j/query/v2", "/db/Neo4j/query/v2", true},
		{"4.4.48", "/db/neo4j/tx/commit", "/db/neo4j/tx/commit", false},
	} {
		t.Run(c.server+c.read, func(t *testing.T) {
			t.Parallel()
			generation := cluster.Autonomous
			if c.server < "5" {
				generation = cluster.Causal
			}
			o := gateOptions{standin: lagging(generation, c.server, 20*time.Millisecond)}
			var reads watched
			reads.into(&o.standin)
			g := startGate(t, o)
			other := g.second(CausalityCluster)
			for i := range 30 {
				mark := fmt.Sprint("m", i)
				g.mark(c.write, mark)
				if n, member := other.count(c.read, mark, ""); n != "1" {
					t.Fatalf("round %d: the read found %s at %s; want what was written through another gate", i, n, member)
				}
			}
			off, all := reads.offLeader(g.cluster.Leader(""))
			if c.away && off < all*95/100 {
				t.Errorf("%d of %d reads ran off the leader (%v); want 95 %%", off, all, reads.by)
			}
			if !c.away && off > 0 {
				t.Errorf("%d of %d reads ran off the leader, though nothing could tell them what they have to see", off, all)
			}
		})
	}
}

// TestRequestsAndSessionsShareOneQuestion: many readers over both protocols ask the leader less often than they read.
func TestRequestsAndSessionsShareOneQuestion(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 5*time.Millisecond)})
	all := g.second(CausalityCluster)
	var readers sync.WaitGroup
	for i := range 12 {
		web, c, w := all.keeping(), all.dial(bolt.V5_8), g.dial(bolt.V5_8)
		readers.Go(func() {
			for j := range 15 {
				mark := fmt.Sprint(i, "-", j)
				if _, err := w.Query(aMark, m{"mark": mark}, m{"db": "neo4j"}); err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					body := fmt.Sprintf(`{"statement":%q,"parameters":{"mark":%q}}`, theCount, mark)
					if a := web.web("POST", "/db/neo4j/query/v2", body); a.field("n") != "1" {
						t.Errorf("round %d over HTTP: %v", j, a)
					}
				} else if res, err := c.Query(theCount, m{"mark": mark}, m{"db": "neo4j"}); err != nil || res.Rows[0][0] != int64(1) {
					t.Errorf("round %d over Bolt: got %+v, %v", j, res, err)
				}
			}
		})
	}
	readers.Wait()
	all.server.newest.mu.Lock()
	defer all.server.newest.mu.Unlock()
	if len(all.server.newest.per) > 0 {
		t.Errorf("%d questions are remembered when none is under way", len(all.server.newest.per))
	}
}

// TestALeaderThatTellsNoBookmarkServesTheReadItself: a login that may not read, a body that is no answer.
func TestALeaderThatTellsNoBookmarkServesTheReadItself(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", time.Hour), frontend: func(f *Frontend) { f.Causality = CausalityCluster }})
	g.mark("/db/neo4j/query/v2", "a")
	a := g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"statement":%q,"parameters":{"mark":"a"}}`, theCount), "Authorization", "Basic bm9ib2R5Om5v")
	if a.status != 401 {
		t.Errorf("a read by nobody: %v; want the member's own refusal", a)
	}
	if n, member := g.count("/db/neo4j/query/v2", "a", ""); n != "1" || member != g.cluster.Leader("neo4j") {
		t.Errorf("a read that no other member can serve found %s at %s", n, member)
	}
	if n, _ := g.count("/db/neo4j/query/v2", "a", ""); n != "1" {
		t.Errorf("USE: found %s", n)
	}
	body := fmt.Sprintf(`{"statement":%q,"parameters":{"mark":"a"}}`, "USE neo4j "+theCount)
	if a := g.web("POST", "/db/system/query/v2", body); a.header.Get("X-Standin-Member") != g.cluster.Leader("neo4j") {
		t.Errorf("a read whose text names another database than its path: %v", a)
	}
}

// TestAKeptConnectionIsASession: with scope session a connection's reads see what it wrote, one that is new what its user had written,
// and one that was there before sees less.
func TestAKeptConnectionIsASession(t *testing.T) {
	const path = "/db/neo4j/query/v2"
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", time.Hour),
		frontend: func(f *Frontend) { f.Causality, f.CausalityWait = CausalitySession, 50*time.Millisecond }})
	before, writer := g.keeping(), g.keeping()
	before.count(path, "a", "")
	writer.mark(path, "a")
	if n, member := writer.count(path, "a", ""); n != "1" {
		t.Errorf("a read on the writer's own connection found %s at %s; want what was written before it", n, member)
	}
	if n, member := g.keeping().count(path, "a", ""); n != "1" {
		t.Errorf("a read on a connection that came after the write found %s at %s; want what was written before it", n, member)
	}
	leader := g.cluster.Leader("neo4j")
	if n, member := before.count(path, "a", ""); n != "0" || member == leader {
		t.Errorf("a read on a connection that was there before found %s at %s; want 0 off the leader: another session's write is no business of its", n, member)
	}
}

// TestAReadTellsItsTransactionToo: what a user has read over HTTP is not unread at another member.
func TestAReadTellsItsTransactionToo(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", time.Hour), frontend: func(f *Frontend) { f.CausalityWait = 50 * time.Millisecond }})
	other, client := g.second(CausalityUser), g.keeping()
	other.mark("/db/neo4j/query/v2", "a")
	noted := func() bool {
		g.server.logins.mu.Lock()
		defer g.server.logins.mu.Unlock()
		for _, l := range g.server.logins.known {
			return slices.ContainsFunc(l.marks.all(), func(k *mark) bool { return k.tx.Load() > 0 })
		}
		return false
	}
	for until := time.Now().Add(patience); !noted(); { // an answer that comes in pieces is not looked at
		if n, _ := client.count("/db/neo4j/query/v2", "a", `"accessMode":"Write",`); n != "1" || time.Now().After(until) {
			t.Fatalf("a read at the leader found %s; its bookmark was not noted", n)
		}
	}
	if n, member := client.count("/db/neo4j/query/v2", "a", ""); n != "1" {
		t.Errorf("the next read found %s at %s: it went back in time", n, member)
	}
}

// TestAnswersAboutTheNewestBookmarkInAnyPieces: a body is read to its end however it comes.
func TestAnswersAboutTheNewestBookmarkInAnyPieces(t *testing.T) {
	body := `{"results":[],"errors":[],"lastBookmarks":["FB:abc"]}`
	for name, answer := range map[string]string{
		"with its length": fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		"in chunks":       fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 20, body[:20], len(body)-20, body[20:]),
	} {
		head := strings.Index(answer, "\r\n\r\n") + 4
		for size := 1; size < len(answer)-head; size += 7 {
			client, server := net.Pipe()
			go func() {
				for rest := answer[head:]; len(rest) > 0; {
					n, _ := server.Write([]byte(rest[:min(size, len(rest))]))
					rest = rest[n:]
				}
			}()
			in := make([]byte, bufferSize)
			n := copy(in, answer[:head])
			var h httpHead
			if err := h.parseAnswer(in[:n], false); err != nil {
				t.Fatal(err)
			}
			text, whole, err := restOfAnswer(&pool.Lease{Link: netio.New(client)}, &h, in, n)
			if string(text) != body || !whole || err != nil {
				t.Errorf("%s, %d bytes at a time: got %q, %v, %v", name, size, text, whole, err)
			}
			server.Close()
			client.Close()
		}
	}
}

// TestAReadAtALeaderThatWasSeesItsUsersWrites: a member that leads no more, and has not caught up, is told to read, and passes nothing on.
func TestAReadAtALeaderThatWasSeesItsUsersWrites(t *testing.T) {
	for _, path := range []string{"/db/neo4j/tx/commit", "/db/neo4j/query/v2"} {
		o := lagging(cluster.Autonomous, "", 0)
		o.SSR = true
		inBubble(t, gateOptions{standin: o, health: slowChecks, frontend: func(f *Frontend) { f.Causality = CausalityCluster }}, func(t *testing.T, g *gate) {
			g.overMemory()
			g.mark(path, "a")
			old := g.stale()
			if err := g.cluster.SetLag(old, 300*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			g.mark(path, "a")
			if n, member := g.countBy("USE neo4j "+theCount, path, "a", ""); n != "2" || member != old {
				t.Errorf("%s: found %s at %s; want 2 at %s", path, n, member, old)
			}
		})
	}
}
