package exchange

import (
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/boltgate/boltgate/bolt"
	"github.com/boltgate/boltgate/bolt/packstream"
)

func text(v any) string {
	var b strings.Builder
	format(&b, v)
	return b.String()
}

func TestValuesReadBack(t *testing.T) {
	for _, want := range []any{nil, true, false, int64(-16), int64(1) << 62, 1.5, 2.0, 1e300, "", "a \"b\"\n\u00e9", []any{}, []any{int64(1), []any{"x"}},
		map[string]any{}, map[string]any{"a": nil, "b": map[string]any{"c": []any{2.5, "d: {"}}}} {
		p := parser{rest: text(want)}
		if got := p.values(); p.err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %v, %v", text(want), got, p.err)
		}
	}
}

func TestBadTextIsRefused(t *testing.T) {
	for _, bad := range []string{`{`, `[1, 2`, `{a 1}`, `"open`, `word`, `{: 1}`, `]`} {
		p := parser{rest: bad}
		if p.values(); p.err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestEveryScenarioIsOfItsVersion(t *testing.T) {
	for _, v := range bolt.Versions {
		names := map[string]bool{}
		for _, s := range Scenarios(v) {
			if names[s.Name] {
				t.Errorf("Bolt %s: two scenarios %q", v, s.Name)
			}
			names[s.Name] = true
			c := client{Server: Server{Version: v}}
			for _, line := range s.Lines {
				if request, ok := strings.CutPrefix(line, "C: "); ok {
					if _, err := c.encode(request); err != nil {
						t.Errorf("Bolt %s, %s: %v", v, s.Name, err)
					}
				}
			}
		}
	}
}

func TestAFileReadsBack(t *testing.T) {
	want := []Scenario{{"one", "shows it", []string{"bare", "C: RESET", "S: SUCCESS {}", "C: RESET", "S: closed"}}, {"two", "", []string{"C: GOODBYE"}}}
	got, err := Parse(Format("a head\nof two lines", want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	asked := []string{"bare", "C: RESET", wait, "C: RESET"}
	if got := want[0].Requests().Lines; !reflect.DeepEqual(got, asked) {
		t.Fatalf("got requests %q; want %q", got, asked)
	}
}

func TestShape(t *testing.T) {
	s := Scenario{Lines: []string{
		`C: RUN "x" {} {}`, `S: SUCCESS {fields: ["a: {"], t_first: <ms>}`, `S: RECORD [1]`, `S: RECORD [2]`,
		`S: SUCCESS {plan: {args: {a: 1}}, statuses: [{gql_status: "00000"}], type: "r"}`,
		`S: FAILURE {code: "Neo.X", message: "code: \"no\", x: 1"}`, `S: IGNORED`, `S: closed`}}
	want := []string{`C: RUN "x" {} {}`, `S: SUCCESS {fields, t_first}`, `S: RECORD`, `S: SUCCESS {plan, statuses, type}`,
		`S: FAILURE Neo.X {code, message}`, `S: IGNORED`, `S: closed`}
	if got := s.Shape().Lines; !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestDiffNamesTheLine(t *testing.T) {
	a, b := Scenario{Name: "s", Lines: []string{"C: RESET", "S: SUCCESS {}"}}, Scenario{Name: "s", Lines: []string{"C: RESET"}}
	if Diff(a, a) != "" || !strings.Contains(Diff(a, b), "line 2") || !strings.Contains(Diff(b, a), "(nothing)") {
		t.Fatalf("got %q and %q", Diff(a, b), Diff(b, a))
	}
}

// TestRun holds the client to a server that follows a script: it answers each write with what is due, then closes.
func TestRun(t *testing.T) {
	answer := func(tag byte, fields ...any) []byte {
		p := packstream.AppendStruct(nil, tag, len(fields))
		for _, f := range fields {
			p = packstream.AppendValue(p, f)
		}
		return bolt.AppendChunks(nil, p)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := bolt.AcceptHandshake(conn, []bolt.Version{bolt.V4_4}); err != nil {
			return
		}
		requests := bolt.Reader{Source: conn}
		for _, due := range [][]byte{
			answer(bolt.TagSuccess, map[string]any{"server": "Neo4j/4.4.0", "connection_id": "bolt-7"}),
			answer(bolt.TagSuccess, map[string]any{"fields": []any{"n"}, "t_first": int64(3)}),
			append(answer(bolt.TagRecord, []any{int64(1)}), answer(bolt.TagSuccess, map[string]any{"bookmark": "FB:abc=", "t_last": int64(1)})...),
			answer(bolt.TagFailure, map[string]any{"code": "Neo.X", "message": "no 127.0.0.1:4711"}),
		} {
			if _, err := requests.ReadMessage(); err != nil {
				return
			}
			conn.Write(due)
		}
	}()
	server := Server{Dial: func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) }, Version: bolt.V4_4, User: "u", Password: "p"}
	got, err := server.Run(Scenario{Name: "s", Lines: []string{`C: RUN "RETURN 1" {} {}`, `C: PULL {n: -1}`, wait, `C: BEGIN {bookmarks: ["<bookmark>"]}`, wait, "C: RESET"}})
	<-served
	want := []string{`C: RUN "RETURN 1" {} {}`, `C: PULL {n: -1}`, `S: SUCCESS {fields: ["n"], t_first: <ms>}`, `S: RECORD [1]`,
		`S: SUCCESS {bookmark: <bookmark>, t_last: <ms>}`, `C: BEGIN {bookmarks: ["<bookmark>"]}`, `S: FAILURE {code: "Neo.X", message: "no <address>"}`,
		"C: RESET", "S: closed"}
	if err != nil || !reflect.DeepEqual(got.Lines, want) {
		t.Fatalf("%v, got\n%s\nwant\n%s", err, strings.Join(got.Lines, "\n"), strings.Join(want, "\n"))
	}
}
