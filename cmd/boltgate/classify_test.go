package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestClassifyAnswersBeforeItWaitsForMore(t *testing.T) {
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- classifyLines(in, out)
		out.Close()
	}()
	lines := bufio.NewScanner(answers)
	for _, tt := range []struct{ query, access string }{{"RETURN 1", "read"}, {"CREATE (n)", "write"}, {"RETURN 2", "read"}} {
		io.WriteString(ask, `{"query":"`+tt.query+`"}`+"\n")
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"access":"`+tt.access+`"`) {
			t.Fatalf("%s: got %q; want %s", tt.query, lines.Text(), tt.access)
		}
	}
	ask.Close()
	if err := <-done; err != nil || lines.Scan() {
		t.Errorf("got %v, %q after the end", err, lines.Text())
	}
}

func TestClassifyLinesAtTheEdges(t *testing.T) {
	long := `{"query":"RETURN '` + strings.Repeat("x", 300<<10) + `'"}`
	tooLong := strings.Repeat("x", maxLine+1)
	const read = `{"access":"read","reason":"only clauses that read","self_committing":false}` + "\n"
	for name, tt := range map[string]struct {
		in, want string
		fails    bool
	}{
		"the last line has no end":       {`{"query":"RETURN 1"}`, read, false},
		"ends of line of two characters": {"{\"query\":\"RETURN 1\"}\r\n\r\n", read, false},
		"a line larger than the buffer":  {long + "\n" + long, read + read, false},
		"a line beyond the limit":        {tooLong + "\n" + `{"query":"RETURN 1"}` + "\n", `{"error":"line 1: longer than 64 MiB"}` + "\n" + read, true},
		"the last line beyond the limit": {tooLong, `{"error":"line 1: longer than 64 MiB"}` + "\n", true},
		"bytes that are no UTF-8":        {"{\"query\":\"RETURN '\xff'\"}\n", `{"error":"line 1: not UTF-8"}` + "\n", true},
		"empty lines keep their numbers": {"\n\n{}\n", `{"error":"line 3: no text at \"query\"; expected {\"query\": \"…\"}"}` + "\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := classifyLines(strings.NewReader(tt.in), &out); (err != nil) != tt.fails || out.String() != tt.want {
				t.Errorf("got %q, %v; want %q", out.String(), err, tt.want)
			}
		})
	}
}

func TestClassifyPassesOnErrors(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("{\"query\":\"RETURN 1\"}\n"), iotest.ErrReader(broken))
	var out strings.Builder
	if err := classifyLines(in, &out); !errors.Is(err, broken) || !strings.Contains(out.String(), "read") {
		t.Errorf("got %v and %q", err, out.String())
	}
	r, w := io.Pipe()
	r.CloseWithError(broken)
	if err := classifyLines(strings.NewReader("{\"query\":\"RETURN 1\"}\n"), w); !errors.Is(err, broken) {
		t.Errorf("got %v from a reader that has gone", err)
	}
}

// What is read without package json is what package json reads.
func FuzzPlainQuery(f *testing.F) {
	for _, line := range []string{
		`{"query":"RETURN 1"}`, ` { "query" : "MATCH (n)\nSET n.x = \"\u003c\u00e9\\\/\b\f\r\t\"" } `, `{"query":""}`, `{"query":"\ud83d\ude00"}`, `{"query":"\u+123"}`,
		`{"query":"a","query":"b"}`, `{"query":"a"}}`, `{"query":"a`, `{"query":"a\`, `{"query":"a\u12`, `{"query":"a\x"}`, `{"query":"größe 名前 😀"}`, "{\"query\":\"a\tb\"}",
		`{"Query":"a"}`, `{"query":null}`, `{"query":["a"]}`, `{}`, ``, `"query"`, "{\"query\":\"a\"}\x00", "{\"query\":\"a\"\u00a0}",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := plainQuery([]byte(line), nil)
		if !ok || !utf8.ValidString(line) {
			return
		}
		var want map[string]string
		if err := json.Unmarshal([]byte(line), &want); err != nil || len(want) != 1 || want["query"] != string(got) {
			t.Fatalf("%q: got %q; json says %q, %v", line, got, want, err)
		}
	})
}

// Lines as programs write them take the quick way.
func TestMostLinesArePlain(t *testing.T) {
	for _, query := range []string{"RETURN 1", "MATCH (n)\n\tWHERE n.x < 1 && 'a\\'b' = \"é\" // 名前", ""} {
		line, err := json.Marshal(map[string]string{"query": query})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := plainQuery(line, nil); !ok || string(got) != query {
			t.Errorf("%s: got %q, %v", line, got, ok)
		}
	}
}

func BenchmarkClassifyLines(b *testing.B) {
	query := `MATCH (u:User {id: $userId})-[:FOLLOWS]->(f:User)-[:POSTED]->(p:Post)\nWHERE p.createdAt > $since AND p.visibility IN ['public', 'friends']\n` +
		`OPTIONAL MATCH (p)<-[l:LIKED]-(:User)\nRETURN p.id AS id, p.title AS title, f.name AS author, count(l) AS likes\nORDER BY likes DESC SKIP $skip LIMIT 25`
	for name, line := range map[string]string{
		"query":             fmt.Sprintf("{\"query\":\"%s\"}\n", query),
		"other-members-too": fmt.Sprintf("{\"id\":1,\"query\":\"%s\",\"parameters\":{\"userId\":7}}\n", query),
	} {
		b.Run(name, func(b *testing.B) {
			in := strings.Repeat(line, 1000)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if err := classifyLines(strings.NewReader(in), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
