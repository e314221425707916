package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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
