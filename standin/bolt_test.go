package standin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
	"github.com/boltgate/boltgate/cluster"
)

// serverOf is a server that speaks v.
func serverOf(v bolt.Version) Options {
	switch {
	case v < bolt.V3:
		return Options{Generation: cluster.Causal, ServerVersion: "3.5.35"}
	case v < bolt.V5_0:
		return Options{Generation: cluster.Causal, ServerVersion: "4.4.48"}
	case v < bolt.V6_0:
		return Options{ServerVersion: "5.26.30"}
	}
	return Options{ServerVersion: "2026.08.1"}
}

// forEachVersion runs f once for every Bolt version, against a leader that speaks it.
func forEachVersion(t *testing.T, f func(t *testing.T, b *bench, v bolt.Version)) {
	for _, v := range bolt.Versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, start(t, serverOf(v)), v) })
		})
	}
}

// wire is a logged-on connection on which a test writes requests and reads answers as text.
type wire struct {
	t *testing.T
	net.Conn
	v    bolt.Version
	read bolt.Reader
}

func (b *bench) wire(member string, v bolt.Version) *wire {
	c := b.client(member, v)
	return &wire{t: b.t, Conn: c.Conn, v: v, read: bolt.Reader{Source: c.Conn}}
}

func (w *wire) send(messages ...[]byte) {
	w.t.Helper()
	if _, err := w.Write(slices.Concat(messages...)); err != nil {
		w.t.Fatalf("sending: %v", err)
	}
}

func (w *wire) run(text string) []byte {
	fields := []any{text, map[string]any{}, map[string]any{}}
	if w.v < bolt.V3 {
		fields = fields[:2]
	}
	return bolt.AppendMessage(nil, bolt.TagRun, fields...)
}

func (w *wire) pull(n int64) []byte {
	if w.v < bolt.V4_0 {
		return bolt.AppendMessage(nil, bolt.TagPull)
	}
	return bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": n})
}

// begin is BEGIN, which before 3 is a RUN with its own PULL_ALL.
func (w *wire) tx(tag byte) []byte {
	if w.v < bolt.V3 {
		text := map[byte]string{bolt.TagBegin: "BEGIN", bolt.TagCommit: "COMMIT", bolt.TagRollback: "ROLLBACK"}[tag]
		return slices.Concat(w.run(text), w.pull(-1))
	}
	if tag == bolt.TagBegin {
		return bolt.AppendMessage(nil, tag, map[string]any{})
	}
	return bolt.AppendMessage(nil, tag)
}

// next reads one answer: SUCCESS, RECORD, IGNORED, FAILURE and its code, or EOF.
func (w *wire) next() (string, map[string]any) {
	w.t.Helper()
	w.SetReadDeadline(time.Now().Add(time.Minute))
	m, err := w.read.ReadMessage()
	if errors.Is(err, io.EOF) {
		return "EOF", nil
	}
	if err != nil {
		w.t.Fatalf("reading: %v", err)
	}
	switch m.Tag {
	case bolt.TagIgnored:
		return "IGNORED", nil
	case bolt.TagFailure:
		f, err := bolt.ParseFailure(m.Fields)
		if err != nil {
			w.t.Fatal(err)
		}
		return "FAILURE " + f.Code, nil
	case bolt.TagRecord:
		return "RECORD", nil
	}
	d := packstream.NewDecoder(m.Fields)
	meta, _ := d.Value().(map[string]any)
	return "SUCCESS", meta
}

// expect reads answers and compares them with want, words separated by commas; it returns the last one's metadata.
func (w *wire) expect(want string) (meta map[string]any) {
	w.t.Helper()
	for i, one := range strings.Split(want, ", ") {
		var got string
		if got, meta = w.next(); got != one {
			w.t.Fatalf("answer %d: got %s; want %s", i+1, got, one)
		}
	}
	return meta
}

// twice doubles the answers of transaction texts before 3.
func (w *wire) twice(answers string) string {
	if w.v < bolt.V3 {
		return answers + ", " + answers
	}
	return answers
}

func TestTransaction(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		w := b.wire("s1", v)
		w.send(w.tx(bolt.TagBegin), w.run("CREATE (n) RETURN n"), w.pull(-1), w.tx(bolt.TagCommit))
		w.expect(w.twice("SUCCESS"))
		head := w.expect("SUCCESS")
		if _, ok := head["fields"].([]any); !ok {
			t.Errorf("RUN: got %v", head)
		}
		if _, ok := head["qid"]; ok != (v >= bolt.V4_0) {
			t.Errorf("RUN: qid there: %v", ok)
		}
		end := w.expect("RECORD, SUCCESS")
		if end["type"] != "rw" || end["bookmark"] != nil {
			t.Errorf("PULL: got %v", end)
		}
		mark, _ := w.expect(w.twice("SUCCESS"))["bookmark"].(string)
		if want := map[bool]string{true: oldBookmark + "2", false: fabricBookmark}[v < bolt.V3]; !strings.HasPrefix(mark, want) {
			t.Errorf("COMMIT: got bookmark %q; want %s…", mark, want)
		}
		w.send(w.tx(bolt.TagBegin), w.run("CREATE (n)"), w.pull(-1), w.tx(bolt.TagRollback))
		w.expect(w.twice("SUCCESS") + ", SUCCESS, SUCCESS, " + w.twice("SUCCESS"))
		if n := len(b.Log("")); n != 1 {
			t.Errorf("got %d committed transactions; want 1", n)
		}
		w.send(w.run("MATCH (n) RETURN n"), w.pull(-1))
		end = w.expect("SUCCESS, RECORD, SUCCESS")
		if _, ok := end["db"]; ok != (v >= bolt.V4_0) || (end["bookmark"] == nil) != (v < bolt.V3) || end["type"] != "r" {
			t.Errorf("auto-commit: got %v", end)
		}
	})
}

func TestFailedIgnoresUntilReset(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		w := b.wire("s1", v)
		w.send(w.tx(bolt.TagBegin), w.run("oops"), w.pull(-1), w.run("RETURN 1"), w.pull(-1))
		w.expect(w.twice("SUCCESS") + ", FAILURE " + codeSyntaxError + ", IGNORED, IGNORED, IGNORED")
		if v >= bolt.V3 {
			w.send(w.tx(bolt.TagCommit), w.tx(bolt.TagRollback))
			w.expect("IGNORED, IGNORED")
		}
		w.send(bolt.Reset, w.run("RETURN 1"), w.pull(-1))
		w.expect("SUCCESS, SUCCESS, RECORD, SUCCESS")
		b.Freeze("s1") // so that all of it is read before any of it is answered
		w.send(w.run("oops"), w.run("RETURN 1"), bolt.Reset, bolt.Reset, bolt.Reset)
		synctest.Wait()
		b.Thaw("s1")
		w.expect("IGNORED, IGNORED, IGNORED, IGNORED, SUCCESS")
		if v < bolt.V3 {
			w.send(w.run("oops"), bolt.AppendMessage(nil, bolt.TagAckFailure), w.run("ROLLBACK"), w.pull(-1), w.run("RETURN 1"), w.pull(-1))
			w.expect("FAILURE " + codeSyntaxError + ", SUCCESS, SUCCESS, SUCCESS, SUCCESS, RECORD, SUCCESS")
			return
		}
		w.send(w.run("oops"), w.tx(bolt.TagBegin))
		w.expect("FAILURE " + codeSyntaxError + ", FAILURE " + bolt.CodeInvalidRequest + ", EOF")
	})
}

func TestResetInMidStream(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		want := b.member("s1").terminated().Code
		w := b.wire("s1", v)
		w.send(w.run("MATCH (n) RETURN n /*standin rows=1000000 bytes=1000*/"), w.pull(-1))
		w.expect("SUCCESS, RECORD, RECORD")
		synctest.Wait() // the server is blocked: the connection is full
		w.send(bolt.Reset)
		records := 2
		got, _ := w.next()
		for ; got == "RECORD"; got, _ = w.next() {
			records++
		}
		if got != "FAILURE "+want || records > 100_000 {
			t.Fatalf("after %d records: got %s; want the query interrupted", records, got)
		}
		w.expect("SUCCESS")
		begin := time.Now()
		w.send(w.run("RETURN 1 /*standin delay=1h*/"), w.pull(-1))
		synctest.Wait()
		w.send(bolt.Reset, w.run("RETURN 1"), w.pull(-1))
		w.expect("FAILURE " + want + ", IGNORED, SUCCESS, SUCCESS, RECORD, SUCCESS")
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("the interrupted query went on for %v", took)
		}
	})
}

func TestIllegalRequestsCloseTheConnection(t *testing.T) {
	invalid := "FAILURE " + bolt.CodeInvalidRequest + ", EOF"
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		login := []any{"agent", map[string]any{}}
		if v >= bolt.V3 {
			login = login[1:]
		}
		for name, message := range map[string][]byte{
			"PULL with no result": b.wire("s1", v).pull(-1),
			"a second login":      bolt.AppendMessage(nil, bolt.TagHello, login...),
		} {
			w := b.wire("s1", v)
			w.send(message)
			t.Log(name)
			w.expect(invalid)
		}
		w := b.wire("s1", v)
		w.send(bolt.AppendMessage(nil, 0x33))
		w.expect("EOF")
		if v < bolt.V3 {
			return
		}
		w = b.wire("s1", v)
		w.send(w.tx(bolt.TagCommit))
		w.expect(invalid)
		w = b.wire("s1", v)
		w.send(w.tx(bolt.TagBegin), w.tx(bolt.TagBegin))
		w.expect("SUCCESS, " + invalid)
	})
}

// Servers before 5.0 close without a word, later ones answer a failure like any other.
func TestMalformedRequests(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		for name, message := range map[string][]byte{
			"a field too many":      bolt.AppendMessage(nil, bolt.TagReset, 1),
			"no structure":          {0, 1, 0x01, 0, 0},
			"a value cut short":     {0, 4, 0xB3, bolt.TagRun, 0x85, 'a', 0, 0},
			"an unknown marker":     {0, 3, 0xB1, bolt.TagRun, 0xC7, 0, 0},
			"a map with a list key": {0, 5, 0xB1, bolt.TagPull, 0xA1, 0x90, 0x01, 0, 0},
		} {
			w := b.wire("s1", v)
			w.send(message)
			got, _ := w.next()
			if !b.member("s1").release().atLeast(5, 0) {
				if got != "EOF" {
					t.Errorf("%s: got %s; want the end", name, got)
				}
				continue
			}
			if !strings.HasPrefix(got, "FAILURE "+bolt.CodeInvalidRequest) {
				t.Errorf("%s: got %s; want a failure", name, got)
			}
			w.send(bolt.Reset, w.run("RETURN 1"), w.pull(-1))
			w.expect("SUCCESS, SUCCESS, RECORD, SUCCESS")
		}
	})
}

func TestSeveralOpenResults(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		if v < bolt.V4_0 {
			return
		}
		w := b.wire("s1", v)
		pull := func(n, qid int64) []byte {
			return bolt.AppendMessage(nil, bolt.TagPull, map[string]any{"n": n, "qid": qid})
		}
		w.send(w.tx(bolt.TagBegin), w.run("MATCH (n) RETURN n /*standin rows=3*/"), w.run("MATCH (n) RETURN n /*standin rows=2*/"))
		w.expect("SUCCESS, SUCCESS")
		if qid := w.expect("SUCCESS")["qid"]; qid != int64(1) {
			t.Errorf("got qid %v; want 1", qid)
		}
		w.send(pull(2, 0))
		if more := w.expect("RECORD, RECORD, SUCCESS")["has_more"]; more != true {
			t.Errorf("got has_more %v", more)
		}
		w.send(pull(-1, -1), pull(5, 0), w.tx(bolt.TagCommit))
		w.expect("RECORD, RECORD, SUCCESS, RECORD, SUCCESS, SUCCESS")
		w.send(w.tx(bolt.TagBegin), w.run("MATCH (n) RETURN n"), w.tx(bolt.TagCommit)) // a result left open
		w.expect("SUCCESS, SUCCESS, SUCCESS")
		w.send(w.run("MATCH (n) RETURN n"), bolt.AppendMessage(nil, bolt.TagDiscard, map[string]any{"n": -1}))
		w.expect("SUCCESS, SUCCESS")
		w.send(w.run("RETURN 1"), bolt.AppendMessage(nil, bolt.TagPull, map[string]any{}))
		w.expect("SUCCESS, FAILURE " + bolt.CodeInvalidRequest)
	})
}

func TestRouteNamesEveryMember(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		var servers []any
		switch {
		case v >= bolt.V4_3:
			w := b.wire("s2", v)
			last := any(map[string]any{"db": "neo4j"})
			if v == bolt.V4_3 {
				last = "neo4j"
			}
			w.send(bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, last))
			rt, _ := w.expect("SUCCESS")["rt"].(map[string]any)
			servers, _ = rt["servers"].([]any)
			if _, ok := rt["db"]; ok != (v >= bolt.V4_4) || rt["ttl"] != int64(300) {
				t.Errorf("got %v", rt)
			}
			w.send(bolt.AppendMessage(nil, bolt.TagRoute, map[string]any{}, []any{}, map[bool]any{true: "nope", false: map[string]any{"db": "nope"}}[v == bolt.V4_3]))
			w.expect("FAILURE " + bolt.CodeDatabaseNotFound)
		case v >= bolt.V4_0:
			got, _ := row(t, b.client("s2", v), "CALL dbms.routing.getRoutingTable($ctx, $db)", map[string]any{"ctx": map[string]any{}, "db": "neo4j"}, map[string]any{"db": "system"})
			servers, _ = got["servers"].([]any)
		default:
			got, _ := row(t, b.client("s2", v), "CALL dbms.cluster.routing.getRoutingTable($context)", map[string]any{"context": map[string]any{}}, nil)
			servers, _ = got["servers"].([]any)
		}
		roles := make(map[string]string)
		for _, s := range servers {
			entry := s.(map[string]any)
			list := stringsOf(entry["addresses"])
			slices.Sort(list)
			roles[fmt.Sprint(entry["role"])] = strings.Join(list, " ")
		}
		want := map[string]string{"WRITE": "s1:7687", "READ": "s2:7687 s3:7687", "ROUTE": "s1:7687 s2:7687 s3:7687"}
		if fmt.Sprint(roles) != fmt.Sprint(want) {
			t.Errorf("got %v; want %v", roles, want)
		}
	})
}

func stringsOf(v any) (list []string) {
	values, _ := v.([]any)
	for _, one := range values {
		list = append(list, fmt.Sprint(one))
	}
	return list
}

func TestLogins(t *testing.T) {
	forEachVersion(t, func(t *testing.T, b *bench, v bolt.Version) {
		c := bolt.NewClient(b.raw("s1", v), v)
		err := c.Logon(bolt.HelloOptions{}, bolt.Basic("neo4j", "wrong"))
		wantCode(t, err, bolt.CodeUnauthorized)
		if _, err := c.Answer(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after the refusal: got %v; want a closed connection", err)
		}
		b.SetPassword("ann", "secret")
		c = b.client("s1", v)
		if !strings.HasPrefix(c.Server, "Neo4j/") || (c.Hello["connection_id"] == nil) != (v < bolt.V3) || (c.Hello["hints"] == nil) != (v < bolt.V3) {
			t.Errorf("HELLO: got %v", c.Hello)
		}
		if v < bolt.V5_1 {
			return
		}
		if err := c.Relogon(bolt.Basic("ann", "secret")); err != nil {
			t.Fatal(err)
		}
		if got, _ := row(t, c, "MATCH (n) RETURN n", nil, nil); got["user"] != "ann" {
			t.Errorf("after LOGON: got %v", got)
		}
	})
}

func TestPipelinedLoginAndQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{MaxChunk: 5, Seed: 3}) // answers in crumbs
		w := &wire{t: t, Conn: b.raw("s1", bolt.V5_4), v: bolt.V5_4}
		w.read.Source = w.Conn
		hello := map[string]any{"user_agent": "test/1", "bolt_agent": map[string]any{"product": "test/1"}}
		login := map[string]any{"scheme": "basic", "principal": DefaultUser, "credentials": DefaultPassword}
		w.send(bolt.AppendMessage(nil, bolt.TagHello, hello), bolt.AppendMessage(nil, bolt.TagLogon, login), bolt.Noop,
			bolt.AppendMessage(nil, bolt.TagTelemetry, 2), w.run("MATCH (n) RETURN n"), w.pull(-1), bolt.Goodbye)
		w.expect("SUCCESS, SUCCESS, SUCCESS, SUCCESS, RECORD, SUCCESS, EOF")
		w = &wire{t: t, Conn: b.raw("s1", bolt.V5_4), v: bolt.V5_4}
		w.read.Source = w.Conn
		w.send(bolt.AppendMessage(nil, bolt.TagHello, map[string]any{"user_agent": "test/1"}))
		w.expect("FAILURE " + bolt.CodeInvalidRequest + ", EOF") // no bolt_agent
		w = &wire{t: t, Conn: b.raw("s1", bolt.V5_4), v: bolt.V5_4}
		w.read.Source = w.Conn
		w.send(bolt.Reset)
		w.expect("FAILURE " + bolt.CodeInvalidRequest + ", EOF")
	})
}

func TestVersionsAreOffered(t *testing.T) {
	for version, want := range map[string]string{
		"3.4.18": "[2 1]", "3.5.35": "[3 2 1]", "4.4.48": "[4.4 4.3 4.2 4.1 4.0 3]",
		"5.26.30":   "[5.8 5.7 5.6 5.4 5.3 5.2 5.1 5.0 4.4 4.3 4.2 4.1 4.0]",
		"2026.08.1": "[6.1 6.0 5.8 5.7 5.6 5.4 5.3 5.2 5.1 5.0 4.4 4.3 4.2 4.1 4.0]",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Options{Generation: cluster.Causal, ServerVersion: version})
			got, err := bolt.Probe(func() (io.ReadWriteCloser, error) { return b.net.Dial(t.Context(), "", "s2:7687") })
			if err != nil || fmt.Sprint(got) != want {
				t.Errorf("%s: got %v, %v; want %s", version, got, err, want)
			}
		})
	}
}

func TestFaultsOnCue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{})
		const v = bolt.V5_8
		const code = "Neo.TransientError.General.OutOfMemoryError"
		fail := func(at any) error {
			_, err := b.client("s1", v).Query("CREATE (n) RETURN n", map[string]any{"fail": code, "fail_at": at, "rows": 9}, nil)
			return err
		}
		for _, at := range []any{"run", "pull", "commit", 5} {
			wantCode(t, fail(at), code)
		}
		if n := len(b.Log("")); n != 0 {
			t.Errorf("got %d commits of failed queries", n)
		}
		for at, want := range map[string]struct {
			answers string
			commits int
		}{
			"run":       {"EOF", 0},
			"pull":      {"SUCCESS, EOF", 0},
			"commit":    {"SUCCESS, RECORD, EOF", 0},
			"committed": {"SUCCESS, RECORD, EOF", 1},
		} {
			before := len(b.Log(""))
			w := b.wire("s1", v)
			w.send(w.run("CREATE (n) RETURN n /*standin close="+at+"*/"), w.pull(-1))
			w.expect(want.answers)
			if got := len(b.Log("")) - before; got != want.commits {
				t.Errorf("close at %s: got %d commits; want %d", at, got, want.commits)
			}
		}
		for _, n := range []int64{1, 10, 100, 1000} {
			w := b.wire("s1", v)
			w.send(w.run(fmt.Sprintf("MATCH (n) RETURN n /*standin rows=100 bytes=100 close=%d*/", n)), w.pull(-1))
			got, _ := io.Copy(io.Discard, w.Conn)
			if got != n {
				t.Errorf("cut after %d bytes: got %d", n, got)
			}
		}
		w := b.wire("s1", v)
		w.send(w.run("MATCH (n) RETURN n /*standin garbage=run*/"))
		raw, _ := io.ReadAll(w.Conn)
		if len(raw) != 64 {
			t.Errorf("garbage: got %d bytes; want 64", len(raw))
		}
	})
}

func TestNoopsWhileAQueryTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Options{NoopEvery: time.Second})
		w := b.wire("s1", bolt.V4_4)
		w.send(w.run("RETURN 1 /*standin delay=3500ms*/"))
		begin := time.Now()
		for i := 1; i <= 3; i++ {
			noop := make([]byte, 2)
			if _, err := io.ReadFull(w.Conn, noop); err != nil || noop[0] != 0 || noop[1] != 0 || time.Since(begin) != time.Duration(i)*time.Second {
				t.Fatalf("got % x, %v after %v; want a NOOP", noop, err, time.Since(begin))
			}
		}
		w.expect("SUCCESS")
	})
}
