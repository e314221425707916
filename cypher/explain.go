package cypher

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file owns what people are shown of a verdict.

// shownLine is how many characters of the query's line Underline shows.
const shownLine = 120

// Place is line:column of the token that decided v, counted from 1, columns in characters; "" when no single token did.
func Place(query []byte, v Verdict) string {
	if v.End <= v.Start || v.End > len(query) {
		return ""
	}
	line, column := 1, 1
	for _, r := range string(query[:v.Start]) {
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return fmt.Sprintf("%d:%d", line, column)
}

// Underline shows where in query the token lies that decided v: its line of the query, the token underlined below it, and
// line:column with the reason; lines and columns count from 1, columns in characters. A verdict without a token gives its
// reason alone. Of a long line the part around the token is shown, and control characters appear as a dot, so that the result
// is safe to print. It has no line break at its end.
func Underline(query string, v Verdict) string {
	said := v.Access.String() + ": " + v.Reason
	if v.End <= v.Start || v.End > len(query) {
		return said
	}
	begin := strings.LastIndexByte(query[:v.Start], '\n') + 1
	end := len(query)
	if n := strings.IndexByte(query[v.Start:], '\n'); n >= 0 {
		end = v.Start + n
	}
	column := utf8.RuneCountInString(query[begin:v.Start])
	line := []rune(query[begin:end])
	size := utf8.RuneCountInString(query[v.Start:min(v.End, end)])
	line, shift := around(line, column, size)
	return fmt.Sprintf("%s\n%s%s\n%d:%d %s", printable(line), blanks(line[:column-shift]), strings.Repeat("^", max(1, min(size, len(line)-column+shift))),
		strings.Count(query[:begin], "\n")+1, column+1, said)
}

// around cuts a long line to what lies around the token of that column and size, and says how many characters went before it.
func around(line []rune, column, size int) (part []rune, shift int) {
	if len(line) <= shownLine {
		return line, 0
	}
	from := max(0, column-(shownLine-min(size, shownLine))/2)
	from = min(from, len(line)-shownLine)
	return line[from : from+shownLine], from
}

// printable replaces what a terminal might obey.
func printable(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, strings.TrimSuffix(string(line), "\r"))
}

// blanks returns white space as wide as line, tabs kept.
func blanks(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line))
}
