package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/cluster"
	"github.com/boltgate/boltgate/querystats"
	"github.com/boltgate/boltgate/standin"
)

// This file holds the statistics of queries and the slow log to what was run.

// counted is what was counted since the texts in before, "calls failed rows text" a shape, in order of calls.
func counted(s *Server, before map[string]querystats.Stat) (lines []string) {
	for _, one := range s.Queries().Top(querystats.ByTime, 1000).Top {
		was := before[one.Text]
		before[one.Text] = one
		if n := one.Calls - was.Calls; n > 0 {
			lines = append(lines, fmt.Sprintf("%d calls %d failed %d rows %v: %s", n, one.Failed-was.Failed, one.Rows-was.Rows, (one.Total-was.Total).Round(100*time.Millisecond), one.Text))
		}
	}
	return lines
}

// slowRead takes 300 ms at a stand-in.
const slowRead = "MATCH (n) /*standin delay=300ms*/ RETURN n LIMIT 1"

func TestQueriesAreCountedByShape(t *testing.T) {
	none := m{}
	tests := []struct {
		name string
		do   func(w *wire)
		want []string
	}{
		{"an auto-commit query", func(w *wire) { w.ask(run(w.v, slowRead, none, m{"mode": "r"}), pull(w.v)) },
			[]string{"1 calls 0 failed 1 rows 300ms: MATCH (n) RETURN n LIMIT ?"}},
		{"in pieces, at the client's pace", func(w *wire) {
			one := stream(w.v, bolt.TagPull, m{"n": 1})
			w.ask(run(w.v, "MATCH (i) RETURN i /*standin rows=3*/", none, m{"mode": "r"}), one)
			time.Sleep(time.Second)
			w.ask(one)
			time.Sleep(time.Second)
			w.ask(pull(w.v))
		}, []string{"1 calls 0 failed 3 rows 2s: MATCH (i) RETURN i"}},
		{"a failure", func(w *wire) { w.ask(run(w.v, failRun, none, m{"mode": "r"}), pull(w.v)); w.ask(bolt.Reset) },
			[]string{"1 calls 1 failed 0 rows 0s: MATCH (n) RETURN n"}},
		{"RESET in mid-stream", func(w *wire) {
			w.ask(run(w.v, "MATCH (j) RETURN j /*standin rows=3*/", none, m{"mode": "r"}), stream(w.v, bolt.TagPull, m{"n": 1}))
			w.ask(bolt.Reset)
		}, []string{"1 calls 1 failed 1 rows 0s: MATCH (j) RETURN j"}},
		{"one that goes to a second member is one", func(w *wire) { w.ask(run(w.v, misjudged, none, nil), pull(w.v)) }, []string{"1 calls 0 failed 1 rows 0s: MATCH (create) RETURN create"}},
		{"a transaction, one by one", func(w *wire) {
			w.ask(beginTx(w.v, m{"mode": "r"})...)
			time.Sleep(time.Second) // the client's own
			w.ask(run(w.v, slowRead, none, nil), pull(w.v))
			time.Sleep(time.Second)
			w.ask(run(w.v, "MATCH (k) RETURN k /*standin rows=3*/", none, nil), pull(w.v))
			w.ask(commitTx(w.v)...)
		}, []string{"1 calls 0 failed 1 rows 300ms: MATCH (n) RETURN n LIMIT ?", "1 calls 0 failed 3 rows 0s: MATCH (k) RETURN k"}},
		{"a transaction at once", func(w *wire) {
			all := append(beginTx(w.v, m{"mode": "r"}), run(w.v, slowRead, none, nil), pull(w.v), run(w.v, slowRead, none, nil), pull(w.v))
			w.ask(append(all, commitTx(w.v)...)...)
		}, []string{"2 calls 0 failed 2 rows 600ms: MATCH (n) RETURN n LIMIT ?"}},
		{"a transaction that is taken back in mid-stream", func(w *wire) {
			w.ask(beginTx(w.v, m{"mode": "r"})...)
			w.ask(run(w.v, "MATCH (l) RETURN l /*standin rows=3*/", none, nil), stream(w.v, bolt.TagPull, m{"n": 1}))
			w.ask(rollbackTx(w.v)...)
		}, []string{"1 calls 0 failed 1 rows 0s: MATCH (l) RETURN l"}},
		{"a request with much data inside a transaction", func(w *wire) {
			w.ask(beginTx(w.v, nil)...)
			w.ask(run(w.v, "UNWIND $rows AS r CREATE (n {p: r})", m{"rows": strings.Repeat("x", 200_000)}, nil), pull(w.v))
			w.ask(commitTx(w.v)...)
		}, []string{"1 calls 0 failed 0 rows 0s: UNWIND $rows AS r CREATE (n {p: r})"}},
		{"a client that leaves", func(w *wire) {
			w.ask(run(w.v, "MATCH (m) RETURN m /*standin rows=3*/", none, m{"mode": "r"}), stream(w.v, bolt.TagPull, m{"n": 1}))
			w.conn.Close()
		}, []string{"1 calls 1 failed 1 rows 0s: MATCH (m) RETURN m"}},
	}
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w, before := g.logged(bolt.V5_8), map[string]querystats.Stat{}
		for _, test := range tests {
			counted(g.server, before)
			test.do(w)
			synctest.Wait()
			got := counted(g.server, before)
			for i := range max(len(got), len(test.want)) {
				if i >= len(got) || i >= len(test.want) || !strings.HasPrefix(got[i], test.want[i]) {
					t.Errorf("%s:\ngot  %q\nwant %q", test.name, got, test.want)
					break
				}
			}
		}
	})
}

// TestOldTransactionsAreNoQueries: BEGIN and COMMIT are texts to Bolt 1 and 2.
func TestOldTransactionsAreNoQueries(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Generation: cluster.HA, Seed: 1}})
	w := g.logged(bolt.V2)
	w.ask(beginTx(w.v, nil)...)
	w.ask(run(w.v, "CREATE (n)", m{}, nil), pull(w.v))
	w.ask(commitTx(w.v)...)
	w.row("RETURN 1", nil, nil)
	if got := counted(g.server, map[string]querystats.Stat{}); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

func TestQueriesThatNobodyServedAreCounted(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		g.kill("s1", "s2", "s3")
		synctest.Wait()
		began := time.Now()
		w.ask(auto(w.v, aWrite)...)
		waited := time.Since(began).Round(100 * time.Millisecond)
		if waited > 21*time.Second { // also of one whose home database nobody could tell
			t.Errorf("told after %v; failover.hold is 20 s", waited)
		}
		synctest.Wait()
		if got := counted(g.server, map[string]querystats.Stat{}); len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprintf("1 calls 1 failed 0 rows %v: CREATE", waited)) {
			t.Errorf("got %q", got)
		}
	})
}

func TestHTTPQueriesAreCounted(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}})
	body := `{"statements": [{"parameters": {"statement": "no"}, "statement": "MATCH (n {id: 7})\n RETURN n"}, {"statement": "RETURN 2"}]}`
	g.web("POST", "/db/neo4j/tx/commit", body)
	g.web("POST", "/db/neo4j/tx/commit", body, "X-Write", "0")
	g.web("POST", "/db/neo4j/query/v2", `{"statement": "MATCH (n {id: 8}) RETURN n", "accessMode": "READ"}`)
	g.web("POST", "/db/neo4j/tx", `{"statements": [{"statement": "CREATE (n)"}]}`)
	g.web("POST", "/db/neo4j/tx/commit", `{"statements": "none"}`)
	g.web("GET", "/db/neo4j/cluster/available", "")
	got := ""
	for deadline := time.Now().Add(patience); g.server.Queries().Top(querystats.ByTime, 1).Calls < 6 && time.Now().Before(deadline); { // an answer is there before it is counted
		time.Sleep(time.Millisecond)
	}
	got = strings.Join(counted(g.server, map[string]querystats.Stat{}), "\n")
	for _, want := range []string{"3 calls 0 failed 0 rows 0s: MATCH (n {id: ?}) RETURN n", "2 calls 0 failed 0 rows 0s: RETURN ?", "1 calls 0 failed 0 rows 0s: CREATE (n)"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("got %s", got)
	}
}

// TestStatementsOfOneRequestShareItsTime, also where the request says itself what it is, and so no text has to be read.
func TestStatementsOfOneRequestShareItsTime(t *testing.T) {
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{Slow: 100 * time.Millisecond}})
	body := `{"statements": [{"statement": "CREATE (n {id: 1}) /*standin delay=200ms*/"}, {"statement": "CREATE (n {id: \u0032})"}, {"statement": "RETURN 1"}, {"statement": "CREATE (n {id: 3})"}]}`
	for i, headers := range [][]string{nil, {"X-Write", "1"}} {
		if a := g.web("POST", "/db/neo4j/tx/commit", body, headers...); a.status != 200 || a.code() != "" {
			t.Fatalf("got %v", a)
		}
		waitFor(t, "the request to be counted", func() bool { return len(g.server.SlowQueries()) == i+1 })
		slow, top := g.server.SlowQueries(), g.server.Queries().Top(querystats.ByTime, 10).Top
		n := uint64(i + 1)
		if len(top) != 2 || top[0].Text != "CREATE (n {id: ?})" || top[0].Calls != 3*n || top[1].Text != "RETURN ?" || top[1].Calls != n {
			t.Fatalf("got %+v", top)
		}
		if whole := top[0].Total + top[1].Total; top[0].Total != 3*top[1].Total || whole < 200*time.Millisecond*time.Duration(n) || i == 0 && (slow[0].Took-whole).Abs() > 4 {
			t.Errorf("of %v the shapes have %v and %v; want three quarters and one", slow[0].Took, top[0].Total, top[1].Total)
		}
		if slow[i].Text != "CREATE (n {id: ?}) (first of 4 statements)" {
			t.Errorf("slow: %+v", slow)
		}
	}
}

// TestOperatorsSeeWhatRuns, without its literals.
func TestOperatorsSeeWhatRuns(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.send(run(w.v, "MATCH (n {name: 'topsecret'}) /*standin delay=2s*/ RETURN n", m{"p": secret}, m{"mode": "r"}), pull(w.v))
		time.Sleep(time.Second)
		for _, c := range g.server.Clients() {
			if c.Query != "MATCH (n {name: ?}) RETURN n" {
				t.Errorf("got %q", c.Query)
			}
		}
	})
}

func TestSlowQueriesAreLogged(t *testing.T) {
	log := new(accessLog)
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{Slow: 200 * time.Millisecond}, log: log.logger()}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.ask(run(w.v, "RETURN 1", m{"p": secret}, m{"mode": "r"}), pull(w.v))
		w.ask(run(w.v, "MATCH (n {p: 'topsecret'}) /*standin delay=300ms*/ RETURN n", m{"p": secret}, m{"mode": "r"}), pull(w.v))
		synctest.Wait()
		text := log.text()
		if strings.Contains(text, secret) || strings.Count(text, "slow query") != 1 {
			t.Errorf("logged: %s", text)
		}
		for _, want := range []string{`"level":"WARN","msg":"slow query","took":30`, `"query":"MATCH (n {p: ?}) RETURN n"`, `"user":"neo4j"`, `"access":"read"`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in %s", want, text)
			}
		}
		if got := g.server.SlowQueries(); len(got) != 1 || got[0].Text != "MATCH (n {p: ?}) RETURN n" || got[0].Member == "" || got[0].Took < 300*time.Millisecond {
			t.Errorf("kept: %+v", got)
		}
	})
}

func TestSlowHTTPRequestsAreLogged(t *testing.T) {
	log := new(accessLog)
	g := startGate(t, gateOptions{standin: standin.Options{Seed: 1}, server: Options{Slow: 20 * time.Millisecond}, log: log.logger()})
	g.web("POST", "/db/neo4j/tx/commit", stmt("CREATE (n {p: 'topsecret'}) /*standin delay=50ms*/"))
	for deadline := time.Now().Add(patience); len(g.server.SlowQueries()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := g.server.SlowQueries(); len(got) != 1 || got[0].Text != "CREATE (n {p: ?})" || got[0].Member == "" {
		t.Errorf("kept: %+v", got)
	}
	if text := log.text(); !strings.Contains(text, `"query":"CREATE (n {p: ?})"`) || strings.Contains(text, secret) {
		t.Errorf("logged: %s", text)
	}
}

// TestSlowQueriesSayTheirDataWhenAsked, cut; and of a pipelined transaction never another query's.
func TestSlowQueriesSayTheirDataWhenAsked(t *testing.T) {
	log := new(accessLog)
	o := Options{Slow: 200 * time.Millisecond, SlowData: true}
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: o, log: log.logger()}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		ask := func(messages ...[]byte) string {
			w.ask(messages...)
			synctest.Wait()
			return log.text()
		}
		if text := ask(run(w.v, "MATCH (n {p: 'mine'}) /*standin delay=300ms*/ RETURN n", m{"p": "yours"}, m{"mode": "r"}), pull(w.v)); !strings.Contains(text, "'mine'") || !strings.Contains(text, "map[p:yours]") {
			t.Errorf("logged: %s", text)
		}
		if text := ask(run(w.v, slowRead, m{"p": strings.Repeat("x", 100_000)}, m{"mode": "r"}), pull(w.v)); !strings.Contains(text, "too long") || len(text) > 10_000 {
			t.Errorf("logged: %d bytes: %.2000s", len(text), text)
		}
		all := append(beginTx(w.v, m{"mode": "r"}), run(w.v, slowRead, m{"p": "first"}, nil), pull(w.v), run(w.v, "RETURN 1", m{"p": "second"}, nil), pull(w.v))
		if text := ask(append(all, commitTx(w.v)...)...); !strings.Contains(text, "slow query") || strings.Contains(text, "second") {
			t.Errorf("logged: %s", text)
		}
	})
}

// TestEnormousTextsAreCut, wherever operators see them: in the line, among the slow queries, and while they run.
func TestEnormousTextsAreCut(t *testing.T) {
	log := new(accessLog)
	o := Options{Slow: 200 * time.Millisecond, SlowData: true}
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, server: o, log: log.logger()}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		for i, size := range []int{3000, 10_000, 300_000} { // more than slowText, than querystats.MaxLook, than keptForSlow
			log.text()
			text := "MATCH (n) /*standin delay=300ms*/ WHERE true" + strings.Repeat(" OR n.größe = n.name", size/20) + " RETURN n"
			w.send(run(w.v, text, nil, m{"mode": "r"}), pull(w.v))
			time.Sleep(100 * time.Millisecond)
			running := g.server.Clients()[0].Query
			w.answers(2)
			synctest.Wait()
			slow, line := g.server.SlowQueries(), log.text()
			if len(slow) != i+1 || strings.Count(line, "slow query") != 1 {
				t.Fatalf("of %d bytes: %d were kept as slow; logged: %.2000s", size, len(slow), line)
			}
			for where, got := range map[string]string{"the slow query": slow[0].Text, "the running query": running} {
				if len(got) > querystats.MaxText || !strings.HasPrefix(got, "MATCH (n) WHERE true OR") || !strings.HasSuffix(got, "…") {
					t.Errorf("of %d bytes %s has %d: %.2000s", size, where, len(got), got)
				}
			}
			if len(line) > 4000 || !strings.Contains(line, `"text":"MATCH (n) /*standin delay`) {
				t.Errorf("of %d bytes the line has %d: %.5000s", size, len(line), line)
			}
		}
	})
}

func TestTheSlowLogIsBounded(t *testing.T) {
	var l slowLog
	now, written := time.Now(), 0
	for i := range 5 * slowLines {
		if write, _ := l.note(SlowQuery{At: now.Add(time.Duration(i) * time.Millisecond), Rows: uint64(i)}); write {
			written++
		}
	}
	write, dropped := l.note(SlowQuery{At: now.Add(2 * time.Second), Rows: 777})
	if written != slowLines || !write || dropped != 4*slowLines || len(l.kept) != slowKept {
		t.Errorf("%d written, then %v with %d dropped; %d kept", written, write, dropped, len(l.kept))
	}
	s := Server{slow: slowLog{kept: l.kept, next: l.next}}
	if got := s.SlowQueries(); got[0].Rows != 777 || got[1].Rows != 499 || got[slowKept-1].Rows != 401 {
		t.Errorf("kept in the order %d, %d … %d", got[0].Rows, got[1].Rows, got[slowKept-1].Rows)
	}
}

func TestTheTextOfARun(t *testing.T) {
	long := strings.Repeat("RETURN 1 ", 5000)
	for _, text := range []string{"", "a", strings.Repeat("b", 15), strings.Repeat("c", 16), strings.Repeat("d", 255), strings.Repeat("e", 256), long[:8000], long} {
		whole := run(bolt.V5_8, text, m{"p": 1}, nil)
		payload, _ := bolt.Payload(whole, nil)
		var small []byte // as drivers send it that use small chunks
		for p := payload; len(p) > 0; p = p[min(1400, len(p)):] {
			n := min(1400, len(p))
			small = append(append(small, byte(n>>8), byte(n)), p[:n]...)
		}
		small = append(small, 0, 0)
		want := text[:min(len(text), querystats.MaxLook)]
		for name, b := range map[string][]byte{"one chunk": whole, "small chunks": small} {
			if got, _ := runText(b, nil); string(got) != want {
				t.Errorf("%s of %d bytes: got %d bytes; want %d", name, len(text), len(got), len(want))
			}
		}
		for n := range min(len(small), 3000) { // whatever is there of it
			if got, _ := runText(small[:n], nil); !bytes.HasPrefix([]byte(want), got) && n > 8 {
				t.Fatalf("of %d of the bytes: got %q", n, got)
			}
		}
	}
}
