package cypher

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// This file owns the claims that hold for every text, and the fuzz target that looks for one for which they do not.

// insertions are clauses that write, each of which may stand where a clause begins.
var insertions = []string{
	"SET zz.x = 1", "CREATE (zz)", "MERGE (zz)", "DELETE zz", "DETACH DELETE zz", "REMOVE zz.x", "INSERT (:Z)", "CREATE zz = (:Y)",
	"FOREACH (x IN [] | SET x.y = 1)", "CALL foo.bar()", "CALL { CREATE () }", "CALL (*) { SET zz.x = 1 }", "create (zz)", "sEt (zz).x = 1",
	"CALL `foo`.`bar`", "/**/SET/**/zz/**/./**/x = 1", "S\\u0045T zz.x = 1",
}

// A write that is put where a clause may stand makes a read a write, whatever stands before it.
func TestInsertedWriteIsFound(t *testing.T) {
	clause := regexp.MustCompile(`\b(RETURN|MATCH|UNWIND|WITH|CALL|LOAD|USE|FOREACH|LET|FILTER|FOR|FINISH|NEXT|UNION|ORDER|SKIP|LIMIT|OFFSET)\b`)
	n := 0
	for _, tc := range readCases {
		v := ClassifyString(tc.query, nil)
		if v.Access == Write || v.Reason == reasonExplain {
			continue
		}
		for _, w := range insertions {
			texts := []string{tc.query + "\n" + w, w + " WITH * " + tc.query}
			for _, at := range clause.FindAllStringIndex(tc.query, -1) {
				if before := strings.TrimRight(tc.query[:at[0]], " \t\n"); strings.HasSuffix(before, "OPTIONAL") {
					continue // no clause begins there
				}
				texts = append(texts, tc.query[:at[0]]+w+" "+tc.query[at[0]:])
			}
			for _, text := range texts {
				n++
				if got := ClassifyString(text, nil); got.Access != Write {
					t.Errorf("%s: got %s for %q", tc.name, got.flags(), text)
				}
			}
		}
	}
	if n < 5000 {
		t.Errorf("only %d texts were tried", n)
	}
}

// Comments and white space between the tokens of a text change nothing.
func TestBlanksAreNeutral(t *testing.T) {
	for _, tc := range append(append([]testCase{}, readCases...), writeCases...) {
		checkBlanks(t, tc.query)
		checkCase(t, tc.query)
	}
}

// checkBlanks checks what white space and comments around and within a text do: nothing.
func checkBlanks(t *testing.T, query string) {
	t.Helper()
	v := ClassifyString(query, nil)
	if !utf8.ValidString(query) || hasOpenToken(query) {
		return // what is appended would be part of the open token
	}
	same := func(name, text string) {
		t.Helper()
		if got := ClassifyString(text, nil); got.flags() != v.flags() {
			t.Errorf("%s: got %s (%s), had %s (%s)\n%q\n%q", name, got.flags(), got.Reason, v.flags(), v.Reason, text, query)
		}
	}
	same("a block comment behind", query+"\n/* CREATE (n) ' ` \" */")
	same("a line comment behind", query+"\n// SET n.x = 1 ' ` \" /*")
	same("white space behind", query+"\n \t\u3000")
	same("a comment before", "// MERGE ' \" ` /*\n/* // DELETE ' \" ` */\u2028"+query)
	var inside strings.Builder
	at := 0
	for _, end := range tokenEnds(query) {
		inside.WriteString(query[at:end])
		inside.WriteString("\n\u00a0 /* SET ' ` \" */\t// x ' ` \" /*\r")
		at = end
	}
	same("white space and comments behind each token", inside.String()+query[at:])
}

// tokenEnds are the offsets at which a token ends in each way of reading the text, as the scan cuts it.
func tokenEnds(query string) (ends []int) {
	ends = endsOf(query)
	for _, pairs := range []bool{true, false} {
		if u := unescape(query, pairs); !u.bad {
			there := map[int]bool{}
			for _, end := range endsOf(u.text) {
				there[u.offset(end)] = true
			}
			ends = slices.DeleteFunc(ends, func(end int) bool { return !there[end] })
		}
	}
	return ends
}

// endsOf are the ends of the tokens of a text that has no escapes, blanks and comments left out. What must not be taken apart is one token
// here: a parameter, a name with doubled back-ticks, backslashes with the word behind them, a number with what is glued to it, and
// what may be the value of an option, which stands behind a =.
func endsOf(text string) (ends []int) {
	l := lexer{text: text, began: true}
	for i := l.skipBlank(0); i < len(text); i = l.skipBlank(i) {
		l.pos = atKeyword
		glued := l.last == '='
		for text[i] == '$' && i+1 < len(text) && (parts[text[i+1]] || text[i+1] == '`' || text[i+1] >= utf8.RuneSelf) {
			i++
		}
		l.last = text[i]
		switch c := text[i]; {
		case c == '\\':
			for i < len(text) && text[i] == '\\' {
				i++
			}
			i = l.identEnd(i)
		case c == '`':
			for i < len(text) && text[i] == '`' {
				i = l.tick(i)
			}
		case isDigit(c), glued && (parts[c] || c == '.'):
			for i < len(text) && (parts[text[i]] || text[i] == '.' || text[i] >= utf8.RuneSelf) {
				if isDigit(text[i]) {
					i = l.number(i)
				} else {
					i++
				}
			}
		case parts[c]:
			i = l.identEnd(i)
		case c < utf8.RuneSelf:
			i = l.other(i, c)
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			if i += n; isPart(r) {
				i = l.identEnd(i)
			}
		}
		ends = append(ends, i)
	}
	return ends
}

// hasOpenToken says that a text does not end outside strings, names and comments in each way of reading it.
func hasOpenToken(query string) bool {
	for _, text := range []string{query, unescape(query, true).text, unescape(query, false).text} {
		if v, _ := scan(text, nil); strings.HasPrefix(v.Reason, "unterminated") {
			return true
		}
	}
	return false
}

var asciiWord = regexp.MustCompile(`[A-Za-z]+`)

// checkCase checks that keywords may be written in any case. Names are left alone where they could be a procedure's.
func checkCase(t *testing.T, query string) {
	t.Helper()
	if strings.ContainsAny(query, "\\`") || !utf8.ValidString(query) || strings.Contains(query, "/") {
		return
	}
	v := ClassifyString(query, nil)
	for name, change := range map[string]func(string) string{"upper": strings.ToUpper, "lower": strings.ToLower} {
		text := []byte(query)
		for _, at := range asciiWord.FindAllStringIndex(query, -1) {
			word := query[at[0]:at[1]]
			dotted := strings.HasSuffix(strings.TrimSpace(query[:at[0]]), ".") || strings.HasPrefix(strings.TrimSpace(query[at[1]:]), ".")
			if !dotted && words.find(word).kind != unknown {
				copy(text[at[0]:], change(word))
			}
		}
		if got := Classify(text, nil); got.flags() != v.flags() {
			t.Errorf("%s case: got %s (%s), had %s (%s)\n%q\n%q", name, got.flags(), got.Reason, v.flags(), v.Reason, text, query)
		}
	}
}

// FuzzClassify looks for a text that makes Classify panic, gives a verdict out of bounds, or breaks one of the claims above.
func FuzzClassify(f *testing.F) {
	for _, tc := range append(append([]testCase{}, readCases...), writeCases...) {
		f.Add(tc.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		v := ClassifyString(query, nil)
		if v.Start < 0 || v.End < v.Start || v.End > len(query) || v.Reason == "" {
			t.Fatalf("got %+v", v)
		}
		if v.Access == Read && !utf8.ValidString(query) {
			t.Fatalf("invalid UTF-8 is a read")
		}
		if shown := Underline(query, v); !utf8.ValidString(shown) {
			t.Fatalf("Underline: got %q", shown)
		}
		checkBlanks(t, query)
		checkCase(t, query)
		for _, w := range insertions[:6] { // a statement of its own is found behind anything that is read, EXPLAIN or not
			if got := ClassifyString(query+"\n;"+w, nil); got.Access != Write {
				t.Fatalf("got %s for %q", got.flags(), query+"\n;"+w)
			}
		}
	})
}

func TestClassifyAllocatesNothing(t *testing.T) {
	var procs Procedures
	if err := procs.Add("my.own.read", "READ"); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		typicalQuery, "CREATE (n)", "CALL db.labels()", "CALL `db` . `labels`()", "CALL foo.bar.baz()", "CALL my.own.read()",
		"CALL gds.pageRank.stream('g')", "EXPLAIN MATCH (größe) RETURN größe", "SHOW TRANSACTIONS", "RETURN 'a\\'b'", "RETURN 'a",
	} {
		text := []byte(query)
		if n := testing.AllocsPerRun(100, func() { Classify(text, &procs) }); n != 0 {
			t.Errorf("%v allocations for %q", n, query)
		}
	}
}

// A long text is read in time that grows with its length alone.
func TestLongTexts(t *testing.T) {
	const size = 10 << 20
	for _, tc := range []struct{ name, head, unit, tail, want string }{
		{"a long string", "RETURN '", "CREATE (n) ", "'", "read"},
		{"a long list", "UNWIND [", "{set: 1, `a`: 'b'}, ", "1] AS x RETURN x", "read"},
		{"a long list before a write", "UNWIND [", "{set: 1, `a`: 'b'}, ", "1] AS x CREATE ({x: x})", "write"},
		{"many comments behind words", "RETURN 1", " + set /* SET */", "", "read"},
		{"many words that might be clauses", "RETURN CASE WHEN true THEN 1", " ELSE /* x */ set /* y */", ", 1", "write"},
		{"many open calls", "RETURN 1", " CALL ( CALL /* x */", "", "read"},
		{"many slashes", "RETURN 1", " /", " 1", "read"},
		{"many escapes", "RETURN '", `\u0041`, "'", "read"},
		{"many backslashes", "RETURN '", `\\`, "'", "read"},
		{"many letters outside ASCII", "RETURN '", "é", "' AS é", "read"},
		{"a long name", "RETURN a", "é", "", "read"},
		{"many brackets", "RETURN ", "[{", "", "read"},
	} {
		text := func(size int) string { return tc.head + strings.Repeat(tc.unit, size/len(tc.unit)) + tc.tail }
		if n := slowdown(text(size/640), text(size/64)); n > tooSlow {
			t.Fatalf("%s: ten times the length takes %.0f times as long", tc.name, 10*n)
		}
		v := ClassifyString(text(size), nil)
		if got := v.flags(); got != tc.want {
			t.Errorf("%s: got %s at %d (%s); want %s", tc.name, got, v.Start, v.Reason, tc.want)
		}
	}
}

// tooSlow is how many times as long as ten short texts one of ten times their length may take: far from 1, for machines have other
// things to do, and from the 10 of a text that is read anew for each of its parts.
const tooSlow = 4

// slowdown is what the long text takes for what ten short ones take, each at its best: the same work where time grows with length
// alone, so that a busy machine interrupts both alike.
func slowdown(short, long string) (n float64) {
	timed := func(times int, text string) time.Duration {
		began := time.Now()
		for range times {
			ClassifyString(text, nil)
		}
		return time.Since(began)
	}
	ten, one := timed(10, short), timed(1, long)
	for range 100 {
		if n = float64(one) / float64(ten); n <= tooSlow {
			break
		}
		ten, one = min(ten, timed(10, short)), min(one, timed(1, long))
	}
	return n
}
