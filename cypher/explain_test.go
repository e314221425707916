package cypher

import (
	"strings"
	"testing"
)

func TestUnderline(t *testing.T) {
	long := "MATCH (n) WHERE n.text = '" + strings.Repeat("x", 300) + "' SET n.a = 1 RETURN '" + strings.Repeat("y", 300) + "'"
	for _, tc := range []struct{ name, query, want string }{
		{"a clause on the only line", "MATCH (n) SET n.x = 1", "MATCH (n) SET n.x = 1\n          ^^^\n1:11 write: clause SET"},
		{"a clause on the third line", "MATCH (n)\nWHERE n.y\n  DELETE n\nRETURN 1", "  DELETE n\n  ^^^^^^\n3:3 write: clause DELETE"},
		{"columns count characters, not bytes", "MATCH (é:Ünicode) DELETE é", "MATCH (é:Ünicode) DELETE é\n                  ^^^^^^\n1:19 write: clause DELETE"},
		{"tabs keep the underline in place", "\tMATCH (n)\tDELETE n", "\tMATCH (n)\tDELETE n\n\t         \t^^^^^^\n1:12 write: clause DELETE"},
		{"a read without a deciding token", "RETURN 1", "read: only clauses that read"},
		{"a procedure that reads", "CALL db.labels()", "CALL db.labels()\n     ^^^^^^^^^\n1:6 read: procedure db.labels is a read"},
		{"an open string ends with its line", "RETURN 'abc\ndef", "RETURN 'abc\n       ^^^^\n1:8 write: unterminated string"},
		{"escapes of a terminal are not passed on", "MATCH (n {x: '\x1b'}) DELETE n", "MATCH (n {x: '·'}) DELETE n\n                   ^^^^^^\n1:20 write: clause DELETE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Underline(tc.query, ClassifyString(tc.query, nil)); got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
	t.Run("a long line is cut around the token", func(t *testing.T) {
		got := strings.Split(Underline(long, ClassifyString(long, nil)), "\n")
		if len(got) != 3 || len(got[0]) > shownLine || got[2] != "1:329 write: clause SET" {
			t.Fatalf("got %q", got)
		}
		if at := strings.Index(got[1], "^"); got[0][at:at+3] != "SET" {
			t.Errorf("the underline is not below SET:\n%s\n%s", got[0], got[1])
		}
	})
}
