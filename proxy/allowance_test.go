package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/standin"
)

const manyRows = "MATCH (n) RETURN n /*standin rows=100 bytes=1000*/"

// limitedTo is a frontend with these limits.
func limitedTo(rows int, bytes int64) gateOptions {
	return gateOptions{frontend: func(f *Frontend) { f.MaxRows, f.MaxBytes = rows, bytes }}
}

func records(list []answer) (n int) {
	for _, a := range list {
		if a.tag == bolt.TagRecord {
			n++
		}
	}
	return n
}

func TestResultsThatAreTooLong(t *testing.T) {
	for _, v := range []bolt.Version{bolt.V1, bolt.V3, bolt.V4_4, bolt.V5_8} {
		for _, tt := range []struct {
			name  string
			rows  int
			bytes int64
			text  string
			want  int // records
		}{
			{"rows", 10, 0, manyRows, 10},
			{"exactly as many", 100, 0, manyRows, 100},
			{"bytes", 0, 5000, manyRows, 5},
			{"one row that is larger than all may be", 0, 100, "RETURN 1 /*standin bytes=100000*/", 1},
			{"the lower one counts", 50, 5000, manyRows, 5},
		} {
			t.Run(v.String()+" "+tt.name, func(t *testing.T) {
				o := limitedTo(tt.rows, tt.bytes)
				o.standin.Versions = []bolt.Version{v}
				g := startGate(t, o)
				w := g.logged(v)
				list := w.ask(run(v, tt.text, nil, nil), pull(v))
				last := list[len(list)-1]
				cut := last.code() == bolt.CodeTerminated
				if short := tt.want == 100 || tt.want == 1; records(list) != tt.want || cut == short || !cut && last.tag != bolt.TagSuccess {
					t.Fatalf("got %d records, then %v; want %d", records(list), last, tt.want)
				}
				if cut {
					w.expect("SUCCESS()", bolt.Reset)
				}
				dials := g.dials.Load()
				w.row(oneRow, nil, nil)
				if n := g.dials.Load(); n != dials && v >= bolt.V3 {
					t.Errorf("the member's connection was not taken back: %d new ones", n-dials)
				}
			})
		}
	}
}

func TestTooMuchInATransaction(t *testing.T) {
	v := bolt.V5_4
	g := startGate(t, limitedTo(150, 0))
	w := g.logged(v)
	w.expect("SUCCESS()", beginTx(v, nil)...)
	if list := w.ask(run(v, manyRows, nil, nil), pull(v)); records(list) != 100 {
		t.Fatalf("the first result had %d records", records(list))
	}
	list := w.ask(run(v, manyRows, nil, nil), pull(v))
	if n := records(list); n != 50 || list[len(list)-1].code() != bolt.CodeTerminated {
		t.Fatalf("the second result had %d records, then %v; want 50 and its end", n, list[len(list)-1])
	}
	w.expect("IGNORED", commitTx(v)...)
	w.expect("SUCCESS()", bolt.Reset)
	w.row(oneRow, nil, nil)
}

// TestTooMuchOfAWrite: the member may have committed when its records were cut off, and nobody says otherwise.
func TestTooMuchOfAWrite(t *testing.T) {
	v := bolt.V5_4
	g := startGate(t, limitedTo(10, 0))
	w := g.logged(v)
	list := w.ask(run(v, "CREATE (n) RETURN n /*standin rows=100*/", nil, nil), pull(v))
	if last := list[len(list)-1]; records(list) != 10 || last.code() != bolt.CodeCommitFailed || g.server.Counts().InDoubt != 1 {
		t.Fatalf("got %d records, then %v, %d in doubt", records(list), last, g.server.Counts().InDoubt)
	}
}

func TestTooMuchOverHTTP(t *testing.T) {
	t.Run("stand-in", func(t *testing.T) {
		g := startGate(t, limitedTo(10, 5000))
		for _, path := range []string{"/db/neo4j/tx/commit", "/db/neo4j/query/v2"} {
			body := func(text string) string {
				if strings.HasSuffix(path, "v2") {
					return queryBody(text)
				}
				return stmt(text)
			}
			if a := g.web("POST", path, body(oneRow)); a.status >= 300 || a.code() != "" {
				t.Errorf("%s: a short answer became %v", path, a)
			}
			r, _ := http.NewRequest("POST", "http://"+g.address+path, strings.NewReader(body(manyRows)))
			r.SetBasicAuth(standin.DefaultUser, standin.DefaultPassword)
			r.Header.Set("Content-Type", "application/json")
			resp, err := g.httpClient().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			buf := make([]byte, 1<<20)
			n := 0
			for err == nil {
				var m int
				m, err = resp.Body.Read(buf[n:])
				n += m
			}
			whole := err.Error() == "EOF" && resp.StatusCode < 300
			if whole || n > 50_000 {
				t.Errorf("%s: got %d, %d bytes, then %v; want the answer's end", path, resp.StatusCode, n, err)
			}
		}
	})
	long := strings.Repeat("x", 10_000)
	for _, tt := range []struct {
		name, text, answer string
		status             int
		code               string
	}{
		{"a length that is told is refused before", "MATCH (n) RETURN n", ok(long), 400, bolt.CodeTerminated},
		{"a write is in doubt", "CREATE (n)", ok(long), 502, bolt.CodeCommitFailed},
		{"just as long as may be", "MATCH (n) RETURN n", ok(long[:5000]), 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startScripted(t, "a", answering(func(*http.Request, string) string { return tt.answer }))
			g := startRelay(t, func(_ *Options, f *Frontend) { f.MaxBytes = 5000 }, s)
			if a := g.web("POST", "/db/data/transaction/commit", stmt(tt.text)); a.status != tt.status || a.code() != tt.code {
				t.Errorf("got %.200v; want %d %s", a, tt.status, tt.code)
			}
			if s.requests.Load() != 1 {
				t.Errorf("it was sent %d times", s.requests.Load())
			}
		})
	}
	t.Run("chunks end in the middle", func(t *testing.T) {
		s := startScripted(t, "a", answering(func(*http.Request, string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(long), long), 100) + "0\r\n\r\n"
		}))
		g := startRelay(t, func(_ *Options, f *Frontend) { f.MaxBytes = 50_000 }, s)
		c := g.raw()
		c.send("GET /db/data/labels HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := resp.Body.Read(make([]byte, 1))
		for total := n; err == nil; total += n {
			if n, err = resp.Body.Read(make([]byte, 64<<10)); total > 200_000 {
				t.Fatal("it goes on and on")
			}
		}
		if err.Error() == "EOF" {
			t.Error("the client takes what it got for all of it")
		}
	})
}

func TestTransactionTimeOverBolt(t *testing.T) {
	const limit = 300 * time.Millisecond
	for _, v := range []bolt.Version{bolt.V3, bolt.V4_4, bolt.V5_4, bolt.V5_8} {
		g := startGate(t, gateOptions{
			standin:  standin.Options{Versions: []bolt.Version{v}},
			frontend: func(f *Frontend) { f.Timeouts.Transaction = limit },
			server:   Options{Limits: Limits{PerUser: UserLimits{Transaction: time.Hour}}},
		})
		w := g.logged(v)
		for name, extra := range map[string]m{"none": nil, "more": {"tx_timeout": int64(time.Hour / time.Millisecond)}, "without end": {"tx_timeout": int64(0)}, "with a mode": {"mode": "r"}} {
			began := time.Now()
			list := w.ask(run(v, "MATCH (n) RETURN n /*standin delay=30s*/", nil, extra), pull(v))
			if code := list[0].code(); !strings.HasPrefix(code, "Neo.ClientError.Transaction.TransactionTimedOut") || time.Since(began) > 20*time.Second {
				t.Errorf("%v, client's own %s: got %v after %v", v, name, list, time.Since(began))
			}
			w.expect("SUCCESS()", bolt.Reset)
		}
		if list := w.ask(beginTx(v, m{"tx_timeout": int64(60_000)})...); list[0].tag != bolt.TagSuccess {
			t.Fatalf("%v: BEGIN got %v", v, list)
		}
		if code := w.ask(run(v, "CREATE (n) /*standin delay=30s*/", nil, nil), pull(v))[0].code(); !strings.Contains(code, "TimedOut") {
			t.Errorf("%v: a transaction got %s", v, code)
		}
	}
}

func TestTransactionTimeOverHTTP(t *testing.T) {
	s := startScripted(t, "a", answering(func(r *http.Request, _ string) string { return ok(strings.Join(r.Header["Max-Execution-Time"], ",")) }))
	g := startRelay(t, func(o *Options, f *Frontend) {
		f.Timeouts.Transaction = 30 * time.Second
		o.Limits.Users = map[string]UserLimits{"ann": {Transaction: 5 * time.Second}}
	}, s)
	for _, tt := range []struct{ user, given, want string }{
		{"bob", "", "30000"}, {"bob", "60000", "30000"}, {"bob", "1000", "1000"}, {"bob", "soon", "30000"}, {"ann", "", "5000"}, {"ann", "10000", "5000"},
	} {
		for _, path := range []string{"/db/data/transaction/commit", "/db/data/transaction"} {
			if a := g.web("POST", path, stmt("RETURN 1"), "Authorization", basicHeader(tt.user, "x"), "Max-Execution-Time", tt.given); a.raw != tt.want {
				t.Errorf("%s, %q, %s: the member was told %q; want %s", tt.user, tt.given, path, a.raw, tt.want)
			}
		}
	}
}
