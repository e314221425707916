package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
)

// This file holds what reads over HTTP have to see, before members that lag.

// count reads theCount over HTTP and returns it, and who answered.
func (g *gate) count(path, mark, more string, headers ...string) (n, member string) {
	g.t.Helper()
	return g.countBy(theCount, path, mark, more, headers...)
}

// countBy is count by another text.
func (g *gate) countBy(text, path, mark, more string, headers ...string) (n, member string) {
	g.t.Helper()
	body := fmt.Sprintf(`{"statements":[{"statement":%q,"parameters":{"mark":%q}}]}`, text, mark)
	if strings.Contains(path, "query") {
		body = fmt.Sprintf(`{%s"statement":%q,"parameters":{"mark":%q}}`, more, text, mark)
	}
	a := g.web("POST", path, body, headers...)
	if a.status >= 300 || strings.Contains(a.raw, "Neo.") {
		g.t.Fatalf("%s: %v", path, a)
	}
	return a.field("n"), a.header.Get("X-Standin-Member")
}

func TestReadsOverHTTPSeeWhatTheirUserWrote(t *testing.T) {
	for _, c := range []struct {
		server string
		write  string // path, or "bolt"
		read   string
		more   string
		away   bool
	}{
		{"5.26.30", "/db/neo4j/query/v2", "/db/neo4j/query/v2", "", true},
		{"5.26.30", "/db/neo4j/query/v2", "/db/neo4j/query/v2", `"bookmarks":[],`, true},
		{"5.26.30", "/db/neo4j/tx/commit", "/db/neo4j/query/v2", `"bookmarks":["FB:"],`, true},
		{"5.26.30", "/db/neo4j/tx/commit", "/db/neo4j/tx/commit", "", true},
		{"5.26.30", "bolt", "/db/neo4j/query/v2", "", true},
		{"5.26.30", "bolt", "/db/neo4j/tx/commit", "", true},
		{"5.26.30", "/db/neo4j/query/v2", "bolt", "", true},
		{"4.4.48", "/db/neo4j/tx/commit", "/db/neo4j/tx/commit", "", false},
		{"4.4.48", "/db/neo4j/tx/commit", "bolt", "", false},
	} {
		t.Run(c.server+" "+c.write+" "+c.read+c.more, func(t *testing.T) {
			t.Parallel()
			generation, version := cluster.Autonomous, bolt.V5_4
			if c.server < "5" {
				generation, version = cluster.Causal, bolt.V4_4
			}
			g := startGate(t, gateOptions{standin: lagging(generation, c.server, 20*time.Millisecond)})
			client := g.dial(version)
			leader := g.cluster.Leader("neo4j")
			away := 0
			const rounds = 20
			for i := range rounds {
				mark := fmt.Sprint("m", i)
				switch {
				case c.write == "bolt":
					query(t, client, aMark, m{"mark": mark}, nil)
				case strings.Contains(c.write, "query"):
					g.web("POST", c.write, fmt.Sprintf(`{"statement":%q,"parameters":{"mark":%q}}`, aMark, mark))
				default:
					g.web("POST", c.write, fmt.Sprintf(`{"statements":[{"statement":%q,"parameters":{"mark":%q}}]}`, aMark, mark))
				}
				if c.read == "bolt" {
					if !sees(t, client, mark) {
						t.Fatalf("round %d: the read misses the write before it", i)
					}
					continue
				}
				n, member := g.count(c.read, mark, c.more)
				if n != "1" {
					t.Fatalf("round %d: the read found %s at %s (leader %s); want the one that was written before", i, n, member, leader)
				}
				if member != leader {
					away++
				}
			}
			if c.away && c.read != "bolt" && away < rounds/2 { // an answer that came in pieces, with pauses, is remembered by time
				t.Errorf("%d of %d reads were served off the leader; want most", away, rounds)
			}
		})
	}
}

func TestAReadOverHTTPLeavesAMemberThatDoesNotCatchUp(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", time.Hour), frontend: func(f *Frontend) { f.CausalityWait = 50 * time.Millisecond }})
	leader := g.cluster.Leader("neo4j")
	g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"statement":%q,"parameters":{"mark":"a"}}`, aMark))
	for _, path := range []string{"/db/neo4j/query/v2", "/db/neo4j/tx/commit"} {
		if n, member := g.count(path, "a", ""); n != "1" || member != leader {
			t.Errorf("%s: with all others behind the read found %s at %s; want 1 at the leader %s", path, n, member, leader)
		}
	}
	g.cluster.SetLag("s1", 0) //nolint:errcheck // it is there
	g.cluster.SetLag("s2", 0) //nolint:errcheck // it is there
	mark := g.onlyLogin().marks.all()[0]
	text := fmt.Sprintf("%q", bolt.AppendBookmark(nil, bolt.BookmarkFabric, bolt.Position{DB: mark.db, Tx: mark.tx.Load()}))
	for range 6 {
		if n, member := g.count("/db/neo4j/query/v2", "a", `"accessMode":"Read","bookmarks":[`+text+`],`); n != "1" || member == leader {
			t.Errorf("a declared read with a bookmark found %s at %s (leader %s)", n, member, leader)
		}
		if n, member := g.count("/db/neo4j/tx/commit", "a", "", "Access-Mode", "READ", "Bookmarks", "["+text+"]"); n != "1" || member == leader {
			t.Errorf("a declared read with a bookmark in its header found %s at %s (leader %s)", n, member, leader)
		}
	}
}

func TestARefusedBookmarkOfOursIsNotForTheHTTPClient(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 0)})
	for _, path := range []string{"/db/neo4j/query/v2", "/db/neo4j/tx/commit"} {
		g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"statement":%q,"parameters":{"mark":%q}}`, aMark, path))
		l := g.onlyLogin()
		l.marks.raise(bolt.Position{DB: [16]byte{1, 2, 3}, Tx: 1}, bolt.BookmarkFabric, time.Now())
		g.server.databases.known.Store(nil)
		if n, _ := g.count(path, path, ""); n != "1" {
			t.Errorf("%s: the read found %s", path, n)
		}
	}
}

func TestAMalformedBookmarkOverHTTPIsTheMembersToRefuse(t *testing.T) {
	g := startGate(t, gateOptions{standin: lagging(cluster.Autonomous, "", 0)})
	g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"statement":%q,"parameters":{"mark":"a"}}`, aMark))
	for _, given := range []string{`["nonsense"]`, `["FB:","FB:%"]`} {
		a := g.web("POST", "/db/neo4j/query/v2", fmt.Sprintf(`{"bookmarks":%s,"statement":%q,"parameters":{"mark":"a"}}`, given, theCount))
		if !strings.Contains(a.raw, bolt.CodeInvalidBookmark) {
			t.Errorf("%s: got %v; want the member's InvalidBookmark", given, a)
		}
	}
}

func TestAnswersTellBookmarks(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":{"fields":["bookmarks"],"values":[[{"bookmarks":["FB:no"]}]]},"bookmarks":["FB:yes"]}`: `["FB:yes"]`,
		`{"results":[],"errors":[],"lastBookmarks":["FB:yes"]}`:                                         `["FB:yes"]`,
		`{"results":[],"errors":[{"code":"Neo.x"}],"lastBookmarks":["FB:no"]}`:                          "",
		`{"results":[],"errors":[]}`:                          "",
		`{"bookmarks":["FB:no"]} and more`:                    "",
		`{"a":"\",\"bookmarks\":[\"FB:no\"]","bookmarks":[]}`: "[]",
	} {
		if got := string(answerMarks([]byte(body))); got != want {
			t.Errorf("%s: got %q; want %q", body, got, want)
		}
	}
}
