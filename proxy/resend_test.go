package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

// This file holds what is sent again to its bounds, what is not, and what is told of commits in doubt.

// ran counts the statements that members ran, or refused, by mark.
type ran struct {
	mu   sync.Mutex
	list map[any][]string // members
}

func (r *ran) note(q standin.Query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[any][]string{}
	}
	r.list[q.Mark] = append(r.list[q.Mark], q.Member)
}

func (r *ran) of(mark any) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[mark]
}

// selfCommitting are texts with more than one transaction.
var selfCommitting = []string{
	"UNWIND range(1, 10) AS i CALL { CREATE (n) } IN TRANSACTIONS OF 1 ROWS",
	"USING PERIODIC COMMIT 10 LOAD CSV FROM 'x' AS row CREATE (n)",
	"CALL apoc.periodic.iterate('MATCH (n) RETURN n', 'SET n.x = 1', {})",
}

func TestTextsThatCommitByThemselvesAreNeverSentAgain(t *testing.T) {
	for _, r := range releases {
		for _, v := range r.versions {
			for _, text := range selfCommitting {
				t.Run(fmt.Sprintf("%s Bolt %v %.12s", r.server, v, text), func(t *testing.T) {
					var seen ran
					o := standin.Options{Generation: r.kind, ServerVersion: r.server, Seed: 1, OnQuery: seen.note}
					inBubble(t, gateOptions{standin: o, health: slowChecks}, func(t *testing.T, g *gate) {
						w := g.logged(v)
						w.row(aWrite, nil, nil)
						for mark, end := range map[string]string{"at run": "run", "at pull": "pull", "committed": "committed", "refused": ""} {
							if end == "" {
								g.stale()
							}
							list := w.ask(run(v, text, m{"mark": mark, "close": end}, nil), pull(v))
							want := bolt.CodeCommitFailed
							if end == "" {
								want = bolt.CodeLeaderSwitch
							}
							if got := show(list); !strings.Contains(got, "FAILURE("+want+")") && !(strings.HasSuffix(got, "CLOSED") && end != "") {
								t.Errorf("%s: %s; want %s", mark, got, want)
							}
							if got := seen.of(mark); len(got) != 1 {
								t.Errorf("%s: it was run by %v; want once", mark, got)
							}
							if list[len(list)-1].tag == 0 {
								w = g.logged(v)
							} else {
								w.expect("SUCCESS()", bolt.Reset)
							}
							time.Sleep(12 * time.Second) // a check has found the leader
						}
					})
				})
			}
		}
	}
}

// TestASpentBudgetIsSaid: who may not be sent again hears the transient error at once, and why.
func TestASpentBudgetIsSaid(t *testing.T) {
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1}, health: slowChecks, server: Options{RetryBudget: -1}}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row(aWrite, m{"mark": "first"}, nil)
		told := func(what string, text string) {
			t.Helper()
			if !strings.Contains(text, bolt.CodeLeaderSwitch) || !strings.Contains(text, "failover.retry_budget is spent") {
				t.Errorf("%s: %s", what, text)
			}
		}
		began := time.Now()
		g.stale()
		list := w.ask(write(w.v, "refused", nil), pull(w.v))
		told("a refused write", fmt.Sprint(list[0].value))
		w.ask(bolt.Reset)
		time.Sleep(11 * time.Second) // a check has found the leader
		g.stale()
		h := g.plainConn()
		if _, err := io.WriteString(h, webWrite("refused")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(h), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("over HTTP: %v", resp)
		}
		told("over HTTP", string(body))
		list = w.ask(run(w.v, oneRow, m{"close": "run"}, m{"mode": "r"}), pull(w.v))
		told("a read whose member was lost", fmt.Sprint(list[0].value))
		w.ask(bolt.Reset)
		if took := time.Since(began); took > 11200*time.Millisecond {
			t.Errorf("it took %v to say so", took-11*time.Second)
		}
		if got := g.server.Counts(); got.Refused["retry_budget"] != 3 || got.Resent["refused"]+got.Resent["lost"] != 0 {
			t.Errorf("counted %v, sent again %v", got.Refused, got.Resent)
		}
		if got := fmt.Sprint(g.marks()); got != "[first]" {
			t.Errorf("committed %v", got)
		}
	})
}

// TestWhatIsSentAgainIsCounted, by why.
func TestWhatIsSentAgainIsCounted(t *testing.T) {
	var seen ran
	inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}, health: slowChecks}, func(t *testing.T, g *gate) {
		w := g.logged(bolt.V5_8)
		w.row(aWrite, nil, nil)
		want := map[string]int64{}
		check := func(why string) {
			t.Helper()
			want[why]++
			for name, n := range g.server.Counts().Resent {
				if n != want[name] {
					t.Errorf("after one for %s: %d for %s; want %d", why, n, name, want[name])
				}
			}
		}
		g.stale()
		w.row(aWrite, nil, nil)
		check("refused")
		w.row(misjudged, nil, nil)
		check("misjudged")
		time.Sleep(11 * time.Second)
		w.send(run(w.v, "MATCH (n) RETURN n /*standin mark=lost delay=3s*/", nil, m{"mode": "r"}), pull(w.v))
		time.Sleep(time.Second)
		g.kill(seen.of("lost")[0])
		if _, err := firstRow(w.answers(2)); err != nil {
			t.Error(err)
		}
		check("lost")
	})
}

// TestATimeoutOfTheClientsOwnHolds: a read that is sent again has what is left of its tx_timeout, and none when nothing is.
func TestATimeoutOfTheClientsOwnHolds(t *testing.T) {
	for name, test := range map[string]struct {
		server string
		limit  time.Duration
		code   string
		took   time.Duration
		runs   int
	}{
		"what is left":    {"5.26.30", 4 * time.Second, "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration", 4 * time.Second, 2},
		"nothing is left": {"4.4.48", 2 * time.Second, bolt.CodeLeaderSwitch, 3 * time.Second, 1},
		"none":            {"5.26.30", 0, "", 13 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var seen ran
			o := standin.Options{Seed: 1, ServerVersion: test.server, OnQuery: seen.note}
			inBubble(t, gateOptions{standin: o, health: slowChecks}, func(t *testing.T, g *gate) {
				w := g.logged(bolt.V4_4)
				extra := m{"mode": "r"}
				if test.limit > 0 {
					extra["tx_timeout"] = test.limit.Milliseconds()
				}
				began := time.Now()
				w.send(run(w.v, "MATCH (n) RETURN n /*standin mark=x delay=10s*/", nil, extra), pull(w.v))
				time.Sleep(3 * time.Second)
				g.kill(seen.of("x")[0])
				list := w.answers(2)
				if took := time.Since(began); list[0].code() != test.code || took < test.took-100*time.Millisecond || took > test.took+100*time.Millisecond {
					t.Errorf("after %v: %s; want %q after %v", took, show(list), test.code, test.took)
				}
				if got := seen.of("x"); len(got) != test.runs {
					t.Errorf("it was run by %v; want %d members", got, test.runs)
				}
			})
		})
	}
}

// TestATimeoutOfTheClientsOwnHoldsOverHTTP: a read is sent again only while something is left of its max-execution-time.
func TestATimeoutOfTheClientsOwnHoldsOverHTTP(t *testing.T) {
	for name, test := range map[string]struct {
		limit  string
		status int
		took   time.Duration
		runs   int
	}{
		"something is left": {"Max-Execution-Time: 60000\r\n", 200, 13 * time.Second, 2},
		"nothing is left":   {"Max-Execution-Time: 2000\r\n", 503, 3 * time.Second, 1},
		"none":              {"", 200, 13 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var seen ran
			inBubble(t, gateOptions{standin: standin.Options{Seed: 1, OnQuery: seen.note}, health: slowChecks}, func(t *testing.T, g *gate) {
				h, began := g.plainConn(), time.Now()
				request := strings.Replace(webText("MATCH (n) RETURN n", `"mark":"x","delay":"10s"`), "Host: gate\r\n", "Host: gate\r\n"+test.limit, 1)
				if _, err := io.WriteString(h, request); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				g.kill(seen.of("x")[0])
				answer, err := http.ReadResponse(bufio.NewReader(h), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode != test.status || answer.StatusCode == 503 && !strings.Contains(string(body), bolt.CodeLeaderSwitch) {
					t.Errorf("got %s %s %v; want %d", answer.Status, body, err, test.status)
				}
				if took := time.Since(began); took < test.took-100*time.Millisecond || took > test.took+100*time.Millisecond {
					t.Errorf("it took %v; want %v", took, test.took)
				}
				if got := seen.of("x"); len(got) != test.runs {
					t.Errorf("it was run by %v; want %d members", got, test.runs)
				}
			})
		})
	}
}

func TestDoubtIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	var told []Doubt
	o := gateOptions{standin: standin.Options{Seed: 1}, log: slog.New(slog.NewTextHandler(&log, nil))}
	inBubble(t, o, func(t *testing.T, g *gate) {
		g.server.OnDoubt = func(d Doubt) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, d)
		}
		check := func(what string, want Doubt) {
			t.Helper()
			if len(told) != 1 || told[0].At.IsZero() {
				t.Fatalf("%s: told %v", what, told)
			}
			got := told[0]
			got.At, got.Client = time.Time{}, ""
			if want.User = standin.DefaultUser; got != want {
				t.Errorf("%s: told of %+v; want %+v", what, got, want)
			}
			told = nil
			line := ""
			for l := range strings.Lines(log.String()) {
				if strings.Contains(l, "outcome in doubt") {
					line += l
				}
			}
			log.Reset()
			for _, part := range []string{"level=WARN", "member=" + want.Member, "db=" + want.DB, "user=neo4j", "protocol=" + want.Protocol} {
				if strings.Count(line, part) != 1 {
					t.Errorf("%s: logged %q; want one line with %s", what, line, part)
				}
			}
			if strings.Contains(line, "CREATE") || strings.Contains(line, "secret") {
				t.Errorf("%s: the line tells what the query was: %s", what, line)
			}
		}
		w := g.logged(bolt.V5_8)
		leader := g.cluster.Leader("neo4j")
		secret := func(at string) m { return m{"close": at, "p": "secret"} }
		w.ask(run(w.v, "CREATE (n)", secret("committed"), m{"db": "neo4j"}), pull(w.v))
		check("an auto-commit write", Doubt{Member: leader, DB: "neo4j", Protocol: "bolt"})
		w.ask(bolt.Reset)
		w.ask(join(beginTx(w.v, m{"db": "neo4j"}), [][]byte{run(w.v, "CREATE (n)", secret("commit"), nil), pull(w.v)}, commitTx(w.v))...)
		check("a COMMIT", Doubt{Member: leader, DB: "neo4j", Protocol: "bolt", Explicit: true})
		w.ask(bolt.Reset)
		w.ask(run(w.v, "CREATE (n)", m{"fail": codeReplication, "fail_at": "commit"}, m{"db": "neo4j"}), pull(w.v))
		check("a member that does not know itself", Doubt{Member: leader, DB: "neo4j", Protocol: "bolt", Code: codeReplication})
		w.ask(bolt.Reset)
		h := g.plainConn()
		request := strings.Replace(webWrite("http"), `"mark":"http"`, `"close":"run","p":"secret"`, 1)
		request = strings.Replace(request, "Content-Length: ", "X-Was: ", 1)
		_, body, _ := strings.Cut(request, "\r\n\r\n")
		request = strings.Replace(request, "X-Was: ", "Content-Length: "+lengthOf(body)+"\r\nX-Was: ", 1)
		if _, err := io.WriteString(h, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(h), nil)
		if err != nil || resp.StatusCode != 502 {
			t.Errorf("over HTTP: %v %v", resp, err)
		}
		check("a write over HTTP", Doubt{Member: leader, DB: "neo4j", Protocol: "http"})
		if got := g.server.Counts().InDoubt; got != 4 {
			t.Errorf("counted %d; want 4", got)
		}
	})
}

// TestTheTableOfVerdicts holds docs/failover.md to the table; BOLTGATE_WRITE_DOCS=1 writes it anew.
func TestTheTableOfVerdicts(t *testing.T) {
	const page, begin, end = "../docs/failover.md", "<!-- verdicts: written by proxy's TestTheTableOfVerdicts -->\n", "<!-- end of verdicts -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	want := verdictTable()
	if os.Getenv("BOLTGATE_WRITE_DOCS") != "" && have != want {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want {
		t.Errorf("%s has another table; write it anew with BOLTGATE_WRITE_DOCS=1 go test -run %s ./proxy. Want:\n%s", page, t.Name(), want)
	}
}

// verdictTable is the rulings for people.
func verdictTable() string {
	var b strings.Builder
	b.WriteString("| answer | members | to | verdict | known from |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range rulings {
		code := strings.TrimPrefix(r.code, "Neo.")
		switch {
		case r.code == "":
			code = "any other FAILURE"
		case strings.HasSuffix(r.code, "."):
			code = "other " + code + "*"
		}
		members := "all"
		if r.since != 0 {
			members = "4.0 and newer"
		} else if r.until != 0 {
			members = "3.x"
		}
		var steps []string
		for i, name := range []string{"BEGIN", "RUN", "PULL", "inside", "COMMIT"} {
			if r.at&(1<<i) != 0 {
				steps = append(steps, name)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code, members, strings.Join(steps, ", "), verdictNames[r.verdict], r.why)
	}
	return b.String()
}

// serverClass is a name as the server's classes have them.
var serverClass = regexp.MustCompile(`\b[A-Z][a-z]+[A-Z][A-Za-z0-9]*\b`)

// TestEveryVerdictNamesItsProof: each row has a test, which exists, or a class of the server's; "the same" has those of the row above.
func TestEveryVerdictNamesItsProof(t *testing.T) {
	var sources bytes.Buffer
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.go") {
			text, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	proofs := 0 // of the row above
	for i, r := range rulings {
		if !strings.HasPrefix(r.why, "the same") || i == 0 {
			proofs = 0
		}
		for _, name := range serverClass.FindAllString(r.why, -1) {
			if strings.HasPrefix(name, "Test") && !bytes.Contains(sources.Bytes(), []byte("func "+name+"(t *testing.T) {")) {
				t.Errorf("%q: there is no %s", r.code, name)
				continue
			}
			proofs++
		}
		if proofs == 0 {
			t.Errorf("%q at %d names no test and no class of the server's: %s", r.code, r.at, r.why)
		}
	}
}

// TestRulings holds single verdicts, and that no row hides behind another.
func TestRulings(t *testing.T) {
	for _, test := range []struct {
		code string
		v    bolt.Version
		at   step
		want verdict
	}{
		{lost, bolt.V5_8, stepRun, doubtful},
		{lost, bolt.V1, stepInside, notCommitted},
		{bolt.CodeNotALeader, bolt.V1, stepRun, nothingDone},
		{bolt.CodeDatabaseUnavailable, bolt.V3, stepRun, nothingDone},
		{bolt.CodeDatabaseUnavailable, bolt.V3, stepPull, doubtful},
		{bolt.CodeDatabaseUnavailable, bolt.V4_0, stepRun, nothingDone},
		{bolt.CodeNotALeader, bolt.V5_8, stepCommit, notCommitted},
		{codeReplication, bolt.V5_8, stepCommit, doubtful},
		{codeReplication, bolt.V3, stepRun, doubtful},
		{codeReplication, bolt.V3, stepInside, notCommitted},
		{codeLockSession, bolt.V3, stepCommit, notCommitted},
		{bolt.CodeLeaderSwitch, bolt.V5_8, stepCommit, doubtful},
		{bolt.CodeCommitFailed, bolt.V5_8, stepCommit, doubtful},
		{"Neo.TransientError.Transaction.DeadlockDetected", bolt.V5_8, stepPull, notCommitted},
		{"Neo.Unheard.Of.This", bolt.V5_8, stepBegin, nothingDone},
		{"Neo.Unheard.Of.This", bolt.V5_8, stepRun, notCommitted},
		{"Neo.Unheard.Of.This", bolt.V5_8, stepPull, doubtful},
		{"", bolt.V5_8, stepCommit, doubtful},
	} {
		if got := rule(test.code, test.v, test.at); got != test.want {
			t.Errorf("%q in %v at %d: %s; want %s", test.code, test.v, test.at, verdictNames[got], verdictNames[test.want])
		}
	}
	for i := range rulings {
		r := &rulings[i]
		code, v := r.code+"x", max(r.since, r.until, bolt.V4_0)
		if r.code != "" && !strings.HasSuffix(r.code, ".") {
			code = r.code
		}
		if r.until != 0 {
			v = r.until
		}
		for at := stepBegin; at <= stepCommit; at <<= 1 {
			if r.at&at != 0 && !rulings[firstFor(code, v, at)].same(r) {
				t.Errorf("row %d (%q at %d) is hidden behind row %d", i, r.code, at, firstFor(code, v, at))
			}
		}
	}
}

func (r *ruling) same(o *ruling) bool { return r == o || r.verdict == o.verdict }

func firstFor(code string, v bolt.Version, at step) int {
	for i := range rulings {
		if rulings[i].fits(code, v, at) {
			return i
		}
	}
	return -1
}
