package drivers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// script is a program of the shell that prints and exits.
func script(text string) Program {
	return Program{Driver{Name: "script"}, []string{"sh", "-c", text, "sh"}}
}

func lines(upTo int, last string) string {
	var b strings.Builder
	for _, s := range Steps[:upTo] {
		fmt.Fprintf(&b, "echo '{\"step\": \"%s\", \"ok\": true, \"detail\": \"Neo4j/5.26.0 over Bolt 5.8\"}'\n", s)
	}
	return b.String() + last
}

func TestTheContractIsHeldTo(t *testing.T) {
	for _, test := range []struct {
		name, program   string
		passed, refused bool
		err             string // part of Err; "" for none
	}{
		{"every step good", lines(len(Steps), ""), true, false, ""},
		{"a failed step and exit 1", lines(len(Steps)-1, `echo '{"step": "cleanup", "ok": false, "error": "no"}'; exit 1`), false, false, ""},
		{"a failed connect is a refusal", `echo '{"step": "connect", "ok": false, "error": "no version"}'; exit 1`, false, true, ""},
		{"a failed connect without a reason is none", `echo '{"step": "connect", "ok": false}'; exit 1`, false, false, ""},
		{"a failed step and exit 0", `echo '{"step": "connect", "ok": false, "error": "x"}'`, false, false, "after 1 steps"},
		{"good steps and exit 1", lines(len(Steps), "exit 1"), false, false, "exit status 1"},
		{"steps are missing", lines(3, ""), false, false, "after 3 steps"},
		{"a crash shows what it printed", lines(3, "echo boom >&2; exit 3"), false, false, "boom"},
		{"something else than steps", "echo hello", false, false, `"hello", which is no step`},
		{"steps in another order", strings.Replace(strings.Replace(lines(len(Steps), ""), "write", "x", 1), "read", "write", 1), false, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := script(test.program).Smoke(t.Context(), Target{})
			if r.Passed() != test.passed || r.Refused() != test.refused {
				t.Errorf("passed %v, refused %v; want %v, %v: %v", r.Passed(), r.Refused(), test.passed, test.refused, r)
			}
			if test.err == "" && r.Err != nil || test.err != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), test.err)) {
				t.Errorf("got error %v; want %q", r.Err, test.err)
			}
		})
	}
}

func TestAProgramThatHangsIsEnded(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, ErrHung)
	defer cancel()
	begun := time.Now()
	r := script(lines(1, "sleep 60 & sleep 60")).Smoke(ctx, Target{})
	if !errors.Is(r.Err, ErrHung) || r.Passed() || time.Since(begun) > 10*time.Second {
		t.Fatalf("after %v: %v", time.Since(begun), r)
	}
}

func TestConnected(t *testing.T) {
	for detail, want := range map[string][2]string{
		"Neo4j/5.26.0 over Bolt 5.8": {"Neo4j/5.26.0", "5.8"},
		"Neo4j/3.5.0 over Bolt 3.0":  {"Neo4j/3.5.0", "3"},
		"Neo4j/3.5.0 over Bolt 3":    {"Neo4j/3.5.0", "3"},
	} {
		agent, version := Report{Steps: []Step{{Step: "connect", OK: true, Detail: detail}}}.Connected()
		if got := [2]string{agent, version}; got != want {
			t.Errorf("%s: got %q; want %q", detail, got, want)
		}
	}
	if agent, version := (Report{Steps: []Step{{Step: "connect", Error: "x"}}}).Connected(); agent+version != "" {
		t.Errorf("a failed connect named %q, %q", agent, version)
	}
}

func TestEveryDriverIsNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range All() {
		if seen[d.Name] || seen[d.slug] || len(d.Bolt) == 0 || d.Routing == "" {
			t.Errorf("%+v", d)
		}
		seen[d.Name], seen[d.slug] = true, true
	}
	if Named("Java 6").slug != "java-6" {
		t.Error("Named does not find Java 6")
	}
}
