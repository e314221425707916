package proxy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/standin"
)

// TestACommitAtAReplacedLeaderIsInDoubt: a leader that another replaced while it had a commit to answer, and that goes on answering its checks. What
// can do more than commit is not ended, however long it takes.
func TestACommitAtAReplacedLeaderIsInDoubt(t *testing.T) {
	const long = 10 * time.Second
	late := m{"delay": long.String(), "delay_at": "commit"}
	for _, v := range []bolt.Version{bolt.V4_4, bolt.V5_8} {
		for _, c := range []struct {
			name   string
			before [][]byte
			asks   [][]byte
			ended  bool
		}{
			{name: "an auto-commit write", asks: [][]byte{run(v, aWrite, taking(long), nil), pull(v)}, ended: true},
			{name: "a COMMIT", before: join(beginTx(v, nil), [][]byte{run(v, aWrite, late, nil), pull(v)}), asks: commitTx(v), ended: true},
			{name: "a query in a transaction", before: beginTx(v, nil), asks: [][]byte{run(v, aWrite, taking(long), nil), pull(v)}},
			{name: "a read", asks: [][]byte{run(v, oneRow, taking(long), nil), pull(v)}},
		} {
			t.Run(fmt.Sprint(c.name, " ", v), func(t *testing.T) {
				inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
					w := g.logged(v)
					if len(c.before) > 0 {
						w.ask(c.before...)
					}
					w.send(c.asks...)
					time.Sleep(500 * time.Millisecond)
					g.anotherLeads()
					known := time.Now()
					got := show(w.answers(len(c.asks)))
					took := time.Since(known)
					if doubt := strings.Contains(got, bolt.CodeCommitFailed); doubt != c.ended {
						t.Errorf("got %s after %v", got, took)
					}
					if soon := took <= deposedTime+deposedLook; soon != c.ended || took < deposedTime {
						t.Errorf("answered %v after another led: %s", took, got)
					}
				})
			})
		}
	}
}

// TestALeaderThatStaysEndsItsCommit: as long as none or only itself leads, and when it leads again in time.
func TestALeaderThatStaysEndsItsCommit(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.send(run(w.v, aWrite, taking(10*time.Second), nil), pull(w.v))
		time.Sleep(500 * time.Millisecond)
		leader := g.cluster.Leader("neo4j")
		for range 3 {
			g.anotherLeads()
			time.Sleep(deposedTime / 4)
			if err := g.cluster.Elect("neo4j", leader); err != nil {
				t.Fatal(err)
			}
			g.await(func(v *cluster.View) bool { l := v.Leader(""); return l != nil && l.Name == leader })
			time.Sleep(deposedTime)
		}
		if got := show(w.answers(2)); strings.Contains(got, bolt.CodeCommitFailed) {
			t.Errorf("got %s", got)
		}
	})
}

// TestACommitOverHTTPAtAReplacedLeaderIsInDoubt is the same over HTTP.
func TestACommitOverHTTPAtAReplacedLeaderIsInDoubt(t *testing.T) {
	const long = 10 * time.Second
	body := func(text string, params m) string {
		b, err := json.Marshal(m{"statements": []m{{"statement": text, "parameters": params}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name         string
		before, asks string // bodies: of a transaction's begin, of the request
		path         string
		ended        bool
	}{
		{name: "statements that write", path: "/db/neo4j/tx/commit", asks: body(aWrite, taking(long)), ended: true},
		{name: "a commit", before: body(aWrite, m{"delay": long.String(), "delay_at": "commit"}), path: "/commit", asks: body(aWrite, nil), ended: true},
		{name: "a statement in a transaction", before: body(aWrite, nil), asks: body(aWrite, taking(long))},
		{name: "statements that read, declared to write", path: "/db/neo4j/tx/commit", asks: body(oneRow, taking(long))},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
				g.overMemory()
				path := c.path
				if c.before != "" {
					path = g.web("POST", "/db/neo4j/tx", c.before, "Access-Mode", "WRITE").header.Get("Location") + c.path
				}
				answered := make(chan webAnswer)
				go func() { answered <- g.web("POST", path, c.asks, "Access-Mode", "WRITE") }()
				time.Sleep(time.Second)
				g.anotherLeads()
				known := time.Now()
				a := <-answered
				took := time.Since(known)
				if doubt := a.status == 502 && strings.Contains(a.raw, bolt.CodeCommitFailed); doubt != c.ended {
					t.Errorf("got %v after %v", a, took)
				}
				if soon := took <= deposedTime+2*leftLook; soon != c.ended || took < deposedTime {
					t.Errorf("answered %v after another led: %v", took, a)
				}
			})
		})
	}
}
