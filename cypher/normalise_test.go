package cypher

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalForm(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"numbers and strings", `MATCH (n {id: 12, name: 'Ann "x"', at: 1.5e-3}) RETURN n.a1`, `MATCH (n {id: ?, name: ?, at: ?}) RETURN n.a1`},
		{"white space", "\n  MATCH (n)\r\n\tRETURN\u00a0 n ;\n", "MATCH (n) RETURN n"},
		{"comments", "/* who */ MATCH (n) // all of 'them'\nRETURN/*x*/n", "MATCH (n) RETURN n"},
		{"a comment alone", "// nothing", ""},
		{"parameters stay", "RETURN $1, $name, {old}, $`a b`", "RETURN $1, $name, {old}, $`a b`"},
		{"names in back-ticks stay", "MATCH (`it's 5`:`a``b`) RETURN 5", "MATCH (`it's 5`:`a``b`) RETURN ?"},
		{"escaped quotes", `RETURN 'a\'b', "c\\", 'd'`, "RETURN ?, ?, ?"},
		{"lists of any length are alike", "WHERE n.id IN [1, 2,3 , 'x'] AND m.id IN [7]", "WHERE n.id IN [?] AND m.id IN [?]"},
		{"arguments are not a list", "RETURN point(1, 2), [1, n, 2]", "RETURN point(?, ?), [?, n, ?]"},
		{"signs", "RETURN -1, 2 - 1, [-1, -2], n-1, x = -0x1F", "RETURN -?, ? - ?, [?], n-?, x = ?"},
		{"ranges", "MATCH (a)-[:X*1..3]->(b)", "MATCH (a)-[:X*?..?]->(b)"},
		{"a password", "ALTER USER ann SET PASSWORD 'secret' CHANGE NOT REQUIRED", "ALTER USER ann SET PASSWORD ? CHANGE NOT REQUIRED"},
		{"an open string", "RETURN 'secret", "RETURN ?…"},
		{"an open name", "RETURN `a", "RETURN `a…"},
		{"an open comment", "RETURN 1 /* secret", "RETURN ?…"},
		{"letters in escapes", `RETURN 'Andr\u00e9', 'x'`, "RETURN ?, ?"},
		{"an escaped quote ends what is shown", `RETURN '\u0027, 'secret'`, "RETURN ?…"},
		{"a stray one too", `RETURN \uu0027secret\u0027`, "RETURN…"},
		{"a path is no escape", `LOAD CSV FROM 'c:\\users\\x' AS l RETURN 1`, "LOAD CSV FROM ? AS l RETURN ?"},
		{"letters outside ASCII", "MATCH (größe:Ort {name: 'Köln'}) RETURN größe", "MATCH (größe:Ort {name: ?}) RETURN größe"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendNormal([]byte("kept "), []byte(c.query))); got != "kept "+c.want {
				t.Errorf("got %q; want %q", got, "kept "+c.want)
			}
		})
	}
}

func TestNormalFormAllocatesNothing(t *testing.T) {
	dst, query := make([]byte, 0, 4096), []byte(typicalQuery)
	if n := testing.AllocsPerRun(100, func() { dst = AppendNormal(dst[:0], query) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzNormalForm: no text makes it panic or grow, and the normal form of a literal's place does not depend on the literal.
func FuzzNormalForm(f *testing.F) {
	for _, s := range []string{typicalQuery, `RETURN '\u0027, 'x'`, "[-1, 2]", "`", "/*", "'\\"} {
		f.Add(s, "secret")
	}
	f.Fuzz(func(t *testing.T, query, secret string) {
		got := AppendNormal(nil, []byte(query))
		if len(got) > len(query)+len("…") {
			t.Fatalf("%q became longer: %q", query, got)
		}
		if utf8.ValidString(query) && !utf8.Valid(got) {
			t.Fatalf("%q became invalid UTF-8: %q", query, got)
		}
		if !utf8.ValidString(secret) || strings.ContainsAny(secret, `'\`) {
			return
		}
		a, b := AppendNormal(nil, []byte("RETURN '"+secret+"' AS x")), []byte("RETURN ? AS x")
		if !bytes.Equal(a, b) {
			t.Fatalf("a literal shows: %q", a)
		}
	})
}

func BenchmarkNormalForm(b *testing.B) {
	dst, query := make([]byte, 0, 4096), []byte(typicalQuery)
	b.SetBytes(int64(len(query)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendNormal(dst[:0], query)
	}
}
